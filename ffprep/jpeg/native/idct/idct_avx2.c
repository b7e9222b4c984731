/* The exact inverse DCT of idct_scalar.c with AVX2, two blocks at a time.
 *
 * The lines of a block are pairs of inputs side by side (transform.h), one pair in each of eight 32-bit elements. The lanes
 * write coefficients in that very order: rows (0, 4), (2, 6), (1, 3), (5, 7), the columns of each as 0 4 2 6 1 3 5 7, so
 * that packing rows to 16 bits makes pairs of columns. Blocks and quantisers in zigzag order are brought into it by byte
 * shuffles. The first passes of two blocks come before their second passes, so that one computes while the other waits. */
#include "idct/idct.h"
#include "idct/walk.h"

#if FFP_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#define INLINE static inline TARGET __attribute__((always_inline))

/* By place in the zigzag order. */
const uint8_t ffp_order_avx2[64] = {0,  8,  32, 16, 40, 4,  10, 36, 24, 33, 1,  41, 20, 42, 2,  12,
                                    34, 26, 37, 9,  48, 17, 56, 5,  43, 18, 44, 6,  14, 38, 28, 35,
                                    11, 52, 25, 49, 57, 21, 58, 3,  45, 22, 46, 30, 39, 13, 50, 27,
                                    53, 59, 19, 60, 7,  47, 15, 54, 29, 51, 61, 23, 62, 31, 55, 63};

/* Where each pair of rows finds its words in the zigzag order, columns from 0 to 7: shuffle n takes from the 16 coefficients that start at 8 * from[n]. Z: none. */
#define Z 0x80
static const uint8_t orders[22][32] = {
    /* rows 0 and 4 */
    {0, 1, Z, Z, 2, 3, Z, Z, 10, 11, Z, Z, 12, 13, Z, Z, 12, 13, Z, Z, 14, 15, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z},
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

typedef __m256i vec;

INLINE vec v_add(vec a, vec b) { return _mm256_add_epi32(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm256_sub_epi32(a, b); }
INLINE vec v_dot(vec x, int p, int q) {
    return _mm256_madd_epi16(x, _mm256_set1_epi32((int)((uint32_t)q << 16 | (uint16_t)p)));
}
INLINE vec v_dot_plus(vec sum, vec x, int p, int q) { return v_add(sum, v_dot(x, p, q)); }
INLINE void v_dot_both(vec sum, vec x, int p, int q, vec *plus, vec *minus) {
    const vec product = v_dot(x, p, q);
    *plus = v_add(sum, product);
    *minus = v_sub(sum, product);
}

#include "idct/transform.h"

/* A pair of rows of 64 values in zigzag order. */
INLINE vec pick(const int16_t *zigzag, int n) {
    vec v = _mm256_setzero_si256();
    for (int i = first[n]; i < first[n + 1]; i++) {
        const vec z = _mm256_loadu_si256((const vec *)(zigzag + 8 * from[i]));
        v = _mm256_or_si256(v, _mm256_shuffle_epi8(z, _mm256_loadu_si256((const vec *)orders[i])));
    }
    return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 2, 6, 1, 3, 5, 7));
}

INLINE pairs arrange(const int16_t *zigzag) {
    return (pairs){pick(zigzag, 0), pick(zigzag, 1), pick(zigzag, 2), pick(zigzag, 3)};
}

TARGET void ffp_arrange_avx2(int16_t *coef, int64_t blocks) {
    for (; blocks > 0; blocks--, coef += 64) {
        const pairs x = arrange(coef);
        _mm256_storeu_si256((vec *)coef, x.p04);
        _mm256_storeu_si256((vec *)coef + 1, x.p26);
        _mm256_storeu_si256((vec *)coef + 2, x.p13);
        _mm256_storeu_si256((vec *)coef + 3, x.p57);
    }
}

/* The coefficients of a block, dequantised; leaves zeros. `dc` is its predicted DC value. */
INLINE pairs take(int16_t *coef, int32_t dc, const pairs *quant) {
    vec *c = (vec *)coef;
    const vec before = _mm256_castsi128_si256(_mm_cvtsi32_si128((uint16_t)(dc - coef[0])));
    const pairs x = {_mm256_mullo_epi16(_mm256_add_epi16(_mm256_loadu_si256(c), before), quant->p04),
                     _mm256_mullo_epi16(_mm256_loadu_si256(c + 1), quant->p26),
                     _mm256_mullo_epi16(_mm256_loadu_si256(c + 2), quant->p13),
                     _mm256_mullo_epi16(_mm256_loadu_si256(c + 3), quant->p57)};
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_si256(c + i, _mm256_setzero_si256());
    }
    return x;
}

/* Two rows of sums -> pairs of columns: (0, 4) and (2, 6) of either row in the lower half, (1, 3) and (5, 7) in the upper. */
INLINE __m256 two_rows(vec a, vec b) {
    return _mm256_castsi256_ps(_mm256_packs_epi32(_mm256_srai_epi32(a, 11), _mm256_srai_epi32(b, 11)));
}

