/* The lane decoder of entropy_avx512.c with AVX2: 8 lanes in a vector, two vectors to a group. Shifts through a pair of
 * words and selections take several instructions here; gathers and the late stores are the same. */
#include "lanes.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#define INLINE static inline TARGET __attribute__((always_inline))

enum { MOST_BLOCKS = 8 };             /* in an MCU: what a permutation of 8 elements can number */

TARGET static int64_t unstuff(const uint8_t *in, int64_t n, uint8_t *out, int64_t *taken) {
    const __m256i ff = _mm256_set1_epi8(-1);
    const uint8_t *start_in = in, *end = in + n, *start = out;
    while (in < end) {
        if (end - in >= 32) {
            __m256i v = _mm256_loadu_si256((const __m256i *)in);
            uint32_t hit = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, ff));
            _mm256_storeu_si256((__m256i *)out, v);
            if (!hit) {
                in += 32;
                out += 32;
                continue;
            }
            int run = __builtin_ctz(hit) + 1;
            in += run;
            out += run;
        } else if ((*out++ = *in++) != 0xFF) {
            continue;
        }
        if (in == end || *in != 0) {
            in--;
            out--;
            break;
        }
        in++;
    }
    *taken = in - start_in;
    return out - start;
}

typedef struct {
    __m256i pos, limit, place, base, last, block, ac, dc_next, table, reached; /* as in ffp_lanes */
    __m256i active;                   /* all ones or zero */
} lanes;

typedef struct {
    const int *table;
    const uint8_t *bytes;
    int16_t *coef;
    const uint8_t (*packs)[8];        /* by mask: the numbers of the bits set */
    __m256i next, dc_next;            /* ffp_lane_plan */
    __m256i limit;                    /* byte behind the last of all */
    __m256i bad, idle, swap, word, end, within, block, side, drop, more, all;
} constants;

/* The 32 bits of high:low behind the first n; rest = 32 - n. */
INLINE __m256i shift(__m256i high, __m256i low, __m256i n, __m256i rest) {
    return _mm256_or_si256(_mm256_sllv_epi32(high, n), _mm256_srlv_epi32(low, rest));
}

/* The 128 bits at the lanes' positions, as four vectors. */
INLINE void load_bits(const constants *c, __m256i pos, __m256i w[4]) {
    uint32_t at[8] __attribute__((aligned(32)));
    _mm256_store_si256((__m256i *)at, _mm256_min_epu32(_mm256_srli_epi32(pos, 3), c->limit));
#define ROW(i) _mm_loadu_si128((const __m128i *)(c->bytes + at[i]))
#define ROWS(i) _mm256_inserti128_si256(_mm256_castsi128_si256(ROW(i)), ROW(i + 4), 1)
    __m256i r0 = ROWS(0), r1 = ROWS(1), r2 = ROWS(2), r3 = ROWS(3);
#undef ROW
#undef ROWS
    __m256i a = _mm256_unpacklo_epi32(r0, r1), b = _mm256_unpacklo_epi32(r2, r3);
    __m256i d = _mm256_unpackhi_epi32(r0, r1), e = _mm256_unpackhi_epi32(r2, r3);
    __m256i w0 = _mm256_shuffle_epi8(_mm256_unpacklo_epi64(a, b), c->swap);
    __m256i w1 = _mm256_shuffle_epi8(_mm256_unpackhi_epi64(a, b), c->swap);
    __m256i w2 = _mm256_shuffle_epi8(_mm256_unpacklo_epi64(d, e), c->swap);
    __m256i w3 = _mm256_shuffle_epi8(_mm256_unpackhi_epi64(d, e), c->swap);
    __m256i n = _mm256_and_si256(pos, _mm256_srli_epi32(c->drop, 2));
    __m256i rest = _mm256_sub_epi32(c->all, n);
    w[0] = shift(w0, w1, n, rest);
    w[1] = shift(w1, w2, n, rest);
    w[2] = shift(w2, w3, n, rest);
    w[3] = _mm256_sllv_epi32(w3, n);
}

INLINE uint32_t bits_of(__m256i mask) { return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(mask)); }

INLINE __m256i look_up(const constants *c, const lanes *l, __m256i bits) {
    __m256i i = _mm256_add_epi32(_mm256_srli_epi32(bits, 32 - FFP_LANE_BITS), l->table);
    return _mm256_mask_i32gather_epi32(_mm256_setzero_si256(), c->table, i, _mm256_set1_epi32(-1), 4);
}

