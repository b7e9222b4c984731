/* The samples of whole images against those of libjpeg-turbo, which are to be equal, bit for bit (docs/accuracy.md).
 *
 * Left out: what libjpeg-turbo refuses or warns of; streams that go on after they are complete (libjpeg decodes further
 * scans over what is there, ours does not look at them), or that have something between their segments; blocks whose inverse transform may leave the range in which its plain C
 * wraps around and ours clips, which no encoder makes: a sample is at most a quarter of the sum of the dequantised
 * coefficients, and must lie within -512 and 511. Its vector code saturates earlier, so JSIMD_FORCENONE is set, and
 * "smoothing" of unfinished progressive images is off. */
#include "support.h"

#include <setjmp.h>

#include <jpeglib.h>

int64_t compared; /* images whose samples were compared */
void compare_with_libjpeg(const uint8_t *data, int64_t size);

enum { MOST_ROWS = 4 * DCTSIZE, HIGHEST = 4 * 500 };

typedef struct {
    struct jpeg_error_mgr manager;
    jmp_buf back;
} errors;

static void leave(j_common_ptr c) { longjmp(((errors *)(void *)c->err)->back, 1); }

static void quiet(j_common_ptr c, int level) {
    if (level < 0) {
        leave(c); /* a warning */
    }
}

/* Whether libjpeg's transform of a block cannot wrap around. */
static int tame(const int16_t *block, const uint16_t *quant) {
    int64_t sum = 0;
    for (int k = 0; k < DCTSIZE2; k++) {
        sum += llabs((int64_t)block[k] * quant[k]);
    }
    return sum < HIGHEST;
}

/* Returns how many samples differ that may not. */
static int64_t compare_rows(const ffp_header *h, const ffp_plane_desc *plane, int c, const int16_t *coef,
                            JSAMPARRAY rows, int64_t first, int64_t count) {
    int64_t wrong = 0;
    for (int64_t j = 0; j < count && first + j < plane->h; j++) {
        const uint8_t *mine = (const uint8_t *)(intptr_t)(plane->address + (first + j) * plane->stride);
        if (memcmp(mine, rows[j], (size_t)plane->w) == 0) {
            continue;
        }
        for (int64_t x = 0; x < plane->w; x++) {
            const int64_t block = (first + j) / DCTSIZE * h->comp[c].blocks_x + x / DCTSIZE;
            wrong += mine[x] != rows[j][x] && tame(coef + block * DCTSIZE2, h->quant[h->comp[c].tq]);
        }
    }
    return wrong;
}

/* Returns 0 where libjpeg-turbo refuses the stream or warns, or its layout is another one. */
static int compare_all(struct jpeg_decompress_struct *c, const uint8_t *data, int64_t size, const ffp_image_desc *image,
                       const ffp_header *h, const int16_t *coef, uint8_t *volatile *memory) {
    errors *e = (errors *)(void *)c->err;
    if (setjmp(e->back)) {
        return 0;
    }
    jpeg_create_decompress(c);
    jpeg_mem_src(c, data, (unsigned long)size);
    jpeg_read_header(c, TRUE);
    c->raw_data_out = TRUE;
    c->do_fancy_upsampling = FALSE;
    c->do_block_smoothing = FALSE;
    c->dct_method = JDCT_ISLOW;
    jpeg_start_decompress(c);
    if (c->num_components != image->components) {
        return 0;
    }
    JSAMPROW rows[FFP_MAX_COMPONENTS][MOST_ROWS];
    JSAMPARRAY planes[FFP_MAX_COMPONENTS];
    int64_t step[FFP_MAX_COMPONENTS], all = 0;
    for (int i = 0; i < c->num_components; i++) {
        const jpeg_component_info *info = c->comp_info + i;
        if (c->min_DCT_scaled_size != DCTSIZE || (int64_t)info->downsampled_width != image->planes[i].width ||
            (int64_t)info->downsampled_height != image->planes[i].height ||
            (int64_t)info->quant_table->quantval[0] != h->quant[h->comp[i].tq][0]) {
            return 0;
        }
        step[i] = (int64_t)info->v_samp_factor * DCTSIZE;
        all += step[i] * (int64_t)info->width_in_blocks * DCTSIZE + step[i] * 8 * DCTSIZE;
    }
    uint8_t *next = *memory = room((size_t)all);
    for (int i = 0; i < c->num_components; i++) {
        const int64_t width = ((int64_t)c->comp_info[i].width_in_blocks + 8) * DCTSIZE;
        for (int64_t j = 0; j < step[i]; j++, next += width) {
            rows[i][j] = next;
        }
        planes[i] = rows[i];
    }
    int64_t wrong = 0;
    for (int64_t mcu_row = 0; c->output_scanline < c->output_height; mcu_row++) {
        jpeg_read_raw_data(c, planes, (JDIMENSION)(c->max_v_samp_factor * DCTSIZE));
        const int16_t *from = coef;
        for (int i = 0; i < c->num_components; i++) {
            wrong += compare_rows(h, &image->planes[i], i, from, rows[i], mcu_row * step[i], step[i]);
            from += (int64_t)h->comp[i].blocks_x * h->comp[i].blocks_y * DCTSIZE2;
        }
    }
    jpeg_finish_decompress(c); /* it may only find here that it refuses the stream */
    if (wrong) {
        fail("other samples than libjpeg-turbo's");
    }
    return 1;
}

void compare_with_libjpeg(const uint8_t *data, int64_t size) {
    ffp_header h;
    if (ffp_parse(data, size, &h) != FFP_OK || h.ncomp == 4) {
        return;
    }
    ffp_image_desc image;
    const ffp_decode_request request = {.context = (int64_t)(intptr_t)decoder(),
                                        .data = (int64_t)(intptr_t)data,
                                        .size = size,
                                        .w = h.width,
                                        .h = h.height,
                                        .image = (int64_t)(intptr_t)&image};
    int64_t status, count, facts[FFP_FACTS];
    if (ffp_decode_region(&request) != FFP_OK || ffp_check(data, size, facts) != FFP_OK ||
        facts[1] & (FFP_NOTE_LEFT_OVER | FFP_NOTE_STRAY)) {
        return;
    }
    int16_t *coef = all_coefficients(data, size, &status, &count);
    struct jpeg_decompress_struct c;
    errors e;
    uint8_t *volatile memory = NULL;
    memset(&c, 0, sizeof c);
    setenv("JSIMD_FORCENONE", "1", 0);
    c.err = jpeg_std_error(&e.manager);
    e.manager.error_exit = leave;
    e.manager.emit_message = quiet;
    if (status == FFP_OK) {
        compared += compare_all(&c, data, size, &image, &h, coef, &memory);
    }
    jpeg_destroy_decompress(&c);
    free(memory);
    free(coef);
}