/* The first pass; then pairs of columns, one element a row. */
INLINE pairs columns(pairs x) {
    vec v[8];
    transform(x, _mm256_set1_epi32(1 << 10), v);
    const __m256 a = two_rows(v[0], v[1]), b = two_rows(v[2], v[3]), c = two_rows(v[4], v[5]), d = two_rows(v[6], v[7]);
    const vec outer_upper = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88)); /* (0, 4) and (1, 3) of rows 0..3 */
    const vec outer_lower = _mm256_castps_si256(_mm256_shuffle_ps(c, d, 0x88));
    const vec inner_upper = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xDD)); /* (2, 6) and (5, 7) */
    const vec inner_lower = _mm256_castps_si256(_mm256_shuffle_ps(c, d, 0xDD));
    return (pairs){_mm256_inserti128_si256(outer_upper, _mm256_castsi256_si128(outer_lower), 1),
                   _mm256_inserti128_si256(inner_upper, _mm256_castsi256_si128(inner_lower), 1),
                   _mm256_permute2x128_si256(outer_upper, outer_lower, 0x31),
                   _mm256_permute2x128_si256(inner_upper, inner_lower, 0x31)};
}

/* Two columns of sums, shifted right by 18, side by side. A shifted sum has 14 bits: nothing is lost. */
INLINE vec two_columns(vec a, vec b) {
    return _mm256_srai_epi16(_mm256_blend_epi16(_mm256_srli_epi32(a, 16), b, 0xAA), 2);
}

/* The second pass -> rows of eight samples: rows[0] has rows 0 1 | 4 5, rows[1] has 2 3 | 6 7. */
INLINE void samples(pairs x, vec rows[2]) {
    vec v[8];
    transform(x, _mm256_set1_epi32((1 << 17) + (128 << 18)), v);
    const vec a = _mm256_packus_epi16(two_columns(v[0], v[1]), two_columns(v[4], v[5]));
    const vec b = _mm256_packus_epi16(two_columns(v[2], v[3]), two_columns(v[6], v[7]));
    const vec left = _mm256_unpacklo_epi16(a, b), right = _mm256_unpackhi_epi16(a, b);
    rows[0] = _mm256_unpacklo_epi32(left, right);
    rows[1] = _mm256_unpackhi_epi32(left, right);
}

INLINE void put_two(const pairs *quant, ffp_block a, ffp_block b, int64_t stride) {
    vec p[2], q[2];
    const pairs x = columns(take(a.coef, a.dc, quant)), y = columns(take(b.coef, b.dc, quant));
    samples(x, p);
    samples(y, q);
    for (int i = 0; i < 2; i++) {
        uint8_t *out = a.out + 2 * i * stride;
        const vec even = _mm256_unpacklo_epi64(p[i], q[i]), odd = _mm256_unpackhi_epi64(p[i], q[i]);
        _mm_storeu_si128((__m128i *)out, _mm256_castsi256_si128(even));
        _mm_storeu_si128((__m128i *)(out + stride), _mm256_castsi256_si128(odd));
        _mm_storeu_si128((__m128i *)(out + 4 * stride), _mm256_extracti128_si256(even, 1));
        _mm_storeu_si128((__m128i *)(out + 5 * stride), _mm256_extracti128_si256(odd, 1));
    }
}

/* One block whose neighbour is not wanted. */
INLINE void put_one(const pairs *quant, ffp_block a, int64_t stride) {
    vec p[2];
    samples(columns(take(a.coef, a.dc, quant)), p);
    for (int i = 0; i < 2; i++) {
        uint8_t *out = a.out + 2 * i * stride;
        const __m128i low = _mm256_castsi256_si128(p[i]), high = _mm256_extracti128_si256(p[i], 1);
        _mm_storel_epi64((__m128i *)out, low);
        _mm_storeh_pd((double *)(out + stride), _mm_castsi128_pd(low));
        _mm_storel_epi64((__m128i *)(out + 4 * stride), high);
        _mm_storeh_pd((double *)(out + 5 * stride), _mm_castsi128_pd(high));
    }
}

INLINE void wipe(int16_t *coef) {
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_si256((vec *)coef + i, _mm256_setzero_si256());
    }
}

INLINE void put_blocks(const void *self, int component, const ffp_plane *plane, ffp_block a, ffp_block b) {
    const pairs *quant = (const pairs *)self + component;
    if (a.out && b.out) {
        put_two(quant, a, b, plane->stride);
        return;
    }
    if (a.out) {
        put_one(quant, a, plane->stride);
    } else {
        wipe(a.coef);
    }
    if (b.out) {
        put_one(quant, b, plane->stride);
    } else if (b.coef) {
        wipe(b.coef);
    }
}

TARGET void ffp_idct_avx2(const ffp_header *header, ffp_job *jobs, int32_t njobs,
                          const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    pairs quant[FFP_MAX_COMPONENTS];
    for (int i = 0; i < header->ncomp; i++) {
        quant[i] = arrange((const int16_t *)header->quant[header->comp[i].tq]);
    }
    ffp_walk_jobs(header, jobs, njobs, planes, 2, put_blocks, quant);
}

#endif
