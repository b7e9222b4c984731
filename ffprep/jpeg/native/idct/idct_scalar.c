/* The exact integer inverse DCT (T.81 A.3.3), scalar: the specification of all levels.
 *
 * It is the accurate integer method of the IJG library ("islow": Loeffler, Ligtenberg and Moschytz 1989, 13-bit constants,
 * two fraction bits kept between the passes), multiplied out: each output of a pass is one sum of products of the inputs
 * with integers, rounded once. Any order of summation gives the same result because the arithmetic is defined as:
 *
 *   1. coefficient = low 16 bits, signed, of (decoded value * quantiser); the DC value is predicted modulo 2^16;
 *   2. sums of products modulo 2^32, signed; columns first;
 *   3. after the columns: (sum + 2^10) >> 11, clamped to int16; after the rows: (sum + 2^17) >> 18, clamped to -128..127,
 *      plus 128.
 *
 * On streams that an encoder made, nothing wraps and only the last clamp acts, and the result is libjpeg's. The rest says
 * what hostile streams give (there libjpeg's C and vector variants differ from each other).
 */
#include <string.h>

#include "idct/idct.h"
#include "idct/walk.h"

/* x86-64 always has SSE2 and AArch64 has NEON. The third way is for other machines, and for tests (FFP_PLAIN_C). */
#if defined(__SSE2__) && !defined(FFP_PLAIN_C)
#include <emmintrin.h>

typedef __m128i vec;
#define INLINE static inline

