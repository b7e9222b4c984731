/* 8 lanes of 32 bits, as the AVX2 level's searches and decoders use them. Who includes this defines TARGET before, the
 * instructions that it may use. */
#ifndef FFP_VECTORS_AVX2_H
#define FFP_VECTORS_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline TARGET __attribute__((always_inline))

enum { LANES = 8 };

typedef __m256i vec;
typedef __m256i mask; /* all ones or zero */

INLINE vec v_set(uint32_t x) { return _mm256_set1_epi32((int)x); }
INLINE vec v_load_any(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE void v_store(void *p, vec a) { _mm256_store_si256((__m256i *)p, a); }
INLINE vec v_and(vec a, vec b) { return _mm256_and_si256(a, b); }
INLINE vec v_add(vec a, vec b) { return _mm256_add_epi32(a, b); }
INLINE vec v_right(vec a, int n) { return _mm256_srli_epi32(a, n); }
INLINE vec v_left_each(vec a, vec n) { return _mm256_sllv_epi32(a, n); }
INLINE vec v_select(mask m, vec a, vec b) { return _mm256_blendv_epi8(b, a, m); }
INLINE vec v_add_where(mask m, vec a, vec b) { return v_add(a, v_and(b, m)); }
INLINE uint32_t m_bits(mask m) { return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(m)); }

#endif
