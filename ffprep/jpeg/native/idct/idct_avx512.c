/* The exact inverse DCT of idct_scalar.c, two blocks at a time in AVX-512 (VNNI for the sums of products).
 *
 * Both passes want the lines of a block as pairs of inputs side by side (transform.h), one pair in each 32-bit element.
 * Block A fills the lower 256 bits, B the upper. The blocks are neighbours in a row of samples: eight stores of 16 bytes
 * write both. */
#include "idct/idct.h"
#include "idct/walk.h"

#if FFP_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,bmi,bmi2,lzcnt,popcnt")))
#define INLINE static inline TARGET __attribute__((always_inline))

/* From the 64 coefficients in zigzag order: pairs (0, 4) and (2, 6) of the rows; (1, 3) and (5, 7). */
static const uint16_t even_rows[32] = {0, 10, 1, 19, 5,  23, 6,  32, 14, 39, 15, 45, 27, 52, 28, 54,
                                       3, 21, 8, 34, 12, 37, 17, 47, 25, 50, 30, 56, 41, 59, 43, 61};
static const uint16_t odd_rows[32] = {2,  9,  4,  11, 7,  18, 13, 24, 16, 31, 26, 40, 29, 44, 42, 53,
                                      20, 35, 22, 36, 33, 48, 38, 49, 46, 57, 51, 58, 55, 62, 60, 63};
/* From the sums of four rows after the first pass: the same pairs of the columns. */
static const uint16_t even_columns[32] = {0,  8,  4,  12, 2,  10, 6,  14, 32, 40, 36, 44, 34, 42, 38, 46,
                                          16, 24, 20, 28, 18, 26, 22, 30, 48, 56, 52, 60, 50, 58, 54, 62};
static const uint16_t odd_columns[32] = {1,  3,  5,  7,  9,  11, 13, 15, 33, 35, 37, 39, 41, 43, 45, 47,
                                         17, 19, 21, 23, 25, 27, 29, 31, 49, 51, 53, 55, 57, 59, 61, 63};
/* From bytes in the order the second pass leaves them: rows 0..3 and 4..7 of both blocks. */
static const uint8_t upper_rows[64] = {0,  4,  8,  12, 64, 68, 72, 76, 32, 36, 40, 44, 96,  100, 104, 108,
                                       1,  5,  9,  13, 65, 69, 73, 77, 33, 37, 41, 45, 97,  101, 105, 109,
                                       16, 20, 24, 28, 80, 84, 88, 92, 48, 52, 56, 60, 112, 116, 120, 124,
                                       17, 21, 25, 29, 81, 85, 89, 93, 49, 53, 57, 61, 113, 117, 121, 125};
static const uint8_t lower_rows[64] = {2,  6,  10, 14, 66, 70, 74, 78, 34, 38, 42, 46, 98,  102, 106, 110,
                                       3,  7,  11, 15, 67, 71, 75, 79, 35, 39, 43, 47, 99,  103, 107, 111,
                                       18, 22, 26, 30, 82, 86, 90, 94, 50, 54, 58, 62, 114, 118, 122, 126,
                                       19, 23, 27, 31, 83, 87, 91, 95, 51, 55, 59, 63, 115, 119, 123, 127};

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

typedef struct {
    __m512i even_rows, odd_rows, even_columns, odd_columns, upper_rows, lower_rows;
} orders;

typedef struct {
    __m512i low, high; /* zigzag positions 0..31 and 32..63 */
} block;

/* Dequantised blocks a and b -> eight rows of 16 samples, four in each vector. */
INLINE void two_blocks(const orders *t, block a, block b, __m512i rows[2]) {
    __m512i ea = _mm512_permutex2var_epi16(a.low, t->even_rows, a.high);
    __m512i eb = _mm512_permutex2var_epi16(b.low, t->even_rows, b.high);
    __m512i oa = _mm512_permutex2var_epi16(a.low, t->odd_rows, a.high);
    __m512i ob = _mm512_permutex2var_epi16(b.low, t->odd_rows, b.high);
    __m512i v[8], x[4];
    transform((pairs){_mm512_inserti64x4(ea, _mm512_castsi512_si256(eb), 1), _mm512_shuffle_i64x2(ea, eb, 0xEE),
                      _mm512_inserti64x4(oa, _mm512_castsi512_si256(ob), 1), _mm512_shuffle_i64x2(oa, ob, 0xEE)},
              _mm512_set1_epi32(1 << 10), v);
    for (int i = 0; i < 4; i++) {
        x[i] = _mm512_packs_epi32(_mm512_srai_epi32(v[2 * i], 11), _mm512_srai_epi32(v[2 * i + 1], 11));
    }
    ea = _mm512_permutex2var_epi16(x[0], t->even_columns, x[1]);
    eb = _mm512_permutex2var_epi16(x[2], t->even_columns, x[3]);
    oa = _mm512_permutex2var_epi16(x[0], t->odd_columns, x[1]);
    ob = _mm512_permutex2var_epi16(x[2], t->odd_columns, x[3]);
    transform((pairs){_mm512_unpacklo_epi64(ea, eb), _mm512_unpackhi_epi64(ea, eb), _mm512_unpacklo_epi64(oa, ob),
                      _mm512_unpackhi_epi64(oa, ob)},
              _mm512_set1_epi32((1 << 17) + (128 << 18)), v);
    for (int i = 0; i < 4; i++) {
        x[i] = _mm512_packs_epi32(_mm512_srai_epi32(v[2 * i], 18), _mm512_srai_epi32(v[2 * i + 1], 18));
    }
    x[0] = _mm512_packus_epi16(x[0], x[1]);
    x[2] = _mm512_packus_epi16(x[2], x[3]);
    rows[0] = _mm512_permutex2var_epi8(x[0], t->upper_rows, x[2]);
    rows[1] = _mm512_permutex2var_epi8(x[0], t->lower_rows, x[2]);
}

