/* 16 lanes of 32 bits, as the AVX-512 level's searches and decoders use them. Who includes this defines TARGET before, the
 * instructions that it may use. */
#ifndef FFP_VECTORS_AVX512_H
#define FFP_VECTORS_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline TARGET __attribute__((always_inline))

enum { LANES = 16 };

typedef __m512i vec;
typedef __mmask16 mask;

INLINE vec v_set(uint32_t x) { return _mm512_set1_epi32((int)x); }
INLINE vec v_load_any(const void *p) { return _mm512_loadu_si512(p); }
INLINE void v_store(void *p, vec a) { _mm512_store_si512(p, a); }
INLINE vec v_and(vec a, vec b) { return _mm512_and_si512(a, b); }
INLINE vec v_add(vec a, vec b) { return _mm512_add_epi32(a, b); }
INLINE vec v_right(vec a, unsigned n) { return _mm512_srli_epi32(a, n); }
INLINE vec v_left_each(vec a, vec n) { return _mm512_sllv_epi32(a, n); }
INLINE vec v_select(mask m, vec a, vec b) { return _mm512_mask_blend_epi32(m, b, a); }
INLINE vec v_add_where(mask m, vec a, vec b) { return _mm512_mask_add_epi32(a, m, a, b); }
INLINE uint32_t m_bits(mask m) { return m; }

#endif
