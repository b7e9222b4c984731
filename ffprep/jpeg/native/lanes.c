/* What the lane decoders share: tables, unstuffing, the scalar decoder as the judge of damaged jobs. */
#include "lanes.h"

enum {
    SIDE = FFP_LANE_SIDE,
    PAIR = 2 * SIDE,
    PAIRS = 3,                        /* grey or three components: no more is decoded here */
    DC_TABLES = 3, AC_TABLES = 36,    /* of long codes; 18 is the most that one of 512 photographs needs */
    LONG_FIRST = PAIRS * PAIR + 1,
    ENTRIES = LONG_FIRST + PAIRS * (DC_TABLES + AC_TABLES) * SIDE, /* under 2^16 */
    CHUNK_BYTES = 1 << 28             /* of entropy-coded data at once: bits are counted in 32 bits */
};

/* ---- tables ------------------------------------------------------------------------------------------------------- */

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
    int bad = size > (dc ? 11u : 10u) || (!dc && size == 0 && run != 0 && run != 15);
    if (bad) {
        return entry(length, 0, FFP_LANE_BAD);
    }
    return entry(length + size, size, !dc && symbol == 0 ? FFP_LANE_EOB : run + 1);
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
    int32_t filled = SIDE, k = 0;     /* of the table of long codes in work */
    for (int32_t n = 1; n <= 16; n++) {
        for (int32_t i = 0; i < dht->counts[n]; i++, k++) {
            if (n <= FFP_LANE_BITS) {
                int32_t size = 1 << (FFP_LANE_BITS - n);
                fill(entries + at, symbol_entry((uint32_t)n, dht->symbols[k], dc), size);
                at += size;
                continue;
            }
            if (filled == SIDE) {     /* codes are in order, so each prefix comes once */
                if (more == stop) {
                    return FFP_NO_SPACE;
                }
                entries[at++] = (uint32_t)more << 16 | FFP_LANE_BITS;
                fill(entries + more, none, SIDE);
                more += SIDE;
                filled = 0;
            }
            int32_t size = 1 << (2 * FFP_LANE_BITS - n);
            uint32_t e = symbol_entry((uint32_t)(n - FFP_LANE_BITS), dht->symbols[k], dc);
            fill(entries + more - SIDE + filled, e, size);
            filled += size;
        }
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
        plan->next[i] = i + 1 < n ? i + 1 : 0;
        plan->dc_next[i] = dc_of[plan->next[i]];
    }
    plan->table = t->entries;
    plan->blocks = n;
    plan->dc_first = dc_of[0];
    return FFP_OK;
}

/* ---- jobs --------------------------------------------------------------------------------------------------------- */

int64_t ffp_unstuff_plain(const uint8_t *in, int64_t n, uint8_t *out) {
    const uint8_t *end = in + n;
    uint8_t *start = out;
    while (in < end) {
        const uint8_t *ff = memchr(in, 0xFF, (size_t)(end - in));
        int64_t run = (ff ? ff + 1 : end) - in;
        memcpy(out, in, (size_t)run);
        out += run;
        in += run;
        if (ff) {
            if (in == end || *in != 0) {
                return -1;
            }
            in++;
        }
    }
    return out - start;
}

/* Long jobs first, so that the lanes end together. Bytes are the measure, of which a job that stops early needs only a
 * part. */
static void order_jobs(const ffp_job *jobs, int32_t n, ffp_lane_job *lanes) {
    enum { STEPS = 64 };
    int32_t start[STEPS + 1] = {0}, most = 1;
    int64_t longest = 1;
    for (int32_t i = 0; i < n; i++) {
        int64_t size = jobs[i].end - jobs[i].begin;
        longest = size > longest ? size : longest;
        most = jobs[i].mcus > most ? jobs[i].mcus : most;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t i = 0; i < n; i++) {
            double part = (double)(jobs[i].end - jobs[i].begin) / (double)longest;
            part *= jobs[i].to_end ? 1.0 : (double)jobs[i].mcus / most;
            int32_t step = (int32_t)((1 - part) * (STEPS - 1));
            if (pass == 0) {
                start[step + 1]++;
            } else {
                lanes[start[step]++].turn = i;
            }
        }
        for (int i = 0; pass == 0 && i < STEPS; i++) {
            start[i + 1] += start[i];
        }
    }
}

int32_t ffp_lane_load(ffp_context *ctx, const ffp_job *jobs, int32_t njobs, int32_t blocks, ffp_unstuff unstuff,
                      int16_t **lowest) {
    int64_t bytes = 0;
    int32_t n = 0;
    int16_t *low = jobs[0].coef;
    int16_t *high = low;
    for (; n < njobs; n++) {
        int64_t size = jobs[n].end - jobs[n].begin;
        int16_t *l = jobs[n].coef < low ? jobs[n].coef : low, *h = jobs[n].coef > high ? jobs[n].coef : high;
        if (size > CHUNK_BYTES - bytes || h - l > INT32_MAX / 4 || (int64_t)jobs[n].mcus * blocks > INT32_MAX / 256) {
            break;
        }
        bytes += size + 128;
        low = l;
        high = h;
    }
    if (n == 0 || ffp_reserve(&ctx->level_bytes, (size_t)bytes + 128) != FFP_OK ||
        ffp_reserve(&ctx->level_work, (size_t)n * sizeof(ffp_lane_job)) != FFP_OK) {
        return 0;
    }
    ffp_lane_job *lanes = (ffp_lane_job *)ctx->level_work.ptr;
    uint8_t *start = ctx->level_bytes.ptr, *out = start;
    for (int32_t i = 0; i < n; i++) {
        const ffp_job *job = jobs + i;
        int64_t got = unstuff(job->begin, job->end - job->begin, out);
        lanes[i].regular = got >= 0;
        got = got < 0 ? 0 : got;
        memset(out + got, 0, FFP_LANE_PAD);
        lanes[i].pos = (uint32_t)(out - start) * 8 + (uint32_t)job->start_bit;
        lanes[i].end = (uint32_t)(out - start + got);
        lanes[i].coef = (uint32_t)(job->coef - low);
        lanes[i].last = lanes[i].coef + ((uint32_t)job->mcus * (uint32_t)blocks - 1) * 64;
        out += got + FFP_LANE_PAD;
    }
    order_jobs(jobs, n, lanes);
    *lowest = low;
    return n;
}

int32_t ffp_lane_repair(ffp_context *ctx, const ffp_header *header, ffp_job *job, int32_t blocks) {
    memset(job->coef, 0, ((size_t)job->mcus * (size_t)blocks + 1) * 128);
    return ffp_level_scalar.entropy(ctx, header, job, 1);
}
