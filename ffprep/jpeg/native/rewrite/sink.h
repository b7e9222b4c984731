/* Writing entropy-coded data: bits to big-endian bytes, a zero byte stuffed after each FF (T.81 B.1.1.5). */
#ifndef FFPREP_SINK_H
#define FFPREP_SINK_H

#include "bits.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

typedef struct {
    uint8_t *out;   /* the caller has made sure of the room: twice the bits */
    uint64_t word;  /* pending bits, left-aligned, zeros after them */
    uint32_t count; /* how many: 0..63 */
} ffp_sink;

static inline void ffp_sink_word(ffp_sink *s, uint64_t word) {
    if (__builtin_expect(!ffp_has_ff(word), 1)) {
        uint64_t big = word;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        big = __builtin_bswap64(big);
#endif
        memcpy(s->out, &big, 8);
        s->out += 8;
        return;
    }
    for (int shift = 56; shift >= 0; shift -= 8) {
        uint8_t byte = (uint8_t)(word >> shift);
        *s->out++ = byte;
        if (byte == 0xFF) {
            *s->out++ = 0;
        }
    }
}

/* The low n bits of value, which has no others; n = 1..57. */
static inline void ffp_sink_put(ffp_sink *s, uint64_t value, uint32_t n) {
    uint32_t room = 64 - s->count;
    if (n < room) {
        s->word |= value << (room - n);
        s->count += n;
        return;
    }
    ffp_sink_word(s, s->word | value >> (n - room));
    s->count = n - room;
    s->word = s->count ? value << (64 - s->count) : 0;
}

/* Writes out the whole bytes that are pending. */
static inline void ffp_sink_bytes(ffp_sink *s) {
    for (; s->count >= 8; s->count -= 8, s->word <<= 8) {
        const uint8_t byte = (uint8_t)(s->word >> 56);
        *s->out++ = byte;
        if (byte == 0xFF) {
            *s->out++ = 0;
        }
    }
}

#if defined(__SSE2__)
#define FFP_SINK_WIDE 512 /* bits from which on a run is copied in vectors */

/* Copies sixteen bytes at a time, as many as there are; nothing but whole bytes is pending before. Returns the bit at which
 * the rest begins, of which `count` bits are in the sink already. */
static inline uint32_t ffp_sink_copy_wide(ffp_sink *s, const uint8_t *bytes, uint32_t from, uint32_t to) {
    const uint32_t pending = s->count,
                   shift = (from - pending) & 7; /* the output's bytes begin at this bit of input bytes */
    const uint8_t *p = bytes + ((from - pending) >> 3), *end = bytes + (to >> 3) - 16;
    const __m128i left = _mm_cvtsi32_si128((int)shift), right = _mm_cvtsi32_si128((int)(8 - shift));
    const __m128i low = _mm_set1_epi8((char)(0xFF >> (8 - shift))), ff = _mm_set1_epi8(-1);
    uint8_t *out = s->out, first = (uint8_t)(s->word >> 56);
    const uint8_t *begin = p;
    while (p < end) {
        const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
        const __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(p + 1));
        const __m128i high = _mm_andnot_si128(low, _mm_sll_epi16(a, left));
        __m128i v = _mm_or_si128(high, _mm_and_si128(low, _mm_srl_epi16(b, right)));
        uint32_t n = 16, hit;
        if (p == begin && pending) { /* what is pending takes the place of the bits before `from` */
            const uint32_t own = (uint32_t)_mm_cvtsi128_si32(v) & 0xFF & (0xFFu >> pending);
            v = _mm_or_si128(_mm_slli_si128(_mm_srli_si128(v, 1), 1), _mm_cvtsi32_si128((int)(own | first)));
        }
        hit = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, ff));
        _mm_storeu_si128((__m128i *)(void *)out, v);
        if (__builtin_expect(hit, 0)) {
            n = (uint32_t)__builtin_ctz(hit) + 1;
            out[n] = 0;
            out++;
        }
        out += n;
        p += n;
    }
    s->out = out;
    s->word = s->count = 0;
    return (uint32_t)(p - bytes) * 8 + shift;
}
#endif

/* Bits [from, to) of bytes; 16 bytes after the last one must be readable. */
static inline void ffp_sink_copy(ffp_sink *s, const uint8_t *bytes, uint32_t from, uint32_t to) {
#if defined(__SSE2__)
    if (to - from >= FFP_SINK_WIDE && from >= 8) { /* fewer than 8 bits are pending */
        ffp_sink_bytes(s);
        from = ffp_sink_copy_wide(s, bytes, from, to);
    }
#endif
    while (to - from >= 64) {
        const uint8_t *p = bytes + (from >> 3);
        uint64_t v = ffp_load_be64(p) << (from & 7) | (uint64_t)p[8] >> (8 - (from & 7));
        ffp_sink_word(s, s->word | v >> s->count);
        s->word = v << 1 << (63 - s->count);
        from += 64;
    }
    while (from < to) {
        uint32_t n = to - from < 32 ? to - from : 32;
        uint64_t v = ffp_load_be64(bytes + (from >> 3)) << (from & 7);
        ffp_sink_put(s, v >> (64 - n), n);
        from += n;
    }
}

/* Ones up to the end of the byte (F.1.2.3); nothing is pending then. */
static inline void ffp_sink_flush(ffp_sink *s) {
    uint32_t n = s->count;
    uint64_t word = n ? s->word | (uint64_t)-1 >> n : 0;
    for (uint32_t done = 0; done < n; done += 8) {
        uint8_t byte = (uint8_t)(word >> (56 - done));
        *s->out++ = byte;
        if (byte == 0xFF) {
            *s->out++ = 0;
        }
    }
    s->word = 0;
    s->count = 0;
}

static inline void ffp_sink_restart(ffp_sink *s, int64_t segment) {
    ffp_sink_flush(s);
    *s->out++ = 0xFF;
    *s->out++ = (uint8_t)(0xD0 | ((segment - 1) & 7));
}

/* T.81 F.1.2.1.1: how many bits a value takes. */
static inline uint32_t ffp_size_category(int32_t value) {
    uint32_t magnitude = (uint32_t)(value < 0 ? -value : value);
    return magnitude ? 32 - (uint32_t)__builtin_clz(magnitude) : 0;
}

/* A symbol's code, then the bits of its value. */
static inline void ffp_sink_coded(ffp_sink *s, uint32_t code, uint32_t length, int32_t value, uint32_t size) {
    uint32_t low = (uint32_t)(value - (value < 0)) & ((1u << size) - 1);
    ffp_sink_put(s, code << size | low, length + size);
}

#endif
