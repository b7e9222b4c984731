/* Skimming in sixteen places at once, one in each lane of AVX-512 vectors, as skim_lane.c does it in two.
 *
 * A step loads 32 bits at each lane's place and makes up to two lookups in them. Where phases end in a step, their places
 * are appended to one log, which is sorted by lanes at the end. What a lookup cannot settle is done lane by lane.
 */
#include <string.h>

#include "skim/marks.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")))
#define INLINE static inline TARGET __attribute__((always_inline))

enum { LANES = FFP_SKIM_LANES, FEW = 3, MOST_TRIES = 64 };

typedef struct {
    __m512i bit, k, phase, table; /* k << 8; offset of the phase's table from the first one's entries */
    __m512i count;                /* marks a lane has made since it began */
    uint32_t *log_bit, *log_end;
    uint8_t *log_lane;
} state;

typedef struct {
    const uint8_t *base;
    const skim_table *first; /* table */
    const phase *ring;
    int32_t ring_size;
    __m512i tables[2]; /* of each phase */
    __m512i end;
    int64_t began[LANES]; /* place in the log */
    uint32_t start[LANES];
    int32_t tries;
} plan;

static int64_t offset_of(const plan *p, int32_t phase) {
    return (const uint16_t *)(const void *)p->ring[phase].table - (const uint16_t *)(const void *)p->first;
}

/* Steps by search in the lanes whose lookup called for a closer look, e being what they looked up. A lane that finds no code
 * begins anew one bit further on; the first lane, which began where an MCU does, stops instead, and so does any lane once
 * that has happened too often. */
TARGET static __attribute__((noinline)) void closer(plan *p, state *s, __m512i e, uint32_t which, int64_t logged) {
    uint32_t bit[LANES], k[LANES], phase[LANES], entry[LANES], end[LANES], count[LANES];
    _mm512_storeu_si512(bit, s->bit);
    _mm512_storeu_si512(k, s->k);
    _mm512_storeu_si512(phase, s->phase);
    _mm512_storeu_si512(entry, e);
    _mm512_storeu_si512(end, p->end);
    _mm512_storeu_si512(count, s->count);
    for (; which; which &= which - 1) {
        int l = __builtin_ctz(which);
        uint32_t at = bit[l] - (entry[l] & 63), now = (k[l] - (entry[l] & 0xFF00)) >> 8;
        uint32_t n = ffp_skim_step(p->ring[phase[l]].table, p->base + (at >> 3), at & 7, &now);
        if (n) {
            bit[l] = at + n;
            k[l] = now << 8;
            continue;
        }
        bit[l] = at;
        k[l] = 1 << 8;
        if (l == 0 || p->tries++ >= MOST_TRIES) {
            end[l] = 0;
            continue;
        }
        phase[l] = 0;
        bit[l] = p->start[l] = at + 1;
        p->began[l] = logged;
        count[l] = 0;
    }
    s->bit = _mm512_loadu_si512(bit);
    s->k = _mm512_loadu_si512(k);
    s->phase = _mm512_loadu_si512(phase);
    s->count = _mm512_loadu_si512(count);
    s->table = _mm512_permutex2var_epi32(p->tables[0], s->phase, p->tables[1]);
    p->end = _mm512_loadu_si512(end);
}

/* Moves the state on by the lookups e (0: none). */
INLINE void take(plan *p, state *s, __m512i e, uint32_t *log_start) {
    const __m512i one = _mm512_set1_epi32(1);
    const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    s->bit = _mm512_add_epi32(s->bit, _mm512_and_si512(e, _mm512_set1_epi32(63)));
    s->k = _mm512_add_epi32(s->k, _mm512_and_si512(e, _mm512_set1_epi32(0xFF00)));
    __mmask16 whole = _mm512_cmpeq_epi32_mask(s->k, _mm512_set1_epi32(64 << 8));
    __mmask16 look = _mm512_test_epi32_mask(s->k, _mm512_set1_epi32(LOOK_CLOSER)) & (__mmask16)~whole;
    if (__builtin_expect(look, 0)) {
        state copy = *s; /* a state whose address nobody takes stays in registers */
        closer(p, &copy, e, look, s->log_bit - log_start);
        *s = copy;
    }
    __mmask16 ended = whole | _mm512_test_epi32_mask(s->k, _mm512_set1_epi32(PHASE_END << 8));
    _mm512_storeu_si512(s->log_bit, _mm512_maskz_compress_epi32(ended, s->bit));
    _mm_storeu_si128((__m128i *)(void *)s->log_lane, _mm512_cvtepi32_epi8(_mm512_maskz_compress_epi32(ended, lanes)));
    uint32_t n = (uint32_t)__builtin_popcount(ended);
    s->log_bit += n;
    s->log_lane += n;
    s->count = _mm512_mask_add_epi32(s->count, ended, s->count, one);
    s->k = _mm512_mask_mov_epi32(s->k, ended, _mm512_set1_epi32(1 << 8));
    s->phase = _mm512_mask_add_epi32(s->phase, ended, s->phase, one);
    s->phase = _mm512_mask_mov_epi32(s->phase, _mm512_cmpeq_epi32_mask(s->phase, _mm512_set1_epi32(p->ring_size)),
                                     _mm512_setzero_si512());
    s->table = _mm512_permutex2var_epi32(p->tables[0], s->phase, p->tables[1]);
}

