/* The jobs that a rectangle of MCUs needs: restart segments, found by their markers (T.81 B.1.1.2, E.1.4), or the pieces of
 * an undivided scan that a seek index tells of. A job ends after the last MCU that is needed of it. */
#include "region/jobs.h"

#include <string.h>

#include "index/index.h"

enum { AHEAD = 2048 }; /* bytes that are asked for before they are looked at */

#if defined(__SSE2__) && !defined(FFP_PLAIN_C)
#include <emmintrin.h>
#endif

/* The first FF at or after p that is not followed by 00 (one at the very end included), or end. */
static const uint8_t *find_marker(const uint8_t *p, const uint8_t *end) {
#if defined(__SSE2__) && !defined(FFP_PLAIN_C)
    const __m128i ff = _mm_set1_epi8(-1), zero = _mm_setzero_si128();
    while (end - p >= 65) { /* most of the time goes into waiting for memory */
        __builtin_prefetch(p + AHEAD);
        __m128i hits = zero;
        for (int i = 0; i < 64; i += 16) {
            __m128i here = _mm_loadu_si128((const __m128i *)(p + i)),
                    next = _mm_loadu_si128((const __m128i *)(p + i + 1));
            hits = _mm_or_si128(hits, _mm_andnot_si128(_mm_cmpeq_epi8(next, zero), _mm_cmpeq_epi8(here, ff)));
        }
        if (_mm_movemask_epi8(hits)) {
            break;
        }
        p += 64;
    }
    while (end - p >= 17) {
        __m128i here = _mm_loadu_si128((const __m128i *)p), next = _mm_loadu_si128((const __m128i *)(p + 1));
        __m128i hit = _mm_andnot_si128(_mm_cmpeq_epi8(next, zero), _mm_cmpeq_epi8(here, ff));
        int mask = _mm_movemask_epi8(hit);
        if (mask) {
            return p + __builtin_ctz((unsigned)mask);
        }
        p += 16;
    }
#endif
    while (p < end) {
        p = memchr(p, 0xFF, (size_t)(end - p));
        if (!p) {
            return end;
        }
        if (end - p < 2 || p[1] != 0) {
            return p;
        }
        p += 2;
    }
    return end;
}

/* The last MCU of [begin, end) that the region needs, or -1. */
static int64_t last_needed(const ffp_header *h, const ffp_mcus *r, int64_t begin, int64_t end) {
    int64_t row = (end - 1) / h->mcus_x, col = (end - 1) % h->mcus_x;
    if (row > r->y1) {
        row = r->y1;
        col = r->x1;
    } else if (col < r->x0) {
        row--;
        col = r->x1;
    }
    int64_t mcu = row * h->mcus_x + (col < r->x1 ? col : r->x1);
    return row >= r->y0 && mcu >= begin ? mcu : -1;
}

/* Moves *at from the restart marker there, which must have number `number`, to the byte after it. */
static int32_t pass_restart(const uint8_t **at, const uint8_t *end, int64_t number) {
    const uint8_t *p = *at;
    while (p < end && *p == 0xFF) {
        p++;
    }
    if (p == end || *p == FFP_M_EOI) {
        return FFP_TRUNCATED_SCAN;
    }
    if (*p == 0) {
        return FFP_CORRUPT_SCAN; /* FF FF 00 is neither data nor a marker */
    }
    if (*p != FFP_M_RST0 + (number & 7)) {
        return FFP_BAD_RESTART;
    }
    *at = p + 1;
    return FFP_OK;
}

int32_t ffp_find_jobs(ffp_context *ctx, const ffp_header *h, const ffp_mcus *r, const uint8_t *data, int64_t size,
                      int32_t *njobs) {
    const int64_t interval = h->restart_interval, all = (int64_t)h->mcus_x * h->mcus_y;
    const int64_t first = ((int64_t)r->y0 * h->mcus_x + r->x0) / interval;
    const int64_t last = ((int64_t)r->y1 * h->mcus_x + r->x1) / interval;
    const uint8_t *p = data + h->scan_offset, *end = data + size;
    if (ffp_reserve(&ctx->jobs, (size_t)(last - first + 1) * sizeof(ffp_job)) != FFP_OK) {
        return FFP_NO_MEMORY;
    }
    ffp_job *jobs = (ffp_job *)(void *)ctx->jobs.ptr;
    *njobs = 0;
    for (int64_t k = 0;; k++) {
        const uint8_t *begin = p;
        int64_t mcu = k * interval, next = mcu + interval < all ? mcu + interval : all;
        p = find_marker(p, end);
        int64_t needed = k < first ? -1 : last_needed(h, r, mcu, next);
        if (needed >= 0) {
            jobs[(*njobs)++] = (ffp_job){.begin = begin,
                                         .end = p,
                                         .first_mcu = (int32_t)mcu,
                                         .mcus = (int32_t)(needed - mcu + 1),
                                         .to_end = needed + 1 == next && next < all};
        }
        if (k == last) {
            return FFP_OK;
        }
        int32_t status = pass_restart(&p, end, k);
        if (status != FFP_OK) {
            return status;
        }
    }
}

/* The end of the byte that holds the bit before `bit`, its stuffing included. */
static const uint8_t *end_of_byte(const uint8_t *data, int64_t size, int64_t bit) {
    int64_t at = (bit + 7) >> 3;
    return data + at + (at > 0 && at < size && data[at - 1] == 0xFF && data[at] == 0);
}

int32_t ffp_find_indexed_jobs(ffp_context *ctx, const ffp_header *h, const ffp_mcus *r, const uint8_t *data,
                              int64_t size, const uint8_t *index, int64_t index_size, int32_t *njobs) {
    ffp_index_reader marks;
    if (ffp_index_open(&marks, h, data, size, index, index_size) != FFP_OK) {
        return FFP_BAD_INDEX;
    }
    const int64_t interval = marks.interval, all = (int64_t)h->mcus_x * h->mcus_y;
    const int64_t first = ((int64_t)r->y0 * h->mcus_x + r->x0) / interval;
    const int64_t last = ((int64_t)r->y1 * h->mcus_x + r->x1) / interval;
    if (ffp_reserve(&ctx->jobs, (size_t)(last - first + 1) * sizeof(ffp_job)) != FFP_OK) {
        return FFP_NO_MEMORY;
    }
    ffp_job *jobs = (ffp_job *)(void *)ctx->jobs.ptr;
    *njobs = 0;
    for (int64_t k = 0; k <= last; k++) {
        int64_t bit = marks.bit, mcu = k * interval, next = mcu + interval < all ? mcu + interval : all;
        int64_t needed = k < first ? -1 : last_needed(h, r, mcu, next);
        ffp_job *job = jobs + *njobs;
        if (needed >= 0) {
            *job = (ffp_job){.begin = data + (bit >> 3),
                             .start_bit = bit & 7,
                             .first_mcu = (int32_t)mcu,
                             .mcus = (int32_t)(needed - mcu + 1),
                             .to_end = needed + 1 == next};
            memcpy(job->pred, marks.pred, sizeof job->pred);
        }
        if (!ffp_index_next(&marks)) {
            return FFP_BAD_INDEX;
        }
        if (needed >= 0) {
            job->end = end_of_byte(data, size, marks.bit);
            ++*njobs;
        }
    }
    return FFP_OK;
}
