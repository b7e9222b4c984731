/* The exact inverse DCT of idct_scalar.c with AVX2, one block at a time.
 *
 * The lines of a block are pairs of inputs side by side (transform.h), one pair in each of eight 32-bit elements. Byte
 * shuffles bring the zigzag order into that form; the quantisers go the same way once for each job. */
#include "idct/idct.h"
#include "idct/walk.h"

#if FFP_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#define INLINE static inline TARGET __attribute__((always_inline))

/* Where each pair of rows finds its words: shuffle n takes from the 16 coefficients that start at 8 * from[n]. Z: none;
 * the DC value too, which comes by register. */
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

/* Rows k and k + 4 after the first pass -> their pairs of columns, four elements a row. */
INLINE __m256i row_pairs(__m256i a, __m256i b) {
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 8, 9, 4, 5, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    __m256i v = _mm256_packs_epi32(_mm256_srai_epi32(a, 11), _mm256_srai_epi32(b, 11));
    return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(v, 0xD8), order);
}

INLINE __m256i narrow(const __m256i *v) {
    __m256i a = _mm256_packs_epi32(_mm256_srai_epi32(v[0], 18), _mm256_srai_epi32(v[1], 18));
    __m256i b = _mm256_packs_epi32(_mm256_srai_epi32(v[2], 18), _mm256_srai_epi32(v[3], 18));
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
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

typedef struct {
    const ffp_header *header;
    pairs quant[FFP_MAX_COMPONENTS];
} tables;

INLINE void put_block(const void *self, int component, const ffp_plane *plane, ffp_block a, ffp_block none) {
    const tables *t = self;
    (void)none;
    if (a.out && has_ac(a.coef)) {
        idct_block(a.coef, a.dc, &t->quant[component], a.out, plane->stride);
    } else if (a.out) {
        const int32_t quant = t->header->quant[t->header->comp[component].tq][0];
        const __m128i row = _mm_set1_epi8((char)ffp_flat_sample(a.dc, quant));
        for (int y = 0; y < 8; y++) {
            _mm_storel_epi64((__m128i *)(a.out + y * plane->stride), row);
        }
    }
    wipe(a.coef);
}

TARGET void ffp_idct_avx2(const ffp_header *header, ffp_job *job, const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    tables t = {.header = header};
    for (int i = 0; i < header->ncomp; i++) {
        const uint16_t *q = header->quant[header->comp[i].tq];
        t.quant[i] = arrange((const int16_t *)q, q[0]);
    }
    ffp_walk_blocks(header, job, planes, 1, put_block, &t);
}

#endif
