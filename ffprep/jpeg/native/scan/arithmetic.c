/* Arithmetic-coded scans (T.81 annexes D, F.1.4 and G.1.3): the decoder of decisions, and the blocks made of them.
 *
 * The coder leaves out zeros at the end of a segment, and the decoder supplies as many as it needs. So any segment decodes
 * to something, however much of it is missing. What counts as truncated here is a segment in which a value other than zero
 * is decoded from supplied zeros alone; an encoder leaves these out with a chance of 2^-24. Flat blocks may come from
 * nothing, as they do at the end of whole images.
 */
#include <string.h>

#include "scan/scan.h"

enum {
    MAGNITUDE_DC = 20,
    MAGNITUDE_AC_LOW = 189,
    MAGNITUDE_AC_HIGH = 217, /* bins: tables F.4 and F.5 */
    TO_LOWER_BITS = 14       /* from the bin that ends a magnitude's size to that of its other bits */
};

/* Table D.3: probability estimates. */
static const struct {
    uint16_t qe;
    uint8_t after_less, after_more, swap;
} estimate[] = {
    {0x5a1d, 1, 1, 1},     {0x2586, 14, 2, 0},    {0x1114, 16, 3, 0},    {0x080b, 18, 4, 0},    {0x03d8, 20, 5, 0},
    {0x01da, 23, 6, 0},    {0x00e5, 25, 7, 0},    {0x006f, 28, 8, 0},    {0x0036, 30, 9, 0},    {0x001a, 33, 10, 0},
    {0x000d, 35, 11, 0},   {0x0006, 9, 12, 0},    {0x0003, 10, 13, 0},   {0x0001, 12, 13, 0},   {0x5a7f, 15, 15, 1},
    {0x3f25, 36, 16, 0},   {0x2cf2, 38, 17, 0},   {0x207c, 39, 18, 0},   {0x17b9, 40, 19, 0},   {0x1182, 42, 20, 0},
    {0x0cef, 43, 21, 0},   {0x09a1, 45, 22, 0},   {0x072f, 46, 23, 0},   {0x055c, 48, 24, 0},   {0x0406, 49, 25, 0},
    {0x0303, 51, 26, 0},   {0x0240, 52, 27, 0},   {0x01b1, 54, 28, 0},   {0x0144, 56, 29, 0},   {0x00f5, 57, 30, 0},
    {0x00b7, 59, 31, 0},   {0x008a, 60, 32, 0},   {0x0068, 62, 33, 0},   {0x004e, 63, 34, 0},   {0x003b, 32, 35, 0},
    {0x002c, 33, 9, 0},    {0x5ae1, 37, 37, 1},   {0x484c, 64, 38, 0},   {0x3a0d, 65, 39, 0},   {0x2ef1, 67, 40, 0},
    {0x261f, 68, 41, 0},   {0x1f33, 69, 42, 0},   {0x19a8, 70, 43, 0},   {0x1518, 72, 44, 0},   {0x1177, 73, 45, 0},
    {0x0e74, 74, 46, 0},   {0x0bfb, 75, 47, 0},   {0x09f8, 77, 48, 0},   {0x0861, 78, 49, 0},   {0x0706, 79, 50, 0},
    {0x05cd, 48, 51, 0},   {0x04de, 50, 52, 0},   {0x040f, 50, 53, 0},   {0x0363, 51, 54, 0},   {0x02d4, 52, 55, 0},
    {0x025c, 53, 56, 0},   {0x01f8, 54, 57, 0},   {0x01a4, 55, 58, 0},   {0x0160, 56, 59, 0},   {0x0125, 57, 60, 0},
    {0x00f6, 58, 61, 0},   {0x00cb, 59, 62, 0},   {0x00ab, 61, 63, 0},   {0x008f, 61, 32, 0},   {0x5b12, 65, 65, 1},
    {0x4d04, 80, 66, 0},   {0x412c, 81, 67, 0},   {0x37d8, 82, 68, 0},   {0x2fe8, 83, 69, 0},   {0x293c, 84, 70, 0},
    {0x2379, 86, 71, 0},   {0x1edf, 87, 72, 0},   {0x1aa9, 87, 73, 0},   {0x174e, 72, 74, 0},   {0x1424, 72, 75, 0},
    {0x119c, 74, 76, 0},   {0x0f6b, 74, 77, 0},   {0x0d51, 75, 78, 0},   {0x0bb6, 77, 79, 0},   {0x0a40, 77, 48, 0},
    {0x5832, 80, 81, 1},   {0x4d1c, 88, 82, 0},   {0x438e, 89, 83, 0},   {0x3bdd, 90, 84, 0},   {0x34ee, 91, 85, 0},
    {0x2eae, 92, 86, 0},   {0x299a, 93, 87, 0},   {0x2516, 86, 71, 0},   {0x5570, 88, 89, 1},   {0x4ca9, 95, 90, 0},
    {0x44d9, 96, 91, 0},   {0x3e22, 97, 92, 0},   {0x3824, 99, 93, 0},   {0x32b4, 99, 94, 0},   {0x2e17, 93, 86, 0},
    {0x56a8, 95, 96, 1},   {0x4f46, 101, 97, 0},  {0x47e5, 102, 98, 0},  {0x41cf, 103, 99, 0},  {0x3c3d, 104, 100, 0},
    {0x375e, 99, 93, 0},   {0x5231, 105, 102, 0}, {0x4c0f, 106, 103, 0}, {0x4639, 107, 104, 0}, {0x415e, 103, 99, 0},
    {0x5627, 105, 106, 1}, {0x50e7, 108, 107, 0}, {0x4b85, 109, 103, 0}, {0x5597, 110, 109, 0}, {0x504f, 111, 107, 0},
    {0x5a10, 110, 111, 1}, {0x5522, 112, 109, 0}, {0x59eb, 112, 111, 1}};

