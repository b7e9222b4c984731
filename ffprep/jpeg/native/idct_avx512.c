/* The exact inverse DCT of idct.c, two blocks at a time in AVX-512 (VNNI for the sums of products).
 *
 * Both passes want the lines of a block as pairs of inputs side by side, (0, 4), (2, 6), (1, 3), (5, 7), one pair in
 * each 32-bit element, so that an output is the sum of two multiply-adds of pairs. Block A fills the lower 256 bits, B
 * the upper. The blocks are neighbours in a row of samples: eight stores of 16 bytes write both. */
#include "internal.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,bmi,bmi2,lzcnt,popcnt")))
#define INLINE static inline TARGET __attribute__((always_inline))

/* From the 64 coefficients in zigzag order: pairs (0, 4) and (2, 6) of the rows; (1, 3) and (5, 7). */
static const uint16_t even_rows[32] = {
    0, 10, 1, 19, 5, 23, 6, 32, 14, 39, 15, 45, 27, 52, 28, 54, 3, 21, 8, 34, 12, 37, 17, 47, 25, 50, 30, 56, 41, 59,
    43, 61};
static const uint16_t odd_rows[32] = {
    2, 9, 4, 11, 7, 18, 13, 24, 16, 31, 26, 40, 29, 44, 42, 53, 20, 35, 22, 36, 33, 48, 38, 49, 46, 57, 51, 58, 55,
    62, 60, 63};
/* From the sums of four rows after the first pass: the same pairs of the columns. */
static const uint16_t even_columns[32] = {
    0, 8, 4, 12, 2, 10, 6, 14, 32, 40, 36, 44, 34, 42, 38, 46, 16, 24, 20, 28, 18, 26, 22, 30, 48, 56, 52, 60, 50, 58,
    54, 62};
static const uint16_t odd_columns[32] = {
    1, 3, 5, 7, 9, 11, 13, 15, 33, 35, 37, 39, 41, 43, 45, 47, 17, 19, 21, 23, 25, 27, 29, 31, 49, 51, 53, 55, 57, 59,
    61, 63};
/* From bytes in the order the second pass leaves them: rows 0..3 and 4..7 of both blocks. */
static const uint8_t upper_rows[64] = {
    0, 4, 8, 12, 64, 68, 72, 76, 32, 36, 40, 44, 96, 100, 104, 108, 1, 5, 9, 13, 65, 69, 73, 77, 33, 37, 41, 45, 97,
    101, 105, 109, 16, 20, 24, 28, 80, 84, 88, 92, 48, 52, 56, 60, 112, 116, 120, 124, 17, 21, 25, 29, 81, 85, 89, 93,
    49, 53, 57, 61, 113, 117, 121, 125};
static const uint8_t lower_rows[64] = {
    2, 6, 10, 14, 66, 70, 74, 78, 34, 38, 42, 46, 98, 102, 106, 110, 3, 7, 11, 15, 67, 71, 75, 79, 35, 39, 43, 47, 99,
    103, 107, 111, 18, 22, 26, 30, 82, 86, 90, 94, 50, 54, 58, 62, 114, 118, 122, 126, 19, 23, 27, 31, 83, 87, 91, 95,
    51, 55, 59, 63, 115, 119, 123, 127};

typedef struct {
    __m512i even_rows, odd_rows, even_columns, odd_columns, upper_rows, lower_rows;
} orders;

typedef struct {
    __m512i low, high;                /* zigzag positions 0..31 and 32..63 */
} block;

INLINE __m512i both(int a, int b) { return _mm512_set1_epi32((int)((uint32_t)b << 16 | (uint16_t)a)); }

/* One pass over all lines of both blocks: pairs of inputs -> eight sums with `round` added. */
INLINE void transform(__m512i p04, __m512i p26, __m512i p13, __m512i p57, __m512i round, __m512i out[8]) {
    __m512i s = _mm512_dpwssd_epi32(round, p04, both(8192, 8192));
    __m512i d = _mm512_dpwssd_epi32(round, p04, both(8192, -8192));
    __m512i e0 = _mm512_dpwssd_epi32(s, p26, both(10703, 4433));
    __m512i e3 = _mm512_dpwssd_epi32(s, p26, both(-10703, -4433));
    __m512i e1 = _mm512_dpwssd_epi32(d, p26, both(4433, -10704));
    __m512i e2 = _mm512_dpwssd_epi32(d, p26, both(-4433, 10704));
    __m512i o0 = _mm512_dpwssd_epi32(_mm512_madd_epi16(p13, both(11363, 9633)), p57, both(6437, 2260));
    __m512i o1 = _mm512_dpwssd_epi32(_mm512_madd_epi16(p13, both(9633, -2259)), p57, both(-11362, -6436));
    __m512i o2 = _mm512_dpwssd_epi32(_mm512_madd_epi16(p13, both(6437, -11362)), p57, both(2261, 9633));
    __m512i o3 = _mm512_dpwssd_epi32(_mm512_madd_epi16(p13, both(2260, -6436)), p57, both(9633, -11363));
    out[0] = _mm512_add_epi32(e0, o0);
    out[1] = _mm512_add_epi32(e1, o1);
    out[2] = _mm512_add_epi32(e2, o2);
    out[3] = _mm512_add_epi32(e3, o3);
    out[4] = _mm512_sub_epi32(e3, o3);
    out[5] = _mm512_sub_epi32(e2, o2);
    out[6] = _mm512_sub_epi32(e1, o1);
    out[7] = _mm512_sub_epi32(e0, o0);
}

