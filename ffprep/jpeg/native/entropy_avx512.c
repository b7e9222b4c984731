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

TARGET static int64_t unstuff(const uint8_t *in, int64_t n, uint8_t *out) {
    const __m512i ff = _mm512_set1_epi8(-1);
    uint8_t *start = out;
    uint64_t carry = 0;               /* bit 0: the byte before was FF */
    for (; n > 0; n -= 64, in += 64) {
        uint64_t valid = n >= 64 ? ~0ull : (1ull << n) - 1;
        __m512i v = _mm512_maskz_loadu_epi8(valid, in);
        uint64_t is_ff = _mm512_cmpeq_epi8_mask(v, ff), after = is_ff << 1 | carry;
        if (_mm512_mask_test_epi8_mask(after & valid, v, v)) {
            return -1;
        }
        carry = is_ff >> 63;
        uint64_t keep = valid & ~after;
        _mm512_storeu_si512(out, _mm512_maskz_compress_epi8(keep, v));
        out += __builtin_popcountll(keep);
        if (n < 64) {
            carry = is_ff >> (n - 1) & 1;
        }
    }
    return carry ? -1 : out - start;
}

/* 16 lanes. Unsigned 32-bit numbers throughout; coefficients are counted from the lowest job's. */
typedef struct {
    __m512i pos;                      /* next bit */
    __m512i limit;                    /* byte behind the last */
    __m512i place;                    /* coefficient of the block written last, -1: none yet */
    __m512i base, last;               /* first coefficient of this block, and of the job's last block */
    __m512i block;                    /* its number in the MCU */
    __m512i ac, dc_next;              /* AC table of this block, DC table of the next */
    __m512i table;                    /* for the next symbol */
    __m512i reached;                  /* union of the places that were reached */
    __mmask16 active;
} lanes;

typedef struct {
    const uint32_t *table;
    const uint8_t *bytes;
    int16_t *coef;
    __m512i next, dc_next;            /* ffp_lane_plan */
    __m512i idle;                     /* where lanes at rest write */
    __m512i swap, word, end, block, side, drop, more;
    __mmask32 low;
} constants;

/* The 128 bits at the lanes' positions, as four vectors. */
INLINE void load_bits(const constants *c, __m512i pos, __m512i limit, __m512i w[4]) {
    uint32_t at[16] __attribute__((aligned(64)));
    _mm512_store_si512(at, _mm512_min_epu32(_mm512_srli_epi32(pos, 3), limit));
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

/* Coefficients on their way to memory. They are written one by one four steps after they were found, when the vectors
 * have long left the store queue: quicker than a scatter, and than loading parts of a vector just stored. */
typedef struct {
    uint32_t at[16];
    int32_t value[16];
} __attribute__((aligned(64))) stores;

INLINE void write_out(int16_t *coef, const stores *s) {
    for (int i = 0; i < 16; i++) {
        coef[s->at[i]] = (int16_t)s->value[i];
    }
}

/* The entry of the next symbol in every lane. */
INLINE __m512i look_up(const constants *c, const lanes *l, __m512i bits) {
    __m512i i = _mm512_add_epi32(_mm512_srli_epi32(bits, 32 - FFP_LANE_BITS), l->table);
    return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xFFFF, i, c->table, 4);
}

