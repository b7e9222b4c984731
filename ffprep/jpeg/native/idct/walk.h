/* The walk over a job's blocks in scan order (T.81 A.2.3): DC values are predicted, places in the planes computed. */
#ifndef FFPREP_WALK_H
#define FFPREP_WALK_H

#include "job.h"

typedef struct {
    int16_t *coef; /* 64; NULL: there is no such block */
    int32_t dc;    /* DC value, predicted modulo 2^16; coef[0] is still the difference */
    uint8_t *out;  /* its first sample; NULL: the plane does not hold it */
} ffp_block;

/* Takes one block of a component or, in a walk of width 2, two that are side by side in the plane. */
typedef void (*ffp_put_blocks)(const void *self, int component, const ffp_plane *plane, ffp_block a, ffp_block b);

/* Where a component's blocks lie in an MCU and, in a walk of width 2, in the MCU to the right of it. */
typedef struct {
    int16_t *coef;     /* its first coefficient in the first MCU */
    int32_t step;      /* coefficients from MCU to MCU */
    int32_t h;         /* blocks in a row of one MCU */
    int32_t count;     /* blocks in a row of all */
    int16_t dc[2][16]; /* of each block of both MCUs: factors are up to 4 each way */
} ffp_blocks;

/* Block k of row j; x: of its first sample in the plane. */
FFP_INLINE ffp_block ffp_block_at(const ffp_blocks *of, int32_t j, int32_t k, const ffp_plane *plane, int32_t x,
                                  uint8_t *row) {
    if (k >= of->count) {
        return (ffp_block){NULL, 0, NULL};
    }
    const int32_t mcu = k >= of->h, at = j * of->h + (mcu ? k - of->h : k);
    return (ffp_block){of->coef + (mcu ? of->step : 0) + at * 64, of->dc[mcu][at],
                       row && x >= 0 && x < plane->w ? row + x : NULL};
}

/* Samples of the row with number y of the plane's component; NULL: the plane does not hold it. */
FFP_INLINE uint8_t *ffp_row_at(const ffp_plane *plane, int32_t y) {
    y -= plane->y0;
    return y >= 0 && y < plane->h ? plane->addr + y * plane->stride : NULL;
}

/* The block or, in a walk of width 2, both blocks of a component that has one in an MCU. */
FFP_INLINE void ffp_walk_single(const ffp_blocks *of, int32_t *pred, int i, const ffp_plane *plane, int32_t x,
                                int32_t y, int32_t width, ffp_put_blocks put, const void *self) {
    const int32_t n = 8 >> plane->scale;
    uint8_t *row = ffp_row_at(plane, y * n);
    x = x * n - plane->x0;
    /* an index from a file may begin with any number */
    const int16_t first = (int16_t)((int16_t)*pred + of->coef[0]);
    ffp_block a = {of->coef, first, row && x >= 0 && x < plane->w ? row + x : NULL};
    ffp_block b = {NULL, 0, NULL};
    *pred = a.dc;
    if (width > 1 && of->count > 1) {
        x += n;
        b.coef = of->coef + of->step;
        *pred = b.dc = (int16_t)(a.dc + b.coef[0]);
        b.out = row && x >= 0 && x < plane->w ? row + x : NULL;
    }
    put(self, i, plane, a, b);
}

/* Calls put for every block of the job and leaves the last DC values in job->pred. `width` 2 takes two MCUs at a time
 * where two are left in a row of MCUs. To be inlined with constant width and put. */
FFP_INLINE void ffp_walk_blocks(const ffp_header *header, ffp_job *job, const ffp_plane planes[FFP_MAX_COMPONENTS],
                                int32_t width, ffp_put_blocks put, const void *self) {
    int32_t mx = job->first_mcu % header->mcus_x, my = job->first_mcu / header->mcus_x;
    ffp_blocks of = {.coef = job->coef, .step = header->blocks_per_mcu * 64};
    for (int32_t left = job->mcus, mcus; left > 0; left -= mcus) {
        mcus = width > 1 && left > 1 && mx + 1 < header->mcus_x ? 2 : 1;
        for (int i = 0; i < header->ncomp; i++) {
            const ffp_component *c = &header->comp[i];
            const ffp_plane *plane = planes + i;
            const int32_t blocks = c->h * c->v, n = 8 >> plane->scale;
            int16_t value = (int16_t)job->pred[i];
            of.h = c->h;
            of.count = mcus * c->h;
            if (blocks == 1) {
                ffp_walk_single(&of, &job->pred[i], i, plane, mx, my, width, put, self);
                of.coef += 64;
                continue;
            }
            for (int32_t mcu = 0; mcu < mcus; mcu++) {
                for (int32_t k = 0; k < blocks; k++) {
                    value = (int16_t)(value + of.coef[mcu * of.step + k * 64]);
                    of.dc[mcu][k] = value;
                }
            }
            job->pred[i] = value;
            /* one loop: branches of two are predicted less well */
            for (int32_t j = 0, k = 0, wrap; j < c->v; j += wrap, k = wrap ? 0 : k + width) {
                wrap = k + width >= of.count;
                const int32_t x = (mx * of.h + k) * n - plane->x0;
                uint8_t *row = ffp_row_at(plane, (my * c->v + j) * n);
                const ffp_block a = ffp_block_at(&of, j, k, plane, x, row);
                const ffp_block b = width > 1 ? ffp_block_at(&of, j, k + 1, plane, x + n, row)
                                              : (ffp_block){NULL, 0, NULL};
                put(self, i, plane, a, b);
            }
            of.coef += blocks * 64;
        }
        of.coef += (mcus - 1) * of.step;
        mx += mcus;
        if (mx == header->mcus_x) {
            mx = 0;
            my++;
        }
    }
}

FFP_INLINE void ffp_walk_jobs(const ffp_header *header, ffp_job *jobs, int32_t njobs,
                              const ffp_plane planes[FFP_MAX_COMPONENTS], int32_t width, ffp_put_blocks put,
                              const void *self) {
    for (int32_t i = 0; i < njobs; i++) {
        ffp_walk_blocks(header, jobs + i, planes, width, put, self);
    }
}

#endif