/* Takes the symbol with entry e in every active lane, then moves on in the `words` words at w. */
INLINE void take(const constants *c, lanes *l, __m256i *w, int words, __m256i e, ffp_late *late, int first,
                 ffp_log *log) {
    const __m256i n = _mm256_and_si256(e, c->drop), rest = _mm256_sub_epi32(c->all, n);
    __m256i whole = _mm256_cmpeq_epi32(_mm256_and_si256(e, c->more), _mm256_setzero_si256());
    __m256i place = _mm256_add_epi32(l->place, _mm256_and_si256(_mm256_srli_epi32(e, 21), whole));
    __m256i ends = _mm256_cmpgt_epi32(place, c->end);
    l->table = _mm256_blendv_epi8(_mm256_srli_epi32(e, 16), _mm256_blendv_epi8(l->ac, l->dc_next, ends), whole);
    __m256i mask = _mm256_and_si256(_mm256_srli_epi16(e, 5), c->word);
    __m256i value = _mm256_and_si256(_mm256_srlv_epi32(w[0], rest), mask);
    __m256i positive = _mm256_cmpgt_epi32(value, _mm256_srli_epi32(mask, 1));
    value = _mm256_sub_epi32(value, _mm256_andnot_si256(positive, mask));
    __m256i out = _mm256_add_epi32(l->base, _mm256_and_si256(place, c->within));
    out = _mm256_blendv_epi8(c->idle, out, _mm256_and_si256(whole, l->active));
    _mm256_store_si256((__m256i *)(late->at + first), out);
    _mm256_store_si256((__m256i *)(late->value + first), value);
    l->reached = _mm256_or_si256(l->reached, _mm256_and_si256(place, l->active));
    l->pos = _mm256_add_epi32(l->pos, _mm256_and_si256(n, l->active));
    if (log) {
        const uint32_t ended = bits_of(_mm256_and_si256(ends, l->active));
        const __m256i pack = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)c->packs[ended]));
        __m256i bad = _mm256_and_si256(_mm256_slli_epi32(place, 25), c->bad), end = _mm256_or_si256(bad, l->pos);
        __m256i block = _mm256_srli_epi32(l->base, 6);
        _mm256_storeu_si256((__m256i *)(log->block + log->count), _mm256_permutevar8x32_epi32(block, pack));
        _mm256_storeu_si256((__m256i *)(log->end + log->count), _mm256_permutevar8x32_epi32(end, pack));
        log->count += __builtin_popcount(ended);
    }
    __m256i done = _mm256_and_si256(ends, _mm256_cmpeq_epi32(l->base, l->last));
    l->place = _mm256_or_si256(place, ends);
    l->base = _mm256_add_epi32(l->base, _mm256_and_si256(ends, c->block));
    l->ac = _mm256_blendv_epi8(l->ac, _mm256_add_epi32(l->dc_next, c->side), ends);
    l->block = _mm256_blendv_epi8(l->block, _mm256_permutevar8x32_epi32(c->next, l->block), ends);
    l->dc_next = _mm256_permutevar8x32_epi32(c->dc_next, l->block);
    l->active = _mm256_andnot_si256(done, l->active);
    for (int i = 0; i + 1 < words; i++) {
        w[i] = shift(w[i], w[i + 1], n, rest);
    }
}

/* Four symbols in every active lane of the group. */
INLINE void four_steps(const constants *c, lanes *low, lanes *high, ffp_late *late, ffp_log *log) {
    __m256i v[4], w[4], e, f;
    load_bits(c, low->pos, v);
    load_bits(c, high->pos, w);
    for (int i = 0; i < 4; i++) {
        e = look_up(c, low, v[0]);
        f = look_up(c, high, w[0]);
        ffp_write_out(c->coef, late + i, 0, FFP_LANES);
        take(c, low, v, 4 - i, e, late + i, 0, log);
        take(c, high, w, 4 - i, f, late + i, 8, log);
    }
}

#define EACH(F) F(pos) F(limit) F(place) F(base) F(last) F(block) F(ac) F(dc_next) F(table) F(reached)

