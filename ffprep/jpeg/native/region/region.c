/* A pixel rectangle of a JPEG -> the planes it needs: ffp_decode_region.
 *
 * For each component the rectangle becomes the blocks that hold its samples (with one sample of margin where the component
 * is subsampled); together they span a rectangle of MCUs, which becomes jobs. With restart markers, every segment that
 * touches the MCUs is a job (jobs.c), and so is every piece that a seek index tells of. Without both, the scan is one long
 * stream, decoded up to the last MCU needed: in many places at once where the level has lanes (lanes/speculate.c), else,
 * and wherever that gives up, in order. Streams of several scans are decoded whole (scan/scans.c), and only the inverse
 * DCT is restricted to the rectangle.
 */
#include "region/jobs.h"

#include <string.h>
#include <time.h>

#include "idct/idct.h"
#include "lanes/lanes.h"

enum {
    PLANE_MARGIN = 128,    /* readable bytes the kernels may touch around rows */
    BATCH_BLOCKS = 1 << 16 /* coefficients held at once: 8 MiB and one job */
};

/* ---- geometry ----------------------------------------------------------------------------------------------------- */

typedef struct {
    ffp_mcus mcus;
    int32_t scale; /* log2 of the reduction */
    int32_t ncomp; /* components that are wanted; the planes of others hold nothing */
    ffp_plane plane[FFP_MAX_COMPONENTS];
} region;

static int32_t min32(int32_t a, int32_t b) { return a < b ? a : b; }
static int32_t max32(int32_t a, int32_t b) { return a > b ? a : b; }
static int32_t reduced(int32_t n, int32_t scale) { return (n + (1 << scale) - 1) >> scale; }

/* How often a component is halved when the image is halved `scale` times: less often where it is subsampled both ways
 * already. step_x, step_y: pixels from one of its samples to the next. */
static int32_t own_scale(int32_t step_x, int32_t step_y, int32_t scale) {
    for (; scale > 0 && step_x % 2 == 0 && step_y % 2 == 0; scale--) {
        step_x /= 2;
        step_y /= 2;
    }
    return scale;
}

/* One axis of a component: *start and *length are the samples that pixels at..at+count-1 need, rounded out to blocks and
 * reduced; *mcu0..*mcu1 grows to hold their MCUs. */
static void cover(int32_t at, int32_t count, int32_t step, int32_t factor, int32_t samples, int32_t scale,
                  int32_t total, int32_t *start, int32_t *length, int32_t *mcu0, int32_t *mcu1) {
    const int32_t margin = step >> (total - scale) > 1 ? 1 << scale : 0;
    int32_t low = max32(at / step - margin, 0), high = min32((at + count - 1) / step + margin, samples - 1);
    *start = (low & ~7) >> scale;
    *length = reduced(min32((high | 7) + 1, samples), scale) - *start;
    *mcu0 = min32(*mcu0, low / (8 * factor));
    *mcu1 = max32(*mcu1, high / (8 * factor));
}

static void region_of(const ffp_header *h, int32_t x, int32_t y, int32_t w, int32_t height, int32_t scale, int luma,
                      region *r) {
    memset(r->plane, 0, sizeof r->plane);
    r->scale = scale;
    r->ncomp = luma && h->color == FFP_COLOR_YCC ? 1 : h->ncomp;
    r->mcus.x0 = h->mcus_x;
    r->mcus.y0 = h->mcus_y;
    r->mcus.x1 = r->mcus.y1 = 0;
    for (int i = 0; i < r->ncomp; i++) {
        const ffp_component *c = &h->comp[i];
        const int32_t hs = h->hmax / c->h, vs = h->vmax / c->v;
        ffp_plane *p = &r->plane[i];
        p->scale = own_scale(hs, vs, scale);
        cover(x, w, hs, c->h, c->width, p->scale, scale, &p->x0, &p->w, &r->mcus.x0, &r->mcus.x1);
        cover(y, height, vs, c->v, c->height, p->scale, scale, &p->y0, &p->h, &r->mcus.y0, &r->mcus.y1);
    }
}

static int32_t allocate_planes(ffp_context *ctx, const ffp_header *h, region *r) {
    size_t at[FFP_MAX_COMPONENTS], total = PLANE_MARGIN;
    for (int i = 0; i < h->ncomp; i++) {
        ffp_plane *p = &r->plane[i];
        p->stride = (p->w + 63) / 64 * 64 + 64;
        if (p->stride % 1024 == 0) {
            p->stride += 64; /* rows a large power of two apart would share cache sets */
        }
        at[i] = total;
        total += (size_t)p->stride * (size_t)((p->h + 7) / 8 * 8 + 1) + 2 * PLANE_MARGIN;
    }
    if (ffp_reserve(&ctx->planes, total) != FFP_OK) {
        return FFP_NO_MEMORY;
    }
    for (int i = 0; i < h->ncomp; i++) {
        r->plane[i].addr = ctx->planes.ptr + at[i];
    }
    return FFP_OK;
}