/* Takes the symbol with entry e in every active lane. */
INLINE void take(const constants *c, lanes *l, __m512i bits, __m512i e, stores *late) {
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
INLINE void four_steps(const constants *c, lanes *a, lanes *b, stores *late) {
    __m512i v[4], w[4], e, f = _mm512_setzero_si512();
    load_bits(c, a->pos, a->limit, v);
    if (b) {
        load_bits(c, b->pos, b->limit, w);
    }
    for (int i = 0; i < 4; i++) {
        e = look_up(c, a, v[0]);
        if (b) {
            f = look_up(c, b, w[0]);
        }
        write_out(c->coef, late + i);
        take(c, a, v[0], e, late + i);
        for (int j = 0; j < 3 - i; j++) {
            v[j] = _mm512_shldv_epi32(v[j], v[j + 1], e);
        }
        if (b) {
            write_out(c->coef, late + 4 + i);
            take(c, b, w[0], f, late + 4 + i);
            for (int j = 0; j < 3 - i; j++) {
                w[j] = _mm512_shldv_epi32(w[j], w[j + 1], f);
            }
        }
    }
}

/* What goes through the jobs. */
typedef struct {
    ffp_context *ctx;
    const ffp_header *header;
    const ffp_lane_plan *plan;
    ffp_job *jobs;
    const ffp_lane_job *work;
    int32_t next, count;
    int16_t *coef;
    stores late[8];
} queue;

/* Writes everything that is under way. */
TARGET static __attribute__((noinline)) void settle(queue *q, __m512i idle) {
    for (int i = 0; i < 8; i++) {
        write_out(q->coef, q->late + i);
        _mm512_store_si512(q->late[i].at, idle);
        _mm512_store_si512(q->late[i].value, _mm512_setzero_si512());
    }
}

/* Puts the next job into lane i; leaves it idle when there is none. */
TARGET static void fill_lane(queue *q, lanes *l, int32_t *job, int i) {
    __mmask16 m = (__mmask16)(1u << i);
    while (q->next < q->count) {
        int32_t n = q->work[q->next++].turn;
        const ffp_lane_job *w = q->work + n;
        if (!w->regular) {
            q->jobs[n].status = ffp_lane_repair(q->ctx, q->header, q->jobs + n, q->plan->blocks);
            continue;
        }
        q->jobs[n].status = FFP_OK;
        job[i] = n;
        l->pos = _mm512_mask_set1_epi32(l->pos, m, (int)w->pos);
        l->limit = _mm512_mask_set1_epi32(l->limit, m, (int)w->end);
        l->place = _mm512_mask_set1_epi32(l->place, m, -1);
        l->base = _mm512_mask_set1_epi32(l->base, m, (int)w->coef);
        l->last = _mm512_mask_set1_epi32(l->last, m, (int)w->last);
        l->block = _mm512_mask_set1_epi32(l->block, m, 0);
        l->ac = _mm512_mask_set1_epi32(l->ac, m, q->plan->dc_first + FFP_LANE_SIDE);
        l->dc_next = _mm512_mask_set1_epi32(l->dc_next, m, q->plan->dc_next[0]);
        l->table = _mm512_mask_set1_epi32(l->table, m, q->plan->dc_first);
        l->reached = _mm512_mask_set1_epi32(l->reached, m, 0);
        l->active |= m;
        return;
    }
}

/* Takes leave of the jobs whose lanes stopped or ran out of data, and refills these lanes. */
TARGET static __attribute__((noinline)) void change_jobs(queue *q, lanes *l, int32_t *job, __m512i idle,
                                                  __mmask16 busy, __mmask16 starved) {
    uint32_t pos[16], reached[16];
    _mm512_storeu_si512(pos, l->pos);
    _mm512_storeu_si512(reached, l->reached);
    for (uint32_t left = (busy & ~l->active) | starved; left; left &= left - 1) {
        int i = __builtin_ctz(left);
        int32_t n = job[i];
        l->active &= (__mmask16)~(1u << i);
        if ((starved >> i & 1) || !ffp_lane_sound(q->work + n, q->jobs + n, pos[i], reached[i])) {
            settle(q, idle);
            q->jobs[n].status = ffp_lane_repair(q->ctx, q->header, q->jobs + n, q->plan->blocks);
        }
        fill_lane(q, l, job, i);
    }
}

INLINE __mmask16 starving(const lanes *l) {
    return _mm512_mask_cmpgt_epu32_mask(l->active, _mm512_srli_epi32(l->pos, 3), l->limit);
}

enum { TWO_GROUPS = 24 };             /* jobs from which a second group pays */

/* Moves b's lanes into a's idle ones, of which there are enough. */
INLINE void merge(lanes *a, const lanes *b, int32_t *job_a, const int32_t *job_b) {
    const __mmask16 from = b->active, to = (__mmask16)~a->active;
#define MOVE(x, y) (x) = _mm512_mask_expand_epi32(x, to, _mm512_maskz_compress_epi32(from, y))
    MOVE(a->pos, b->pos);
    MOVE(a->limit, b->limit);
    MOVE(a->place, b->place);
    MOVE(a->base, b->base);
    MOVE(a->last, b->last);
    MOVE(a->block, b->block);
    MOVE(a->ac, b->ac);
    MOVE(a->dc_next, b->dc_next);
    MOVE(a->table, b->table);
    MOVE(a->reached, b->reached);
    __m512i job = _mm512_loadu_si512(job_a);
    MOVE(job, _mm512_loadu_si512(job_b));
    _mm512_storeu_si512(job_a, job);
#undef MOVE
    a->active |= (__mmask16)_pdep_u32((1u << __builtin_popcount(from)) - 1, to);
}

TARGET static void run(queue *q, const constants *constant) {
    const constants c = *constant;
    lanes a0, b0;
    int32_t job_a[16], job_b[16];
    stores *late = q->late;
    for (int i = 0; i < 8; i++) {
        _mm512_store_si512(late[i].at, c.idle);
    }
    memset(&a0, 0, sizeof a0);
    memset(&b0, 0, sizeof b0);
    for (int i = 0; i < 16; i++) {
        fill_lane(q, &a0, job_a, i);
    }
    for (int i = 0; i < 16 && q->count >= TWO_GROUPS; i++) {
        fill_lane(q, &b0, job_b, i);
    }
    lanes a = a0, b = b0;
    while (__builtin_popcount(a.active) + __builtin_popcount(b.active) > 16) {
        __mmask16 busy_a = a.active, busy_b = b.active;
        four_steps(&c, &a, &b, late);
        __mmask16 starved_a = starving(&a), starved_b = starving(&b);
        if (__builtin_expect((busy_a ^ a.active) | (busy_b ^ b.active) | starved_a | starved_b, 0)) {
            a0 = a;
            b0 = b;
            change_jobs(q, &a0, job_a, c.idle, busy_a, starved_a);
            change_jobs(q, &b0, job_b, c.idle, busy_b, starved_b);
            a = a0;
            b = b0;
        }
    }
    merge(&a, &b, job_a, job_b);
    while (a.active) {
        __mmask16 busy = a.active;
        four_steps(&c, &a, NULL, late);
        __mmask16 starved = starving(&a);
        if (__builtin_expect((busy ^ a.active) | starved, 0)) {
            a0 = a;
            change_jobs(q, &a0, job_a, c.idle, busy, starved);
            a = a0;
        }
    }
    settle(q, c.idle);
    c.coef[_mm_cvtsi128_si32(_mm512_castsi512_si128(c.idle))] = 0;
}

TARGET static int32_t entropy(ffp_context *ctx, const ffp_header *header, ffp_job *jobs, int32_t njobs) {
    ffp_lane_plan plan;
    if (ffp_lane_prepare(ctx, header, &plan) != FFP_OK) {
        return ffp_level_scalar.entropy(ctx, header, jobs, njobs);
    }
    for (int32_t done = 0; done < njobs;) {
        queue q = {.ctx = ctx, .header = header, .plan = &plan, .jobs = jobs + done};
        constants c = {plan.table, NULL, NULL, _mm512_loadu_si512(plan.next), _mm512_loadu_si512(plan.dc_next),
                       _mm512_setzero_si512(),
                       _mm512_set4_epi32(0x0C0D0E0F, 0x08090A0B, 0x04050607, 0x00010203), _mm512_set1_epi32(0xFFFF),
                       _mm512_set1_epi32(63), _mm512_set1_epi32(64), _mm512_set1_epi32(FFP_LANE_SIDE),
                       _mm512_set1_epi32(31), _mm512_set1_epi32((int)FFP_LANE_LONG), 0x55555555};
        __asm__("" : "+m"(c));
        q.count = ffp_lane_load(ctx, jobs + done, njobs - done, plan.blocks, unstuff, &c.coef);
        if (q.count == 0) {
            ffp_level_scalar.entropy(ctx, header, jobs + done, 1);
            done++;
            continue;
        }
        q.work = (const ffp_lane_job *)ctx->level_work.ptr;
        q.coef = c.coef;
        c.bytes = ctx->level_bytes.ptr;
        c.idle = _mm512_set1_epi32((int)q.work[0].last + 64);
        run(&q, &c);
        _mm256_zeroupper();          /* left dirty it would slow down SSE code from here on */
        done += q.count;
    }
    for (int32_t i = 0; i < njobs; i++) {
        if (jobs[i].status != FFP_OK) {
            return jobs[i].status;
        }
    }
    return FFP_OK;
}

void ffp_idct_avx512(ffp_context *ctx, const ffp_header *header, ffp_job *job, const ffp_plane planes[4]);

const ffp_level ffp_level_avx512 = {"avx512", entropy, ffp_idct_avx512};

#endif
