/* Lanes: places in entropy-coded data that move on from code to code and note where blocks begin.
 *
 * The inner loop runs two or three lanes at once, since each lookup waits for the one before it: through two restart
 * segments, or through three parts of one.
 */
#include <string.h>

#include "in_step.h"
#include "skim/marks.h"

/* ---- lanes ------------------------------------------------------------------------------------------------------- */

/* A place in the data. Each end of a phase is written to *mark as a raw bit: see ffp_bit_of. */
typedef struct {
    const uint8_t *next;        /* the byte to load next */
    uint64_t bits;              /* left-aligned */
    uint32_t state;             /* k << 8 | 63 - how many of `bits` are valid; the others are right or 0 */
    const uint16_t *entry;      /* of the phase's table */
    const phase *after;         /* the phase that follows */
    uint32_t *mark, *mark_stop; /* stops soon after mark_stop: MARK_SLACK more are written at most */
    const uint8_t *limit;       /* stops soon after `next` is here */
    int32_t bad;                /* it met something that is no code */
} lane;

/* At least 56 valid bits. */
FFP_INLINE void refill(lane *x) {
    x->bits |= ffp_load_be64(x->next) >> (~x->state & 63);
    x->next += (x->state & 63) >> 3;
    x->state &= ~56u;
}

/* See ffp_bit_of. Only differences count. */
FFP_INLINE uint32_t raw_bit(const lane *x) { return (uint32_t)((uintptr_t)x->next * 8 + (x->state & 63)); }

FFP_INLINE void seek(lane *x, const uint8_t *at, uint32_t bit, uint32_t k) {
    x->next = at + (bit >> 3);
    x->bits = 0;
    x->state = 63;
    refill(x);
    x->bits <<= bit & 7;
    x->state += k << 8 | (bit & 7);
}

FFP_INLINE int running(const lane *x) { return x->mark < x->mark_stop && x->next < x->limit; }

FFP_INLINE const skim_table *table_of(const lane *x) {
    return (const skim_table *)(const void *)x->entry; /* its first member */
}

FFP_INLINE void end_phase(lane *x) {
    *x->mark++ = raw_bit(x);
    x->entry = x->after->table->entry;
    x->after = x->after->next;
    x->state &= 63;
}

/* Takes the lookup e back and steps by search instead. 0 when there is no valid code. */
FFP_INLINE int search_again(lane *x, uint32_t e) {
    uint32_t k = (x->state - e) >> 8, back = 63 - (x->state & 63) + (e & 63), bit = -back & 7;
    const uint8_t *at = x->next - ((back + 7) >> 3);
    uint32_t n = ffp_skim_step(table_of(x), at, bit, &k);
    if (n == 0) {
        x->bad = 1;
        return 0;
    }
    seek(x, at, bit + n, k);
    return 1;
}

#define LOOKUP(x)                                                                                                      \
    e = (x).entry[(x).bits >> (64 - SKIM_BITS)];                                                                       \
    (x).bits <<= e & 63;                                                                                               \
    (x).state += e;

/* Past the DC code that the lane stands before. */
FFP_INLINE void pass_dc(lane *x) {
    uint32_t e;
    LOOKUP(*x)
    if (!(x->state & LOOK_CLOSER) || search_again(x, e)) {
        end_phase(x);
    }
}

/* A lane at the first AC code of an MCU that begins at `bit`. */
static lane start_lane(const uint8_t *base, const phase *ring, uint32_t bit, uint32_t *mark, int64_t marks,
                       const uint8_t *limit) {
    lane x = {
        .entry = ring->table->entry, .after = ring->next, .mark = mark, .mark_stop = mark + marks, .limit = limit};
    seek(&x, base, bit, 0);
    *x.mark++ = raw_bit(&x);
    pass_dc(&x);
    return x;
}

/* After a lookup that took k to LAST or more: to the next block's first AC code. 0 when the lane has to stop. */
FFP_INLINE int next_block(lane *x, uint32_t e) {
    if (__builtin_expect(x->state & LOOK_CLOSER, 0)) {
        if (!search_again(x, e)) {
            return 0;
        }
        if (x->state < PHASE_END << 8) {
            return 1;
        }
    }
    end_phase(x);
    refill(x);
    LOOKUP(*x)
    if (__builtin_expect(x->state & LOOK_CLOSER, 0) && !search_again(x, e)) {
        return 0;
    }
    end_phase(x);
    return running(x);
}

#define LOOKUP_OR(x, stop)                                                                                             \
    LOOKUP(x)                                                                                                          \
    if ((x).state >= LAST << 8) {                                                                                      \
        goto stop;                                                                                                     \
    }

static void run_lane(lane *lane_x) {
    lane x = *lane_x;
    uint32_t e;
    if (x.bad || !running(&x)) {
        return;
    }
    for (;;) {
        refill(&x);
        LOOKUP_OR(x, block)
        LOOKUP_OR(x, block)
        LOOKUP_OR(x, block)
        continue;
    block:
        if (!next_block(&x, e)) {
            break;
        }
    }
    *lane_x = x;
}