static void describe(const ffp_header *h, const region *r, ffp_image_desc *image) {
    memset(image, 0, sizeof *image);
    image->width = reduced(h->width, r->scale);
    image->height = reduced(h->height, r->scale);
    image->components = r->ncomp;
    image->color = r->ncomp == 1 ? FFP_COLOR_GRAY : h->color;
    for (int i = 0; i < r->ncomp; i++) {
        const ffp_component *c = &h->comp[i];
        const ffp_plane *p = &r->plane[i];
        const int32_t done = r->scale - p->scale;
        image->planes[i] = (ffp_plane_desc){
            .address = (int64_t)(intptr_t)p->addr,
            .stride = p->stride,
            .x0 = p->x0,
            .y0 = p->y0,
            .w = p->w,
            .h = p->h,
            .hs = (h->hmax / c->h) >> done,
            .vs = (h->vmax / c->v) >> done,
            .width = reduced(c->width, p->scale),
            .height = reduced(c->height, p->scale),
        };
    }
}

/* ---- independent jobs ---------------------------------------------------------------------------------------------- */

/* Nanoseconds of this thread's processor time. */
static int64_t processor_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int32_t decode_jobs(ffp_context *ctx, const ffp_header *h, const region *r, int32_t njobs) {
    const ffp_level *level = ffp_current_level();
    ffp_job *jobs = (ffp_job *)(void *)ctx->jobs.ptr;
    for (int32_t done = 0, n; done < njobs; done += n) {
        int64_t blocks = 0;
        for (n = 0; done + n < njobs && (n == 0 || blocks < BATCH_BLOCKS); n++) {
            blocks += (int64_t)jobs[done + n].mcus * h->blocks_per_mcu + 1;
        }
        const size_t bytes = (size_t)blocks * 128;
        if (ffp_reserve(&ctx->coef, bytes) != FFP_OK) {
            return FFP_NO_MEMORY;
        }
        int16_t *coef = (int16_t *)(void *)ctx->coef.ptr;
        for (int32_t i = done; i < done + n; i++) {
            jobs[i].coef = coef;
            coef += ((int64_t)jobs[i].mcus * h->blocks_per_mcu + 1) * 64;
        }
        int32_t status = level->entropy(ctx, h, jobs + done, n);
        if (status != FFP_OK) {
            memset(ctx->coef.ptr, 0, bytes);
            return status;
        }
        const int64_t begun = ctx->inverse_ns < 0 ? 0 : processor_ns();
        ffp_inverse(level, h, jobs + done, n, r->plane);
        if (ctx->inverse_ns >= 0) {
            ctx->inverse_ns += processor_ns() - begun;
        }
    }
    return FFP_OK;
}

/* The inverse DCT of a job whose coefficients are in zigzag order. */
static void inverse_zigzag(const ffp_level *level, const ffp_header *h, ffp_job *job, const region *r) {
    if (level->engine && level->engine->arrange) {
        level->engine->arrange(job->coef, (int64_t)job->mcus * h->blocks_per_mcu);
    }
    ffp_inverse(level, h, job, 1, r->plane);
}

/* ---- one long stream ---------------------------------------------------------------------------------------------- */

static int32_t decode_stream(ffp_context *ctx, const ffp_header *h, const region *r, const uint8_t *data,
                             int64_t size) {
    const ffp_level *level = ffp_current_level();
    const int32_t width = r->mcus.x1 - r->mcus.x0 + 1, needed = r->mcus.y1 * h->mcus_x + r->mcus.x1 + 1;
    const size_t bytes = ((size_t)width * (size_t)h->blocks_per_mcu + 1) * 128;
    if (level->engine && ffp_speculate(level, ctx, h, data, size, needed, r->plane) == FFP_OK) {
        return FFP_OK;
    }
    if (ffp_reserve(&ctx->coef, bytes) != FFP_OK) {
        return FFP_NO_MEMORY;
    }
    int16_t *coef = (int16_t *)(void *)ctx->coef.ptr;
    ffp_stream stream = {0};
    ffp_bits_start(&stream.bits, data + h->scan_offset, data + size, 0);
    ffp_prepare_tables(ctx, h);
    int32_t at = 0; /* raster number of the stream's next MCU */
    for (int32_t row = r->mcus.y0; row <= r->mcus.y1; row++) {
        ffp_job job = {.first_mcu = row * h->mcus_x + r->mcus.x0, .mcus = width, .coef = coef};
        int32_t status = ffp_stream_decode(ctx, h, &stream, job.first_mcu - at, NULL);
        if (status == FFP_OK) {
            memcpy(job.pred, stream.pred, sizeof job.pred);
            status = ffp_stream_decode(ctx, h, &stream, width, coef);
        }
        if (status != FFP_OK) {
            memset(coef, 0, bytes);
            return status;
        }
        inverse_zigzag(level, h, &job, r);
        at = job.first_mcu + width;
    }
    return FFP_OK;
}

