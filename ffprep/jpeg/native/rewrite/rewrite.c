/* Lossless rewriting into seekable form: the same coefficients as an interleaved baseline stream with restart markers. */
#include "rewrite/rewrite.h"

#include <stdlib.h>
#include <string.h>

#include "scan/scan.h"

enum { KEEP_METADATA = 1, OPTIMISE = 2, FLAGS = 3 };

#define HEADER_BOUND 4096 /* everything but kept metadata: at most 4 DQT and 8 DHT tables, 2,800 bytes */

static uint8_t *put(uint8_t *out, const void *bytes, size_t n) {
    memcpy(out, bytes, n);
    return out + n;
}

static uint8_t *put16(uint8_t *out, int32_t value) {
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return out + 2;
}

/* A marker and room for its length. */
static uint8_t *begin_segment(uint8_t *out, int32_t marker) { return put16(out, 0xFF00 | marker) + 2; }

static uint8_t *end_segment(uint8_t *begin, uint8_t *end) {
    put16(begin + 2, (int32_t)(end - begin - 2));
    return end;
}

/* APPn and COM segments as they are in the input. */
static uint8_t *copy_metadata(const uint8_t *data, const ffp_header *h, uint8_t *out) {
    int64_t pos = 2;
    int32_t marker, n;
    while (ffp_next_marker(data, h->sos_offset, &pos, &marker)) {
        if (ffp_stands_alone(marker)) {
            continue;
        }
        const uint8_t *p = ffp_segment(data, h->sos_offset, pos, &n);
        if (!p) {
            break;
        }
        if ((marker >= FFP_M_APP0 && marker <= FFP_M_APP15) || marker == FFP_M_COM) {
            out = put(put16(put16(out, 0xFF00 | marker), n + 2), p, (size_t)n);
        }
        pos += 2 + n;
    }
    return out;
}

/* What tells a decoder the colour space: JFIF for YCbCr and grey, else Adobe's marker. */
static uint8_t *put_color(const ffp_header *h, uint8_t *out) {
    static const uint8_t jfif[] = {0xFF, 0xE0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0};
    static const uint8_t adobe_rgb[] = {0xFF, 0xEE, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0};
    return h->color == FFP_COLOR_RGB ? put(out, adobe_rgb, sizeof adobe_rgb) : put(out, jfif, sizeof jfif);
}

static uint8_t *put_quant(const ffp_header *h, uint8_t *out, int32_t *extended) {
    uint8_t *begin = out;
    int32_t done = 0;
    out = begin_segment(out, FFP_M_DQT);
    for (int c = 0; c < h->ncomp; c++) {
        int32_t id = h->comp[c].tq, wide = 0;
        if (done >> id & 1) {
            continue;
        }
        done |= 1 << id;
        for (int i = 0; i < 64; i++) {
            wide |= h->quant[id][i] > 255;
        }
        *extended |= wide;
        *out++ = (uint8_t)(wide << 4 | id);
        for (int i = 0; i < 64; i++) {
            if (wide) {
                *out++ = (uint8_t)(h->quant[id][i] >> 8);
            }
            *out++ = (uint8_t)h->quant[id][i];
        }
    }
    return end_segment(begin, out);
}

/* The Huffman tables in use, numbered in the order of their use. number[kind][old] = new. */
static uint8_t *put_huffman(const ffp_header *h, uint8_t *out, int32_t number[2][4], int32_t *extended) {
    uint8_t *begin = out;
    out = begin_segment(out, FFP_M_DHT);
    for (int kind = 0; kind < 2; kind++) {
        int32_t used = 0;
        number[kind][0] = number[kind][1] = number[kind][2] = number[kind][3] = -1;
        for (int c = 0; c < h->ncomp; c++) {
            int32_t id = kind ? h->comp[c].ta : h->comp[c].td;
            if (number[kind][id] >= 0) {
                continue;
            }
            number[kind][id] = used++;
            const ffp_dht *t = &h->dht[kind][id];
            *out++ = (uint8_t)(kind << 4 | number[kind][id]);
            out = put(out, t->counts + 1, FFP_CODE_LENGTHS);
            out = put(out, t->symbols, (size_t)ffp_count_codes(t->counts));
        }
        *extended |= used > 2; /* baseline has two of each: B.2.4.2 */
    }
    return end_segment(begin, out);
}

