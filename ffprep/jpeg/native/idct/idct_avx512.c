/* The exact inverse DCT of idct_scalar.c, two blocks at a time in AVX-512 (VNNI for the sums of products).
 *
 * As that of idct_avx2.c, on coefficients in the same order: block A fills the lower half of each vector, B the upper. The
 * blocks are neighbours in a row of samples: eight stores of 16 bytes write both. */
#include <string.h>

#include "idct/idct.h"
#include "idct/walk.h"

#if FFP_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,bmi,bmi2,lzcnt,popcnt")))
#define INLINE static inline TARGET __attribute__((always_inline))

typedef __m512i vec;

INLINE vec both(int p, int q) { return _mm512_set1_epi32((int)((uint32_t)q << 16 | (uint16_t)p)); }
INLINE vec v_add(vec a, vec b) { return _mm512_add_epi32(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm512_sub_epi32(a, b); }
INLINE vec v_dot(vec x, int p, int q) { return _mm512_madd_epi16(x, both(p, q)); }
INLINE vec v_dot_plus(vec sum, vec x, int p, int q) { return _mm512_dpwssd_epi32(sum, x, both(p, q)); }
INLINE void v_dot_both(vec sum, vec x, int p, int q, vec *plus, vec *minus) {
    *plus = v_dot_plus(sum, x, p, q);
    *minus = v_dot_plus(sum, x, -p, -q);
}

#include "idct/transform.h"

/* Pairs of rows: block A in the lower half of each vector, B in the upper. */
INLINE vec join(const int16_t *a, const int16_t *b) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)a)),
                              _mm256_loadu_si256((const __m256i *)b), 1);
}

INLINE void wipe(int16_t *coef) {
    _mm512_storeu_si512(coef, _mm512_setzero_si512());
    _mm512_storeu_si512(coef + 32, _mm512_setzero_si512());
}

/* The coefficients of two blocks, dequantised; leaves zeros. The predicted DC values go in by register, since a load right
 * after a smaller store waits. */
INLINE pairs take(ffp_block a, ffp_block b, const pairs *quant) {
    vec dc = _mm512_mask_set1_epi16(join(a.coef, b.coef), 1, (short)a.dc);
    dc = _mm512_mask_set1_epi16(dc, 1 << 16, (short)b.dc);
    const pairs x = {_mm512_mullo_epi16(dc, quant->p04), _mm512_mullo_epi16(join(a.coef + 16, b.coef + 16), quant->p26),
                     _mm512_mullo_epi16(join(a.coef + 32, b.coef + 32), quant->p13),
                     _mm512_mullo_epi16(join(a.coef + 48, b.coef + 48), quant->p57)};
    wipe(a.coef);
    wipe(b.coef);
    return x;
}

/* Two rows of sums -> pairs of columns: (0, 4) and (2, 6) of either row, or (1, 3) and (5, 7), in each 128 bits. */
INLINE __m512 two_rows(vec a, vec b) {
    return _mm512_castsi512_ps(_mm512_packs_epi32(_mm512_srai_epi32(a, 11), _mm512_srai_epi32(b, 11)));
}

/* The first pass; then pairs of columns, one element a row: rows 0..3 of A and B, then 4..7 of them. */
INLINE pairs columns(pairs x) {
    vec v[8];
    transform(x, _mm512_set1_epi32(1 << 10), v);
    const __m512 a = two_rows(v[0], v[1]), b = two_rows(v[2], v[3]), c = two_rows(v[4], v[5]), d = two_rows(v[6], v[7]);
    const vec outer_upper = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88)); /* (0, 4) and (1, 3) of rows 0..3 */
    const vec outer_lower = _mm512_castps_si512(_mm512_shuffle_ps(c, d, 0x88));
    const vec inner_upper = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xDD)); /* (2, 6) and (5, 7) */
    const vec inner_lower = _mm512_castps_si512(_mm512_shuffle_ps(c, d, 0xDD));
    return (pairs){
        _mm512_shuffle_i64x2(outer_upper, outer_lower, 0x88), _mm512_shuffle_i64x2(inner_upper, inner_lower, 0x88),
        _mm512_shuffle_i64x2(outer_upper, outer_lower, 0xDD), _mm512_shuffle_i64x2(inner_upper, inner_lower, 0xDD)};
}

