/* The exact inverse DCT of idct.c with AVX2, one block at a time.
 *
 * As in idct_avx512.c the lines of a block are pairs of inputs side by side, (0, 4), (2, 6), (1, 3), (5, 7), one pair
 * in each of eight 32-bit elements, so that an output is the sum of two multiply-adds of pairs. Byte shuffles bring the
 * zigzag order into that form; the quantisers go the same way once for each job. */
#include "internal.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#define INLINE static inline TARGET __attribute__((always_inline))

/* Where each pair of rows finds its words: shuffle n takes from the 16 coefficients that start at 8 * from[n]. Z: none;
 * also for the DC value, which comes by register. */
#define Z 0x80
static const uint8_t orders[22][32] = {
    /* rows 0 and 4 */
    {Z, Z, Z, Z, 2, 3, Z, Z, 10, 11, Z, Z, 12, 13, Z, Z, 12, 13, Z, Z, 14, 15, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, 4, 5, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, Z, Z, Z, Z, 6, 7, Z, Z, 14, 15, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 6, 7, Z, Z, 8, 9, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 14, 15, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 0, 1, Z, Z, Z, Z, Z, Z, 10, 11, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 8, 9, Z, Z, 12, 13},
    /* rows 2 and 6 */
    {6, 7, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, Z, Z, 0, 1, Z, Z, 8, 9, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, 10, 11, Z, Z, Z, Z, Z, Z, Z, Z, 2, 3, Z, Z, 2, 3, Z, Z, 12, 13, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, Z, Z, Z, Z, 4, 5, Z, Z, 10, 11, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 2, 3, Z, Z, 6, 7, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 14, 15, Z, Z, 4, 5, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 0, 1, Z, Z, 6, 7, Z, Z, 10, 11},
    /* rows 1 and 3 */
    {4, 5, Z, Z, 8, 9, Z, Z, 14, 15, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, 2, 3, Z, Z, 6, 7, Z, Z, Z, Z, 10, 11, Z, Z, 0, 1, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 4, 5, Z, Z, Z, Z, Z, Z, 14, 15, 4, 5, Z, Z, 10, 11, Z, Z, Z, Z, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 0, 1, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 0, 1, Z, Z, 8, 9, 4, 5, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 10, 11},
    /* rows 5 and 7 */
    {8, 9, Z, Z, 12, 13, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, 6, 7, Z, Z, 8, 9, 2, 3, Z, Z, 12, 13, Z, Z, 12, 13, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 6, 7, Z, Z, 14, 15, Z, Z, Z, Z, Z, Z},
    {Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, 0, 1, Z, Z, 2, 3, Z, Z, 2, 3, Z, Z, 4, 5, Z, Z, 12, 13, 8, 9, 14, 15},
};
#undef Z
static const uint8_t from[22] = {0, 1, 2, 3, 4, 5, 0, 1, 2, 4, 5, 6, 0, 1, 2, 3, 4, 5, 2, 4, 5, 6};
static const uint8_t first[5] = {0, 6, 12, 18, 22}; /* shuffles of (0, 4), (2, 6), (1, 3), (5, 7) */

typedef struct {
    __m256i p04, p26, p13, p57;
} pairs;

INLINE __m256i pick(const int16_t *coef, int n) {
    __m256i v = _mm256_setzero_si256();
    for (int i = first[n]; i < first[n + 1]; i++) {
        __m256i z = _mm256_loadu_si256((const __m256i *)(coef + 8 * from[i]));
        v = _mm256_or_si256(v, _mm256_shuffle_epi8(z, _mm256_loadu_si256((const __m256i *)orders[i])));
    }
    return v;
}

/* Row pairs of 64 values in zigzag order, the first taken from dc. */
INLINE pairs arrange(const int16_t *coef, int32_t dc) {
    pairs p = {pick(coef, 0), pick(coef, 1), pick(coef, 2), pick(coef, 3)};
    p.p04 = _mm256_or_si256(p.p04, _mm256_castsi128_si256(_mm_cvtsi32_si128((uint16_t)dc)));
    return p;
}