static uint8_t *put_header(const uint8_t *data, const ffp_header *h, int64_t interval, int64_t flags, uint8_t *out) {
    int32_t extended = 0, number[2][4];
    uint8_t *begin;
    out = put16(out, 0xFF00 | FFP_M_SOI);
    out = flags & KEEP_METADATA ? copy_metadata(data, h, out) : put_color(h, out);
    out = put_quant(h, out, &extended);
    uint8_t *frame = out;
    out = put16(begin_segment(out, FFP_M_SOF0) + 1, h->height);
    out = put16(out, h->width);
    frame[4] = 8;
    *out++ = (uint8_t)h->ncomp;
    for (int c = 0; c < h->ncomp; c++) {
        int32_t id = flags & KEEP_METADATA ? h->comp[c].id : h->color == FFP_COLOR_RGB ? "RGB"[c] : c + 1;
        *out++ = (uint8_t)id;
        *out++ = (uint8_t)(h->comp[c].h << 4 | h->comp[c].v);
        *out++ = (uint8_t)h->comp[c].tq;
    }
    out = end_segment(frame, out);
    out = put_huffman(h, out, number, &extended);
    if (extended) {
        frame[1] = FFP_M_SOF1;
    }
    if (interval) {
        begin = out;
        out = end_segment(begin, put16(begin_segment(out, FFP_M_DRI), (int32_t)interval));
    }
    begin = out;
    out = begin_segment(out, FFP_M_SOS);
    *out++ = (uint8_t)h->ncomp;
    for (int c = 0; c < h->ncomp; c++) {
        *out++ = frame[10 + 3 * c];
        *out++ = (uint8_t)(number[0][h->comp[c].td] << 4 | number[1][h->comp[c].ta]);
    }
    out = put(out, "\0\77\0", 3); /* Ss, Se, Ah and Al: B.2.3 */
    return end_segment(begin, out);
}

/* The interval to write; 0 where the whole image is one. */
static int64_t choose_interval(const ffp_header *h, int64_t interval) {
    int64_t mcus = (int64_t)h->mcus_x * h->mcus_y;
    if (interval < 0) {
        interval = ffp_default_interval(h);
    }
    interval = interval > 65535 ? 65535 : interval;
    return interval >= mcus ? 0 : interval;
}

typedef struct {
    const uint8_t *data;
    int64_t interval, flags, capacity, *written;
    uint8_t *out;
} request;

/* Sets *written to a capacity that suffices, and says whether the caller's does. */
static int has_room(const request *r, const ffp_header *h, int64_t scan) {
    *r->written = HEADER_BOUND + (r->flags & KEEP_METADATA ? h->sos_offset : 0) + scan;
    return *r->written <= r->capacity;
}

static void finish(const request *r, uint8_t *end) { *r->written = put16(end, 0xFF00 | FFP_M_EOI) - r->out; }

static int32_t patch(const request *r, int64_t size, ffp_header *h) {
    ffp_skim skim;
    int64_t bound;
    int32_t status = ffp_skim_scan(r->data, size, h, &skim);
    if (status != FFP_OK) {
        return status;
    }
    status = ffp_patch_plan(&skim, h, r->interval, &bound);
    if (status == FFP_OK && !has_room(r, h, bound)) {
        status = FFP_NO_SPACE;
    }
    if (status == FFP_OK) {
        uint8_t *scan = put_header(r->data, h, r->interval, r->flags, r->out);
        finish(r, ffp_patch_scan(&skim, h, r->interval, scan));
    }
    free(skim.memory);
    return status;
}

/* Components with equal tables share one. */
static void share_quant(ffp_header *h) {
    for (int c = 1; c < h->ncomp; c++) {
        for (int i = 0; i < c; i++) {
            if (memcmp(h->quant[h->comp[i].tq], h->quant[h->comp[c].tq], sizeof h->quant[0]) == 0) {
                h->comp[c].tq = h->comp[i].tq;
                break;
            }
        }
    }
}

static int32_t recode(const request *r, int64_t size, ffp_header *h) {
    const ffp_layout layout = ffp_layout_of(h);
    int64_t bound;
    int16_t *coefficients = calloc((size_t)layout.count, sizeof *coefficients);
    if (!coefficients) {
        return FFP_NO_MEMORY;
    }
    int32_t status = ffp_decode_whole(r->data, size, h, coefficients);
    if (status == FFP_OK) {
        share_quant(h);
        status = ffp_recode_plan(coefficients, layout.offset, h, r->interval, &bound);
    }
    if (status == FFP_OK && !has_room(r, h, bound)) {
        status = FFP_NO_SPACE;
    }
    if (status == FFP_OK) {
        uint8_t *scan = put_header(r->data, h, r->interval, r->flags, r->out);
        finish(r, ffp_recode_scan(coefficients, layout.offset, h, r->interval, scan));
    }
    free(coefficients);
    return status;
}

int64_t ffp_rewrite(const uint8_t *data, int64_t size, int64_t interval, int64_t flags, uint8_t *out, int64_t capacity,
                    int64_t *written) {
    ffp_header h;
    *written = 0;
    int32_t status = ffp_parse(data, size, &h);
    if (status != FFP_OK) {
        return status;
    }
    if (h.color == FFP_COLOR_CMYK || h.color == FFP_COLOR_YCCK) {
        return FFP_UNSUPPORTED_COLOR;
    }
    request r = {data, choose_interval(&h, interval), flags & FLAGS, capacity, written, out};
    if (h.sequential_single_scan && !(flags & OPTIMISE)) {
        ffp_header own = h;
        status = patch(&r, size, &own);
        if (status != FFP_BAD_HUFFMAN_TABLE) {
            return status;
        }
    }
    return recode(&r, size, &h);
}
