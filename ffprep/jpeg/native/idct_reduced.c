/* Inverse DCTs to fewer samples: each 8x8 block becomes 4x4, 2x2 or one sample, for crops that are shrunk anyway.
 *
 * The block's lowest 4x4 (2x2, 1x1) frequencies go through the inverse DCT of that size, scaled so that the mean stays
 * what it was. That is the reduction of the IJG library from version 7 on; libjpeg-turbo (and version 6) take means of
 * neighbouring samples instead, which let finer detail alias: a crop shrunk 2.5 times comes out 2.7 dB nearer to the one
 * made from all samples by the way taken here. Sample k of a reduced row stands for samples k * 2^scale up to the next
 * one's of the whole row.
 *
 * The arithmetic is that of idct.c: products modulo 2^16, columns first, (sum + 2^10) >> 11 clamped to int16, then
 * (sum + 2^17) >> 18 clamped to -128..127, plus 128. No sum of products can wrap. */
#include "internal.h"

enum { C1 = 10703, C3 = 4433 };       /* sqrt(2) * cos(pi / 8), sqrt(2) * cos(3 pi / 8), times 2^13 */

static inline int32_t clamp(int32_t v, int32_t low, int32_t high) { return v < low ? low : v > high ? high : v; }

static inline uint8_t sample(int32_t v) { return (uint8_t)(clamp(v, -128, 127) + 128); }

static inline int32_t narrow(int32_t v) { return clamp(v, -32768, 32767); }

/* Lowest frequencies by row and column: places in zigzag order. */
static const uint8_t corner[4][4] = {{0, 1, 5, 6}, {2, 4, 7, 13}, {3, 8, 12, 17}, {9, 11, 18, 24}};

static inline int32_t dequantised(const int16_t *coef, const uint16_t *quant, int at) {
    return (int16_t)((uint32_t)coef[at] * quant[at]);
}

static inline void four(const int32_t in[4], int32_t round, int shift, int32_t out[4]) {
    const int32_t e0 = (in[0] + in[2]) * 8192 + round, e1 = (in[0] - in[2]) * 8192 + round;
    const int32_t o0 = in[1] * C1 + in[3] * C3, o1 = in[1] * C3 - in[3] * C1;
    out[0] = (e0 + o0) >> shift;
    out[1] = (e1 + o1) >> shift;
    out[2] = (e1 - o1) >> shift;
    out[3] = (e0 - o0) >> shift;
}

static inline void block4(const int16_t *coef, int16_t dc, const uint16_t *quant, uint8_t *out, int64_t stride) {
    int32_t work[4][4];               /* by column, then row */
    for (int u = 0; u < 4; u++) {
        int32_t in[4], line[4];
        for (int v = 0; v < 4; v++) {
            in[v] = dequantised(coef, quant, corner[v][u]);
        }
        if (u == 0) {
            in[0] = (int16_t)((uint32_t)dc * quant[0]);
        }
        four(in, 1 << 10, 11, line);
        for (int v = 0; v < 4; v++) {
            work[u][v] = narrow(line[v]);
        }
    }
    for (int y = 0; y < 4; y++) {
        int32_t in[4] = {work[0][y], work[1][y], work[2][y], work[3][y]}, line[4];
        four(in, 1 << 17, 18, line);
        for (int x = 0; x < 4; x++) {
            out[y * stride + x] = sample(line[x]);
        }
    }
}

static inline void block2(const int16_t *coef, int16_t dc, const uint16_t *quant, uint8_t *out, int64_t stride) {
    const int32_t a = (int16_t)((uint32_t)dc * quant[0]), b = dequantised(coef, quant, 1);
    const int32_t c = dequantised(coef, quant, 2), d = dequantised(coef, quant, 4);
    const int32_t r0 = narrow((a + c) * 4), s0 = narrow((b + d) * 4), r1 = narrow((a - c) * 4), s1 = narrow((b - d) * 4);
    out[0] = sample((r0 + s0 + 16) >> 5);
    out[1] = sample((r0 - s0 + 16) >> 5);
    out[stride] = sample((r1 + s1 + 16) >> 5);
    out[stride + 1] = sample((r1 - s1 + 16) >> 5);
}

