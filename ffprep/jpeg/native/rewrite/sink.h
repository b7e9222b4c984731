/* Writing entropy-coded data: bits to big-endian bytes, a zero byte stuffed after each FF (T.81 B.1.1.5). */
#ifndef FFPREP_SINK_H
#define FFPREP_SINK_H

#include "bits.h"

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

/* Bits [from, to) of bytes; 16 bytes after the last one must be readable. */
static inline void ffp_sink_copy(ffp_sink *s, const uint8_t *bytes, uint32_t from, uint32_t to) {
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
