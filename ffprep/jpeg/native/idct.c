/* The exact integer inverse DCT, scalar: the specification of all levels.
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
 * On streams an encoder made nothing wraps and nothing but the last clamp acts, and the result is libjpeg's; the rest says
 * what hostile ones give (libjpeg's C and vector variants differ from each other there).
 */
#include "internal.h"

const uint8_t ffp_natural_order[64] = {
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55,
    62, 63};

static inline int32_t clamp(int32_t v, int32_t low, int32_t high) { return v < low ? low : v > high ? high : v; }

/* One pass over eight lines of eight: in[i * 8 + line] -> out[i * 8 + line], unrounded sums. */
static inline void transform(const int16_t *restrict in, uint32_t *restrict out) {
    for (int x = 0; x < 8; x++) {
        uint32_t y0 = (uint32_t)in[x], y1 = (uint32_t)in[8 + x], y2 = (uint32_t)in[16 + x], y3 = (uint32_t)in[24 + x];
        uint32_t y4 = (uint32_t)in[32 + x], y5 = (uint32_t)in[40 + x], y6 = (uint32_t)in[48 + x], y7 = (uint32_t)in[56 + x];
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
    work[0] = (int16_t)((uint32_t)dc * quant[0]);
    for (int i = 1; i < 64; i++) {
        work[ffp_natural_order[i]] = (int16_t)((uint32_t)coef[i] * quant[i]);
    }
    transform(work, sums);
    for (int y = 0; y < 8; y++) {
        for (int x = 0; x < 8; x++) { /* transposed, so that the rows are lines of the second pass */
            work[x * 8 + y] = (int16_t)clamp((int32_t)(sums[y * 8 + x] + 1024u) >> 11, -32768, 32767);
        }
    }
    transform(work, sums);
    for (int y = 0; y < 8; y++) {
        for (int x = 0; x < 8; x++) {
            out[y * stride + x] = (uint8_t)(clamp((int32_t)(sums[x * 8 + y] + 131072u) >> 18, -128, 127) + 128);
        }
    }
}

/* The same for a block with no AC coefficient. */
static void fill_block(int16_t dc, uint16_t quant, uint8_t *out, int64_t stride) {
    int32_t v = (int16_t)((uint32_t)dc * quant);
    v = clamp(v * 4, -32768, 32767);
    v = clamp((v + 16) >> 5, -128, 127) + 128;
    for (int y = 0; y < 8; y++) {
        memset(out + y * stride, v, 8);
    }
}

static int has_ac(const int16_t *coef) {
    uint64_t w[16], any = 0;
    memcpy(w, coef, sizeof w);
    for (int i = 1; i < 16; i++) {
        any |= w[i];
    }
    return any != 0 || coef[1] != 0 || coef[2] != 0 || coef[3] != 0;
}

void ffp_idct_scalar(ffp_context *ctx, const ffp_header *header, ffp_job *job, const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    (void)ctx;
    int16_t *coef = job->coef;
    int32_t mx = job->first_mcu % header->mcus_x, my = job->first_mcu / header->mcus_x;
    for (int32_t m = 0; m < job->mcus; m++) {
        for (int i = 0; i < header->ncomp; i++) {
            const ffp_component *c = &header->comp[i];
            const ffp_plane *plane = planes + i;
            const uint16_t *quant = header->quant[c->tq];
            for (int32_t j = 0; j < c->h * c->v; j++, coef += 64) {
                int32_t x = (mx * c->h + j % c->h) * 8 - plane->x0, y = (my * c->v + j / c->h) * 8 - plane->y0;
                job->pred[i] = (int16_t)(job->pred[i] + coef[0]);
                if (x >= 0 && x < plane->w && y >= 0 && y < plane->h) {
                    uint8_t *out = plane->addr + y * plane->stride + x;
                    if (has_ac(coef)) {
                        idct_block(coef, (int16_t)job->pred[i], quant, out, plane->stride);
                    } else {
                        fill_block((int16_t)job->pred[i], quant[0], out, plane->stride);
                    }
                }
                memset(coef, 0, 128);
            }
        }
        if (++mx == header->mcus_x) {
            mx = 0;
            my++;
        }
    }
}
