/* The lookups of the lane decoders (lanes.h): 32-bit entries for gathers, so laid out that a vector step needs no branch. */
#include <string.h>

#include "lanes/lanes.h"

enum {
    SIDE = FFP_LANE_SIDE,
    PAIR = 2 * SIDE,
    PAIRS = 3, /* grey or three components: no more is decoded here */
    DC_TABLES = 3,
    AC_TABLES = 36,                /* of long codes; 18 is the most that one of 512 photographs needs */
    LONG_FIRST = PAIRS * PAIR + 1, /* above all that FFP_TURN_TABLE has to hold */
    ENTRIES = LONG_FIRST + PAIRS * (DC_TABLES + AC_TABLES) * SIDE /* under 2^16 */
};

/* A pair of tables (DC, AC) for each component that has its own, then the tables of long codes, at odd places. */
typedef struct {
    ffp_dht source[PAIRS][2];
    int32_t made[PAIRS];
    uint32_t entries[ENTRIES];
} lane_tables;

static uint32_t entry(uint32_t drop, uint32_t size, uint32_t skip) {
    return drop | ((1u << size) - 1) << 5 | skip << 21;
}

static uint32_t symbol_entry(uint32_t length, uint32_t symbol, int dc) {
    uint32_t size = dc ? symbol : symbol & 15, run = dc ? 0 : symbol >> 4;
    if (!(dc ? ffp_dc_allowed(symbol) : ffp_ac_allowed(symbol))) {
        return entry(length, 0, FFP_LANE_BAD);
    }
    return entry(length + size, size, !dc && symbol == FFP_EOB ? FFP_LANE_EOB : run + 1);
}

static void fill(uint32_t *out, uint32_t e, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        out[i] = e;
    }
}

/* Fills one side at `at`; its tables of long codes start at `more`. FFP_OK or FFP_NO_SPACE. */
static int32_t build_side(uint32_t *entries, int32_t at, int32_t more, const ffp_dht *dht, int dc) {
    const uint32_t none = entry(1, 0, FFP_LANE_BAD);
    const int32_t stop = more + (dc ? DC_TABLES : AC_TABLES) * SIDE, end = at + SIDE;
    int32_t filled = SIDE; /* of the table of long codes in work */
    ffp_codes codes;
    ffp_list_codes(dht, &codes);
    for (int32_t k = 0; k < codes.count; k++) {
        const ffp_code c = codes.code[k];
        if (c.length <= FFP_LANE_BITS) {
            const int32_t span = ffp_lookup_span(c, FFP_LANE_BITS);
            fill(entries + at, symbol_entry(c.length, c.symbol, dc), span);
            at += span;
            continue;
        }
        if (filled == SIDE) { /* codes are in order, so each prefix comes once */
            if (more == stop) {
                return FFP_NO_SPACE;
            }
            entries[at++] = (uint32_t)more << 16 | FFP_LANE_BITS;
            fill(entries + more, none, SIDE);
            more += SIDE;
            filled = 0;
        }
        const int32_t span = ffp_lookup_span(c, 2 * FFP_LANE_BITS);
        fill(entries + more - SIDE + filled, symbol_entry(c.length - FFP_LANE_BITS, c.symbol, dc), span);
        filled += span;
    }
    fill(entries + at, none, end - at);
    return FFP_OK;
}

int32_t ffp_lane_prepare(ffp_context *ctx, const ffp_header *header, ffp_lane_plan *plan) {
    lane_tables *t = (lane_tables *)ctx->level_tables.ptr;
    if (header->ncomp > PAIRS) {
        return FFP_NO_SPACE;
    }
    if (ctx->level_tables.size < sizeof *t) {
        if (ffp_reserve(&ctx->level_tables, sizeof *t) != FFP_OK) {
            return FFP_NO_MEMORY;
        }
        t = (lane_tables *)ctx->level_tables.ptr;
        memset(t->made, 0, sizeof t->made);
    }
    int32_t pair[FFP_MAX_COMPONENTS], dc_of[16], n = 0;
    for (int32_t i = 0; i < header->ncomp; i++) {
        const ffp_component *c = &header->comp[i];
        pair[i] = i;
        for (int32_t j = 0; j < i; j++) {
            if (header->comp[j].td == c->td && header->comp[j].ta == c->ta) {
                pair[i] = pair[j];
                break;
            }
        }
        if (pair[i] == i) {
            const ffp_dht *dht[2] = {&header->dht[0][c->td], &header->dht[1][c->ta]};
            if (!t->made[i] || memcmp(&t->source[i][0], dht[0], sizeof *dht[0]) != 0 ||
                memcmp(&t->source[i][1], dht[1], sizeof *dht[1]) != 0) {
                t->made[i] = 0;
                for (int side = 0; side < 2; side++) {
                    t->source[i][side] = *dht[side];
                    int32_t at = i * PAIR + side * SIDE;
                    int32_t more = LONG_FIRST + (i * (DC_TABLES + AC_TABLES) + side * DC_TABLES) * SIDE;
                    if (build_side(t->entries, at, more, dht[side], side == 0) != FFP_OK) {
                        return FFP_NO_SPACE;
                    }
                }
                t->made[i] = 1;
            }
        }
        for (int32_t j = 0; j < c->h * c->v && n < 16; j++) {
            dc_of[n++] = pair[i] * PAIR;
        }
    }
    for (int32_t i = 0; i < 16; i++) {
        const int32_t next = i + 1 < n ? i + 1 : 0, here = i < n ? i : 0;
        plan->turns[i] = (uint32_t)(dc_of[here] + SIDE) | (uint32_t)dc_of[next] << FFP_TURN_DC |
                         (uint32_t)next << FFP_TURN_NEXT;
    }
    plan->table = t->entries;
    plan->blocks = n;
    plan->dc_first = (uint32_t)dc_of[0];
    return FFP_OK;
}
