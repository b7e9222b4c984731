/* The bit reader: entropy-coded bytes, from which stuffing is removed on the way (T.81 F.2.2.5). */
#ifndef FFPREP_BITS_H
#define FFPREP_BITS_H

#include <stdint.h>
#include <string.h>

static inline uint64_t ffp_load_be64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline int ffp_has_ff(uint64_t v) { return ((~v - 0x0101010101010101u) & v & 0x8080808080808080u) != 0; }

typedef struct {
    const uint8_t *next, *end;
    uint64_t bits;   /* the next bits, left-aligned; bits below `count` may hold more of the same */
    int32_t count;   /* how many are valid */
    int32_t padding; /* how many of these are zeros that stand for data after the end */
} ffp_bits;

/* Reads byte by byte up to the end or a marker, zeros from there on. */
void ffp_bits_fill_slow(ffp_bits *b);

/* At least 56 bits. */
static inline void ffp_bits_fill(ffp_bits *b) {
    if (__builtin_expect(b->end - b->next >= 8, 1)) {
        uint64_t v = ffp_load_be64(b->next);
        if (__builtin_expect(!ffp_has_ff(v), 1)) {
            b->bits |= v >> b->count;
            b->next += (63 - b->count) >> 3;
            b->count |= 56;
            return;
        }
    }
    ffp_bits copy = *b; /* a reader whose address nobody takes stays in registers */
    ffp_bits_fill_slow(&copy);
    *b = copy;
}

static inline void ffp_bits_drop(ffp_bits *b, int n) {
    b->bits <<= n;
    b->count -= n;
}

/* n = 1..31 bits that are there. */
static inline uint32_t ffp_bits_take(ffp_bits *b, int n) {
    uint32_t v = (uint32_t)(b->bits >> (64 - n));
    ffp_bits_drop(b, n);
    return v;
}

/* Whether bits after the end of the data were used. */
static inline int ffp_bits_overrun(const ffp_bits *b) { return b->count < b->padding; }

static inline void ffp_bits_start(ffp_bits *b, const uint8_t *begin, const uint8_t *end, int start_bit) {
    b->next = begin;
    b->end = end;
    b->bits = 0;
    b->count = b->padding = 0;
    if (start_bit) {
        ffp_bits_fill_slow(b);
        ffp_bits_drop(b, start_bit);
    }
}

/* After the last MCU of a segment: FFP_OK when nothing but padding is left (any bits up to the byte's end, then filler
 * bytes 00 or FF, which some encoders write), else FFP_CORRUPT_SCAN. b->next is then at the marker or the end. */
int32_t ffp_bits_finish(ffp_bits *b);

/* The first byte that was not looked at, not even in part; `begin` is where the reader started. */
const uint8_t *ffp_bits_position(const ffp_bits *b, const uint8_t *begin);

/* F.2.2.1 EXTEND: the value that the `size` bits v stand for. */
static inline int32_t ffp_extend(uint32_t v, int size) {
    return (int32_t)v - (v >> (size - 1) ? 0 : (int32_t)(1u << size) - 1);
}

#endif
