/* The AVX-512 level's skimming: skim_vectors.h with 16 lanes in a vector. */
#include <string.h>

#include "levels.h"
#include "skim/marks.h"

#if FFP_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,bmi,bmi2,popcnt")))
#define INLINE static inline TARGET __attribute__((always_inline))

enum { LANES = 16, LANE_SHIFT = 28 };

typedef __m512i vec;
typedef __mmask16 mask;

INLINE vec v_set(uint32_t x) { return _mm512_set1_epi32((int)x); }
INLINE vec v_load_any(const void *p) { return _mm512_loadu_si512(p); }
INLINE void v_store(void *p, vec a) { _mm512_store_si512(p, a); }
INLINE void v_store_any(void *p, vec a) { _mm512_storeu_si512(p, a); }
INLINE vec v_and(vec a, vec b) { return _mm512_and_si512(a, b); }
INLINE vec v_add(vec a, vec b) { return _mm512_add_epi32(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm512_sub_epi32(a, b); }
INLINE vec v_right(vec a, unsigned n) { return _mm512_srli_epi32(a, n); }
INLINE vec v_right_each(vec a, vec n) { return _mm512_srlv_epi32(a, n); }
INLINE vec v_left(vec a, vec n) { return _mm512_sllv_epi32(a, n); }
INLINE vec v_select(mask m, vec a, vec b) { return _mm512_mask_blend_epi32(m, b, a); }
INLINE vec v_add_where(mask m, vec a, vec b) { return _mm512_mask_add_epi32(a, m, a, b); }
INLINE vec v_zero_where(mask m, vec a) { return _mm512_maskz_mov_epi32((mask)~m, a); }
INLINE vec v_count(mask m, vec a, vec one) { return v_add_where(m, a, one); }
INLINE vec v_put(vec a, int lane, uint32_t x) { return _mm512_mask_set1_epi32(a, (mask)(1u << lane), (int)x); }

INLINE mask m_all(void) { return 0xFFFF; }
INLINE uint32_t m_bits(mask m) { return m; }
INLINE mask m_less(vec a, vec b) { return _mm512_cmplt_epi32_mask(a, b); }
INLINE mask m_equal(vec a, vec b) { return _mm512_cmpeq_epi32_mask(a, b); }
INLINE mask m_odd_where(mask m, vec a, vec one) { return _mm512_mask_test_epi32_mask(m, a, one); }
typedef struct {
    vec swap, even, odd, closer;
} target;

INLINE void make_target(target *t) {
    t->swap = _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    t->even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    t->odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    t->closer = v_set(LOOK_CLOSER);
}

INLINE uint32_t m_closer(const target *t, vec k) { return _mm512_test_epi32_mask(k, t->closer); }

/* The first 32 bits of high:low after the first n < 32. */
INLINE vec v_shift(const target *t, vec high, vec low, vec n) {
    (void)t;
    return _mm512_shldv_epi32(high, low, n);
}

/* The upper 16 bits of each element are those of the entry after it. */
INLINE vec v_entries(const uint16_t *entry, vec at, mask where) {
    return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), where, at, entry, 2);
}

/* Two words, most significant byte first, at each place. */
INLINE void v_words(const target *t, const uint8_t *base, vec at, mask where, vec *first, vec *second) {
    const vec zero = _mm512_setzero_si512();
    const vec a = _mm512_mask_i32gather_epi64(zero, (__mmask8)where, _mm512_castsi512_si256(at), base, 1);
    const vec b = _mm512_mask_i32gather_epi64(zero, (__mmask8)(where >> 8), _mm512_extracti64x4_epi64(at, 1), base, 1);
    *first = _mm512_shuffle_epi8(_mm512_permutex2var_epi32(a, t->even, b), t->swap);
    *second = _mm512_shuffle_epi8(_mm512_permutex2var_epi32(a, t->odd, b), t->swap);
}

/* Writes the elements in m one after the other, and more; returns how many these are. */
INLINE int64_t v_append(uint32_t *to, mask m, vec a) {
    v_store_any(to, _mm512_maskz_compress_epi32(m, a));
    return __builtin_popcount(m);
}

INLINE vec v_next(const uint32_t next[FFP_VECTOR_PHASES], int32_t many, mask m, vec a) {
    (void)many;
    return _mm512_mask_permutexvar_epi32(a, m, a, v_load_any(next)); /* the lowest four bits of a count */
}

INLINE vec v_load_even(const uint32_t *p) {
    return _mm512_permutex2var_epi32(v_load_any(p),
                                     _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0),
                                     v_load_any(p + LANES));
}

/* Elements of a and b in turn. */
INLINE void v_store_two(uint32_t *p, vec a, vec b) {
    const vec low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const vec high = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    v_store_any(p, _mm512_permutex2var_epi32(a, low, b));
    v_store_any(p + LANES, _mm512_permutex2var_epi32(a, high, b));
}

#include "skim/skim_vectors.h"

const ffp_skimmer ffp_skimmer_avx512 = {run, differences};

#endif