static inline void block1(int16_t dc, uint16_t quant, uint8_t *out) {
    *out = sample((narrow((int16_t)((uint32_t)dc * quant) * 4) + 16) >> 5);
}

/* A job's reduced components; coefficients stay. `make4` writes a 4x4 block, by the component's table. */
#define REDUCE(make4, table)                                                                                           \
    int16_t *coef = job->coef;                                                                                         \
    int32_t mx = job->first_mcu % header->mcus_x, my = job->first_mcu / header->mcus_x;                                \
    for (int32_t m = 0; m < job->mcus; m++) {                                                                          \
        for (int i = 0; i < header->ncomp; i++) {                                                                      \
            const ffp_component *c = &header->comp[i];                                                                 \
            const ffp_plane *plane = planes + i;                                                                       \
            const uint16_t *quant = header->quant[c->tq];                                                              \
            const int32_t n = 8 >> plane->scale;                                                                       \
            int16_t dc = (int16_t)job->pred[i];                                                                        \
            for (int32_t j = 0; j < c->v; j++) {                                                                       \
                const int32_t y = (my * c->v + j) * n - plane->y0;                                                     \
                int32_t x = mx * c->h * n - plane->x0;                                                                 \
                for (int32_t k = 0; k < c->h; k++, x += n, coef += 64) {                                               \
                    dc = (int16_t)(dc + coef[0]);                                                                      \
                    if (plane->scale == 0 || x < 0 || x >= plane->w || y < 0 || y >= plane->h) {                       \
                        continue;                                                                                      \
                    }                                                                                                  \
                    uint8_t *out = plane->addr + y * plane->stride + x;                                                \
                    if (n == 4) {                                                                                      \
                        make4(coef, dc, table, out, plane->stride);                                                    \
                    } else if (n == 2) {                                                                               \
                        block2(coef, dc, quant, out, plane->stride);                                                   \
                    } else {                                                                                           \
                        block1(dc, quant[0], out);                                                                     \
                    }                                                                                                  \
                }                                                                                                      \
            }                                                                                                          \
            job->pred[i] = dc;                                                                                         \
        }                                                                                                              \
        if (++mx == header->mcus_x) {                                                                                  \
            mx = 0;                                                                                                    \
            my++;                                                                                                      \
        }                                                                                                              \
    }

