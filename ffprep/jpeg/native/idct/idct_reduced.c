/* Inverse DCTs to fewer samples: each 8x8 block becomes 4x4, 2x2 or one sample, for crops that are shrunk anyway.
 *
 * The block's lowest 4x4 (2x2, 1x1) frequencies go through the inverse DCT of that size, scaled so that the mean stays
 * what it was. That is the reduction of the IJG library from version 7 on; libjpeg-turbo (and version 6) take means of
 * neighbouring samples instead, which let finer detail alias: a crop shrunk 2.5 times comes out 2.7 dB nearer to the one
 * made from all samples by the way taken here. Sample k of a reduced row stands for the 2^scale samples of the whole row
 * from k * 2^scale on.
 *
 * The arithmetic is that of idct_scalar.c: products modulo 2^16, columns first, (sum + 2^10) >> 11 clamped to int16, then
 * (sum + 2^17) >> 18 clamped to -128..127, plus 128. No sum of products can wrap. */
#include <string.h>

#include "idct/idct.h"
#include "idct/walk.h"

enum { C1 = 10703, C3 = 4433 }; /* sqrt(2) * cos(pi / 8), sqrt(2) * cos(3 pi / 8), times 2^13 */

/* Lowest frequencies by row and column: places in zigzag order. */
static const uint8_t corner[4][4] = {{0, 1, 5, 6}, {2, 4, 7, 13}, {3, 8, 12, 17}, {9, 11, 18, 24}};

static inline void four(const int32_t in[4], int32_t round, int shift, int32_t out[4]) {
    const int32_t e0 = (in[0] + in[2]) * 8192 + round, e1 = (in[0] - in[2]) * 8192 + round;
    const int32_t o0 = in[1] * C1 + in[3] * C3, o1 = in[1] * C3 - in[3] * C1;
    out[0] = (e0 + o0) >> shift;
    out[1] = (e1 + o1) >> shift;
    out[2] = (e1 - o1) >> shift;
    out[3] = (e0 - o0) >> shift;
}

static inline void block4(const int16_t *coef, int16_t dc, const uint16_t *quant, uint8_t *out, int64_t stride) {
    int32_t work[4][4]; /* by column, then row */
    for (int u = 0; u < 4; u++) {
        int32_t in[4], line[4];
        for (int v = 0; v < 4; v++) {
            in[v] = ffp_dequantised(coef[corner[v][u]], quant[corner[v][u]]);
        }
        if (u == 0) {
            in[0] = ffp_dequantised(dc, quant[0]);
        }
        four(in, 1 << 10, 11, line);
        for (int v = 0; v < 4; v++) {
            work[u][v] = ffp_narrow(line[v]);
        }
    }
    for (int y = 0; y < 4; y++) {
        int32_t in[4] = {work[0][y], work[1][y], work[2][y], work[3][y]}, line[4];
        four(in, 1 << 17, 18, line);
        for (int x = 0; x < 4; x++) {
            out[y * stride + x] = ffp_sample(line[x]);
        }
    }
}

/* at: where the coefficients 1, 2 and 4 of the zigzag order lie. */
static inline void block2(const int16_t *coef, const uint8_t at[3], int16_t dc, const uint16_t *quant, uint8_t *out,
                          int64_t stride) {
    const int32_t a = ffp_dequantised(dc, quant[0]), b = ffp_dequantised(coef[at[0]], quant[1]);
    const int32_t c = ffp_dequantised(coef[at[1]], quant[2]), d = ffp_dequantised(coef[at[2]], quant[4]);
    const int32_t r0 = ffp_narrow((a + c) * 4), s0 = ffp_narrow((b + d) * 4);
    const int32_t r1 = ffp_narrow((a - c) * 4), s1 = ffp_narrow((b - d) * 4);
    out[0] = ffp_sample((r0 + s0 + 16) >> 5);
    out[1] = ffp_sample((r0 - s0 + 16) >> 5);
    out[stride] = ffp_sample((r1 + s1 + 16) >> 5);
    out[stride + 1] = ffp_sample((r1 - s1 + 16) >> 5);
}

static const uint8_t in_zigzag[3] = {1, 2, 4};

/* Blocks of 2x2 samples and single ones; coefficients stay. */
static inline void put_smaller(const uint8_t at[3], const uint16_t *quant, const ffp_plane *plane, ffp_block a) {
    if (plane->scale == 2) {
        block2(a.coef, at, (int16_t)a.dc, quant, a.out, plane->stride);
    } else {
        *a.out = ffp_flat_sample(a.dc, quant[0]);
    }
}

