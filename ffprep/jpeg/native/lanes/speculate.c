/* One long scan, decoded in pieces at once although only the first piece's start is known.
 *
 * The scan is cut into pieces, one for each lane, which decodes as if an MCU began where the piece does. That is wrong for
 * a while, in photographs for 130 bytes on average (4:4:4; 220 in 4:2:0); then the lane falls into step (in_step.h). A
 * lane goes on after the end of its piece until one of its MCUs begins at the very bit where an MCU of the next lane began:
 * from there on both would read the same, and the next lane has done so already. What a lane read before its predecessor
 * met it is thrown away. Since the first piece starts where an MCU starts, what is left is the scan.
 *
 * The vector loops log the end of each block for this. The DC values in the coefficients are differences, so the pieces
 * need nothing else from each other. A wave decodes up to 32 pieces; where the chain of meetings breaks (no room left in a
 * piece's memory, end of the data taken in) the next wave begins. Anything doubtful is left to the scalar decoder, whose
 * word on damage is final. */
#include <string.h>

#include "bits.h"
#include "idct/idct.h"
#include "in_step.h"
#include "lanes/lanes.h"

enum {
    MOST_PIECES = 2 * FFP_LANES,
    LEAST_BYTES = 256,    /* a piece shorter than this is mostly nonsense */
    LEAST_PIECES = 5,     /* for the first wave: else the scalar decoder is as quick */
    STEP_BYTES = 40,      /* how often a lane looks for its successor */
    OVERLAP_BYTES = 2048, /* room for what a lane decodes after its piece */
    FEW_LANES = 5,        /* this few lanes are as quick one after the other */
    SLOT_BLOCKS = 1025,   /* memory of a piece: the same for all images, so that it stays in the cache */
    WAVE_BLOCKS = 8192    /* to expect in a wave: a quarter of all */
};

typedef struct {
    uint32_t slot;       /* its first block, counted from the lowest */
    uint32_t begin, end; /* bits */
    uint32_t mcus;       /* its number of MCUs up to the meeting with the next piece, once met */
    uint32_t first;      /* its number of MCUs before the piece before met it */
    int64_t own, other;  /* MCUs that meet() looks at: with the next piece, and with the one before */
    uint32_t used;       /* blocks touched */
    uint32_t from, to;   /* blocks that the inverse DCT has taken, and so zeroed */
    int met, stopped;
} piece;

typedef struct {
    ffp_queue queue; /* first: change() is called with its address */
    ffp_log log;
    uint32_t *ends; /* by number of the block: the bit after it and FFP_END_BAD, as logged; else 0 */
    piece pieces[MOST_PIECES];
    int32_t count;
    uint32_t room;   /* blocks in a slot */
    uint32_t blocks; /* in an MCU */
} wave;

#define ENDS_BYTES ((size_t)MOST_PIECES * SLOT_BLOCKS * sizeof(uint32_t))

/* ---- meeting ------------------------------------------------------------------------------------------------------- */

/* The first bit after MCU k of a piece, 0 when it is not known yet. */
static inline uint32_t mcu_end(const wave *w, const piece *p, uint32_t k) {
    const uint32_t block = (k + 1) * w->blocks - 1;
    return block < w->room ? w->ends[p->slot + block] & ~FFP_END_BAD : 0;
}

/* A piece as in_step.h wants it. */
typedef struct {
    const wave *wave;
    const piece *piece;
} reader;

FFP_INLINE int64_t mcu_bit(const void *of, int64_t k) {
    const reader *r = of;
    const uint32_t bit = k == 0 ? r->piece->begin : mcu_end(r->wave, r->piece, (uint32_t)k - 1);
    return (k == 0 || bit) && bit <= r->wave->queue.end * 8 ? (int64_t)bit : -1;
}

/* Whether p has fallen into step with the next piece; then p->mcus and next->first are known. */
static int meet(const wave *w, piece *p, piece *next) {
    const reader mine = {w, p}, its = {w, next};
    if (!ffp_find_step(mcu_bit, &mine, &p->own, mcu_bit, &its, &next->other)) {
        return 0;
    }
    p->mcus = (uint32_t)p->own;
    next->first = (uint32_t)next->other;
    return 1;
}