INLINE block load(const int16_t *coef) { return (block){_mm512_loadu_si512(coef), _mm512_loadu_si512(coef + 32)}; }

INLINE void wipe(int16_t *coef) {
    _mm512_storeu_si512(coef, _mm512_setzero_si512());
    _mm512_storeu_si512(coef + 32, _mm512_setzero_si512());
}

INLINE int has_ac(block b) {
    return (_mm512_test_epi16_mask(b.low, b.low) >> 1 | _mm512_test_epi16_mask(b.high, b.high)) != 0;
}

/* The block times the quantiser; the DC value goes in by register, since a load right after a smaller store waits. */
INLINE block dequantise(block b, int32_t dc, const block *q) {
    b.low = _mm512_mask_set1_epi16(b.low, 1, (short)dc);
    return (block){_mm512_mullo_epi16(b.low, q->low), _mm512_mullo_epi16(b.high, q->high)};
}

INLINE __m128i flat(int32_t dc, int32_t quant) { return _mm_set1_epi8((char)ffp_flat_sample(dc, quant)); }

/* Two blocks side by side. */
INLINE void put_two(const orders *t, const block *q, int32_t quant, ffp_block a, ffp_block b, int64_t stride) {
    const block va = load(a.coef), vb = load(b.coef);
    uint8_t *out = a.out;
    wipe(a.coef);
    wipe(b.coef);
    if (!has_ac((block){_mm512_or_si512(va.low, vb.low), _mm512_or_si512(va.high, vb.high)})) {
        __m128i row = _mm_unpacklo_epi64(flat(a.dc, quant), flat(b.dc, quant));
        for (int i = 0; i < 8; i++, out += stride) {
            _mm_storeu_si128((__m128i *)out, row);
        }
        return;
    }
    __m512i rows[2];
    two_blocks(t, dequantise(va, a.dc, q), dequantise(vb, b.dc, q), rows);
    for (int i = 0; i < 2; i++, out += 4 * stride) {
        _mm_storeu_si128((__m128i *)out, _mm512_castsi512_si128(rows[i]));
        _mm_storeu_si128((__m128i *)(out + stride), _mm512_extracti32x4_epi32(rows[i], 1));
        _mm_storeu_si128((__m128i *)(out + 2 * stride), _mm512_extracti32x4_epi32(rows[i], 2));
        _mm_storeu_si128((__m128i *)(out + 3 * stride), _mm512_extracti32x4_epi32(rows[i], 3));
    }
}

/* One block whose neighbour is not wanted. */
INLINE void put_one(const orders *t, const block *q, int32_t quant, ffp_block a, int64_t stride) {
    block va = load(a.coef);
    uint8_t *out = a.out;
    wipe(a.coef);
    if (!has_ac(va)) {
        __m128i row = flat(a.dc, quant);
        for (int i = 0; i < 8; i++, out += stride) {
            _mm_storel_epi64((__m128i *)out, row);
        }
        return;
    }
    __m512i rows[2];
    va = dequantise(va, a.dc, q);
    two_blocks(t, va, va, rows);
    for (int i = 0; i < 2; i++, out += 4 * stride) {
        _mm_storel_epi64((__m128i *)out, _mm512_castsi512_si128(rows[i]));
        _mm_storel_epi64((__m128i *)(out + stride), _mm512_extracti32x4_epi32(rows[i], 1));
        _mm_storel_epi64((__m128i *)(out + 2 * stride), _mm512_extracti32x4_epi32(rows[i], 2));
        _mm_storel_epi64((__m128i *)(out + 3 * stride), _mm512_extracti32x4_epi32(rows[i], 3));
    }
}

typedef struct {
    const ffp_header *header;
    orders orders;
    block quant[FFP_MAX_COMPONENTS];
} tables;

INLINE void put_blocks(const void *self, int component, const ffp_plane *plane, ffp_block a, ffp_block b) {
    const tables *t = self;
    const block *q = &t->quant[component];
    const int32_t quant = t->header->quant[t->header->comp[component].tq][0];
    if (a.out && b.out) {
        put_two(&t->orders, q, quant, a, b, plane->stride);
        return;
    }
    if (a.out) {
        put_one(&t->orders, q, quant, a, plane->stride);
    } else {
        wipe(a.coef);
    }
    if (b.out) {
        put_one(&t->orders, q, quant, b, plane->stride);
    } else if (b.coef) {
        wipe(b.coef);
    }
}

TARGET void ffp_idct_avx512(const ffp_header *header, ffp_job *job, const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    tables t = {.header = header,
                .orders = {_mm512_loadu_si512(even_rows), _mm512_loadu_si512(odd_rows),
                           _mm512_loadu_si512(even_columns), _mm512_loadu_si512(odd_columns),
                           _mm512_loadu_si512(upper_rows), _mm512_loadu_si512(lower_rows)}};
    for (int i = 0; i < header->ncomp; i++) {
        const uint16_t *q = header->quant[header->comp[i].tq];
        t.quant[i] = (block){_mm512_loadu_si512(q), _mm512_loadu_si512(q + 32)};
    }
    ffp_walk_blocks(header, job, planes, 2, put_blocks, &t);
}

#endif
