/* Huffman decoding of 16 or 32 jobs at once, one in each 32-bit lane of AVX-512 vectors.
 *
 * A lane takes four symbols from 128 bits loaded at its byte position (a code and its value take 27 bits at most), with
 * no branch at the end of a block or at a long code: the next table and the next place are selected. When a job is done
 * its lane gets the next one; when there is none and half of the lanes are idle, two groups become one. Jobs that do
 * not end as they should are decoded again by the scalar decoder, which gives the status. */
#include "lanes.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define TARGET \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi,bmi2,lzcnt,popcnt")))
#define INLINE static inline TARGET __attribute__((always_inline))

TARGET static int64_t unstuff(const uint8_t *in, int64_t n, uint8_t *out, int64_t *taken) {
    const __m512i ff = _mm512_set1_epi8(-1);
    const uint8_t *start_in = in, *start = out;
    uint64_t carry = 0;               /* bit 0: the byte before was FF */
    for (; n > 0; n -= 64, in += 64) {
        uint64_t valid = n >= 64 ? ~0ull : (1ull << n) - 1;
        __m512i v = _mm512_maskz_loadu_epi8(valid, in);
        uint64_t is_ff = _mm512_cmpeq_epi8_mask(v, ff), after = is_ff << 1 | carry;
        uint64_t marker = _mm512_mask_test_epi8_mask(after & valid, v, v); /* FF, not 00: its second byte */
        if (n < 64) {
            marker |= (is_ff & ~(valid >> 1)) << 1; /* a lone FF: the byte behind the end */
        }
        if (__builtin_expect(marker != 0, 0)) {
            int64_t at = __builtin_ctzll(marker) - 1; /* of the FF, -1: the last byte of the vector before */
            valid = at > 0 ? (1ull << at) - 1 : 0;
            out -= at < 0;
            n = at;
        }
        uint64_t keep = valid & ~after;
        _mm512_storeu_si512(out, _mm512_maskz_compress_epi8(keep, v));
        out += __builtin_popcountll(keep);
        carry = is_ff >> 63;
        if (__builtin_expect(marker != 0, 0)) {
            *taken = in + n - start_in;
            return out - start;
        }
    }
    *taken = in + n - start_in - (int64_t)carry;
    return out - start - (int64_t)carry;
}

typedef struct {
    __m512i pos, limit, place, base, last, block, ac, dc_next, table, reached; /* as in ffp_lanes */
    __mmask16 active;
} lanes;

typedef struct {
    const uint32_t *table;
    const uint8_t *bytes;
    int16_t *coef;
    __m512i next, dc_next;            /* ffp_lane_plan */
    __m512i idle;                     /* where lanes at rest write */
    __m512i limit;                    /* byte behind the last of all */
    __m512i swap, word, end, block, side, drop, more, bad;
    __mmask32 low;
} constants;

/* The 128 bits at the lanes' positions, as four vectors. */
INLINE void load_bits(const constants *c, __m512i pos, __m512i w[4]) {
    uint32_t at[16] __attribute__((aligned(64)));
    _mm512_store_si512(at, _mm512_min_epu32(_mm512_srli_epi32(pos, 3), c->limit));
#define ROW(i) _mm_loadu_si128((const __m128i *)(c->bytes + at[i]))
#define PUT(v, i, lane) _mm512_inserti32x4(v, ROW(i), lane)
#define ROWS(i) PUT(PUT(PUT(_mm512_castsi128_si512(ROW(i)), i + 4, 1), i + 8, 2), i + 12, 3)
    __m512i r0 = ROWS(0), r1 = ROWS(1), r2 = ROWS(2), r3 = ROWS(3);
#undef ROW
#undef PUT
#undef ROWS
    __m512i a = _mm512_unpacklo_epi32(r0, r1), b = _mm512_unpacklo_epi32(r2, r3);
    __m512i d = _mm512_unpackhi_epi32(r0, r1), e = _mm512_unpackhi_epi32(r2, r3);
    __m512i w0 = _mm512_shuffle_epi8(_mm512_unpacklo_epi64(a, b), c->swap);
    __m512i w1 = _mm512_shuffle_epi8(_mm512_unpackhi_epi64(a, b), c->swap);
    __m512i w2 = _mm512_shuffle_epi8(_mm512_unpacklo_epi64(d, e), c->swap);
    __m512i w3 = _mm512_shuffle_epi8(_mm512_unpackhi_epi64(d, e), c->swap);
    __m512i n = _mm512_and_si512(pos, _mm512_srli_epi32(c->drop, 2));
    w[0] = _mm512_shldv_epi32(w0, w1, n);
    w[1] = _mm512_shldv_epi32(w1, w2, n);
    w[2] = _mm512_shldv_epi32(w2, w3, n);
    w[3] = _mm512_sllv_epi32(w3, n);
}