/* Called when lanes are past their limit, when their slots are full, and when the log is. */
static void change(ffp_queue *q, ffp_lanes *l, uint32_t lanes) {
    wave *w = (wave *)q;
    for (int64_t i = 0; i < w->log.count; i++) {
        w->ends[w->log.block[i]] = w->log.end[i];
    }
    w->log.count = 0;
    for (; lanes; lanes &= lanes - 1) {
        const int i = __builtin_ctz(lanes);
        piece *p = w->pieces + l->job[i];
        const int full = !(l->active >> i & 1), last = p == w->pieces + w->count - 1;
        if (!full && !last && !p->met) {
            p->met = meet(w, p, p + 1);
        }
        p->used = l->base[i] / 64 - p->slot + 1;
        p->used = p->used < w->room + 1 ? p->used : w->room + 1; /* a lane that stopped counts on for some steps */
        if (full || last || p->met || l->pos[i] > q->end * 8 ||
            (p[1].stopped && l->pos[i] > p[1].end + 8 * OVERLAP_BYTES)) {
            p->stopped = 1;
            p->end = l->pos[i];
            l->active &= ~(1u << i);
        } else {
            l->limit[i] = (l->pos[i] >> 3) + STEP_BYTES;
        }
    }
}

/* Decodes on in a single lane until it stops: what the vector loops do, symbol by symbol. */
static void walk(wave *w, ffp_lanes *l, int i) {
    const ffp_queue *q = &w->queue;
    while (l->active >> i & 1) {
        const uint32_t byte = l->pos[i] >> 3 < q->end ? l->pos[i] >> 3 : q->end;
        const uint32_t bits = (uint32_t)(ffp_load_be64(q->bytes + byte) << (l->pos[i] & 7) >> 32);
        const uint32_t e = q->plan.table[l->table[i] + (bits >> (32 - FFP_LANE_BITS))], drop = e & 31;
        l->pos[i] += drop;
        if (e & FFP_LANE_LONG) {
            l->table[i] = e >> 16;
            continue;
        }
        const int32_t mask = (int32_t)(e >> 5 & 0x7FF), value = (int32_t)(bits >> (32 - drop)) & mask;
        const uint32_t place = l->place[i] + (e >> 21);
        const uint32_t at = q->engine->order ? q->engine->order[place & 63] : place & 63;
        q->coef[l->base[i] + at] = (int16_t)(value > mask >> 1 ? value : value - mask);
        l->place[i] = place;
        l->table[i] = l->turn[i] & FFP_TURN_TABLE;
        if (place < 63) {
            continue;
        }
        w->ends[l->base[i] / 64] = l->pos[i] | (place & FFP_LANE_BAD_BIT ? FFP_END_BAD : 0);
        const int full = l->base[i] == l->last[i];
        l->place[i] = UINT32_MAX;
        l->base[i] += 64;
        l->table[i] = l->turn[i] >> FFP_TURN_DC & FFP_TURN_TABLE;
        l->turn[i] = q->plan.turns[l->turn[i] >> FFP_TURN_NEXT];
        if (full) {
            l->active &= ~(1u << i);
        }
        if (full || l->pos[i] >> 3 > l->limit[i]) {
            change(&w->queue, l, 1u << i);
        }
    }
}

/* ---- a wave -------------------------------------------------------------------------------------------------------- */