INLINE lanes load_lanes(const ffp_lanes *l, int first) {
    lanes v;
    const __m256i bit = _mm256_sllv_epi32(_mm256_set1_epi32(1), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
#define LOAD(field) v.field = _mm256_load_si256((const __m256i *)(l->field + first));
    EACH(LOAD)
#undef LOAD
    v.active = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)(l->active >> first)), bit), bit);
    return v;
}

INLINE void store_lanes(ffp_lanes *l, const lanes *v, int first) {
#define STORE(field) _mm256_store_si256((__m256i *)(l->field + first), v->field);
    EACH(STORE)
#undef STORE
    l->active = (l->active & ~(0xFFu << first)) | bits_of(v->active) << first;
}

/* Lanes that were busy and stopped, or are behind their limit. */
INLINE __m256i stopped(const lanes *l, __m256i busy) {
    __m256i behind = _mm256_cmpgt_epi32(_mm256_srli_epi32(l->pos, 3), l->limit);
    return _mm256_or_si256(_mm256_andnot_si256(l->active, busy), _mm256_and_si256(behind, l->active));
}

INLINE void make_packs(uint8_t packs[256][8]) {
    for (int mask = 0; mask < 256; mask++) {
        int n = 0;
        memset(packs[mask], 0, 8);
        for (int i = 0; i < 8; i++) {
            packs[mask][n] = (uint8_t)i;
            n += mask >> i & 1;
            n = n < 8 ? n : 7;
        }
    }
}

INLINE void run_lanes(ffp_queue *q, ffp_lanes *group, ffp_log *log) {
    uint8_t packs[256][8];
    if (log) {
        make_packs(packs);
    }
    constants c = {(const int *)q->plan.table, q->bytes, q->coef, packs,
                   _mm256_loadu_si256((const __m256i *)q->plan.next),
                   _mm256_loadu_si256((const __m256i *)q->plan.dc_next), _mm256_set1_epi32((int)q->end),
                   _mm256_set1_epi32((int)FFP_END_BAD), _mm256_set1_epi32((int)q->idle),
                   _mm256_broadcastsi128_si256(_mm_set_epi32(0x0C0D0E0F, 0x08090A0B, 0x04050607, 0x00010203)),
                   _mm256_set1_epi32(0xFFFF), _mm256_set1_epi32(62), _mm256_set1_epi32(63), _mm256_set1_epi32(64),
                   _mm256_set1_epi32(FFP_LANE_SIDE), _mm256_set1_epi32(31), _mm256_set1_epi32((int)FFP_LANE_LONG),
                   _mm256_set1_epi32(32)};
    __asm__("" : "+m"(c));            /* else the compiler makes the constants anew at every use */
    lanes low = load_lanes(group, 0), high = load_lanes(group, 8);
    while (__builtin_popcount(group->active) > q->enough) {
        const __m256i busy_low = low.active, busy_high = high.active;
        four_steps(&c, &low, &high, q->late, log);
        const __m256i stop_low = stopped(&low, busy_low), stop_high = stopped(&high, busy_high);
        const __m256i any = _mm256_or_si256(stop_low, stop_high);
        if (__builtin_expect(!_mm256_testz_si256(any, any), 0) || (log && log->count > FFP_LOG)) {
            lanes v = low, w = high;  /* so that they stay in registers elsewhere */
            store_lanes(group, &v, 0);
            store_lanes(group, &w, 8);
            q->change(q, group, bits_of(stop_low) | bits_of(stop_high) << 8);
            low = load_lanes(group, 0);
            high = load_lanes(group, 8);
        }
    }
}

TARGET static void run_plain(ffp_queue *q, ffp_lanes *group) { run_lanes(q, group, NULL); }

TARGET static void run_logged(ffp_queue *q, ffp_lanes *group) { run_lanes(q, group, q->log); }

static void run(ffp_queue *q, ffp_lanes *group, ffp_lanes *none) {
    (void)none;
    (q->log ? run_logged : run_plain)(q, group);
}

static const ffp_lane_engine engine = {1, MOST_BLOCKS, unstuff, run};

static int32_t entropy(ffp_context *ctx, const ffp_header *header, ffp_job *jobs, int32_t njobs) {
    return ffp_lane_entropy(&engine, ctx, header, jobs, njobs);
}

void ffp_idct_avx2(ffp_context *ctx, const ffp_header *header, ffp_job *job, const ffp_plane planes[4]);

const ffp_level ffp_level_avx2 = {"avx2", entropy, ffp_idct_avx2, &engine, ffp_reduce_avx2};

#endif
