/* The blocks of progressive scans (T.81 annex G): first scans of DC and AC bands, and their refinements. */
#include <string.h>

#include "scan/scan.h"

void ffp_prog_table_build(ffp_prog_table *t, const ffp_dht *dht) {
    ffp_codes codes;
    ffp_list_codes(dht, &codes);
    ffp_search_build(&t->search, dht);
    memset(t->lookup, 0, sizeof t->lookup);
    for (int32_t k = 0; k < codes.count && codes.code[k].length <= FFP_PROG_BITS; k++) {
        const ffp_code c = codes.code[k];
        uint16_t *entry = t->lookup + ffp_lookup_first(c, FFP_PROG_BITS);
        for (int32_t i = 0; i < ffp_lookup_span(c, FFP_PROG_BITS); i++) {
            entry[i] = (uint16_t)(c.length << 8 | c.symbol);
        }
    }
}

/* The next symbol, -1 for bits that are no code; at least 32 bits after it are there. */
static inline int32_t next_symbol(ffp_bits *b, const ffp_prog_table *t) {
    ffp_bits_fill(b);
    uint32_t e = t->lookup[b->bits >> (64 - FFP_PROG_BITS)];
    if (e) {
        ffp_bits_drop(b, (int)(e >> 8));
        return (int32_t)(e & 0xFF);
    }
    int32_t length;
    int32_t symbol = ffp_search(&t->search, b->bits, &length);
    ffp_bits_drop(b, symbol < 0 ? 0 : length);
    return symbol;
}

static inline uint32_t next_bit(ffp_bits *b) {
    if (b->count < 1) {
        ffp_bits_fill(b);
    }
    return ffp_bits_take(b, 1);
}

/* G.1.2.1, first scan */
static int dc_first(ffp_scan_state *s, int i, const ffp_prog_table *table, int16_t *coef) {
    int32_t size = next_symbol(&s->bits, table);
    if (size < 0 || size > FFP_MAX_DC_SIZE) {
        return 0;
    }
    if (size) {
        s->pred[i] = (int16_t)(s->pred[i] + ffp_extend(ffp_bits_take(&s->bits, size), size));
    }
    coef[0] = (int16_t)((uint32_t)s->pred[i] << s->scan->al);
    return 1;
}

/* G.1.2.2 */
static int ac_first(ffp_scan_state *s, const ffp_prog_table *table, int16_t *coef) {
    if (s->eobrun > 0) {
        s->eobrun--;
        return 1;
    }
    for (int32_t k = s->scan->ss; k <= s->scan->se; k++) {
        int32_t symbol = next_symbol(&s->bits, table);
        int32_t run = symbol >> 4, size = symbol & 15;
        if (symbol < 0 || size > FFP_MAX_AC_SIZE) {
            return 0;
        }
        if (size == 0) {
            if (run < 15) {
                s->eobrun = (1 << run) - 1 + (run ? (int32_t)ffp_bits_take(&s->bits, run) : 0);
                return 1;
            }
            k += 15;
        } else {
            k += run;
            if (k > s->scan->se) {
                return 0;
            }
            coef[k] = (int16_t)((uint32_t)ffp_extend(ffp_bits_take(&s->bits, size), size) << s->scan->al);
        }
        if (k > s->scan->se) {
            return 0;
        }
    }
    return 1;
}

/* Corrects the coefficients sent before, from k on, until `zeros` others have been passed. Returns the position reached. */
static int32_t refine(ffp_scan_state *s, int16_t *coef, int32_t k, int32_t zeros) {
    const int16_t one = (int16_t)(1 << s->scan->al);
    for (; k <= s->scan->se; k++) {
        if (coef[k] == 0) {
            if (zeros-- == 0) {
                break;
            }
        } else if (next_bit(&s->bits)) {
            coef[k] = (int16_t)(coef[k] + (coef[k] < 0 ? -one : one));
        }
    }
    return k;
}

/* G.1.2.3 */
static int ac_refine(ffp_scan_state *s, const ffp_prog_table *table, int16_t *coef) {
    int32_t k = s->scan->ss;
    while (s->eobrun == 0 && k <= s->scan->se) {
        int32_t symbol = next_symbol(&s->bits, table);
        int32_t run = symbol >> 4, size = symbol & 15, value = 0;
        if (symbol < 0 || size > 1) {
            return 0;
        }
        if (size) {
            value = next_bit(&s->bits) ? 1 << s->scan->al : -(1 << s->scan->al);
        } else if (run < 15) {
            s->eobrun = (1 << run) + (run ? (int32_t)ffp_bits_take(&s->bits, run) : 0);
            break;
        }
        k = refine(s, coef, k, run);
        if (k > s->scan->se) {
            return 0;
        }
        coef[k++] = (int16_t)value;
    }
    if (s->eobrun > 0) {
        refine(s, coef, k, 64);
        s->eobrun--;
    }
    return 1;
}

int ffp_decode_prog_block(ffp_scan_state *s, int i, const ffp_prog_table *table, int16_t *coef) {
    const ffp_scan *scan = s->scan;
    if (scan->ss == 0) {
        if (scan->ah == 0) {
            return dc_first(s, i, table, coef);
        }
        coef[0] = (int16_t)(coef[0] | (int32_t)next_bit(&s->bits) << scan->al);
        return 1;
    }
    return scan->ah == 0 ? ac_first(s, table, coef) : ac_refine(s, table, coef);
}
