/* Skimming in many places at once, one in each lane of AVX-512 vectors, as skim_lane.c does it in two or three.
 *
 * Two vectors of lanes take turns, since each lookup waits for the one before it. Each lane loads 64 bits at its place,
 * which suffice for three lookups. Where blocks begin is appended to a log of the vector, which is sorted by lanes at the
 * end. What a lookup cannot settle is done lane by lane.
 */
#include <string.h>

#include "skim/marks.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,bmi2,popcnt")))
#define INLINE static inline TARGET __attribute__((always_inline))

enum { LANES = 16, VECTORS = FFP_SKIM_LANES / LANES, FEW = 3, MOST_TRIES = 64, LANE_SHIFT = 28 };

#define WORTH_BOTH (16384 * 8) /* bits from which on there are lanes in both vectors */
#define OVERLAP 1536           /* bits that a lane goes on beyond its end, to fall into step with the next one */

/* One vector of lanes. */
typedef struct {
    __m512i bit, k;    /* k << 8 */
    __m512i phase;     /* its number, and from bit 8 on the offset of its table from the first one's entries */
    __m512i high, low; /* the bits at each place, as far as they are loaded */
    __m512i end, tag;  /* tag: added to a bit it makes what is logged */
    __m512i count;     /* how many blocks began in each lane since it began */
    __mmask16 active;  /* lanes that are not at their end */
    uint32_t *log;
} state;

typedef struct {
    const uint8_t *base;
    const skim_table *first; /* table */
    const phase *ring;
    __m512i next[2]; /* of each phase, the one that follows */
    __m512i swap, even, odd;
    uint32_t *log_start;
    int64_t began[LANES]; /* place in the log */
    uint32_t start[LANES];
    int32_t tries;
} plan;

static uint32_t offset_of(const plan *p, int32_t phase) {
    return (uint32_t)((const uint16_t *)(const void *)p->ring[phase].table - (const uint16_t *)(const void *)p->first);
}

/* Loads the bits at the lanes' places: 57 at least. */
INLINE void refill(const plan *p, state *s) {
    const __m512i at = _mm512_srli_epi32(s->bit, 3), within = _mm512_and_si512(s->bit, _mm512_set1_epi32(7));
    s->active = _mm512_cmplt_epu32_mask(s->bit, s->end);
    const __m512i zero = _mm512_setzero_si512();
    const __m512i a = _mm512_mask_i32gather_epi64(zero, (__mmask8)s->active, _mm512_castsi512_si256(at), p->base, 1);
    const __m512i b = _mm512_mask_i32gather_epi64(zero, (__mmask8)(s->active >> 8), _mm512_extracti64x4_epi64(at, 1),
                                                  p->base, 1);
    const __m512i high = _mm512_shuffle_epi8(_mm512_permutex2var_epi32(a, p->even, b), p->swap);
    const __m512i low = _mm512_shuffle_epi8(_mm512_permutex2var_epi32(a, p->odd, b), p->swap);
    s->high = _mm512_shldv_epi32(high, low, within);
    s->low = _mm512_sllv_epi32(low, within);
}

/* Steps by search in the lanes whose lookup called for a closer look, e being what they looked up. A lane that finds no code
 * begins anew one bit further on; the first lane of all, which began where an MCU does, stops instead, and so does any lane
 * once that has happened too often. */
TARGET static __attribute__((noinline)) void closer(plan *p, state *s, __m512i e, uint32_t which, int is_first) {
    uint32_t bit[LANES], k[LANES], phase[LANES], entry[LANES], end[LANES], count[LANES];
    _mm512_storeu_si512(bit, s->bit);
    _mm512_storeu_si512(k, s->k);
    _mm512_storeu_si512(phase, s->phase);
    _mm512_storeu_si512(entry, e);
    _mm512_storeu_si512(end, s->end);
    _mm512_storeu_si512(count, s->count);
    for (; which; which &= which - 1) {
        int l = __builtin_ctz(which);
        uint32_t at = bit[l] - (entry[l] & 63), now = (k[l] - (entry[l] & 0xFF00)) >> 8;
        uint32_t n = ffp_skim_step(p->ring[phase[l] & 0xFF].table, p->base + (at >> 3), at & 7, &now);
        if (n) {
            bit[l] = at + n;
            k[l] = now << 8;
            continue;
        }
        bit[l] = at;
        k[l] = 1 << 8;
        if ((l == 0 && is_first) || p->tries++ >= MOST_TRIES) {
            end[l] = 0;
            continue;
        }
        phase[l] = offset_of(p, 0) << 8;
        bit[l] = p->start[l] = at + 1;
        p->began[l] = s->log - p->log_start;
        count[l] = 0;
    }
    s->bit = _mm512_loadu_si512(bit);
    s->k = _mm512_loadu_si512(k);
    s->phase = _mm512_loadu_si512(phase);
    s->count = _mm512_loadu_si512(count);
    s->end = _mm512_loadu_si512(end);
    refill(p, s);
}