/* Dequantised blocks a and b -> eight rows of 16 samples, four in each vector. */
INLINE void two_blocks(const orders *t, block a, block b, __m512i rows[2]) {
    __m512i ea = _mm512_permutex2var_epi16(a.low, t->even_rows, a.high);
    __m512i eb = _mm512_permutex2var_epi16(b.low, t->even_rows, b.high);
    __m512i oa = _mm512_permutex2var_epi16(a.low, t->odd_rows, a.high);
    __m512i ob = _mm512_permutex2var_epi16(b.low, t->odd_rows, b.high);
    __m512i v[8], x[4];
    transform(_mm512_inserti64x4(ea, _mm512_castsi512_si256(eb), 1), _mm512_shuffle_i64x2(ea, eb, 0xEE),
              _mm512_inserti64x4(oa, _mm512_castsi512_si256(ob), 1), _mm512_shuffle_i64x2(oa, ob, 0xEE),
              _mm512_set1_epi32(1 << 10), v);
    for (int i = 0; i < 4; i++) {
        x[i] = _mm512_packs_epi32(_mm512_srai_epi32(v[2 * i], 11), _mm512_srai_epi32(v[2 * i + 1], 11));
    }
    ea = _mm512_permutex2var_epi16(x[0], t->even_columns, x[1]);
    eb = _mm512_permutex2var_epi16(x[2], t->even_columns, x[3]);
    oa = _mm512_permutex2var_epi16(x[0], t->odd_columns, x[1]);
    ob = _mm512_permutex2var_epi16(x[2], t->odd_columns, x[3]);
    transform(_mm512_unpacklo_epi64(ea, eb), _mm512_unpackhi_epi64(ea, eb), _mm512_unpacklo_epi64(oa, ob),
              _mm512_unpackhi_epi64(oa, ob), _mm512_set1_epi32((1 << 17) + (128 << 18)), v);
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

/* The block times the quantiser; the DC value goes in by register, since a load right behind a smaller store waits. */
INLINE block dequantise(block b, int32_t dc, const block *q) {
    b.low = _mm512_mask_set1_epi16(b.low, 1, (short)dc);
    return (block){_mm512_mullo_epi16(b.low, q->low), _mm512_mullo_epi16(b.high, q->high)};
}

/* All 64 samples of a block without AC coefficients (idct.c, fill_block), in each byte. */
INLINE __m128i flat(int32_t dc, int32_t quant) {
    int32_t v = (int16_t)((uint32_t)dc * (uint32_t)quant);
    v = v * 4 > 32767 ? 32767 : v * 4 < -32768 ? -32768 : v * 4;
    v = ((v + 16) >> 5) + 128;
    return _mm_set1_epi8((char)(v < 0 ? 0 : v > 255 ? 255 : v));
}

/* Two blocks side by side. */
INLINE void put_pair(const orders *t, const block *q, int32_t quant, int16_t *a, int16_t *b, int32_t dc_a, int32_t dc_b,
                     uint8_t *out, int64_t stride) {
    block va = load(a), vb = load(b);
    wipe(a);
    wipe(b);
    if (!has_ac((block){_mm512_or_si512(va.low, vb.low), _mm512_or_si512(va.high, vb.high)})) {
        __m128i row = _mm_unpacklo_epi64(flat(dc_a, quant), flat(dc_b, quant));
        for (int i = 0; i < 8; i++, out += stride) {
            _mm_storeu_si128((__m128i *)out, row);
        }
        return;
    }
    __m512i rows[2];
    two_blocks(t, dequantise(va, dc_a, q), dequantise(vb, dc_b, q), rows);
    for (int i = 0; i < 2; i++, out += 4 * stride) {
        _mm_storeu_si128((__m128i *)out, _mm512_castsi512_si128(rows[i]));
        _mm_storeu_si128((__m128i *)(out + stride), _mm512_extracti32x4_epi32(rows[i], 1));
        _mm_storeu_si128((__m128i *)(out + 2 * stride), _mm512_extracti32x4_epi32(rows[i], 2));
        _mm_storeu_si128((__m128i *)(out + 3 * stride), _mm512_extracti32x4_epi32(rows[i], 3));
    }
}

/* One block whose neighbour is not wanted. */
INLINE void put_one(const orders *t, const block *q, int32_t quant, int16_t *a, int32_t dc, uint8_t *out,
                    int64_t stride) {
    block va = load(a);
    wipe(a);
    if (!has_ac(va)) {
        __m128i row = flat(dc, quant);
        for (int i = 0; i < 8; i++, out += stride) {
            _mm_storel_epi64((__m128i *)out, row);
        }
        return;
    }
    __m512i rows[2];
    va = dequantise(va, dc, q);
    two_blocks(t, va, va, rows);
    for (int i = 0; i < 2; i++, out += 4 * stride) {
        _mm_storel_epi64((__m128i *)out, _mm512_castsi512_si128(rows[i]));
        _mm_storel_epi64((__m128i *)(out + stride), _mm512_extracti32x4_epi32(rows[i], 1));
        _mm_storel_epi64((__m128i *)(out + 2 * stride), _mm512_extracti32x4_epi32(rows[i], 2));
        _mm_storel_epi64((__m128i *)(out + 3 * stride), _mm512_extracti32x4_epi32(rows[i], 3));
    }
}

/* The blocks of component c in one or two MCUs side by side, first block at coef. dc: predicted values by block. */
INLINE void put_component(const orders *t, const ffp_component *c, const block *q, int32_t quant,
                          const ffp_plane *plane, int32_t mx, int32_t my, int32_t mcus, int16_t *coef, int32_t step,
                          const int16_t *dc) {
    for (int32_t j = 0; j < c->v; j++) {
        const int32_t y = (my * c->v + j) * 8 - plane->y0, count = mcus * c->h;
        int32_t x = mx * c->h * 8 - plane->x0;
        const int in = y >= 0 && y < plane->h;
        uint8_t *out = plane->addr + y * plane->stride + x;
        for (int32_t i = 0; i < count; i += 2, x += 16, out += 16) {
            const int32_t u = i >= c->h, at_a = j * c->h + i - u * c->h;
            const int32_t w = i + 1 >= c->h, at_b = j * c->h + i + 1 - w * c->h;
            int16_t *a = coef + u * step + at_a * 64, *b = coef + w * step + at_b * 64;
            const int in_a = in && x >= 0 && x < plane->w, in_b = in && i + 1 < count && x + 8 >= 0 && x + 8 < plane->w;
            if (in_a && in_b) {
                put_pair(t, q, quant, a, b, dc[u * 16 + at_a], dc[w * 16 + at_b], out, plane->stride);
                continue;
            }
            if (in_a) {
                put_one(t, q, quant, a, dc[u * 16 + at_a], out, plane->stride);
            } else {
                wipe(a);
            }
            if (in_b) {
                put_one(t, q, quant, b, dc[w * 16 + at_b], out + 8, plane->stride);
            } else if (i + 1 < count) {
                wipe(b);
            }
        }
    }
}

TARGET void ffp_idct_avx512(ffp_context *ctx, const ffp_header *header, ffp_job *job,
                            const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    (void)ctx;
    const orders t = {_mm512_loadu_si512(even_rows), _mm512_loadu_si512(odd_rows), _mm512_loadu_si512(even_columns),
                      _mm512_loadu_si512(odd_columns), _mm512_loadu_si512(upper_rows), _mm512_loadu_si512(lower_rows)};
    block quant[FFP_MAX_COMPONENTS];
    for (int i = 0; i < header->ncomp; i++) {
        const uint16_t *q = header->quant[header->comp[i].tq];
        quant[i] = (block){_mm512_loadu_si512(q), _mm512_loadu_si512(q + 32)};
    }
    int32_t mx = job->first_mcu % header->mcus_x, my = job->first_mcu / header->mcus_x;
    const int32_t step = header->blocks_per_mcu * 64;
    int16_t *coef = job->coef;
    for (int32_t left = job->mcus; left > 0;) {
        const int32_t mcus = left > 1 && mx + 1 < header->mcus_x ? 2 : 1;
        int32_t at = 0;
        for (int i = 0; i < header->ncomp; i++) {
            const ffp_component *c = &header->comp[i];
            int16_t dc[2 * 16], value = (int16_t)job->pred[i];
            const int32_t blocks = c->h * c->v;
            for (int32_t u = 0; u < mcus; u++) {
                for (int32_t k = 0; k < blocks; k++) {
                    value = (int16_t)(value + coef[u * step + at + k * 64]);
                    dc[u * 16 + k] = value;
                }
            }
            job->pred[i] = value;
            put_component(&t, c, &quant[i], header->quant[c->tq][0], &planes[i], mx, my, mcus, coef + at, step, dc);
            at += blocks * 64;
        }
        coef += mcus * step;
        left -= mcus;
        mx += mcus;
        if (mx == header->mcus_x) {
            mx = 0;
            my++;
        }
    }
}

#endif