/* The entry of the next symbol in every lane. */
INLINE __m512i look_up(const constants *c, const lanes *l, __m512i bits) {
    __m512i i = _mm512_add_epi32(_mm512_srli_epi32(bits, 32 - FFP_LANE_BITS), l->table);
    return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xFFFF, i, c->table, 4);
}

/* Takes the symbol with entry e in every active lane. */
INLINE void take(const constants *c, lanes *l, __m512i bits, __m512i e, ffp_late *late, ffp_log *log) {
    __mmask16 whole = _mm512_testn_epi32_mask(e, c->more);
    __m512i place = _mm512_mask_add_epi32(l->place, whole, l->place, _mm512_srli_epi32(e, 21));
    __mmask16 ends = _mm512_cmpge_epi32_mask(place, c->end);
    l->table = _mm512_mask_blend_epi32(ends, l->ac, l->dc_next);
    l->table = _mm512_mask_blend_epi32(whole, _mm512_srli_epi32(e, 16), l->table);
    __m512i mask = _mm512_srli_epi16(e, 5); /* and the skip in the upper half */
    __m512i value = _mm512_ternarylogic_epi32(_mm512_rolv_epi32(bits, e), mask, c->word, 0x80);
    __mmask32 negative = _mm512_mask_cmple_epu16_mask(c->low, value, _mm512_srli_epi16(mask, 1));
    value = _mm512_mask_sub_epi16(value, negative, value, mask);
    __m512i out = _mm512_add_epi32(l->base, _mm512_and_si512(place, c->end));
    _mm512_store_si512(late->at, _mm512_mask_blend_epi32(l->active & whole, c->idle, out));
    _mm512_store_si512(late->value, value);
    l->reached = _mm512_mask_or_epi32(l->reached, l->active, l->reached, place);
    l->pos = _mm512_mask_add_epi32(l->pos, l->active, l->pos, _mm512_and_si512(e, c->drop));
    if (log) {
        const __mmask16 ended = ends & l->active;
        __m512i end = _mm512_ternarylogic_epi32(_mm512_slli_epi32(place, 25), l->pos, c->bad, 0xEC); /* a & c | b */
        __m512i block = _mm512_srli_epi32(l->base, 6);
        _mm512_storeu_si512(log->block + log->count, _mm512_maskz_compress_epi32(ended, block));
        _mm512_storeu_si512(log->end + log->count, _mm512_maskz_compress_epi32(ended, end));
        log->count += __builtin_popcount(ended);
    }
    __mmask16 done = _mm512_mask_cmpeq_epi32_mask(ends, l->base, l->last);
    l->place = _mm512_mask_set1_epi32(place, ends, -1);
    l->base = _mm512_mask_add_epi32(l->base, ends, l->base, c->block);
    l->ac = _mm512_mask_add_epi32(l->ac, ends, l->dc_next, c->side);
    l->block = _mm512_mask_permutexvar_epi32(l->block, ends, l->block, c->next);
    l->dc_next = _mm512_permutexvar_epi32(l->block, c->dc_next);
    l->active &= (__mmask16)~done;
}

/* Four symbols in every active lane of one or two groups; their steps alternate, so that one computes while the other
 * waits for its gather. */
INLINE void four_steps(const constants *c, lanes *a, lanes *b, ffp_late *late, ffp_log *log) {
    __m512i v[4], w[4], e, f = _mm512_setzero_si512();
    load_bits(c, a->pos, v);
    if (b) {
        load_bits(c, b->pos, w);
    }
    for (int i = 0; i < 4; i++) {
        e = look_up(c, a, v[0]);
        if (b) {
            f = look_up(c, b, w[0]);
        }
        ffp_write_out(c->coef, late + i, 0, FFP_LANES);
        take(c, a, v[0], e, late + i, log);
        for (int j = 0; j < 3 - i; j++) {
            v[j] = _mm512_shldv_epi32(v[j], v[j + 1], e);
        }
        if (b) {
            ffp_write_out(c->coef, late + 4 + i, 0, FFP_LANES);
            take(c, b, w[0], f, late + 4 + i, log);
            for (int j = 0; j < 3 - i; j++) {
                w[j] = _mm512_shldv_epi32(w[j], w[j + 1], f);
            }
        }
    }
}

INLINE lanes load_lanes(const ffp_lanes *l) {
    return (lanes){_mm512_load_si512(l->pos), _mm512_load_si512(l->limit), _mm512_load_si512(l->place),
                   _mm512_load_si512(l->base), _mm512_load_si512(l->last), _mm512_load_si512(l->block),
                   _mm512_load_si512(l->ac), _mm512_load_si512(l->dc_next), _mm512_load_si512(l->table),
                   _mm512_load_si512(l->reached), (__mmask16)l->active};
}