INLINE vec v_add(vec a, vec b) { return _mm_add_epi32(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm_sub_epi32(a, b); }
INLINE vec v_dot(vec x, int16_t p, int16_t q) { return _mm_madd_epi16(x, _mm_setr_epi16(p, q, p, q, p, q, p, q)); }
INLINE vec v_dot_plus(vec sum, vec x, int16_t p, int16_t q) { return v_add(sum, v_dot(x, p, q)); }
INLINE void v_dot_both(vec sum, vec x, int16_t p, int16_t q, vec *plus, vec *minus) {
    const vec product = v_dot(x, p, q);
    *plus = v_add(sum, product);
    *minus = v_sub(sum, product);
}

#include "idct/transform.h"

/* One pass over eight lines: v[i] holds input i of each, then output i, clamped to int16. */
static inline void eight_lines(__m128i v[8], int32_t round, int shift) {
    const __m128i r = _mm_set1_epi32(round), n = _mm_cvtsi32_si128(shift);
    __m128i low[8], high[8];
    transform((pairs){_mm_unpacklo_epi16(v[0], v[4]), _mm_unpacklo_epi16(v[2], v[6]), _mm_unpacklo_epi16(v[1], v[3]),
                      _mm_unpacklo_epi16(v[5], v[7])},
              r, low);
    transform((pairs){_mm_unpackhi_epi16(v[0], v[4]), _mm_unpackhi_epi16(v[2], v[6]), _mm_unpackhi_epi16(v[1], v[3]),
                      _mm_unpackhi_epi16(v[5], v[7])},
              r, high);
    for (int i = 0; i < 8; i++) {
        v[i] = _mm_packs_epi32(_mm_sra_epi32(low[i], n), _mm_sra_epi32(high[i], n));
    }
}

static inline void transpose(__m128i v[8]) {
    __m128i a[8], b[8];
    for (int i = 0; i < 4; i++) {
        a[2 * i] = _mm_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
        a[2 * i + 1] = _mm_unpackhi_epi16(v[2 * i], v[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2; j++) {
            b[4 * i + 2 * j] = _mm_unpacklo_epi32(a[4 * i + j], a[4 * i + j + 2]);
            b[4 * i + 2 * j + 1] = _mm_unpackhi_epi32(a[4 * i + j], a[4 * i + j + 2]);
        }
    }
    for (int i = 0; i < 4; i++) {
        v[2 * i] = _mm_unpacklo_epi64(b[i], b[i + 4]);
        v[2 * i + 1] = _mm_unpackhi_epi64(b[i], b[i + 4]);
    }
}

/* coef: 64 in zigzag order, the DC value predicted already. */
static void idct_block(const int16_t *coef, int16_t dc, const uint16_t *quant, uint8_t *out, int64_t stride) {
    int16_t p[64];
    for (int i = 0; i < 64; i += 8) {
        __m128i c = _mm_loadu_si128((const __m128i *)(coef + i)), q = _mm_loadu_si128((const __m128i *)(quant + i));
        _mm_storeu_si128((__m128i *)(p + i), _mm_mullo_epi16(c, q));
    }
    p[0] = (int16_t)ffp_dequantised(dc, quant[0]);
    /* Figure A.6. Rows are put together in registers: loading them from stored words would wait for the stores. */
    __m128i v[8] = {_mm_setr_epi16(p[0], p[1], p[5], p[6], p[14], p[15], p[27], p[28]),
                    _mm_setr_epi16(p[2], p[4], p[7], p[13], p[16], p[26], p[29], p[42]),
                    _mm_setr_epi16(p[3], p[8], p[12], p[17], p[25], p[30], p[41], p[43]),
                    _mm_setr_epi16(p[9], p[11], p[18], p[24], p[31], p[40], p[44], p[53]),
                    _mm_setr_epi16(p[10], p[19], p[23], p[32], p[39], p[45], p[52], p[54]),
                    _mm_setr_epi16(p[20], p[22], p[33], p[38], p[46], p[51], p[55], p[60]),
                    _mm_setr_epi16(p[21], p[34], p[37], p[47], p[50], p[56], p[59], p[61]),
                    _mm_setr_epi16(p[35], p[36], p[48], p[49], p[57], p[58], p[62], p[63])};
    eight_lines(v, 1 << 10, 11);
    transpose(v);
    eight_lines(v, 1 << 17, 18);
    transpose(v);
    for (int i = 0; i < 8; i += 2) {
        __m128i rows = _mm_xor_si128(_mm_packs_epi16(v[i], v[i + 1]), _mm_set1_epi8(-128));
        _mm_storel_epi64((__m128i *)(out + i * stride), rows);
        _mm_storel_epi64((__m128i *)(out + (i + 1) * stride), _mm_srli_si128(rows, 8));
    }
}

#elif defined(__aarch64__) && defined(__ARM_NEON) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && !defined(FFP_PLAIN_C)

#include "idct/block_neon.h"

#else

/* T.81 figure A.6: zigzag position -> row * 8 + column. */
static const uint8_t natural_order[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                          12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                          35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                          58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/* One pass over eight lines of eight: in[i * 8 + line] -> out[i * 8 + line], unrounded sums. */
static inline void transform(const int16_t *restrict in, uint32_t *restrict out) {
    for (int x = 0; x < 8; x++) {
        uint32_t y0 = (uint32_t)in[x], y1 = (uint32_t)in[8 + x], y2 = (uint32_t)in[16 + x], y3 = (uint32_t)in[24 + x];
        uint32_t y4 = (uint32_t)in[32 + x], y5 = (uint32_t)in[40 + x], y6 = (uint32_t)in[48 + x];
        uint32_t y7 = (uint32_t)in[56 + x];
        uint32_t s = (y0 + y4) << 13, d = (y0 - y4) << 13;
        uint32_t p = y2 * 10703u + y6 * 4433u, q = y2 * 4433u - y6 * 10704u;
        uint32_t e0 = s + p, e1 = d + q, e2 = d - q, e3 = s - p;
        uint32_t o0 = y1 * 11363u + y3 * 9633u + y5 * 6437u + y7 * 2260u;
        uint32_t o1 = y1 * 9633u - y3 * 2259u - y5 * 11362u - y7 * 6436u;
        uint32_t o2 = y1 * 6437u - y3 * 11362u + y5 * 2261u + y7 * 9633u;
        uint32_t o3 = y1 * 2260u - y3 * 6436u + y5 * 9633u - y7 * 11363u;
        out[x] = e0 + o0;
        out[8 + x] = e1 + o1;
        out[16 + x] = e2 + o2;
        out[24 + x] = e3 + o3;
        out[32 + x] = e3 - o3;
        out[40 + x] = e2 - o2;
        out[48 + x] = e1 - o1;
        out[56 + x] = e0 - o0;
    }
}

/* coef: 64 in zigzag order, the DC value predicted already. */
static void idct_block(const int16_t *coef, int16_t dc, const uint16_t *quant, uint8_t *out, int64_t stride) {
    int16_t work[64];
    uint32_t sums[64];
    work[0] = (int16_t)ffp_dequantised(dc, quant[0]);
    for (int i = 1; i < 64; i++) {
        work[natural_order[i]] = (int16_t)ffp_dequantised(coef[i], quant[i]);
    }
    transform(work, sums);
    for (int y = 0; y < 8; y++) {
        for (int x = 0; x < 8; x++) { /* transposed, so that the rows are lines of the second pass */
            work[x * 8 + y] = (int16_t)ffp_narrow((int32_t)(sums[y * 8 + x] + 1024u) >> 11);
        }
    }
    transform(work, sums);
    for (int y = 0; y < 8; y++) {
        for (int x = 0; x < 8; x++) {
            out[y * stride + x] = ffp_sample((int32_t)(sums[x * 8 + y] + 131072u) >> 18);
        }
    }
}

#endif

static int has_ac(const int16_t *coef) {
    uint64_t w[16], any = 0;
    memcpy(w, coef, sizeof w);
    for (int i = 1; i < 16; i++) {
        any |= w[i];
    }
    return any != 0 || coef[1] != 0 || coef[2] != 0 || coef[3] != 0;
}

static inline void put_block(const void *self, int component, const ffp_plane *plane, ffp_block a, ffp_block none) {
    const ffp_header *header = self;
    const uint16_t *quant = header->quant[header->comp[component].tq];
    (void)none;
    if (a.out && has_ac(a.coef)) {
        idct_block(a.coef, (int16_t)a.dc, quant, a.out, plane->stride);
    } else if (a.out) {
        for (int y = 0; y < 8; y++) {
            memset(a.out + y * plane->stride, ffp_flat_sample(a.dc, quant[0]), 8);
        }
    }
    memset(a.coef, 0, 128);
}

void ffp_idct_scalar(const ffp_header *header, ffp_job *jobs, int32_t njobs,
                     const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    ffp_walk_jobs(header, jobs, njobs, planes, 1, put_block, header);
}