static inline void put_block(const void *self, int component, const ffp_plane *plane, ffp_block a, ffp_block none) {
    const ffp_header *header = self;
    const uint16_t *quant = header->quant[header->comp[component].tq];
    (void)none;
    if (plane->scale == 0 || !a.out) {
        return;
    }
    if (plane->scale == 1) {
        block4(a.coef, (int16_t)a.dc, quant, a.out, plane->stride);
    } else {
        put_smaller(in_zigzag, quant, plane, a);
    }
}

void ffp_reduce_scalar(const ffp_header *header, ffp_job *jobs, int32_t njobs,
                       const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    ffp_walk_jobs(header, jobs, njobs, planes, 1, put_block, header);
}

#if FFP_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx2")))

static const uint8_t in_order[3] = {8, 32, 40}; /* ffp_order_avx2 */

/* Pairs of rows (0, 2) and (1, 3), a column each, from coefficients 0..7, 8..15 and 17..24 of the zigzag order. Z: none; the
 * DC value too, which comes by register. */
#define Z 0x80
/* clang-format off */
static const uint8_t orders[6][16] = {
    {Z, Z, 6, 7, 2, 3, Z, Z, 10, 11, Z, Z, 12, 13, Z, Z},
    {Z, Z, Z, Z, Z, Z, 0, 1, Z, Z, 8, 9, Z, Z, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 0, 1},
    {4, 5, Z, Z, 8, 9, Z, Z, 14, 15, Z, Z, Z, Z, Z, Z},
    {Z, Z, 2, 3, Z, Z, 6, 7, Z, Z, Z, Z, 10, 11, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 2, 3, Z, Z, 14, 15}};
/* clang-format on */
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

/* Of quantisers. */
TARGET static inline pairs arrange(const int16_t *coef, int32_t dc) {
    return (pairs){_mm_or_si128(pick(coef, 0), _mm_cvtsi32_si128((uint16_t)dc)), pick(coef, 3)};
}

/* Of coefficients in the order of ffp_order_avx2. */
TARGET static inline pairs extract(const int16_t *coef, int32_t dc) {
    const __m256i *c = (const __m256i *)coef, columns = _mm256_setr_epi32(0, 4, 2, 5, 0, 4, 2, 5);
    const __m256i row2 = _mm256_slli_epi32(_mm256_loadu_si256(c + 1), 16);
    const __m256i p02 = _mm256_permutevar8x32_epi32(_mm256_blend_epi16(_mm256_loadu_si256(c), row2, 0xAA), columns);
    const __m256i p13 = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(c + 2), columns);
    const __m128i first = _mm_cvtsi32_si128((uint16_t)dc);
    return (pairs){_mm_blend_epi16(_mm256_castsi256_si128(p02), first, 1), _mm256_castsi256_si128(p13)};
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

TARGET static inline void block4_avx2(pairs x, const pairs *quant, uint8_t *out, int64_t stride) {
    /* of two rows: (0, 2) of each, (1, 3) of each */
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    const __m128i across = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
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

typedef struct {
    const ffp_header *header;
    pairs quant[FFP_MAX_COMPONENTS];
} tables;

TARGET static inline void put_block_avx2(const void *self, int component, const ffp_plane *plane, ffp_block a,
                                         ffp_block none) {
    const tables *t = self;
    (void)none;
    if (plane->scale == 0 || !a.out) {
        return;
    }
    if (plane->scale == 1) {
        block4_avx2(extract(a.coef, a.dc), &t->quant[component], a.out, plane->stride);
    } else {
        put_smaller(in_order, t->header->quant[t->header->comp[component].tq], plane, a);
    }
}

TARGET static tables tables_of(const ffp_header *header) {
    tables t = {.header = header};
    for (int i = 0; i < header->ncomp; i++) {
        const uint16_t *q = header->quant[header->comp[i].tq];
        t.quant[i] = arrange((const int16_t *)q, q[0]);
    }
    return t;
}

TARGET void ffp_reduce_avx2(const ffp_header *header, ffp_job *jobs, int32_t njobs,
                            const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    const tables t = tables_of(header);
    ffp_walk_jobs(header, jobs, njobs, planes, 1, put_block_avx2, &t);
}

#endif