/* One lookup of a lane, and what follows where that ends a block; after it there are bits for two more. */
#define STEP(x)                                                                                                        \
    LOOKUP(x)                                                                                                          \
    if ((x).state >= LAST << 8 && !next_block(&(x), e)) {                                                              \
        break;                                                                                                         \
    }

/* Runs two lanes until one of them stops. A lane waits for its own lookups most of the time. */
static void run_pair(lane *lane_x, lane *lane_y) {
    lane x = *lane_x, y = *lane_y;
    uint32_t e;
    if (x.bad || y.bad || !running(&x) || !running(&y)) {
        return;
    }
    for (;;) {
        refill(&x);
        refill(&y);
        STEP(x)
        STEP(y)
        STEP(x)
        STEP(y)
        STEP(x)
        STEP(y)
    }
    *lane_x = x;
    *lane_y = y;
}

/* Runs three lanes likewise. */
static void run_three(lane *lane_x, lane *lane_y, lane *lane_z) {
    lane x = *lane_x, y = *lane_y, z = *lane_z;
    uint32_t e;
    if (x.bad || y.bad || z.bad || !running(&x) || !running(&y) || !running(&z)) {
        return;
    }
    for (;;) {
        refill(&x);
        refill(&y);
        refill(&z);
        STEP(x)
        STEP(y)
        STEP(z)
        STEP(x)
        STEP(y)
        STEP(z)
        STEP(x)
        STEP(y)
        STEP(z)
    }
    *lane_x = x;
    *lane_y = y;
    *lane_z = z;
}

/* ---- segments ---------------------------------------------------------------------------------------------------- */

#define WORTH_THIRDS 1536 /* bytes */
#define WORTH_VECTORS 4096
#define MOST_TRIES 64

/* A lane that goes through one long segment, helped by what others saw further on. */
typedef struct {
    const uint8_t *base, *limit; /* limit: of the segment */
    const phase *ring;
    int64_t ring_size; /* marks that make an MCU */
    uint32_t *near;    /* x's own marks */
    lane x;
} walk;

/* Puts x after marks that it did not make itself. */
static void resume(walk *w, uint32_t *mark) {
    lane *x = &w->x;
    const phase *at = &w->ring[(mark - w->near - 1) % w->ring_size];
    x->mark = mark;
    x->entry = at->table->entry;
    x->after = at->next;
    seek(x, w->base, ffp_bit_of(w->base, mark[-1]), 0);
    if (at->table->dc && mark < x->mark_stop) {
        pass_dc(x);
    }
}

/* Marks of a reader, `ring_size` to an MCU, as in_step.h wants them. */
typedef struct {
    const uint32_t *marks;
    int64_t count, ring_size;
    uint32_t raw; /* added to each makes it a raw mark */
} marks;

FFP_INLINE int64_t mcu_bit(const void *reader, int64_t k) {
    const marks *m = reader;
    return k * m->ring_size < m->count ? (int64_t)(m->marks[k * m->ring_size] + m->raw) : -1;
}

/* Takes over n marks from a guessed beginning of an MCU on, each `each` of the ring. Where x falls into step with them
 * (in_step.h) the rest of `seen` is right; if that never happens, x has gone on alone. `raw` added makes them raw marks.
 * Marks between those that were seen are left as they are: read_dc does not ask for them. */
static void take_over(walk *w, const uint32_t *seen, int64_t n, int64_t each, uint32_t raw) {
    lane *x = &w->x;
    const marks its = {seen, n, w->ring_size / each, raw};
    int64_t i = (x->mark - w->near - 1) / w->ring_size, j = 0;
    while (n && i > 0 && (int32_t)(w->near[i * w->ring_size] - (seen[0] + raw)) > 0) {
        i--;
    }
    for (;;) {
        const marks own = {w->near, x->mark - w->near, w->ring_size, 0};
        const int met = ffp_find_step(mcu_bit, &own, &i, mcu_bit, &its, &j);
        if (j * its.ring_size >= n || x->bad || x->mark >= x->mark_stop) {
            return;
        }
        if (met) {
            const int64_t to = i * w->ring_size, from = j * its.ring_size, room = x->mark_stop - w->near - to;
            const int64_t left = n - from, most = (room + each - 1) / each;
            n = left < most ? left : most;
            for (int64_t m = 0; m < n; m++) {
                w->near[to + m * each] = seen[from + m] + raw;
            }
            resume(w, w->near + to + (n - 1) * each + 1);
            return;
        }
        x->limit = x->next + 64;
        run_lane(x);
    }
}

/* Puts a lane that met something that is no code, since it was out of step, on the next bit; its marks begin at `marks`
 * anew. 0 when it is well, or near its end. */
static int begin_anew(const walk *w, lane *y, uint32_t *marks) {
    const uint32_t bit = ffp_bit_of(w->base, raw_bit(y));
    if (!y->bad || bit + 64 > (uint32_t)(y->limit - w->base) * 8) {
        return 0;
    }
    *y = start_lane(w->base, w->ring, bit + 1, marks, y->mark_stop - marks, y->limit);
    return 1;
}