/* Cuts bits start..end * 8 into pieces and decodes them. */
static void run_wave(wave *w, const ffp_lane_engine *engine, uint32_t start, uint32_t end) {
    ffp_lanes lanes[2];
    const uint32_t most = engine->groups > 1 ? MOST_PIECES : FFP_LANES, bytes = end - start / 8;
    w->count = (int32_t)(bytes / LEAST_BYTES < most ? bytes / LEAST_BYTES : most);
    w->count += w->count == 0;
    memset(lanes, 0, sizeof lanes);
    memset(w->pieces, 0, sizeof w->pieces);
    for (int32_t i = 0; i < w->count; i++) {
        piece *p = w->pieces + i;
        uint32_t limit = start / 8 + (uint32_t)((uint64_t)bytes * (uint32_t)(i + 1) / (uint32_t)w->count);
        p->slot = (uint32_t)i * (w->room + 1);
        p->begin = i ? p[-1].end : start;
        p->end = limit * 8;
        p->own = 1; /* its first MCU begins where the piece before ends, not the next one */
        ffp_lane_start(&w->queue, &lanes[i / FFP_LANES], i % FFP_LANES, i, p->begin, limit, p->slot * 64,
                       (p->slot + w->room - 1) * 64);
    }
    memset(w->queue.late, 0, sizeof w->queue.late);
    w->queue.idle = w->room * 64;
    ffp_lane_settle(&w->queue);
    w->log.count = 0;
    engine->run(&w->queue, &lanes[0], &lanes[1]);
    ffp_lane_settle(&w->queue);
    for (uint32_t left = lanes[0].active; left; left &= left - 1) {
        walk(w, &lanes[0], __builtin_ctz(left));
    }
}

/* How many MCUs from p->first on belong to the scan: up to the meeting or, without one, the end of the data. Sets *bad when
 * one of them ended by an error. */
static uint32_t whole(const wave *w, piece *p, int *bad) {
    const uint32_t *ends = w->ends + p->slot;
    uint32_t mcus = p->mcus, errors = 0;
    if (!p->met) {
        for (mcus = p->first; mcu_end(w, p, mcus) && mcu_end(w, p, mcus) <= w->queue.end * 8; mcus++) {
        }
    } else if (mcus < p->first) { /* it met the next before it was in step itself */
        p->met = 0;
        return 0;
    }
    for (uint32_t b = p->first * w->blocks; b < mcus * w->blocks; b++) {
        errors |= ends[b];
    }
    *bad |= errors >> 31;
    return mcus - p->first;
}

/* Zeroes what the wave wrote and nobody took. */
static void clean(wave *w) {
    for (int32_t i = 0; i < w->count; i++) {
        const piece *p = w->pieces + i;
        int16_t *coef = w->queue.coef + (size_t)p->slot * 64;
        memset(coef, 0, (size_t)p->from * 128);
        if (p->used > p->to) {
            memset(coef + (size_t)p->to * 64, 0, (size_t)(p->used - p->to) * 128);
        }
        memset(w->ends + p->slot, 0, (size_t)p->used * sizeof *w->ends);
    }
}

/* ---- the scan ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const uint8_t *next, *stop; /* what is not taken in yet */
    uint8_t *bytes;
    int64_t size, room; /* unstuffed bytes, and how many there may be */
    int ended;          /* at a marker, or at the end of the stream */
} source;

/* Takes in up to n bytes more. */
static void take_in(source *s, const ffp_lane_engine *engine, int64_t n) {
    int64_t left = s->stop - s->next, taken;
    n = n < left ? n : left;
    if (n < left && n > 0 && s->next[n - 1] == 0xFF) {
        n--; /* FF and what follows stay together */
    }
    s->size += engine->unstuff(s->next, n, s->bytes + s->size, &taken);
    s->next += taken;
    s->ended = taken < n || n == left;
    memset(s->bytes + s->size, 0, FFP_LANE_PAD);
}

