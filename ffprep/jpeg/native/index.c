/* The seek index: where in an undivided scan decoding can begin, so that a crop needs no restart markers in the stream.
 *
 *   bytes 0..3    'F' 'S' 'I' 1
 *   bytes 4..7    checksum of all that follows and of pieces of the stream
 *   bytes 8..11   size of the stream in bytes
 *   bytes 12..15  MCUs from mark to mark
 *   then for each mark but the first, and for the end of the scan: bits from the mark before, stuffing included, and
 *   for each component how much its DC predictor grew
 *
 * Fields of four bytes are little-endian; the others are numbers in groups of seven bits, low ones first, bit 7 set in
 * all but the last; growth g as 2g, or -2g - 1 when negative. The first mark is at the first bit of the scan. */
#include <stdlib.h>

#include "internal.h"
#include "rewrite.h"

enum { HEAD = 16, PIECE = 64 };

static const uint8_t magic[4] = {'F', 'S', 'I', 1};

static uint32_t load32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> 8 * i);
    }
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

/* 0 when the number does not end, or is over 2^35. */
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
    if (!index || index_size < HEAD || memcmp(index, magic, sizeof magic) != 0 || load32(index + 8) != (uint64_t)size ||
        load32(index + 4) != ffp_index_checksum(index, index_size, data, size, h->scan_offset)) {
        return FFP_BAD_INDEX;
    }
    *r = (ffp_index_reader){.next = index + HEAD, .end = index + index_size, .interval = load32(index + 12),
                            .bit = h->scan_offset * 8, .bits = size * 8, .components = h->ncomp};
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

/* ---- making ------------------------------------------------------------------------------------------------------- */

typedef struct {
    uint8_t *out;
    int64_t size, capacity;           /* counts on beyond the capacity */
} writer;

static void write_number(writer *w, uint64_t v) {
    do {
        if (w->size < w->capacity) {
            w->out[w->size] = (uint8_t)(v >= 0x80 ? v | 0x80 : v);
        }
        w->size++;
        v >>= 7;
    } while (v);
}

/* Writes the marks; the skim's bits are of the data without stuffing, bytes FF of which have one more byte each. */
static void write_marks(writer *w, const ffp_header *h, const ffp_skim *skim, int64_t interval) {
    uint8_t component[FFP_MAX_BLOCKS_PER_MCU];
    const int64_t blocks = ffp_mcu_layout(h, component), mcus = skim->blocks / blocks;
    int32_t pred[FFP_MAX_COMPONENTS] = {0};
    int64_t byte = 0, stuffed = 0, before = 0;
    for (int64_t mcu = interval; mcu - interval < mcus; mcu += interval) {
        int64_t bit = mcu < mcus ? skim->bit[2 * mcu * blocks] : skim->segment_end[0];
        for (; byte < bit >> 3; byte++) {
            stuffed += skim->bytes[byte] == 0xFF;
        }
        write_number(w, (uint64_t)(bit + 8 * stuffed - before));
        before = bit + 8 * stuffed;
        int32_t value[FFP_MAX_COMPONENTS];
        const int64_t behind = mcu < mcus ? mcu : mcus;
        for (int64_t b = 0; b < blocks; b++) {
            value[component[b]] = skim->dc[(behind - 1) * blocks + b];
        }
        for (int i = 0; i < h->ncomp; i++) {
            int32_t growth = value[i] - pred[i];
            write_number(w, growth < 0 ? (uint64_t)(-2 * (int64_t)growth - 1) : (uint64_t)growth * 2);
            pred[i] = value[i];
        }
    }
}

int64_t ffp_index(const uint8_t *data, int64_t size, int64_t interval, uint8_t *out, int64_t capacity,
                  int64_t *written) {
    ffp_header header;
    ffp_skim skim;
    *written = 0;
    int32_t status = ffp_parse(data, size, &header);
    if (status != FFP_OK) {
        return status;
    }
    if (interval < 1) {
        interval = header.blocks_per_mcu > 3 ? 8 : 16;
    } else if (interval > UINT32_MAX) {
        interval = UINT32_MAX;
    }
    status = ffp_skim_scan(data, size, &header, &skim);
    if (status != FFP_OK) {
        return status;
    }
    if (header.restart_interval == 0) {
        writer w = {out, HEAD, capacity};
        write_marks(&w, &header, &skim, interval);
        *written = w.size;
        if (w.size > capacity) {
            status = FFP_NO_SPACE;
        } else {
            memcpy(out, magic, sizeof magic);
            store32(out + 8, (uint32_t)size);
            store32(out + 12, (uint32_t)interval);
            store32(out + 4, ffp_index_checksum(out, w.size, data, size, header.scan_offset));
        }
    }
    free(skim.memory);
    return status;
}
