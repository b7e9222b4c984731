/* Lanes: places in entropy-coded data that move on from code to code and note where blocks begin.
 *
 * The inner loop runs two lanes at once, since each lookup waits for the one before it: through two restart segments, or
 * through the two halves of one.
 */
#include "skim.h"

/* ---- lanes ------------------------------------------------------------------------------------------------------- */

/* A place in the data. Each end of a phase is written to *mark as a raw bit: see ffp_bit_of. */
typedef struct {
    const uint8_t *next;              /* the byte to load next */
    uint64_t bits;                    /* left-aligned */
    uint32_t state;                   /* k << 8 | 63 - how many of `bits` are valid; what is behind them is right or 0 */
    const uint16_t *entry;            /* of the phase's table */
    const phase *after;               /* the phase that follows */
    uint32_t *mark, *mark_stop;       /* stops soon after mark_stop: MARK_SLACK more are written at most */
    const uint8_t *limit;             /* stops soon after `next` is here */
    int32_t bad;                      /* it met something that is no code */
} lane;

#define INLINE static inline __attribute__((always_inline))

/* At least 56 valid bits. */
INLINE void refill(lane *x) {
    x->bits |= ffp_load_be64(x->next) >> (~x->state & 63);
    x->next += (x->state & 63) >> 3;
    x->state &= ~56u;
}

/* Bits since address 0, so to speak, and 63 too many. Differences are what counts. */
INLINE uint32_t raw_bit(const lane *x) { return (uint32_t)((uintptr_t)x->next * 8 + (x->state & 63)); }

INLINE void seek(lane *x, const uint8_t *at, uint32_t bit, uint32_t k) {
    x->next = at + (bit >> 3);
    x->bits = 0;
    x->state = 63;
    refill(x);
    x->bits <<= bit & 7;
    x->state += k << 8 | (bit & 7);
}

INLINE int running(const lane *x) { return x->mark < x->mark_stop && x->next < x->limit; }

/* One symbol at `bit` of *at, k being as it was before. Returns its bits, 0 for no code or one that overruns the block;
 * *k becomes PHASE_END at the end of the phase. */
static __attribute__((noinline)) uint32_t step(const skim_table *t, const uint8_t *at, uint32_t bit, uint32_t *k) {
    uint32_t symbol = 0, n = ffp_skim_find(t, ffp_load_be64(at) << bit, &symbol), size = symbol & 15;
    if (n == 0) {
        return 0;
    }
    if (t->dc || symbol == 0) {
        *k = PHASE_END;
        return symbol <= FFP_MAX_DC_SIZE ? n + symbol : 0;
    }
    *k += (symbol >> 4) + 1;
    if (!ffp_ac_allowed((int32_t)symbol) || *k > 64) {
        return 0;
    }
    *k = *k == 64 ? PHASE_END : *k;
    return n + size;
}

INLINE const skim_table *table_of(const lane *x) {
    return (const skim_table *)(const void *)x->entry; /* its first member */
}

INLINE void end_phase(lane *x) {
    *x->mark++ = raw_bit(x);
    x->entry = x->after->table->entry;
    x->after = x->after->next;
    x->state = (x->state & 63) | 1 << 8;
}