/* ---- several scans ------------------------------------------------------------------------------------------------ */

/* Copies one MCU row of the whole image's coefficients into a job's order and turns DC values into differences. */
static void gather_row(const ffp_header *h, const ffp_layout *layout, const int16_t *whole, int32_t row, int32_t mcu0,
                       int32_t mcus, int16_t *coef) {
    int16_t pred[FFP_MAX_COMPONENTS] = {0};
    for (int32_t mx = mcu0; mx < mcu0 + mcus; mx++) {
        for (int i = 0; i < h->ncomp; i++) {
            const ffp_component *c = &h->comp[i];
            for (int32_t j = 0; j < c->h * c->v; j++, coef += 64) {
                int64_t block = (int64_t)(row * c->v + j / c->h) * c->blocks_x + mx * c->h + j % c->h;
                const int16_t *in = whole + layout->offset[i] + block * 64;
                memcpy(coef, in, 128);
                coef[0] = (int16_t)(in[0] - pred[i]);
                pred[i] = in[0];
            }
        }
    }
}

static int32_t decode_scans(ffp_context *ctx, ffp_header *h, const region *r, const uint8_t *data, int64_t size) {
    const ffp_level *level = ffp_current_level();
    const ffp_layout layout = ffp_layout_of(h);
    const int32_t width = r->mcus.x1 - r->mcus.x0 + 1;
    if (ffp_reserve(&ctx->coef, ((size_t)width * (size_t)h->blocks_per_mcu + 1) * 128) != FFP_OK ||
        ffp_reserve(&ctx->whole, (size_t)layout.count * 2) != FFP_OK) {
        return FFP_NO_MEMORY;
    }
    int16_t *whole = (int16_t *)(void *)ctx->whole.ptr, *coef = (int16_t *)(void *)ctx->coef.ptr;
    memset(whole, 0, (size_t)layout.count * 2);
    int64_t end;
    int32_t status = ffp_decode_whole(data, size, h, whole, &end);
    for (int32_t row = r->mcus.y0; status == FFP_OK && row <= r->mcus.y1; row++) {
        ffp_job job = {.first_mcu = row * h->mcus_x + r->mcus.x0, .mcus = width, .coef = coef};
        gather_row(h, &layout, whole, row, r->mcus.x0, width, coef);
        inverse_zigzag(level, h, &job, r);
    }
    return status;
}

/* ---- entry -------------------------------------------------------------------------------------------------------- */

int64_t ffp_decode_region(const ffp_decode_request *request) {
    ffp_context *ctx = (ffp_context *)(intptr_t)request->context;
    const uint8_t *data = (const uint8_t *)(intptr_t)request->data;
    const uint8_t *index = (const uint8_t *)(intptr_t)request->index;
    const int64_t size = request->size, index_size = request->index_size, scale = request->scale;
    const int64_t x = request->x, y = request->y, w = request->w, h = request->h;
    ffp_header *header = &ctx->header;
    int32_t status = ffp_parse(data, size, header);
    if (status != FFP_OK) {
        return status;
    }
    if (header->ncomp == 4) {
        return FFP_UNSUPPORTED_COLOR;
    }
    if (x < 0 || y < 0 || w < 1 || h < 1 || w > header->width || h > header->height || x > header->width - w ||
        y > header->height - h || scale < 0 || scale > 3) {
        return FFP_BAD_RECTANGLE;
    }
    region r;
    region_of(header, (int32_t)x, (int32_t)y, (int32_t)w, (int32_t)h, (int32_t)scale, request->luma != 0, &r);
    if (!ffp_plausible(header, size, (int64_t)r.mcus.y1 * header->mcus_x + r.mcus.x1 + 1)) {
        return FFP_TRUNCATED_SCAN;
    }
    status = allocate_planes(ctx, header, &r);
    if (status != FFP_OK) {
        return status;
    }
    if (!header->sequential_single_scan) {
        status = decode_scans(ctx, header, &r, data, size);
    } else if (header->restart_interval || index_size) {
        int32_t njobs = 0;
        status = header->restart_interval
                     ? ffp_find_jobs(ctx, header, &r.mcus, data, size, &njobs)
                     : ffp_find_indexed_jobs(ctx, header, &r.mcus, data, size, index, index_size, &njobs);
        if (status == FFP_OK) {
            status = decode_jobs(ctx, header, &r, njobs);
        }
    } else {
        status = decode_stream(ctx, header, &r, data, size);
    }
    if (status == FFP_OK) {
        describe(header, &r, (ffp_image_desc *)(intptr_t)request->image);
    }
    return status;
}
