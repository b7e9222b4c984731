/* Tables for skimming: one lookup steps over as many AC symbols, value bits included, as lie in SKIM_BITS bits. */
#include <string.h>

#include "skim/marks.h"

#define FOUR_TIMES(entry) ((uint64_t)(entry)*0x0001000100010001u)

static void fill(uint16_t *to, int32_t n, uint16_t entry) {
    const uint64_t four = FOUR_TIMES(entry);
    for (; n >= 4; n -= 4, to += 4) {
        memcpy(to, &four, sizeof four);
    }
    for (int32_t i = 0; i < n; i++) {
        to[i] = entry;
    }
}

/* to[i] = from[i] + entry for a multiple of four; no sum takes more than 16 bits. */
static void fill_added(uint16_t *to, const uint16_t *from, int32_t n, uint16_t entry) {
    const uint64_t more = FOUR_TIMES(entry);
    for (int32_t i = 0; i < n; i += 4) {
        uint64_t four;
        memcpy(&four, from + i, sizeof four);
        four += more;
        memcpy(to + i, &four, sizeof four);
    }
}

void ffp_skim_dc_table(const ffp_dht *dht, skim_table *t) {
    ffp_codes codes;
    ffp_list_codes(dht, &codes);
    ffp_search_build(&t->search, dht);
    t->dc = 1;
    fill(t->entry, 1 << SKIM_BITS, SLOW);
    for (int32_t k = 0; k < codes.count && codes.code[k].length <= SKIM_BITS; k++) {
        const ffp_code c = codes.code[k];
        const int32_t skip = c.length + c.symbol;
        if (ffp_dc_allowed(c.symbol) && skip <= MOST_SKIP) {
            fill(t->entry + ffp_lookup_first(c, SKIM_BITS), ffp_lookup_span(c, SKIM_BITS),
                 (uint16_t)(skip | (PHASE_END + c.symbol) << 8));
        }
    }
}

/* The entries for a window of r bits are made from those of narrower windows: a symbol that takes s bits is followed,
 * for each of its values, by what a window of r - s bits says. All narrower windows are kept in one array, window r at
 * 1 << r; in them only symbols that lie in the window whole are stepped over (0: none does). furthest[r] bounds what a
 * window adds to k without a phase's end. */
static void make_window(const ffp_codes *codes, int r, const uint16_t *narrower, uint8_t furthest[SKIM_BITS + 1],
                        uint16_t *to) {
    int widest = r == SKIM_BITS;
    uint16_t nothing = widest ? SLOW : 0;
    int32_t filled = 0, most = 0;
    for (int32_t k = 0; k < codes->count && codes->code[k].length <= r; k++) {
        const ffp_code c = codes->code[k];
        const int32_t size = c.symbol & 15, skip = c.length + size, advance = (c.symbol >> 4) + 1, rest = r - skip;
        const uint16_t entry = (uint16_t)(skip | (c.symbol == FFP_EOB ? PHASE_END : advance) << 8);
        const int32_t span = ffp_lookup_span(c, r);
        uint16_t *first = to + filled;
        filled += span;
        if (!ffp_ac_allowed(c.symbol) || skip > (widest ? MOST_SKIP : r)) {
            fill(first, span, nothing);
            continue;
        }
        if (c.symbol == FFP_EOB) {
            fill(first, span, entry);
            continue;
        }
        if (rest < 2 || advance + furthest[rest] > 63) {
            fill(first, span, entry);
            most = advance > most ? advance : most;
            continue;
        }
        const uint16_t *next = narrower + ((size_t)1 << rest);
        for (int32_t v = 0; v < 1 << size; v++, first += (size_t)1 << rest) {
            fill_added(first, next, 1 << rest, entry);
        }
        most = advance + furthest[rest] > most ? advance + furthest[rest] : most;
    }
    fill(to + filled, (1 << r) - filled, nothing);
    furthest[r] = (uint8_t)most;
}

void ffp_skim_ac_table(const ffp_dht *dht, skim_table *t) {
    uint16_t narrower[1 << SKIM_BITS];
    uint8_t furthest[SKIM_BITS + 1];
    ffp_codes codes;
    ffp_list_codes(dht, &codes);
    ffp_search_build(&t->search, dht);
    t->dc = 0;
    for (int r = 2; r < SKIM_BITS; r++) {
        make_window(&codes, r, narrower, furthest, narrower + ((size_t)1 << r));
    }
    make_window(&codes, SKIM_BITS, narrower, furthest, t->entry);
}

uint32_t ffp_skim_step(const skim_table *t, const uint8_t *at, uint32_t bit, uint32_t *k) {
    int32_t n, found = ffp_search(&t->search, ffp_load_be64(at) << bit, &n);
    const uint32_t symbol = (uint32_t)found, length = (uint32_t)n;
    if (found < 0) {
        return 0;
    }
    if (t->dc || symbol == FFP_EOB) {
        *k = PHASE_END;
        return ffp_dc_allowed(symbol) ? length + symbol : 0;
    }
    *k += (symbol >> 4) + 1;
    if (!ffp_ac_allowed(symbol) || *k > LAST) {
        return 0;
    }
    *k = *k == LAST ? PHASE_END : *k;
    return length + (symbol & 15);
}
