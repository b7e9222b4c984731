/* Tables for skimming: one lookup steps over as many AC symbols, value bits included, as lie in SKIM_BITS bits. */
#include "skim.h"

/* T.81 F.2.2.3 */
static void make_limits(const ffp_dht *dht, skim_table *t) {
    int32_t code = 0, position = 0;
    for (int n = 1; n <= 16; n++) {
        t->offset[n] = position - code;
        code += dht->counts[n];
        position += dht->counts[n];
        t->limit[n] = code << (16 - n);
        code <<= 1;
    }
    t->limit[17] = INT32_MAX;
    t->symbols = dht->symbols;
}

static void fill(uint16_t *to, int32_t n, uint16_t entry) {
    for (int32_t i = 0; i < n; i++) {
        to[i] = entry;
    }
}

void ffp_skim_dc_table(const ffp_dht *dht, skim_table *t) {
    make_limits(dht, t);
    t->dc = 1;
    fill(t->entry, 1 << SKIM_BITS, SLOW);
    int32_t code = 0, position = 0;
    for (int n = 1; n <= SKIM_BITS; n++, code <<= 1) {
        for (int i = 0; i < dht->counts[n]; i++, code++, position++) {
            int32_t skip = n + dht->symbols[position];
            if (dht->symbols[position] <= FFP_MAX_DC_SIZE && skip <= MOST_SKIP) {
                fill(t->entry + ((size_t)code << (SKIM_BITS - n)), 1 << (SKIM_BITS - n),
                     (uint16_t)(skip | (PHASE_END + dht->symbols[position]) << 8));
            }
        }
    }
}

/* The entries for a window of r bits are made from those of narrower windows: a symbol that takes s bits is followed,
 * for each of its values, by what a window of r - s bits says. All narrower windows are kept in one array, window r at
 * 1 << r; in them only symbols that lie in the window whole are stepped over (0: none does). furthest[r] bounds what a
 * window adds to k without a phase's end. */
static void make_window(const ffp_dht *dht, int r, const uint16_t *narrower, uint8_t furthest[SKIM_BITS + 1],
                        uint16_t *to) {
    int widest = r == SKIM_BITS;
    uint16_t nothing = widest ? SLOW : 0;
    int32_t code = 0, position = 0, most = 0;
    for (int n = 1; n <= r; n++, code <<= 1) {
        for (int i = 0; i < dht->counts[n]; i++, code++, position++) {
            int32_t symbol = dht->symbols[position], size = symbol & 15, skip = n + size, advance = (symbol >> 4) + 1;
            uint16_t *first = to + ((size_t)code << (r - n));
            uint16_t entry = (uint16_t)(skip | (symbol ? advance : PHASE_END) << 8);
            int32_t length = 1 << (r - n), rest = r - skip;
            if (!ffp_ac_allowed(symbol) || skip > (widest ? MOST_SKIP : r)) {
                fill(first, length, nothing);
                continue;
            }
            if (symbol == 0) {
                fill(first, length, entry);
                continue;
            }
            if (rest < 2 || advance + furthest[rest] > 63) {
                fill(first, length, entry);
                most = advance > most ? advance : most;
                continue;
            }
            const uint16_t *next = narrower + ((size_t)1 << rest);
            for (int32_t v = 0; v < 1 << size; v++, first += (size_t)1 << rest) {
                for (int32_t j = 0; j < 1 << rest; j++) {
                    first[j] = (uint16_t)(next[j] + entry);
                }
            }
            most = advance + furthest[rest] > most ? advance + furthest[rest] : most;
        }
    }
    code >>= 1;
    fill(to + code, (1 << r) - code, nothing);
    furthest[r] = (uint8_t)most;
}

void ffp_skim_ac_table(const ffp_dht *dht, skim_table *t) {
    uint16_t narrower[1 << SKIM_BITS];
    uint8_t furthest[SKIM_BITS + 1];
    make_limits(dht, t);
    t->dc = 0;
    for (int r = 2; r < SKIM_BITS; r++) {
        make_window(dht, r, narrower, furthest, narrower + ((size_t)1 << r));
    }
    make_window(dht, SKIM_BITS, narrower, furthest, t->entry);
}

uint32_t ffp_skim_find(const skim_table *t, uint64_t bits, uint32_t *symbol) {
    int32_t code = (int32_t)(bits >> 48), n = 1;
    while (code >= t->limit[n]) {
        n++;
    }
    if (n > 16) {
        return 0;
    }
    *symbol = t->symbols[(code >> (16 - n)) + t->offset[n]];
    return (uint32_t)n;
}