/* ---- decisions: D.2 ----------------------------------------------------------------------------------------------- */

static uint32_t next_byte(ffp_arith *a) {
    if (a->next < a->end && (a->next[0] != 0xFF || (a->end - a->next > 1 && a->next[1] == 0))) {
        const uint32_t byte = a->next[0];
        a->next += byte == 0xFF ? 2 : 1;
        return byte;
    }
    a->supplied++;
    return 0;
}

void ffp_arith_start(ffp_arith *a, const uint8_t *begin, const uint8_t *end) {
    memset(a, 0, sizeof *a);
    a->next = begin;
    a->end = end;
    a->code = next_byte(a) << 24;
    a->code |= next_byte(a) << 16;
    a->interval = 0x10000;
}

static void renormalise(ffp_arith *a) {
    do {
        if (a->shifts == 0) {
            a->code |= next_byte(a) << 8;
            a->shifts = 8;
        }
        a->interval <<= 1;
        a->code <<= 1;
        a->shifts--;
    } while (a->interval < 0x8000);
}

/* A decision; the bin holds the more probable one in bit 7, and the number of its estimate. */
static int decide(ffp_arith *a, uint8_t *bin) {
    const int number = *bin & 0x7F, likely = *bin >> 7;
    const uint32_t qe = estimate[number].qe;
    a->interval -= qe;
    const int upper = a->code >> 16 >= a->interval;
    if (!upper && a->interval >= 0x8000) {
        return likely;
    }
    const int less = upper == (a->interval >= qe); /* where qe is larger, the two have changed places: D.1.5 */
    if (upper) {
        a->code -= a->interval << 16;
        a->interval = qe;
    }
    *bin = (uint8_t)(less ? (likely ^ estimate[number].swap) << 7 | estimate[number].after_less
                          : likely << 7 | estimate[number].after_more);
    renormalise(a);
    return likely ^ less;
}

/* At an even chance that stays even. */
static int decide_evenly(ffp_arith *a) {
    uint8_t bin = 0;
    return decide(a, &bin);
}

/* To be called after each value other than zero. */
static void check_supply(ffp_arith *a) { a->truncated |= a->supplied > FFP_ARITH_SUPPLIED; }

/* ---- values: F.1.4.3 ---------------------------------------------------------------------------------------------- */

/* A magnitude less one that is at least `low`, a power of two, its size being told from bin `at` on; `most` or more when
 * it is too large. */
static int32_t magnitude(ffp_arith *a, uint8_t *at, int32_t low, int32_t most) {
    for (; decide(a, at); at++) {
        low <<= 1;
        if (low >= most) {
            return most;
        }
    }
    int32_t value = low;
    at += TO_LOWER_BITS;
    while (low >>= 1) {
        value |= decide(a, at) ? low : 0;
    }
    return value;
}