void ffp_reduce_scalar(const ffp_header *header, ffp_job *job, const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    REDUCE(block4, quant)
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2")))

/* Pairs of rows (0, 2) and (1, 3), a column each, from coefficients 0..7, 8..15 and 17..24. Z: none; also for the DC
 * value, which comes by register. */
#define Z 0x80
static const uint8_t orders[6][16] = {
    {Z, Z, 6, 7, 2, 3, Z, Z, 10, 11, Z, Z, 12, 13, Z, Z},
    {Z, Z, Z, Z, Z, Z, 0, 1, Z, Z, 8, 9, Z, Z, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 0, 1},
    {4, 5, Z, Z, 8, 9, Z, Z, 14, 15, Z, Z, Z, Z, Z, Z},
    {Z, Z, 2, 3, Z, Z, 6, 7, Z, Z, Z, Z, 10, 11, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 2, 3, Z, Z, 14, 15}};
#undef Z

typedef struct {
    __m128i p02, p13;
} pairs;

TARGET static inline __m128i pick(const int16_t *coef, int n) {
    __m128i v = _mm_setzero_si128();
    for (int i = 0; i < 3; i++) {
        __m128i z = _mm_loadu_si128((const __m128i *)(coef + (i < 2 ? 8 * i : 17)));
        v = _mm_or_si128(v, _mm_shuffle_epi8(z, _mm_loadu_si128((const __m128i *)orders[n + i])));
    }
    return v;
}

TARGET static inline pairs arrange(const int16_t *coef, int32_t dc) {
    return (pairs){_mm_or_si128(pick(coef, 0), _mm_cvtsi32_si128((uint16_t)dc)), pick(coef, 3)};
}

TARGET static inline __m128i both(int a, int b) { return _mm_set1_epi32((int)((uint32_t)b << 16 | (uint16_t)a)); }

TARGET static inline void four_lines(pairs x, int32_t round, int shift, __m128i out[4]) {
    const __m128i r = _mm_set1_epi32(round);
    __m128i e0 = _mm_add_epi32(r, _mm_madd_epi16(x.p02, both(8192, 8192)));
    __m128i e1 = _mm_add_epi32(r, _mm_madd_epi16(x.p02, both(8192, -8192)));
    __m128i o0 = _mm_madd_epi16(x.p13, both(C1, C3)), o1 = _mm_madd_epi16(x.p13, both(C3, -C1));
    out[0] = _mm_srai_epi32(_mm_add_epi32(e0, o0), shift);
    out[1] = _mm_srai_epi32(_mm_add_epi32(e1, o1), shift);
    out[2] = _mm_srai_epi32(_mm_sub_epi32(e1, o1), shift);
    out[3] = _mm_srai_epi32(_mm_sub_epi32(e0, o0), shift);
}

TARGET static inline void block4_avx2(const int16_t *coef, int16_t dc, const pairs *quant, uint8_t *out,
                                      int64_t stride) {
    /* of two rows: (0, 2) of each, (1, 3) of each */
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    const __m128i across = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    pairs x = arrange(coef, dc);
    __m128i v[4];
    x.p02 = _mm_mullo_epi16(x.p02, quant->p02);
    x.p13 = _mm_mullo_epi16(x.p13, quant->p13);
    four_lines(x, 1 << 10, 11, v);
    __m128i a = _mm_shuffle_epi8(_mm_packs_epi32(v[0], v[1]), order);
    __m128i b = _mm_shuffle_epi8(_mm_packs_epi32(v[2], v[3]), order);
    x = (pairs){_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b)};
    four_lines(x, (1 << 17) + (128 << 18), 18, v);
    a = _mm_packus_epi16(_mm_packs_epi32(v[0], v[1]), _mm_packs_epi32(v[2], v[3]));
    uint32_t rows[4] __attribute__((aligned(16)));
    _mm_store_si128((__m128i *)rows, _mm_shuffle_epi8(a, across));
    for (int i = 0; i < 4; i++) {
        memcpy(out + i * stride, rows + i, 4);
    }
}

TARGET void ffp_reduce_avx2(const ffp_header *header, ffp_job *job, const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    pairs tables[FFP_MAX_COMPONENTS];
    for (int i = 0; i < header->ncomp; i++) {
        const uint16_t *q = header->quant[header->comp[i].tq];
        tables[i] = arrange((const int16_t *)q, q[0]);
    }
    REDUCE(block4_avx2, tables + i)
}

#endif

void ffp_inverse(const ffp_level *level, ffp_context *ctx, const ffp_header *header, ffp_job *job,
                 const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    int32_t reduced = 0;
    for (int i = 0; i < header->ncomp; i++) {
        reduced += planes[i].scale > 0;
    }
    if (!reduced) {
        level->idct(ctx, header, job, planes);
        return;
    }
    int32_t pred[FFP_MAX_COMPONENTS];
    memcpy(pred, job->pred, sizeof pred);
    level->reduce(header, job, planes);
    if (reduced == header->ncomp) {
        memset(job->coef, 0, (size_t)job->mcus * (size_t)header->blocks_per_mcu * 128);
        return;
    }
    ffp_plane others[FFP_MAX_COMPONENTS];
    memcpy(others, planes, sizeof others);
    for (int i = 0; i < header->ncomp; i++) {
        others[i].w = others[i].scale ? 0 : others[i].w; /* nothing of it is wanted any more */
    }
    memcpy(job->pred, pred, sizeof pred);
    level->idct(ctx, header, job, others);
}