/* Does again by search what the lookup e did. 0 when there is no valid code. */
INLINE int search_again(lane *x, uint32_t e) {
    uint32_t k = (x->state - e) >> 8, back = 63 - (x->state & 63) + (e & 63), bit = -back & 7;
    const uint8_t *at = x->next - ((back + 7) >> 3);
    uint32_t n = step(table_of(x), at, bit, &k);
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

/* A lane at the first AC code of an MCU that begins at `bit`. */
static lane start_lane(const uint8_t *base, const phase *ring, uint32_t bit, uint32_t *mark, int64_t marks,
                       const uint8_t *limit) {
    lane x = {.entry = ring->table->entry, .after = ring->next, .mark = mark, .mark_stop = mark + marks, .limit = limit};
    uint32_t e;
    seek(&x, base, bit, 1);
    *x.mark++ = raw_bit(&x);
    LOOKUP(x)
    if (!(x.state & LOOK_CLOSER) || search_again(&x, e)) {
        end_phase(&x);
    }
    return x;
}

/* After a lookup that took k to 64 or more: to the next block's first AC code. 0 when the lane has to stop. */
INLINE int next_block(lane *x, uint32_t e) {
    if (__builtin_expect(x->state & LOOK_CLOSER && x->state >> 8 != 64, 0)) {
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

#define LOOKUP_OR(x, stop)                                                                                            \
    LOOKUP(x)                                                                                                          \
    if ((x).state >= LOOK_CLOSER) {                                                                                    \
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
        LOOKUP_OR(x, block_x)
        LOOKUP_OR(y, block_y)
        LOOKUP_OR(x, block_x)
        LOOKUP_OR(y, block_y)
        LOOKUP_OR(x, block_x)
        LOOKUP_OR(y, block_y)
        continue;
    block_x:
        if (!next_block(&x, e)) {
            break;
        }
        continue;
    block_y:
        if (!next_block(&y, e)) {
            break;
        }
    }
    *lane_x = x;
    *lane_y = y;
}

/* ---- segments ---------------------------------------------------------------------------------------------------- */

#define WORTH_SPLITTING 1024          /* bytes */
#define MOST_TRIES 64

/* Runs a lane through a long segment by way of a second one that begins in the middle, guessing that an MCU begins
 * there. Huffman codes fall into step after a while; where x comes upon an MCU that begins at a bit where y saw one begin,
 * the rest of what y saw is right. If that never happens, x goes on to the end alone. `ring_size` marks make an MCU; x
 * writes its marks to `near`, and `far` has room for as many. */
static void run_split(lane *x, const uint8_t *base, const phase *ring, int64_t ring_size, uint32_t *near,
                      uint32_t *far) {
    const uint8_t *limit = x->limit;
    uint32_t begin = ffp_bit_of(base, *near), end = (uint32_t)(limit - base) * 8, middle = begin + (end - begin) / 2;
    int64_t marks = x->mark_stop - near, i = 0, j = 0;
    lane y = start_lane(base, ring, middle, far, marks, limit);
    x->limit = base + (middle >> 3) + 8;
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        run_pair(x, &y);
        if (!y.bad || ffp_bit_of(base, raw_bit(&y)) + 64 > end) {
            break;
        }
        y = start_lane(base, ring, ffp_bit_of(base, raw_bit(&y)) + 1, far, marks, limit); /* out of step: begin anew */
    }
    run_lane(x);
    run_lane(&y);
    while (!x->bad && x->mark < x->mark_stop) {
        while (i < x->mark - near && j < y.mark - far && near[i] != far[j]) {
            if ((int32_t)(near[i] - far[j]) < 0) {
                i += ring_size;
            } else {
                j += ring_size;
            }
        }
        if (j >= y.mark - far) {
            x->limit = limit;
            run_lane(x);
            return;
        }
        if (i < x->mark - near) {
            int64_t n = marks - i < y.mark - far - j ? marks - i : y.mark - far - j;
            memcpy(near + i, far + j, (size_t)n * sizeof *far);
            y.mark = near + i + n;
            *x = y;
            return;
        }
        x->limit += 64;
        run_lane(x);
    }
}

/* All MCUs of the segment must be there, and nothing but padding may be left: bits up to the byte's end, then zero or FF
 * bytes. */
static int32_t check_segment(const lane *x, const uint32_t *marks, int64_t n, const ffp_skim *skim, int64_t segment) {
    int64_t end = skim->segment_begin[segment + 1] * 8;
    if (x->mark - marks < n) {
        return x->bad && ffp_bit_of(skim->bytes, raw_bit(x)) + 32 < end ? FFP_CORRUPT_SCAN : FFP_TRUNCATED_SCAN;
    }
    int64_t last = ffp_bit_of(skim->bytes, marks[n - 1]);
    if (last > end) {
        return FFP_TRUNCATED_SCAN;
    }
    for (int64_t i = (last + 7) >> 3; i < end >> 3; i++) {
        if (skim->bytes[i] != 0 && skim->bytes[i] != 0xFF) {
            return FFP_CORRUPT_SCAN;
        }
    }
    skim->segment_end[segment] = (uint32_t)last;
    return FFP_OK;
}

/* Segments two by two, a single one in two halves. */
int32_t ffp_skim_segments(const ffp_header *header, ffp_skim *skim, const phase *ring) {
    int64_t ring_size = 2 * header->blocks_per_mcu, left = skim->blocks * 2;
    int64_t each = header->restart_interval ? header->restart_interval * ring_size : left;
    uint32_t *near = skim->bit, *far = near + left + 1 + MARK_SLACK;
    int32_t status = FFP_OK;
    for (int64_t i = 0; i < skim->segments && status == FFP_OK; i += 2) {
        int64_t marks = left < each ? left : each, more = left - marks < each ? left - marks : each;
        const int64_t *begin = skim->segment_begin + i;
        lane x = start_lane(skim->bytes, ring, (uint32_t)begin[0] * 8, near, marks + 1, skim->bytes + begin[1] + 8);
        if (more) {
            lane y = start_lane(skim->bytes, ring, (uint32_t)begin[1] * 8, far, more + 1, skim->bytes + begin[2] + 8);
            run_pair(&x, &y);
            run_lane(&x);
            run_lane(&y);
            status = check_segment(&y, far, more + 1, skim, i + 1);
        } else if (begin[1] - begin[0] < WORTH_SPLITTING) {
            run_lane(&x);
        } else {
            run_split(&x, skim->bytes, ring, ring_size, near, far);
        }
        status = status == FFP_OK ? check_segment(&x, near, marks + 1, skim, i) : status;
        memcpy(near + marks, far, (size_t)more * sizeof *far);
        near += marks + more;
        left -= marks + more;
    }
    return status;
}
