/* One block of the inverse DCT (idct_scalar.c) in AArch64's vectors, for that file alone. Sums are modulo 2^32, as those of
 * the specification are, and each narrowing is one instruction that shifts and clamps. */
#ifndef FFPREP_BLOCK_NEON_H
#define FFPREP_BLOCK_NEON_H

#include <arm_neon.h>

/* The bytes of each row of a block in those of its 64 coefficients in zigzag order (T.81 figure A.6). */
#define FFP_ROW(a, b, c, d, e, f, g, h)                                                                                \
    {                                                                                                                  \
        2 * a, 2 * a + 1, 2 * b, 2 * b + 1, 2 * c, 2 * c + 1, 2 * d, 2 * d + 1, 2 * e, 2 * e + 1, 2 * f, 2 * f + 1,    \
            2 * g, 2 * g + 1, 2 * h, 2 * h + 1                                                                         \
    }
static const uint8_t ffp_rows[8][16] = {
    FFP_ROW(0, 1, 5, 6, 14, 15, 27, 28),     FFP_ROW(2, 4, 7, 13, 16, 26, 29, 42),
    FFP_ROW(3, 8, 12, 17, 25, 30, 41, 43),   FFP_ROW(9, 11, 18, 24, 31, 40, 44, 53),
    FFP_ROW(10, 19, 23, 32, 39, 45, 52, 54), FFP_ROW(20, 22, 33, 38, 46, 51, 55, 60),
    FFP_ROW(21, 34, 37, 47, 50, 56, 59, 61), FFP_ROW(35, 36, 48, 49, 57, 58, 62, 63)};

/* Sums modulo 2^32: those of signed vectors must not overflow in C. */
static inline int32x4_t sum(int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_u32(vaddq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b)));
}

static inline int32x4_t difference(int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_u32(vsubq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b)));
}

/* Four lines of a pass: x[i] holds input i of each, y[i] receives output i, not rounded. */
static inline void four_lines(const int16x4_t x[8], int32_t round, int32x4_t y[8]) {
    const int32x4_t r = vdupq_n_s32(round);
    const int32x4_t s = vmlal_n_s16(vmlal_n_s16(r, x[0], 8192), x[4], 8192);
    const int32x4_t d = vmlsl_n_s16(vmlal_n_s16(r, x[0], 8192), x[4], 8192);
    const int32x4_t p = vmlal_n_s16(vmull_n_s16(x[2], 10703), x[6], 4433);
    const int32x4_t q = vmlal_n_s16(vmull_n_s16(x[2], 4433), x[6], -10704);
    static const int16_t odd[4][4] = {{11363, 9633, 6437, 2260},
                                      {9633, -2259, -11362, -6436},
                                      {6437, -11362, 2261, 9633},
                                      {2260, -6436, 9633, -11363}};
    const int32x4_t e[4] = {sum(s, p), sum(d, q), difference(d, q), difference(s, p)};
    for (int i = 0; i < 4; i++) {
        int32x4_t o = vmull_n_s16(x[1], odd[i][0]);
        o = vmlal_n_s16(o, x[3], odd[i][1]);
        o = vmlal_n_s16(o, x[5], odd[i][2]);
        o = vmlal_n_s16(o, x[7], odd[i][3]);
        y[i] = sum(e[i], o);
        y[7 - i] = difference(e[i], o);
    }
}

static inline void both_halves(const int16x8_t v[8], int32_t round, int32x4_t low[8], int32x4_t high[8]) {
    int16x4_t x[8];
    for (int i = 0; i < 8; i++) {
        x[i] = vget_low_s16(v[i]);
    }
    four_lines(x, round, low);
    for (int i = 0; i < 8; i++) {
        x[i] = vget_high_s16(v[i]);
    }
    four_lines(x, round, high);
}

static inline void transpose(int16x8_t v[8]) {
    int16x8_t a[8], b[8];
    for (int i = 0; i < 4; i++) {
        a[2 * i] = vtrn1q_s16(v[2 * i], v[2 * i + 1]);
        a[2 * i + 1] = vtrn2q_s16(v[2 * i], v[2 * i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int j = 0; j < 2; j++) {
            const int32x4_t x = vreinterpretq_s32_s16(a[i + j]), y = vreinterpretq_s32_s16(a[i + j + 2]);
            b[i + j] = vreinterpretq_s16_s32(vtrn1q_s32(x, y));
            b[i + j + 2] = vreinterpretq_s16_s32(vtrn2q_s32(x, y));
        }
    }
    for (int i = 0; i < 4; i++) {
        const int64x2_t x = vreinterpretq_s64_s16(b[i]), y = vreinterpretq_s64_s16(b[i + 4]);
        v[i] = vreinterpretq_s16_s64(vtrn1q_s64(x, y));
        v[i + 4] = vreinterpretq_s16_s64(vtrn2q_s64(x, y));
    }
}

/* coef: 64 in zigzag order, the DC value predicted already. */
static void idct_block(const int16_t *coef, int16_t dc, const uint16_t *quant, uint8_t *out, int64_t stride) {
    uint8x16_t product[8];
    for (int i = 0; i < 8; i++) {
        uint16x8_t c = vreinterpretq_u16_s16(vld1q_s16(coef + 8 * i));
        c = i == 0 ? vsetq_lane_u16((uint16_t)dc, c, 0) : c;
        product[i] = vreinterpretq_u8_u16(vmulq_u16(c, vld1q_u16(quant + 8 * i)));
    }
    const uint8x16x4_t first = {{product[0], product[1], product[2], product[3]}};
    const uint8x16x4_t last = {{product[4], product[5], product[6], product[7]}};
    int16x8_t v[8];
    for (int i = 0; i < 8; i++) { /* an index beyond a table leaves what the other one gave */
        const uint8x16_t at = vld1q_u8(ffp_rows[i]);
        v[i] = vreinterpretq_s16_u8(vqtbx4q_u8(vqtbl4q_u8(first, at), last, vsubq_u8(at, vdupq_n_u8(64))));
    }
    int32x4_t low[8], high[8];
    both_halves(v, 1 << 10, low, high);
    for (int i = 0; i < 8; i++) {
        v[i] = vcombine_s16(vqshrn_n_s32(low[i], 11), vqshrn_n_s32(high[i], 11));
    }
    transpose(v);
    both_halves(v, 1 << 17, low, high);
    for (int i = 0; i < 8; i++) { /* the upper halves, which are the sums shifted by 16; 2 more are left */
        v[i] = vuzp2q_s16(vreinterpretq_s16_s32(low[i]), vreinterpretq_s16_s32(high[i]));
    }
    transpose(v);
    for (int i = 0; i < 8; i++) {
        const uint8x8_t samples = vreinterpret_u8_s8(vqshrn_n_s16(v[i], 2));
        vst1_u8(out + i * stride, veor_u8(samples, vdup_n_u8(128)));
    }
}

#endif