/* Hands the pieces' MCUs to the inverse DCT, in order; 0 when one is bad. Moves on *mcu and *bit. */
static int put_pieces(wave *w, const ffp_level *level, int32_t needed, const ffp_plane *planes, int32_t *pred,
                      int32_t *mcu, uint32_t *bit) {
    for (int32_t i = 0; i < w->count && *mcu < needed; i++) {
        piece *p = w->pieces + i;
        int bad = 0;
        uint32_t mcus = whole(w, p, &bad);
        if (bad) {
            return 0;
        }
        if (mcus > (uint32_t)(needed - *mcu)) {
            mcus = (uint32_t)(needed - *mcu);
        }
        if (mcus) {
            ffp_job job = {.first_mcu = *mcu,
                           .mcus = (int32_t)mcus,
                           .coef = w->queue.coef + ((size_t)p->slot + p->first * w->blocks) * 64};
            p->from = p->first * w->blocks;
            p->to = p->from + mcus * w->blocks;
            memcpy(job.pred, pred, sizeof job.pred);
            ffp_inverse(level, w->queue.header, &job, 1, planes);
            memcpy(pred, job.pred, sizeof job.pred);
            *mcu += (int32_t)mcus;
            *bit = mcu_end(w, p, p->first + mcus - 1);
        }
        if (!p->met) {
            break;
        }
    }
    return 1;
}

int32_t ffp_speculate(const ffp_level *level, ffp_context *ctx, const ffp_header *header, const uint8_t *data,
                      int64_t size, int32_t needed, const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    const ffp_lane_engine *engine = level->engine;
    const int64_t all = (int64_t)header->mcus_x * header->mcus_y, bytes = size - header->scan_offset;
    wave w;
    w.queue.engine = engine;
    w.queue.ctx = ctx;
    w.queue.header = header;
    w.queue.change = change;
    w.queue.log = &w.log;
    w.queue.enough = FEW_LANES;
    w.blocks = (uint32_t)header->blocks_per_mcu;
    w.room = (engine->groups > 1 ? SLOT_BLOCKS : 2 * SLOT_BLOCKS) - 1;
    if ((double)bytes * needed / (double)all < LEAST_BYTES * LEAST_PIECES || bytes >= 1 << 28 ||
        header->blocks_per_mcu > engine->most_blocks || ffp_lane_prepare(ctx, header, &w.queue.plan) != FFP_OK ||
        ffp_reserve(&ctx->level_bytes, (size_t)bytes + 128) != FFP_OK ||
        ffp_reserve(&ctx->coef, (size_t)MOST_PIECES * SLOT_BLOCKS * 128) != FFP_OK ||
        ffp_reserve(&ctx->level_work, ENDS_BYTES) != FFP_OK) {
        return FFP_NOT_SEQUENTIAL;
    }
    w.queue.coef = (int16_t *)(void *)ctx->coef.ptr;
    w.ends = (uint32_t *)(void *)ctx->level_work.ptr;
    memset(w.ends, 0, ENDS_BYTES);
    source s = {data + header->scan_offset, data + size, ctx->level_bytes.ptr, 0, bytes, 0};
    int32_t pred[FFP_MAX_COMPONENTS] = {0}, mcu = 0;
    uint32_t bit = 0;
    int good = 1;
    while (good && mcu < needed) {
        /* bytes to have for the MCUs that are left, by what they took so far, in waves of one size */
        double each = mcu > 64 ? bit / 8.0 / mcu : (double)bytes / (double)all;
        double want = each * (needed - mcu) * 1.12 + 1024;
        want /= 1 + (int)((needed - mcu) * (double)header->blocks_per_mcu / WAVE_BLOCKS);
        int64_t have = s.size - bit / 8;
        if (!s.ended && have < (int64_t)want) {
            take_in(&s, engine, (int64_t)want - have);
            have = s.size - bit / 8;
        }
        w.queue.bytes = s.bytes;
        w.queue.end = (uint32_t)s.size;
        const int32_t before = mcu;
        const double expected = have / each < needed - mcu ? have / each : needed - mcu;
        run_wave(&w, engine, bit, (uint32_t)s.size);
        good = put_pieces(&w, level, needed, planes, pred, &mcu, &bit);
        clean(&w);
        /* flat images fill a slot with few bytes: the scalar decoder is as quick */
        good = good && (mcu == needed || mcu - before > expected / 8);
    }
    if (good && mcu == all && !(s.ended && s.size * 8 - (int64_t)bit < 8)) {
        good = 0; /* something is left over, or may be */
    }
    return good ? FFP_OK : FFP_NOT_SEQUENTIAL;
}