/* Two columns of sums, shifted right by 18, side by side. A shifted sum has 14 bits: nothing is lost. */
INLINE vec two_columns(vec a, vec b) {
    return _mm512_srai_epi16(_mm512_mask_blend_epi16(0xAAAAAAAA, _mm512_srli_epi32(a, 16), b), 2);
}

/* The second pass -> rows of 16 samples, 8 of either block: rows[0] has rows 0, 1, 4, 5, rows[1] has 2, 3, 6, 7. */
INLINE void samples(pairs x, vec rows[2]) {
    vec v[8];
    transform(x, _mm512_set1_epi32((1 << 17) + (128 << 18)), v);
    const vec a = _mm512_packus_epi16(two_columns(v[0], v[1]), two_columns(v[4], v[5]));
    const vec b = _mm512_packus_epi16(two_columns(v[2], v[3]), two_columns(v[6], v[7]));
    const vec left = _mm512_unpacklo_epi16(a, b), right = _mm512_unpackhi_epi16(a, b);
    rows[0] = _mm512_permutex_epi64(_mm512_unpacklo_epi32(left, right), 0xD8);
    rows[1] = _mm512_permutex_epi64(_mm512_unpackhi_epi32(left, right), 0xD8);
}

INLINE void put_two(const pairs *quant, ffp_block a, ffp_block b, int64_t stride) {
    vec rows[2];
    samples(columns(take(a, b, quant)), rows);
    for (int i = 0; i < 2; i++) {
        uint8_t *out = a.out + 2 * i * stride;
        _mm_storeu_si128((__m128i *)out, _mm512_castsi512_si128(rows[i]));
        _mm_storeu_si128((__m128i *)(out + stride), _mm512_extracti32x4_epi32(rows[i], 1));
        _mm_storeu_si128((__m128i *)(out + 4 * stride), _mm512_extracti32x4_epi32(rows[i], 2));
        _mm_storeu_si128((__m128i *)(out + 5 * stride), _mm512_extracti32x4_epi32(rows[i], 3));
    }
}

/* One block whose neighbour is not wanted. */
INLINE void put_one(const pairs *quant, ffp_block a, int64_t stride) {
    vec rows[2];
    samples(columns(take(a, a, quant)), rows);
    for (int i = 0; i < 2; i++) {
        uint8_t *out = a.out + 2 * i * stride;
        _mm_storel_epi64((__m128i *)out, _mm512_castsi512_si128(rows[i]));
        _mm_storel_epi64((__m128i *)(out + stride), _mm512_extracti32x4_epi32(rows[i], 1));
        _mm_storel_epi64((__m128i *)(out + 4 * stride), _mm512_extracti32x4_epi32(rows[i], 2));
        _mm_storel_epi64((__m128i *)(out + 5 * stride), _mm512_extracti32x4_epi32(rows[i], 3));
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

TARGET void ffp_idct_avx512(const ffp_header *header, ffp_job *jobs, int32_t njobs,
                            const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    pairs quant[FFP_MAX_COMPONENTS];
    for (int i = 0; i < header->ncomp; i++) {
        int16_t q[64];
        memcpy(q, header->quant[header->comp[i].tq], sizeof q);
        ffp_arrange_avx2(q, 1);
        quant[i] = (pairs){join(q, q), join(q + 16, q + 16), join(q + 32, q + 32), join(q + 48, q + 48)};
    }
    ffp_walk_jobs(header, jobs, njobs, planes, 2, put_blocks, quant);
}

#endif
