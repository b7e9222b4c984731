/* Times the stages of decoding crops: limit ROUNDS FILE. See limit.py.
 *
 * FILE holds for each image: int64 bytes, x, y, width, height of the crop; then the JPEG's bytes. All images are gone through
 * ROUNDS times; each image counts with its quickest round, stage by stage. Prints nanoseconds an image in the mean:
 * headers and geometry, finding the segments, entropy decoding, inverse DCT, and all of ffp_decode_region. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "region/region.c"

enum { STAGES = 5 };

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t since(int64_t *mark) {
    int64_t t = now(), passed = t - *mark;
    *mark = t;
    return passed;
}

/* What ffp_decode_region does for a stream with restart markers, stage by stage. 0 when it is none or damaged. */
static int staged(ffp_context *ctx, const uint8_t *data, const int64_t *image, int64_t ns[STAGES]) {
    const ffp_level *level = ffp_current_level();
    ffp_header *h = &ctx->header;
    region r;
    int32_t n = 0;
    int64_t mark = now(), blocks = 0;
    if (ffp_parse(data, image[0], h) != FFP_OK || !h->sequential_single_scan || !h->restart_interval) {
        return 0;
    }
    region_of(h, (int32_t)image[1], (int32_t)image[2], (int32_t)image[3], (int32_t)image[4], 0, 0, &r);
    allocate_planes(ctx, h, &r);
    ns[0] = since(&mark);
    if (ffp_find_jobs(ctx, h, &r.mcus, data, image[0], &n) != FFP_OK) {
        return 0;
    }
    ns[1] = since(&mark);
    ffp_job *jobs = (ffp_job *)(void *)ctx->jobs.ptr;
    for (int32_t i = 0; i < n; i++) {
        blocks += (int64_t)jobs[i].mcus * h->blocks_per_mcu + 1;
    }
    if (ffp_reserve(&ctx->coef, (size_t)blocks * 128) != FFP_OK) {
        return 0;
    }
    int16_t *coef = (int16_t *)(void *)ctx->coef.ptr;
    for (int32_t i = 0; i < n; i++) {
        jobs[i].coef = coef;
        coef += ((int64_t)jobs[i].mcus * h->blocks_per_mcu + 1) * 64;
    }
    mark = now();
    if (level->entropy(ctx, h, jobs, n) != FFP_OK) {
        return 0;
    }
    ns[2] = since(&mark);
    ffp_inverse(level, h, jobs, n, r.plane);
    ns[3] = since(&mark);
    return 1;
}

int main(int argc, char **argv) {
    FILE *f = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        fprintf(stderr, "usage: limit ROUNDS FILE\n");
        return 2;
    }
    const int64_t size = ftell(f);
    rewind(f);
    uint8_t *all = malloc((size_t)size);
    if (!all || fread(all, 1, (size_t)size, f) != (size_t)size) {
        return 2;
    }
    fclose(f);
    int64_t images = 0, staged_images = 0;
    ffp_image_desc decoded;
    for (int64_t at = 0; at < size; images++) {
        int64_t bytes;
        memcpy(&bytes, all + at, 8);
        at += 40 + bytes;
    }
    int64_t(*best)[STAGES] = malloc((size_t)images * sizeof *best);
    ffp_context *ctx = ffp_context_new();
    for (int64_t i = 0; i < images * STAGES; i++) {
        best[0][i] = INT64_MAX;
    }
    for (int64_t round = 0; round < atoll(argv[1]); round++) {
        for (int64_t at = 0, i = 0; at < size; i++) {
            int64_t image[5], ns[STAGES], mark;
            memcpy(image, all + at, sizeof image);
            const uint8_t *data = all + at + 40;
            at += 40 + image[0];
            int good = staged(ctx, data, image, ns);
            mark = now();
            const ffp_decode_request request = {.context = (int64_t)(intptr_t)ctx,
                                                .data = (int64_t)(intptr_t)data,
                                                .size = image[0],
                                                .x = image[1],
                                                .y = image[2],
                                                .w = image[3],
                                                .h = image[4],
                                                .image = (int64_t)(intptr_t)&decoded};
            good &= ffp_decode_region(&request) == FFP_OK;
            ns[4] = since(&mark);
            for (int k = 0; good && k < STAGES; k++) {
                best[i][k] = ns[k] < best[i][k] ? ns[k] : best[i][k];
            }
        }
    }
    double sum[STAGES] = {0};
    for (int64_t i = 0; i < images; i++) {
        staged_images += best[i][0] < INT64_MAX;
        for (int k = 0; k < STAGES && best[i][0] < INT64_MAX; k++) {
            sum[k] += (double)best[i][k];
        }
    }
    printf("%lld", (long long)staged_images);
    for (int k = 0; k < STAGES; k++) {
        printf(" %.0f", sum[k] / (double)(staged_images ? staged_images : 1));
    }
    printf("\n");
    return 0;
}