INLINE __m256i both(int a, int b) { return _mm256_set1_epi32((int)((uint32_t)b << 16 | (uint16_t)a)); }

/* a * x + b * y of the pairs at p plus c * x + d * y of those at q. */
INLINE __m256i dot(__m256i p, int a, int b, __m256i q, int c, int d) {
    return _mm256_add_epi32(_mm256_madd_epi16(p, both(a, b)), _mm256_madd_epi16(q, both(c, d)));
}

/* One pass over all lines: pairs of inputs -> eight sums with `round` added. */
INLINE void transform(pairs x, __m256i round, __m256i out[8]) {
    __m256i s = _mm256_add_epi32(round, _mm256_madd_epi16(x.p04, both(8192, 8192)));
    __m256i d = _mm256_add_epi32(round, _mm256_madd_epi16(x.p04, both(8192, -8192)));
    __m256i p = _mm256_madd_epi16(x.p26, both(10703, 4433)), q = _mm256_madd_epi16(x.p26, both(4433, -10704));
    __m256i e0 = _mm256_add_epi32(s, p), e1 = _mm256_add_epi32(d, q);
    __m256i e2 = _mm256_sub_epi32(d, q), e3 = _mm256_sub_epi32(s, p);
    __m256i o0 = dot(x.p13, 11363, 9633, x.p57, 6437, 2260), o1 = dot(x.p13, 9633, -2259, x.p57, -11362, -6436);
    __m256i o2 = dot(x.p13, 6437, -11362, x.p57, 2261, 9633), o3 = dot(x.p13, 2260, -6436, x.p57, 9633, -11363);
    out[0] = _mm256_add_epi32(e0, o0);
    out[1] = _mm256_add_epi32(e1, o1);
    out[2] = _mm256_add_epi32(e2, o2);
    out[3] = _mm256_add_epi32(e3, o3);
    out[4] = _mm256_sub_epi32(e3, o3);
    out[5] = _mm256_sub_epi32(e2, o2);
    out[6] = _mm256_sub_epi32(e1, o1);
    out[7] = _mm256_sub_epi32(e0, o0);
}

/* Rows k and k + 4 after the first pass -> their pairs of columns, four elements a row. */
INLINE __m256i row_pairs(__m256i a, __m256i b) {
    const __m256i order =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 8, 9, 4, 5, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    __m256i v = _mm256_packs_epi32(_mm256_srai_epi32(a, 11), _mm256_srai_epi32(b, 11));
    return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(v, 0xD8), order);
}

INLINE __m256i narrow(const __m256i *v) {
    __m256i a = _mm256_packs_epi32(_mm256_srai_epi32(v[0], 18), _mm256_srai_epi32(v[1], 18));
    __m256i b = _mm256_packs_epi32(_mm256_srai_epi32(v[2], 18), _mm256_srai_epi32(v[3], 18));
    const __m256i order =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    return _mm256_shuffle_epi8(_mm256_packus_epi16(a, b), order);
}

INLINE void put_rows(__m256i rows, uint8_t *out, int64_t stride) {
    __m128i low = _mm256_castsi256_si128(rows), high = _mm256_extracti128_si256(rows, 1);
    _mm_storel_epi64((__m128i *)out, low);
    _mm_storeh_pd((double *)(out + stride), _mm_castsi128_pd(low));
    _mm_storel_epi64((__m128i *)(out + 4 * stride), high);
    _mm_storeh_pd((double *)(out + 5 * stride), _mm_castsi128_pd(high));
}

