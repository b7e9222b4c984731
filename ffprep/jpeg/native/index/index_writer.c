/* Making a seek index (index.h): ffp_index. */
#include <stdlib.h>
#include <string.h>

#include "index/index.h"
#include "skim/skim.h"

static void store32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> 8 * i);
    }
}

typedef struct {
    uint8_t *out;
    int64_t size, capacity; /* counts on beyond the capacity */
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

/* Writes the marks. The skim counts bits without stuffing: each byte FF before a mark adds one byte. */
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
        const int64_t end = mcu < mcus ? mcu : mcus;
        for (int64_t b = 0; b < blocks; b++) {
            value[component[b]] = skim->dc[(end - 1) * blocks + b];
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
        interval = ffp_default_interval(&header);
    } else if (interval > UINT32_MAX) {
        interval = UINT32_MAX;
    }
    status = ffp_skim_scan(data, size, &header, &skim);
    if (status != FFP_OK) {
        return status;
    }
    if (header.restart_interval == 0) {
        writer w = {out, FFP_INDEX_HEAD, capacity};
        write_marks(&w, &header, &skim, interval);
        *written = w.size;
        if (w.size > capacity) {
            status = FFP_NO_SPACE;
        } else {
            memcpy(out, ffp_index_magic, sizeof ffp_index_magic);
            store32(out + 8, (uint32_t)size);
            store32(out + 12, (uint32_t)interval);
            store32(out + 4, ffp_index_checksum(out, w.size, data, size, header.scan_offset));
        }
    }
    free(skim.memory);
    return status;
}