/* One lookup in each lane. */
INLINE void look_up(plan *p, state *s, int is_first) {
    const __m512i block_end = _mm512_set1_epi32(LOOK_CLOSER), one = _mm512_set1_epi32(1);
    const __m512i at = _mm512_add_epi32(_mm512_srli_epi32(s->high, 32 - SKIM_BITS), _mm512_srli_epi32(s->phase, 8));
    const __m512i e = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), s->active, at, p->first->entry, 2);
    const __m512i skip = _mm512_and_si512(e, _mm512_set1_epi32(63));
    s->high = _mm512_shldv_epi32(s->high, s->low, e); /* by the lowest five bits of e, as skip is at most MOST_SKIP */
    s->low = _mm512_sllv_epi32(s->low, skip);
    s->bit = _mm512_add_epi32(s->bit, skip);
    s->k = _mm512_add_epi32(s->k, _mm512_and_si512(e, _mm512_set1_epi32(0xFF00)));
    __mmask16 ended = _mm512_cmpge_epu32_mask(s->k, block_end);
    const __mmask16 odd = _mm512_mask_cmpneq_epu32_mask(ended, s->k, block_end);
    const __mmask16 look = _mm512_mask_test_epi32_mask(odd, s->k, block_end);
    if (__builtin_expect(look, 0)) {
        state copy = *s; /* a state whose address nobody takes stays in registers */
        closer(p, &copy, e, look, is_first);
        *s = copy;
        ended = _mm512_cmpge_epu32_mask(s->k, block_end);
    }
    const __mmask16 begun = _mm512_mask_test_epi32_mask(ended, s->phase, one); /* after AC codes */
    _mm512_storeu_si512(s->log, _mm512_maskz_compress_epi32(begun, _mm512_add_epi32(s->bit, s->tag)));
    s->log += __builtin_popcount(begun);
    s->count = _mm512_mask_add_epi32(s->count, begun, s->count, one);
    s->k = _mm512_mask_mov_epi32(s->k, ended, _mm512_set1_epi32(1 << 8));
    s->phase = _mm512_mask2_permutex2var_epi32(p->next[0], s->phase, ended, p->next[1]);
}

INLINE int goes_on(const state *s, const uint32_t *log_end) {
    return __builtin_popcount(_mm512_cmplt_epu32_mask(s->bit, s->end)) > FEW && s->log < log_end;
}

TARGET static void run(plan *p, state *whole, const uint32_t *const log_end[VECTORS]) {
    state s = whole[0], t = whole[1];
    while (goes_on(&s, log_end[0]) && goes_on(&t, log_end[1])) {
        refill(&p[0], &s);
        refill(&p[1], &t);
        look_up(&p[0], &s, 1);
        look_up(&p[1], &t, 0);
        look_up(&p[0], &s, 1);
        look_up(&p[1], &t, 0);
        look_up(&p[0], &s, 1);
        look_up(&p[1], &t, 0);
    }
    while (goes_on(&s, log_end[0])) {
        refill(&p[0], &s);
        look_up(&p[0], &s, 1);
        look_up(&p[0], &s, 1);
        look_up(&p[0], &s, 1);
    }
    while (goes_on(&t, log_end[1])) {
        refill(&p[1], &t);
        look_up(&p[1], &t, 0);
        look_up(&p[1], &t, 0);
        look_up(&p[1], &t, 0);
    }
    whole[0] = s;
    whole[1] = t;
}