/* F.1.4.1: the difference of a DC value, added to the prediction of component i of the scan. */
static int dc_value(ffp_scan_state *s, int i, uint8_t *bins, int32_t conditioning) {
    ffp_arith *a = &s->arith;
    uint8_t *bin = bins + s->context[i];
    s->context[i] = 0;
    if (!decide(a, bin)) {
        return 1;
    }
    const int negative = decide(a, bin + 1), most = 1 << FFP_MAX_DC_SIZE;
    const int32_t less_one = decide(a, bin + 2 + negative) ? magnitude(a, bins + MAGNITUDE_DC, 1, most) : 0;
    if (less_one + 1 >= most) {
        return 0;
    }
    if (less_one >= 1 << (conditioning & 15) >> 1) {
        const int large = conditioning >> 4 == 0 ? less_one > 0 : less_one >= 1 << (conditioning >> 4);
        s->context[i] = 4 + 4 * negative + 8 * large;
    }
    s->pred[i] = (int16_t)(s->pred[i] + (negative ? -less_one - 1 : less_one + 1));
    check_supply(a);
    return 1;
}

/* F.1.4.2 and G.1.3.2: coefficients from `k` on to the end of the scan's band. */
static int ac_values(ffp_scan_state *s, uint8_t *bins, int32_t conditioning, int32_t k, int16_t *coef) {
    ffp_arith *a = &s->arith;
    const int32_t most = 1 << FFP_MAX_AC_SIZE;
    for (; k <= s->scan->se; k++) {
        uint8_t *bin = bins + 3 * (k - 1);
        if (decide(a, bin)) {
            return 1;
        }
        for (; !decide(a, bin + 1); bin += 3) {
            if (++k > s->scan->se) {
                return 0;
            }
        }
        const int negative = decide_evenly(a);
        int32_t value = decide(a, bin + 2);
        if (value && decide(a, bin + 2)) {
            value = magnitude(a, bins + (k <= conditioning ? MAGNITUDE_AC_LOW : MAGNITUDE_AC_HIGH), 2, most);
        }
        if (++value >= most) {
            return 0;
        }
        coef[k] = (int16_t)((uint32_t)(negative ? -value : value) << s->scan->al);
        check_supply(a);
    }
    return 1;
}

/* G.1.3.3 */
static int ac_refinement(ffp_scan_state *s, uint8_t *bins, int16_t *coef) {
    ffp_arith *a = &s->arith;
    const int16_t one = (int16_t)(1 << s->scan->al);
    int32_t last = s->scan->se; /* the last coefficient sent before */
    while (last > 0 && coef[last] == 0) {
        last--;
    }
    for (int32_t k = s->scan->ss; k <= s->scan->se; k++) {
        uint8_t *bin = bins + 3 * (k - 1);
        if (k > last && decide(a, bin)) {
            return 1;
        }
        for (; coef[k] == 0 && !decide(a, bin + 1); bin += 3) {
            if (++k > s->scan->se) {
                return 0;
            }
        }
        if (coef[k] == 0) {
            coef[k] = decide_evenly(a) ? (int16_t)-one : one;
            check_supply(a);
        } else if (decide(a, bin + 2)) {
            coef[k] = (int16_t)(coef[k] + (coef[k] < 0 ? -one : one));
            check_supply(a);
        }
    }
    return 1;
}

int ffp_decode_arith_block(ffp_scan_state *s, int i, ffp_arith_bins *bins, const uint8_t conditioning[2][4],
                           int progressive, int16_t *coef) {
    const ffp_scan *scan = s->scan;
    if (scan->ss == 0 && scan->ah == 0) {
        if (!dc_value(s, i, bins->dc[scan->td[i]], conditioning[0][scan->td[i]])) {
            return 0;
        }
        coef[0] = (int16_t)((uint32_t)s->pred[i] << scan->al);
    } else if (scan->ss == 0 && decide_evenly(&s->arith)) {
        coef[0] = (int16_t)(coef[0] | 1 << scan->al);
        check_supply(&s->arith);
    }
    if (progressive && scan->ss == 0) {
        return 1;
    }
    uint8_t *ac = bins->ac[scan->ta[i]];
    const int32_t first = scan->ss ? scan->ss : 1;
    return scan->ah ? ac_refinement(s, ac, coef) : ac_values(s, ac, conditioning[1][scan->ta[i]], first, coef);
}
