/* Reading a seek index (index.h), which may be damaged or belong to another stream. */
#include "index/index.h"

#include <string.h>

#include "bits.h"

enum { PIECE = 64 }; /* bytes of the stream that the checksum covers in each of three places */

const uint8_t ffp_index_magic[4] = {'F', 'S', 'I', 1};

static uint32_t load32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* ---- checksum ----------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, const uint8_t *p, int64_t n) {
    for (; n >= 8; p += 8, n -= 8) {
        hash = (hash ^ ffp_load_be64(p)) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    uint8_t rest[8] = {0};
    memcpy(rest, p, (size_t)n);
    hash = (hash ^ ffp_load_be64(rest) ^ (uint64_t)n) * 0xBF58476D1CE4E5B9u;
    return hash ^ hash >> 32;
}

uint32_t ffp_index_checksum(const uint8_t *index, int64_t index_size, const uint8_t *data, int64_t size, int64_t scan) {
    uint64_t hash = mix((uint64_t)scan, index + 8, index_size - 8);
    int64_t room = size - scan, n = room < PIECE ? room : PIECE;
    hash = mix(hash, data + scan, n);
    hash = mix(hash, data + scan + (room - n) / 2, n);
    hash = mix(hash, data + size - n, n);
    return (uint32_t)hash;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* 0 when the number does not end, or is over 2^35 - 1. */
static inline int read_number(ffp_index_reader *r, uint64_t *value) {
    uint64_t v = 0;
    for (int shift = 0; shift < 35 && r->next < r->end; shift += 7) {
        uint8_t byte = *r->next++;
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *value = v;
            return 1;
        }
    }
    return 0;
}

int32_t ffp_index_open(ffp_index_reader *r, const ffp_header *h, const uint8_t *data, int64_t size,
                       const uint8_t *index, int64_t index_size) {
    if (!index || index_size < FFP_INDEX_HEAD || memcmp(index, ffp_index_magic, sizeof ffp_index_magic) != 0 ||
        load32(index + 8) != (uint64_t)size ||
        load32(index + 4) != ffp_index_checksum(index, index_size, data, size, h->scan_offset)) {
        return FFP_BAD_INDEX;
    }
    *r = (ffp_index_reader){.next = index + FFP_INDEX_HEAD,
                            .end = index + index_size,
                            .interval = load32(index + 12),
                            .bit = h->scan_offset * 8,
                            .bits = size * 8,
                            .components = h->ncomp};
    return r->interval ? FFP_OK : FFP_BAD_INDEX;
}

int ffp_index_next(ffp_index_reader *r) {
    uint64_t step, growth;
    if (!read_number(r, &step) || (int64_t)step > r->bits - r->bit) {
        return 0;
    }
    r->bit += (int64_t)step;
    for (int32_t i = 0; i < r->components; i++) {
        if (!read_number(r, &growth)) {
            return 0;
        }
        r->pred[i] = (int32_t)((uint32_t)r->pred[i] + ((uint32_t)(growth >> 1) ^ (0 - (uint32_t)(growth & 1))));
    }
    return 1;
}
