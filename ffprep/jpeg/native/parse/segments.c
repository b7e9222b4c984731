/* Marker segments (T.81 B.1.1): finding them, and those that bring tables and the restart interval. Decoding and rewriting
 * of several scans meet the same segments between the scans. */
#include <string.h>

#include "parse.h"

int ffp_next_marker(const uint8_t *data, int64_t size, int64_t *pos, int32_t *marker) {
    int64_t p = *pos;
    while (p < size) {
        const uint8_t *ff = memchr(data + p, 0xFF, (size_t)(size - p));
        if (!ff) {
            return 0;
        }
        p = ff - data;
        while (p < size && data[p] == 0xFF) {
            p++;
        }
        if (p < size && data[p] != 0) {
            *marker = data[p];
            *pos = p + 1;
            return 1;
        }
    }
    return 0;
}

int32_t ffp_stray(const uint8_t *data, int64_t before, int64_t after) {
    while (before < after - 1 && data[before] == 0xFF) {
        before++;
    }
    return before < after - 1 ? FFP_NOTE_STRAY : 0;
}

/* Of these libjpeg steps over the length, and then over the payload if it says that there is one. */
static int is_skipped(int32_t marker) {
    return (marker >= FFP_M_APP0 && marker <= FFP_M_APP15) || marker == FFP_M_COM || marker == FFP_M_DNL;
}

const uint8_t *ffp_segment(const uint8_t *data, int64_t size, int64_t pos, int32_t marker, int32_t *length,
                           int32_t *notes) {
    if (size - pos < 2) {
        return NULL;
    }
    int32_t n = ffp_load_be16(data + pos);
    if (n < 2 && is_skipped(marker)) {
        n = 2;
        *notes |= FFP_NOTE_LENGTH;
    }
    if (n < 2 || size - pos < n) {
        return NULL;
    }
    *length = n - 2;
    return data + pos + 2;
}

int32_t ffp_notes_after(const uint8_t *data, int64_t size, int64_t pos) {
    int32_t marker = FFP_M_RST0;
    while (marker >= FFP_M_RST0 && marker <= FFP_M_RST7) { /* some encoders write one after the last segment too */
        const int64_t before = pos;
        while (pos < size && data[pos] == 0xFF) {
            pos++;
        }
        if (pos == size) {
            return FFP_NOTE_NO_EOI;
        }
        marker = pos > before ? data[pos++] : 0;
    }
    return marker == FFP_M_EOI ? 0 : FFP_NOTE_LEFT_OVER;
}

/* B.2.4.2 */
int32_t ffp_parse_dht(ffp_header *h, const uint8_t *p, int32_t n) {
    while (n > 0) {
        if (n < 17) {
            return FFP_BAD_HUFFMAN_TABLE;
        }
        const int32_t class = p[0] >> 4, id = p[0] & 15, total = ffp_count_codes(p);
        if (class > 1 || id > 3 || total < 0 || total > n - 17) {
            return FFP_BAD_HUFFMAN_TABLE;
        }
        ffp_dht *t = &h->dht[class][id];
        memset(t, 0, sizeof *t);
        memcpy(t->counts + 1, p + 1, FFP_CODE_LENGTHS);
        memcpy(t->symbols, p + 17, (size_t)total);
        t->present = 1;
        p += 17 + total;
        n -= 17 + total;
    }
    return FFP_OK;
}

/* B.2.4.1 */
int32_t ffp_parse_dqt(ffp_header *h, const uint8_t *p, int32_t n) {
    while (n > 0) {
        int32_t wide = p[0] >> 4, id = p[0] & 15, need = wide ? 129 : 65;
        if (wide > 1 || id > 3 || n < need) {
            return FFP_BAD_QUANT_TABLE;
        }
        for (int i = 0; i < 64; i++) {
            int32_t q = wide ? ffp_load_be16(p + 1 + 2 * i) : p[1 + i];
            h->notes |= q ? 0 : FFP_NOTE_ZERO_QUANT; /* such coefficients count as 0 whatever the scan says */
            h->quant[id][i] = (uint16_t)q;
        }
        h->quant_present[id] = 1;
        p += need;
        n -= need;
    }
    return FFP_OK;
}

/* B.2.4.3 */
int32_t ffp_parse_dac(ffp_header *h, const uint8_t *p, int32_t n) {
    if (n % 2) {
        return FFP_BAD_MARKER;
    }
    for (; n > 0; p += 2, n -= 2) {
        const int32_t class = p[0] >> 4, id = p[0] & 15;
        if (class > 1 || (class == 0 && (p[1] & 15) > p[1] >> 4)) {
            return FFP_BAD_MARKER;
        }
        if (id < 4) {
            h->conditioning[class][id] = p[1];
        }
    }
    return FFP_OK;
}

/* B.2.4.4 */
int32_t ffp_parse_dri(ffp_header *h, const uint8_t *p, int32_t n) {
    if (n != 2) {
        return FFP_BAD_MARKER;
    }
    h->restart_interval = ffp_load_be16(p);
    return FFP_OK;
}