/* The marks of lane l of each vector in turn, each lane's beginning first. */
TARGET static void sort_marks(const plan p[VECTORS], const state s[VECTORS], const uint32_t origin[FFP_SKIM_LANES],
                              int vectors, ffp_mark_log *log) {
    uint32_t count[VECTORS][LANES], *to[VECTORS][LANES], *at = log->marks;
    for (int v = 0; v < VECTORS; v++) {
        _mm512_storeu_si512(count[v], s[v].count);
    }
    for (int l = 0; l < FFP_SKIM_LANES; l++) {
        const int v = l % VECTORS, lane = l / VECTORS;
        log->begin[l] = at - log->marks;
        if (v >= vectors) {
            continue;
        }
        *at = p[v].start[lane];
        to[v][lane] = at + 1;
        at += 1 + count[v][lane];
    }
    log->begin[FFP_SKIM_LANES] = at - log->marks;
    for (int v = 0; v < vectors; v++) {
        for (const uint32_t *entry = p[v].log_start; entry < s[v].log; entry++) {
            const uint32_t lane = *entry >> LANE_SHIFT;
            if (entry - p[v].log_start >= p[v].began[lane]) {
                *to[v][lane]++ = (*entry & ((1u << LANE_SHIFT) - 1)) + origin[lane * VECTORS + (uint32_t)v];
            }
        }
    }
}

TARGET void ffp_skim_avx512(const uint8_t *base, const skim_table *first, const phase *ring, int32_t ring_size,
                            uint32_t begin, uint32_t end, ffp_mark_log *log) {
    plan p[VECTORS];
    state s[VECTORS];
    const uint32_t *log_end[VECTORS];
    uint32_t next[2 * LANES] = {0}, origin[FFP_SKIM_LANES];
    const int vectors = end - begin >= WORTH_BOTH ? VECTORS : 1;
    const uint64_t lanes = (uint64_t)vectors * LANES, span = end - begin;
    for (int v = 0; v < VECTORS; v++) {
        uint32_t stop[LANES], tag[LANES];
        memset(&p[v], 0, sizeof p[v]);
        p[v].base = base;
        p[v].first = first;
        p[v].ring = ring;
        p[v].swap = _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
        p[v].even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
        p[v].odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
        p[v].log_start = log->bit + v * (log->capacity / VECTORS + LOG_SLACK);
        log_end[v] = p[v].log_start + log->capacity / VECTORS;
        for (int l = 0; l < LANES; l++) {
            const uint64_t n = (uint64_t)(l * vectors + v);
            const uint32_t from = begin + (uint32_t)(span * n / lanes);
            const uint32_t to = begin + (uint32_t)(span * (n + 1) / lanes) + OVERLAP;
            origin[l * VECTORS + v] = p[v].start[l] = from;
            stop[l] = v >= vectors ? 0 : to < end ? to : end;
            tag[l] = ((uint32_t)l << LANE_SHIFT) - from;
        }
        for (int32_t i = 0; i < ring_size; i++) {
            const int32_t follows = i + 1 < ring_size ? i + 1 : 0;
            next[i] = (uint32_t)follows | offset_of(&p[v], follows) << 8;
        }
        p[v].next[0] = _mm512_loadu_si512(next);
        p[v].next[1] = _mm512_loadu_si512(next + LANES);
        s[v] = (state){.bit = _mm512_loadu_si512(p[v].start),
                       .k = _mm512_set1_epi32(1 << 8),
                       .phase = _mm512_set1_epi32((int)(offset_of(&p[v], 0) << 8)),
                       .end = _mm512_loadu_si512(stop),
                       .tag = _mm512_loadu_si512(tag),
                       .log = p[v].log_start};
    }
    run(p, s, log_end);
    sort_marks(p, s, origin, vectors, log);
}

#else
void ffp_skim_avx512(const uint8_t *base, const skim_table *first, const phase *ring, int32_t ring_size, uint32_t begin,
                     uint32_t end, ffp_mark_log *log) {
    (void)base, (void)first, (void)ring, (void)ring_size, (void)begin, (void)end;
    memset(log->begin, 0, sizeof log->begin);
}
#endif