INLINE void idct_block(const int16_t *coef, int32_t dc, const pairs *quant, uint8_t *out, int64_t stride) {
    pairs x = arrange(coef, dc);
    __m256i v[8];
    x.p04 = _mm256_mullo_epi16(x.p04, quant->p04);
    x.p26 = _mm256_mullo_epi16(x.p26, quant->p26);
    x.p13 = _mm256_mullo_epi16(x.p13, quant->p13);
    x.p57 = _mm256_mullo_epi16(x.p57, quant->p57);
    transform(x, _mm256_set1_epi32(1 << 10), v);
    __m256i r0 = row_pairs(v[0], v[4]), r1 = row_pairs(v[1], v[5]);
    __m256i r2 = row_pairs(v[2], v[6]), r3 = row_pairs(v[3], v[7]);
    __m256i a = _mm256_unpacklo_epi32(r0, r1), b = _mm256_unpacklo_epi32(r2, r3);
    __m256i c = _mm256_unpackhi_epi32(r0, r1), d = _mm256_unpackhi_epi32(r2, r3);
    x = (pairs){_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b), _mm256_unpacklo_epi64(c, d),
                _mm256_unpackhi_epi64(c, d)};
    transform(x, _mm256_set1_epi32((1 << 17) + (128 << 18)), v);
    __m256i left = narrow(v), right = narrow(v + 4); /* of rows 0..3 | 4..7, four bytes each */
    put_rows(_mm256_unpacklo_epi32(left, right), out, stride);
    put_rows(_mm256_unpackhi_epi32(left, right), out + 2 * stride, stride);
}

/* A block without AC coefficients (idct.c, fill_block). */
INLINE void fill_block(int32_t dc, int32_t quant, uint8_t *out, int64_t stride) {
    int32_t v = (int16_t)((uint32_t)dc * (uint32_t)quant);
    v = v * 4 > 32767 ? 32767 : v * 4 < -32768 ? -32768 : v * 4;
    v = ((v + 16) >> 5) + 128;
    const __m128i row = _mm_set1_epi8((char)(v < 0 ? 0 : v > 255 ? 255 : v));
    for (int i = 0; i < 8; i++, out += stride) {
        _mm_storel_epi64((__m128i *)out, row);
    }
}

INLINE int has_ac(const int16_t *coef) {
    const __m256i *c = (const __m256i *)coef, all = _mm256_set1_epi32(-1);
    const __m256i not_dc = _mm256_setr_epi16(0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    __m256i any = _mm256_or_si256(_mm256_loadu_si256(c + 2), _mm256_loadu_si256(c + 3));
    any = _mm256_or_si256(any, _mm256_loadu_si256(c + 1));
    any = _mm256_or_si256(any, _mm256_and_si256(_mm256_loadu_si256(c), not_dc));
    return !_mm256_testz_si256(any, all);
}

INLINE void wipe(int16_t *coef) {
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_si256((__m256i *)coef + i, _mm256_setzero_si256());
    }
}

TARGET void ffp_idct_avx2(ffp_context *ctx, const ffp_header *header, ffp_job *job,
                          const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    (void)ctx;
    pairs quant[FFP_MAX_COMPONENTS];
    for (int i = 0; i < header->ncomp; i++) {
        const uint16_t *q = header->quant[header->comp[i].tq];
        quant[i] = arrange((const int16_t *)q, q[0]);
    }
    int16_t *coef = job->coef;
    int32_t mx = job->first_mcu % header->mcus_x, my = job->first_mcu / header->mcus_x;
    for (int32_t m = 0; m < job->mcus; m++) {
        for (int i = 0; i < header->ncomp; i++) {
            const ffp_component *c = &header->comp[i];
            const ffp_plane *plane = planes + i;
            const int32_t q0 = header->quant[c->tq][0];
            for (int32_t j = 0; j < c->v; j++) {
                const int32_t y = (my * c->v + j) * 8 - plane->y0;
                int32_t x = mx * c->h * 8 - plane->x0;
                for (int32_t k = 0; k < c->h; k++, x += 8, coef += 64) {
                    const int16_t dc = (int16_t)(job->pred[i] + coef[0]);
                    job->pred[i] = dc;
                    if (x >= 0 && x < plane->w && y >= 0 && y < plane->h) {
                        uint8_t *out = plane->addr + y * plane->stride + x;
                        if (has_ac(coef)) {
                            idct_block(coef, dc, &quant[i], out, plane->stride);
                        } else {
                            fill_block(dc, q0, out, plane->stride);
                        }
                    }
                    wipe(coef);
                }
            }
        }
        if (++mx == header->mcus_x) {
            mx = 0;
            my++;
        }
    }
}

#endif
