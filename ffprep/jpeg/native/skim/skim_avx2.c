/* The AVX2 level's skimming: skim_vectors.h with 8 lanes in a vector. */
#include <string.h>

#include "levels.h"
#include "skim/marks.h"

#if FFP_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define INLINE static inline TARGET __attribute__((always_inline))

enum { LANES = 8, LANE_SHIFT = 29 };

typedef __m256i vec;
typedef __m256i mask; /* all ones or zero */

INLINE vec v_set(uint32_t x) { return _mm256_set1_epi32((int)x); }
INLINE vec v_load_any(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE void v_store(void *p, vec a) { _mm256_store_si256((__m256i *)p, a); }
INLINE void v_store_any(void *p, vec a) { _mm256_storeu_si256((__m256i *)p, a); }
INLINE vec v_and(vec a, vec b) { return _mm256_and_si256(a, b); }
INLINE vec v_add(vec a, vec b) { return _mm256_add_epi32(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm256_sub_epi32(a, b); }
INLINE vec v_right(vec a, int n) { return _mm256_srli_epi32(a, n); }
INLINE vec v_right_each(vec a, vec n) { return _mm256_srlv_epi32(a, n); }
INLINE vec v_left(vec a, vec n) { return _mm256_sllv_epi32(a, n); }
INLINE vec v_select(mask m, vec a, vec b) { return _mm256_blendv_epi8(b, a, m); }
INLINE vec v_add_where(mask m, vec a, vec b) { return v_add(a, v_and(b, m)); }
INLINE vec v_zero_where(mask m, vec a) { return _mm256_andnot_si256(m, a); }
INLINE vec v_count(mask m, vec a, vec one) {
    (void)one;
    return v_sub(a, m);
}
INLINE vec v_put(vec a, int lane, uint32_t x) {
    const vec numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return v_select(_mm256_cmpeq_epi32(numbers, v_set((uint32_t)lane)), v_set(x), a);
}

INLINE mask m_all(void) { return v_set(0xFFFFFFFF); }
INLINE uint32_t m_bits(mask m) { return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(m)); }
INLINE mask m_less(vec a, vec b) { return _mm256_cmpgt_epi32(b, a); }
INLINE mask m_equal(vec a, vec b) { return _mm256_cmpeq_epi32(a, b); }
INLINE mask m_odd_where(mask m, vec a, vec one) { return v_and(m, _mm256_cmpeq_epi32(v_and(a, one), one)); }
typedef struct {
    vec swap, bits;
} target;

INLINE void make_target(target *t) {
    t->swap = _mm256_broadcastsi128_si256(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    t->bits = v_set(32);
}

INLINE uint32_t m_closer(const target *t, vec k) {
    (void)t;
    return m_bits(_mm256_slli_epi32(k, 31 - 14)); /* the bit of LOOK_CLOSER */
}

/* The first 32 bits of high:low after the first n < 32. */
INLINE vec v_shift(const target *t, vec high, vec low, vec n) {
    return _mm256_or_si256(v_left(high, n), v_right_each(low, v_sub(t->bits, n)));
}

/* The upper 16 bits of each element are those of the entry after it. */
INLINE vec v_entries(const uint16_t *entry, vec at, mask where) {
    return _mm256_mask_i32gather_epi32(_mm256_setzero_si256(), (const int *)(const void *)entry, at, where, 2);
}

/* Two words, most significant byte first, at each place. */
INLINE void v_words(const target *t, const uint8_t *base, vec at, mask where, vec *first, vec *second) {
    const vec zero = _mm256_setzero_si256();
    /* lanes 0, 1, 4, 5, then 2, 3, 6, 7: halves that unpack in order */
    const vec halves = _mm256_permute4x64_epi64(at, 0xD8);
    const vec in_halves = _mm256_permute4x64_epi64(where, 0xD8);
    const long long *words = (const long long *)(const void *)base;
    const vec a = _mm256_mask_i32gather_epi64(zero, words, _mm256_castsi256_si128(halves),
                                              _mm256_cvtepi32_epi64(_mm256_castsi256_si128(in_halves)), 1);
    const vec b = _mm256_mask_i32gather_epi64(zero, words, _mm256_extracti128_si256(halves, 1),
                                              _mm256_cvtepi32_epi64(_mm256_extracti128_si256(in_halves, 1)), 1);
    const __m256 c = _mm256_castsi256_ps(a), d = _mm256_castsi256_ps(b);
    *first = _mm256_shuffle_epi8(_mm256_castps_si256(_mm256_shuffle_ps(c, d, 0x88)), t->swap);
    *second = _mm256_shuffle_epi8(_mm256_castps_si256(_mm256_shuffle_ps(c, d, 0xDD)), t->swap);
}

/* For every mask of eight bits the numbers of those that are set, a byte each. */
#define NUMBER(m, i) ((m) >> (i)&1 ? (uint64_t)(i) << 8 * __builtin_popcount((m) & ((1u << (i)) - 1)) : 0)
#define NUMBERS(m)                                                                                                     \
    (NUMBER(m, 0) | NUMBER(m, 1) | NUMBER(m, 2) | NUMBER(m, 3) | NUMBER(m, 4) | NUMBER(m, 5) | NUMBER(m, 6) |          \
     NUMBER(m, 7))
#define FOUR(m) NUMBERS((m)), NUMBERS((m) + 1u), NUMBERS((m) + 2u), NUMBERS((m) + 3u)
#define SIXTEEN(m) FOUR(m), FOUR((m) + 4u), FOUR((m) + 8u), FOUR((m) + 12u)
#define SIXTY_FOUR(m) SIXTEEN(m), SIXTEEN((m) + 16u), SIXTEEN((m) + 32u), SIXTEEN((m) + 48u)
static const uint64_t packs[256] = {SIXTY_FOUR(0u), SIXTY_FOUR(64u), SIXTY_FOUR(128u), SIXTY_FOUR(192u)};

/* Writes the elements in m one after the other, and more; returns how many these are. */
INLINE int64_t v_append(uint32_t *to, mask m, vec a) {
    const uint32_t bits = m_bits(m);
    const vec pack = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(packs + bits)));
    v_store_any(to, _mm256_permutevar8x32_epi32(a, pack));
    return __builtin_popcount(bits);
}

INLINE vec v_next(const uint32_t next[FFP_VECTOR_PHASES], int32_t many, mask m, vec a) {
    vec to = _mm256_permutevar8x32_epi32(v_load_any(next), a); /* by the lowest three bits of a */
    if (many) {
        const vec more = _mm256_permutevar8x32_epi32(v_load_any(next + LANES), a);
        to = v_select(_mm256_srai_epi32(_mm256_slli_epi32(a, 28), 31), more, to);
    }
    return v_select(m, to, a);
}

INLINE vec v_load_even(const uint32_t *p) {
    const __m256 a = _mm256_castsi256_ps(v_load_any(p)), b = _mm256_castsi256_ps(v_load_any(p + LANES));
    return _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88)), 0xD8);
}

/* Elements of a and b in turn. */
INLINE void v_store_two(uint32_t *p, vec a, vec b) {
    const vec low = _mm256_unpacklo_epi32(a, b), high = _mm256_unpackhi_epi32(a, b);
    v_store_any(p, _mm256_permute2x128_si256(low, high, 0x20));
    v_store_any(p + LANES, _mm256_permute2x128_si256(low, high, 0x31));
}

#include "skim/skim_vectors.h"

const ffp_skimmer ffp_skimmer_avx2 = {run, differences};

#endif