INLINE __m512i look_up(const plan *p, const state *s, __mmask16 which, __m512i bits) {
    __m512i at = _mm512_add_epi32(_mm512_srli_epi32(bits, 32 - SKIM_BITS), s->table);
    __m512i e = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), which, at, p->first->entry, 2);
    return _mm512_and_si512(e, _mm512_set1_epi32(0xFFFF));
}

TARGET static void run(plan *p, state *whole) {
    state s = *whole;
    uint32_t *log_start = s.log_bit;
    const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    while (s.log_bit < s.log_end) {
        __mmask16 active = _mm512_cmplt_epu32_mask(s.bit, p->end);
        if (__builtin_popcount(active) <= FEW) {
            break;
        }
        __m512i bits = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), active, _mm512_srli_epi32(s.bit, 3), p->base,
                                                   1);
        bits = _mm512_sllv_epi32(_mm512_shuffle_epi8(bits, swap), _mm512_and_si512(s.bit, _mm512_set1_epi32(7)));
        __m512i e = look_up(p, &s, active, bits), skip = _mm512_and_si512(e, _mm512_set1_epi32(63)), before = s.bit;
        take(p, &s, e, log_start);
        /* 25 bits were there; the second lookup needs SKIM_BITS of them, and a place that is where the first one led */
        __mmask16 again = _mm512_mask_cmple_epu32_mask(active, skip, _mm512_set1_epi32(25 - SKIM_BITS));
        again = _mm512_mask_cmpeq_epi32_mask(again, s.bit, _mm512_add_epi32(before, skip));
        take(p, &s, look_up(p, &s, again, _mm512_sllv_epi32(bits, skip)), log_start);
    }
    *whole = s;
}

TARGET void ffp_skim_avx512(const uint8_t *base, const skim_table *first, const phase *ring, int32_t ring_size,
                            uint32_t begin, uint32_t end, ffp_mark_log *log) {
    plan p = {.base = base, .first = first, .ring = ring, .ring_size = ring_size};
    uint32_t stop[LANES], table[2 * LANES] = {0}, entered[LANES];
    for (int32_t i = 0; i < ring_size; i++) {
        table[i] = (uint32_t)offset_of(&p, i);
    }
    for (int l = 0; l < LANES; l++) {
        p.start[l] = begin + (uint32_t)((uint64_t)(end - begin) * (uint64_t)l / LANES);
        stop[l] = begin + (uint32_t)((uint64_t)(end - begin) * (uint64_t)(l + 1) / LANES);
    }
    p.tables[0] = _mm512_loadu_si512(table);
    p.tables[1] = _mm512_loadu_si512(table + LANES);
    p.end = _mm512_loadu_si512(stop);
    state s = {.bit = _mm512_loadu_si512(p.start),
               .k = _mm512_set1_epi32(1 << 8),
               .log_bit = log->bit,
               .log_lane = log->lane,
               .log_end = log->bit + log->capacity};
    s.phase = s.count = _mm512_setzero_si512();
    s.table = _mm512_permutex2var_epi32(p.tables[0], s.phase, p.tables[1]);
    run(&p, &s);
    _mm512_storeu_si512(entered, s.count);
    /* room for the lanes' marks, each lane's start first */
    uint32_t *to[LANES], *at = log->marks;
    for (int l = 0; l < LANES; l++) {
        log->begin[l] = at - log->marks;
        *at = p.start[l];
        to[l] = at + 1;
        at += 1 + entered[l];
    }
    log->begin[LANES] = at - log->marks;
    for (int64_t i = 0; i < s.log_bit - log->bit; i++) {
        int l = log->lane[i];
        if (i >= p.began[l]) {
            *to[l]++ = log->bit[i];
        }
    }
}

#else
void ffp_skim_avx512(const uint8_t *base, const skim_table *first, const phase *ring, int32_t ring_size, uint32_t begin,
                     uint32_t end, ffp_mark_log *log) {
    (void)base, (void)first, (void)ring, (void)ring_size, (void)begin, (void)end;
    memset(log->begin, 0, sizeof log->begin);
}
#endif