INLINE void store_lanes(ffp_lanes *l, const lanes *v) {
    _mm512_store_si512(l->pos, v->pos);
    _mm512_store_si512(l->limit, v->limit);
    _mm512_store_si512(l->place, v->place);
    _mm512_store_si512(l->base, v->base);
    _mm512_store_si512(l->last, v->last);
    _mm512_store_si512(l->block, v->block);
    _mm512_store_si512(l->ac, v->ac);
    _mm512_store_si512(l->dc_next, v->dc_next);
    _mm512_store_si512(l->table, v->table);
    _mm512_store_si512(l->reached, v->reached);
    l->active = v->active;
}

/* Lanes that were busy and stopped, or are behind their limit. */
INLINE uint32_t stopped(const lanes *l, __mmask16 busy) {
    __mmask16 behind = _mm512_mask_cmpgt_epu32_mask(l->active, _mm512_srli_epi32(l->pos, 3), l->limit);
    return (uint32_t)(busy ^ l->active) | behind;
}

TARGET static __attribute__((noinline)) void change(ffp_queue *q, ffp_lanes *state, lanes *v, uint32_t which) {
    store_lanes(state, v);
    q->change(q, state, which);
    *v = load_lanes(state);
}

INLINE void run_lanes(ffp_queue *q, ffp_lanes *first, ffp_lanes *second, ffp_log *log) {
    constants c = {q->plan.table, q->bytes, q->coef, _mm512_loadu_si512(q->plan.next),
                   _mm512_loadu_si512(q->plan.dc_next), _mm512_set1_epi32((int)q->idle), _mm512_set1_epi32((int)q->end),
                   _mm512_set4_epi32(0x0C0D0E0F, 0x08090A0B, 0x04050607, 0x00010203), _mm512_set1_epi32(0xFFFF),
                   _mm512_set1_epi32(63), _mm512_set1_epi32(64), _mm512_set1_epi32(FFP_LANE_SIDE),
                   _mm512_set1_epi32(31), _mm512_set1_epi32((int)FFP_LANE_LONG), _mm512_set1_epi32((int)FFP_END_BAD),
                   0x55555555};
    __asm__("" : "+m"(c));            /* else the compiler makes the constants anew at every use */
    lanes a = load_lanes(first), b = load_lanes(second);
    ffp_late *late = q->late;
    while (__builtin_popcount(a.active) + __builtin_popcount(b.active) > FFP_LANES) {
        __mmask16 busy_a = a.active, busy_b = b.active;
        four_steps(&c, &a, &b, late, log);
        uint32_t stop_a = stopped(&a, busy_a), stop_b = stopped(&b, busy_b);
        if (__builtin_expect(stop_a | stop_b, 0) || (log && log->count > FFP_LOG)) {
            lanes v = a, w = b;       /* so that a and b stay in registers */
            change(q, first, &v, stop_a);
            change(q, second, &w, stop_b);
            a = v;
            b = w;
        }
    }
    store_lanes(first, &a);
    store_lanes(second, &b);
    ffp_lane_merge(first, second);
    a = load_lanes(first);
    while (__builtin_popcount(a.active) > q->enough) {
        __mmask16 busy = a.active;
        four_steps(&c, &a, NULL, late, log);
        uint32_t stop = stopped(&a, busy);
        if (__builtin_expect(stop, 0) || (log && log->count > FFP_LOG)) {
            lanes v = a;
            change(q, first, &v, stop);
            a = v;
        }
    }
    store_lanes(first, &a);
}

TARGET static void run_plain(ffp_queue *q, ffp_lanes *a, ffp_lanes *b) { run_lanes(q, a, b, NULL); }

TARGET static void run_logged(ffp_queue *q, ffp_lanes *a, ffp_lanes *b) { run_lanes(q, a, b, q->log); }

static void run(ffp_queue *q, ffp_lanes *a, ffp_lanes *b) { (q->log ? run_logged : run_plain)(q, a, b); }

static const ffp_lane_engine engine = {2, 16, unstuff, run};

static int32_t entropy(ffp_context *ctx, const ffp_header *header, ffp_job *jobs, int32_t njobs) {
    return ffp_lane_entropy(&engine, ctx, header, jobs, njobs);
}

void ffp_idct_avx512(ffp_context *ctx, const ffp_header *header, ffp_job *job, const ffp_plane planes[4]);

const ffp_level ffp_level_avx512 = {"avx512", entropy, ffp_idct_avx512, &engine, ffp_reduce_avx2};

#endif
