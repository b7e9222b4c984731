/* The AVX-512 level's entropy decoder: decoder.h with 16 lanes in a vector, which is a group. */
#include <string.h>

#include "idct/idct.h"
#include "lanes/lanes.h"

#if FFP_X86
#define TARGET                                                                                                         \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi,bmi2,lzcnt,popcnt")))
#include "vectors/avx512.h"

enum { MOST_BLOCKS = 16 };

TARGET static int64_t unstuff(const uint8_t *in, int64_t n, uint8_t *out, int64_t *taken) {
    const __m512i ff = _mm512_set1_epi8(-1);
    const uint8_t *start_in = in, *start = out;
    uint64_t carry = 0; /* bit 0: the byte before was FF */
    for (; n > 0; n -= 64, in += 64) {
        uint64_t valid = n >= 64 ? ~0ull : (1ull << n) - 1;
        __m512i v = _mm512_maskz_loadu_epi8(valid, in);
        uint64_t is_ff = _mm512_cmpeq_epi8_mask(v, ff), after = is_ff << 1 | carry;
        uint64_t marker = _mm512_mask_test_epi8_mask(after & valid, v, v); /* FF, not 00: its second byte */
        if (n < 64) {
            marker |= (is_ff & ~(valid >> 1)) << 1; /* a lone FF: the byte after the end */
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

/* ---- operations --------------------------------------------------------------------------------------------------- */

INLINE vec v_set_four(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    return _mm512_set4_epi32((int)d, (int)c, (int)b, (int)a);
}
INLINE vec v_load(const void *p) { return _mm512_load_si512(p); }
INLINE vec v_min(vec a, vec b) { return _mm512_min_epu32(a, b); }
INLINE vec v_bytes(vec a, vec order) { return _mm512_shuffle_epi8(a, order); }
INLINE vec v_low_words(vec a, vec b) { return _mm512_unpacklo_epi32(a, b); }
INLINE vec v_high_words(vec a, vec b) { return _mm512_unpackhi_epi32(a, b); }
INLINE vec v_low_pairs(vec a, vec b) { return _mm512_unpacklo_epi64(a, b); }
INLINE vec v_high_pairs(vec a, vec b) { return _mm512_unpackhi_epi64(a, b); }
INLINE vec v_permute_where(mask m, vec a, vec b, vec order) { return _mm512_mask_permutexvar_epi32(a, m, order, b); }
INLINE vec v_right_where(mask m, vec a, unsigned n) { return _mm512_mask_srli_epi32(a, m, a, n); }
INLINE vec v_or_where(mask m, vec a, vec b) { return _mm512_mask_or_epi32(a, m, a, b); }
INLINE vec v_ones_where(mask m, vec a) { return _mm512_mask_set1_epi32(a, m, -1); }
INLINE vec v_gather(const uint32_t *table, vec i) {
    return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xFFFF, i, table, 4);
}

INLINE mask m_of(uint32_t bits) { return (mask)bits; }
INLINE mask m_and(mask a, mask b) { return a & b; }
INLINE mask m_or(mask a, mask b) { return a | b; }
INLINE mask m_and_not(mask a, mask b) { return a & (mask)~b; }
INLINE int m_any(mask m) { return m != 0; }
INLINE mask m_lacks(vec a, vec bits) { return _mm512_testn_epi32_mask(a, bits); }
INLINE mask m_equal_where(mask m, vec a, vec b) { return _mm512_mask_cmpeq_epi32_mask(m, a, b); }
INLINE mask m_greater_where(mask m, vec a, vec b) { return _mm512_mask_cmpgt_epu32_mask(m, a, b); }

typedef vec amount; /* its low five bits */

/* The first 32 bits of high:low after those that `by` says. */
INLINE vec shift(vec high, vec low, amount by) { return _mm512_shldv_epi32(high, low, by); }

/* Rows of 16 bytes: i, i + 4, i + 8 and i + 12. */
INLINE vec load_rows(const uint8_t *bytes, const uint32_t *at, int i) {
#define ROW(i) _mm_loadu_si128((const __m128i *)(bytes + at[i]))
    vec v = _mm512_castsi128_si512(ROW(i));
    v = _mm512_inserti32x4(v, ROW(i + 4), 1);
    v = _mm512_inserti32x4(v, ROW(i + 8), 2);
    return _mm512_inserti32x4(v, ROW(i + 12), 3);
#undef ROW
}

typedef struct {
    __mmask32 low;    /* the lower half of each element */
    __mmask64 lowest; /* the lowest byte of each */
    vec order;        /* ffp_order_avx2 */
} target;

INLINE void make_target(target *t, int logged) {
    (void)logged;
    t->low = 0x55555555;
    t->lowest = 0x1111111111111111;
    t->order = v_load_any(ffp_order_avx2);
}

#include "lanes/decoder.h"

INLINE mask ends_block(const constants *c, vec place) { return _mm512_cmpge_epi32_mask(place, c->within); }

/* Only the lower six bits of each byte count; the upper bytes of elements find order[0], which is 0. */
INLINE vec place_in_block(const constants *c, vec place) {
    return _mm512_maskz_permutexvar_epi8(c->own.lowest, place, c->own.order);
}

INLINE amount amount_of(const constants *c, vec e, vec n) {
    (void)c, (void)n;
    return e;
}

INLINE vec value_of(const constants *c, vec bits, vec e, amount by) {
    const vec most = _mm512_srli_epi16(e, 5); /* and the skip in the upper half */
    const vec value = _mm512_ternarylogic_epi32(_mm512_rolv_epi32(bits, by), most, c->word, 0x80); /* a & b & c */
    const __mmask32 negative = _mm512_mask_cmple_epu16_mask(c->own.low, value, _mm512_srli_epi16(most, 1));
    return _mm512_mask_sub_epi16(value, negative, value, most);
}

INLINE void append(const constants *c, ffp_log *log, mask ended, const lanes *l, vec place) {
    const vec end = _mm512_ternarylogic_epi32(_mm512_slli_epi32(place, 25), l->pos, c->bad, 0xEC); /* a & c | b */
    _mm512_storeu_si512(log->block + log->count, _mm512_maskz_compress_epi32(ended, v_right(l->base, 6)));
    _mm512_storeu_si512(log->end + log->count, _mm512_maskz_compress_epi32(ended, end));
    log->count += __builtin_popcount(ended);
}

const ffp_lane_engine ffp_engine_avx512 = {2, MOST_BLOCKS, unstuff, run, ffp_order_avx2, ffp_arrange_avx2};

int32_t ffp_entropy_avx512(ffp_context *ctx, const ffp_header *header, ffp_job *jobs, int32_t njobs) {
    return ffp_lane_entropy(&ffp_engine_avx512, ctx, header, jobs, njobs);
}

#endif