/* From the segment's start and from two places further on at once. `far` has room for twice as many marks as x makes. */
static void run_thirds(walk *w, uint32_t *far) {
    lane *x = &w->x;
    const uint32_t begin = ffp_bit_of(w->base, *w->near), end = (uint32_t)(w->limit - w->base) * 8;
    const uint32_t second = begin + (end - begin) / 3, third = second + (end - begin) / 3;
    const int64_t marks = x->mark_stop - w->near;
    uint32_t *further = far + marks + MARK_SLACK;
    x->limit = w->base + (second >> 3) + 8;
    lane y = start_lane(w->base, w->ring, second, far, marks, w->base + (third >> 3) + 8);
    lane z = start_lane(w->base, w->ring, third, further, marks, w->limit);
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        run_three(x, &y, &z);
        if (!begin_anew(w, &y, far) && !begin_anew(w, &z, further)) {
            break;
        }
    }
    run_pair(x, &y);
    run_pair(x, &z);
    run_pair(&y, &z);
    run_lane(x);
    run_lane(&y);
    run_lane(&z);
    take_over(w, far, y.mark - far, 1, 0);
    take_over(w, further, z.mark - further, 1, 0);
}

static void run_vectors(walk *w, ffp_mark_log *log, const skim_table *first) {
    uint32_t begin = ffp_bit_of(w->base, *w->near), end = (uint32_t)(w->limit - w->base - 8) * 8;
    log->skimmer->run(w->base, first, w->ring, (int32_t)w->ring_size, begin, end, log);
    for (int l = 0; l < FFP_SKIM_LANES; l++) {
        const uint32_t raw = *w->near - begin;
        take_over(w, log->marks + log->begin[l], log->begin[l + 1] - log->begin[l], 2, raw);
    }
}

/* All MCUs of the segment must be there, and nothing but padding may be left, bits up to the byte's end, then zero or FF
 * bytes, of which libjpeg warns, except after the last MCU of all. */
static int32_t check_segment(const lane *x, const uint32_t *marks, int64_t n, ffp_skim *skim, int64_t segment) {
    int64_t end = skim->segment_begin[segment + 1] * 8;
    if (x->mark - marks < n) {
        return x->bad && ffp_bit_of(skim->bytes, raw_bit(x)) + 32 < end ? FFP_CORRUPT_SCAN : FFP_TRUNCATED_SCAN;
    }
    int64_t last = ffp_bit_of(skim->bytes, marks[n - 1]);
    if (last > end) {
        return FFP_TRUNCATED_SCAN;
    }
    const int64_t used = (last + 7) >> 3;
    if (used < end >> 3) {
        *(segment + 1 < skim->segments ? &skim->padded_before : &skim->padded) = 1;
    }
    for (int64_t i = used; i < end >> 3; i++) {
        if (skim->bytes[i] != 0 && skim->bytes[i] != 0xFF) {
            if (segment + 1 < skim->segments) {
                return FFP_CORRUPT_SCAN;
            }
            skim->left_over = 1;
            break;
        }
    }
    skim->segment_end[segment] = (uint32_t)last;
    return FFP_OK;
}

/* Segments two by two, a single one from several places at once. */
int32_t ffp_skim_segments(const ffp_header *header, ffp_skim *skim, const phase *ring, const skim_table *first,
                          ffp_mark_log *log) {
    int64_t ring_size = 2 * header->blocks_per_mcu, left = skim->blocks * 2;
    int64_t each = header->restart_interval ? header->restart_interval * ring_size : left;
    uint32_t *near = skim->bit, *far = log->marks;
    int32_t status = FFP_OK;
    for (int64_t i = 0; i < skim->segments && status == FFP_OK; i += 2) {
        int64_t marks = left < each ? left : each, more = left - marks < each ? left - marks : each;
        const int64_t *begin = skim->segment_begin + i;
        const uint8_t *limit = skim->bytes + begin[1] + 8;
        walk w = {.base = skim->bytes, .limit = limit, .ring = ring, .ring_size = ring_size, .near = near};
        w.x = start_lane(skim->bytes, ring, (uint32_t)begin[0] * 8, near, marks + 1, limit);
        if (more) {
            lane y = start_lane(skim->bytes, ring, (uint32_t)begin[1] * 8, far, more + 1, skim->bytes + begin[2] + 8);
            run_pair(&w.x, &y);
            run_lane(&y);
            status = check_segment(&y, far, more + 1, skim, i + 1);
        } else if (begin[1] - begin[0] >= WORTH_VECTORS && begin[1] < FFP_VECTOR_BYTES &&
                   ring_size <= FFP_VECTOR_PHASES && log->skimmer) {
            run_vectors(&w, log, first);
        } else if (begin[1] - begin[0] >= WORTH_THIRDS) {
            run_thirds(&w, far);
        }
        w.x.limit = limit;
        run_lane(&w.x);
        status = status == FFP_OK ? check_segment(&w.x, near, marks + 1, skim, i) : status;
        memcpy(near + marks, far, (size_t)more * sizeof *far);
        near += marks + more;
        left -= marks + more;
    }
    return status;
}
