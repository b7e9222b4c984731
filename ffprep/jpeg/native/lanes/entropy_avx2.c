/* The AVX2 level's entropy decoder: decoder.h with 8 lanes in a vector, two vectors to a group. Shifts through a pair of
 * words, selections and gathers take several instructions here; the late stores are as with AVX-512. */
#include <string.h>

#include "idct/idct.h"
#include "lanes/lanes.h"

#if FFP_X86
#define TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#include "vectors/avx2.h"

enum { MOST_BLOCKS = 8 }; /* blocks in an MCU: what a permutation of 8 elements can number */

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

/* ---- operations --------------------------------------------------------------------------------------------------- */

INLINE vec v_set_four(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    return _mm256_broadcastsi128_si256(_mm_setr_epi32((int)a, (int)b, (int)c, (int)d));
}
INLINE vec v_load(const void *p) { return _mm256_load_si256((const __m256i *)p); }
INLINE vec v_min(vec a, vec b) { return _mm256_min_epu32(a, b); }
INLINE vec v_bytes(vec a, vec order) { return _mm256_shuffle_epi8(a, order); }
INLINE vec v_low_words(vec a, vec b) { return _mm256_unpacklo_epi32(a, b); }
INLINE vec v_high_words(vec a, vec b) { return _mm256_unpackhi_epi32(a, b); }
INLINE vec v_low_pairs(vec a, vec b) { return _mm256_unpacklo_epi64(a, b); }
INLINE vec v_high_pairs(vec a, vec b) { return _mm256_unpackhi_epi64(a, b); }
INLINE vec v_permute(vec a, vec order) { return _mm256_permutevar8x32_epi32(a, order); }
INLINE vec v_permute_where(mask m, vec a, vec b, vec order) { return _mm256_blendv_epi8(a, v_permute(b, order), m); }
INLINE vec v_right_where(mask m, vec a, int n) { return _mm256_srlv_epi32(a, v_and(m, v_set((uint32_t)n))); }
INLINE vec v_or_where(mask m, vec a, vec b) { return _mm256_or_si256(a, _mm256_and_si256(b, m)); }
INLINE vec v_ones_where(mask m, vec a) { return _mm256_or_si256(a, m); }

/* Two elements of a table, at the indices in both halves of i. */
INLINE __m128i load_two(const uint32_t *table, int64_t i) {
    const __m128i low = _mm_cvtsi32_si128((int)table[(uint32_t)i]);
    return _mm_unpacklo_epi32(low, _mm_cvtsi32_si128((int)table[(uint64_t)i >> 32]));
}

INLINE __m128i load_four(const uint32_t *table, __m128i i) {
    return _mm_unpacklo_epi64(load_two(table, _mm_cvtsi128_si64(i)), load_two(table, _mm_extract_epi64(i, 1)));
}

/* Loads one by one: on Zen 3 they take 0.9 of the time that decoding takes with a gather instruction. */
INLINE vec v_gather(const uint32_t *table, vec i) {
    const __m128i low = load_four(table, _mm256_castsi256_si128(i));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), load_four(table, _mm256_extracti128_si256(i, 1)), 1);
}

INLINE mask m_of(uint32_t bits) {
    const vec bit = _mm256_sllv_epi32(v_set(1), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    return _mm256_cmpeq_epi32(_mm256_and_si256(v_set(bits), bit), bit);
}
INLINE mask m_and(mask a, mask b) { return _mm256_and_si256(a, b); }
INLINE mask m_or(mask a, mask b) { return _mm256_or_si256(a, b); }
INLINE mask m_and_not(mask a, mask b) { return _mm256_andnot_si256(b, a); }
INLINE int m_any(mask m) { return !_mm256_testz_si256(m, m); }
INLINE mask m_lacks(vec a, vec bits) { return _mm256_cmpeq_epi32(_mm256_and_si256(a, bits), _mm256_setzero_si256()); }
INLINE mask m_equal_where(mask m, vec a, vec b) { return _mm256_and_si256(m, _mm256_cmpeq_epi32(a, b)); }
INLINE mask m_greater_where(mask m, vec a, vec b) { return _mm256_and_si256(_mm256_cmpgt_epi32(a, b), m); }

typedef struct {
    vec n, rest; /* rest = 32 - n */
} amount;

/* The first 32 bits of high:low after the first n. */
INLINE vec shift(vec high, vec low, amount by) {
    return _mm256_or_si256(_mm256_sllv_epi32(high, by.n), _mm256_srlv_epi32(low, by.rest));
}

/* Rows of 16 bytes: i and i + 4. */
INLINE vec load_rows(const uint8_t *bytes, const uint32_t *at, int i) {
#define ROW(i) _mm_loadu_si128((const __m128i *)(bytes + at[i]))
    return _mm256_inserti128_si256(_mm256_castsi128_si256(ROW(i)), ROW(i + 4), 1);
#undef ROW
}

typedef struct {
    vec last, all;         /* place 62; 32 */
    vec order[4];          /* ffp_order_avx2, 16 bytes in both halves of each */
    uint8_t packs[256][8]; /* by mask: the numbers of the bits set */
} target;

INLINE void make_target(target *t, int logged) {
    t->last = v_set(62);
    t->all = v_set(32);
    for (int i = 0; i < 4; i++) {
        t->order[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(ffp_order_avx2 + 16 * i)));
    }
    for (int bits = 0; logged && bits < 256; bits++) {
        int n = 0;
        memset(t->packs[bits], 0, 8);
        for (int i = 0; i < 8; i++) {
            t->packs[bits][n] = (uint8_t)i;
            n += bits >> i & 1;
            n = n < 8 ? n : 7;
        }
    }
}

#include "lanes/decoder.h"

INLINE mask ends_block(const constants *c, vec place) { return _mm256_cmpgt_epi32(place, c->own.last); }

/* A lookup in 64 bytes. The upper bytes of elements find order[0], which is 0. */
INLINE vec place_in_block(const constants *c, vec place) {
    const vec at = v_and(place, c->within), sixteen = _mm256_slli_epi32(at, 3), thirty_two = _mm256_slli_epi32(at, 2);
    const vec low = v_select(sixteen, v_bytes(c->own.order[1], at), v_bytes(c->own.order[0], at));
    const vec high = v_select(sixteen, v_bytes(c->own.order[3], at), v_bytes(c->own.order[2], at));
    return v_select(thirty_two, high, low);
}

INLINE amount amount_of(const constants *c, vec e, vec n) {
    (void)e;
    return (amount){n, _mm256_sub_epi32(c->own.all, n)};
}

INLINE vec value_of(const constants *c, vec bits, vec e, amount by) {
    const vec most = _mm256_and_si256(_mm256_srli_epi16(e, 5), c->word);
    const vec value = _mm256_and_si256(_mm256_srlv_epi32(bits, by.rest), most);
    const mask positive = _mm256_cmpgt_epi32(value, _mm256_srli_epi32(most, 1));
    return _mm256_sub_epi32(value, _mm256_andnot_si256(positive, most));
}

INLINE void append(const constants *c, ffp_log *log, mask ended, const lanes *l, vec place) {
    const uint32_t bits = m_bits(ended);
    const vec pack = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)c->own.packs[bits]));
    const vec end = _mm256_or_si256(_mm256_and_si256(_mm256_slli_epi32(place, 25), c->bad), l->pos);
    _mm256_storeu_si256((__m256i *)(log->block + log->count), v_permute(v_right(l->base, 6), pack));
    _mm256_storeu_si256((__m256i *)(log->end + log->count), v_permute(end, pack));
    log->count += __builtin_popcount(bits);
}

const ffp_lane_engine ffp_engine_avx2 = {1, MOST_BLOCKS, unstuff, run, ffp_order_avx2, ffp_arrange_avx2};

int32_t ffp_entropy_avx2(ffp_context *ctx, const ffp_header *header, ffp_job *jobs, int32_t njobs) {
    return ffp_lane_entropy(&ffp_engine_avx2, ctx, header, jobs, njobs);
}

#endif
