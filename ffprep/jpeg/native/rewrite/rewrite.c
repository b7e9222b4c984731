/* Lossless rewriting into seekable form: the same coefficients as an interleaved baseline stream with restart markers. */
#include "rewrite/rewrite.h"

#include <stdlib.h>
#include <string.h>

#include "scan/scan.h"

enum { KEEP_METADATA = 1, OPTIMISE = 2, FLAGS = 3, CHECK = 4 };

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

/* Whether put_color is to write what tells the colour space, even if metadata is kept. */
static int replaces_color(const ffp_header *h) { return h->notes & FFP_NOTE_COLOUR && h->ncomp < 4; }

/* APPn and COM segments as they are in the input. */
static uint8_t *copy_metadata(const uint8_t *data, const ffp_header *h, uint8_t *out) {
    int64_t pos = 2;
    int32_t marker, n, noted = 0;
    while (ffp_next_marker(data, h->sos_offset, &pos, &marker)) {
        if (ffp_stands_alone(marker)) {
            continue;
        }
        const uint8_t *p = ffp_segment(data, h->sos_offset, pos, marker, &n, &noted);
        if (!p) {
            break;
        }
        const int jfif = marker == FFP_M_APP0 && n >= 5 && memcmp(p, "JFIF", 5) == 0;
        const int adobe = marker == FFP_M_APP14 && n >= 5 && memcmp(p, "Adobe", 5) == 0;
        const int replaced = (jfif || adobe) && replaces_color(h);
        if (!replaced && ((marker >= FFP_M_APP0 && marker <= FFP_M_APP15) || marker == FFP_M_COM)) {
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
    out = !(flags & KEEP_METADATA) || replaces_color(h) ? put_color(h, out) : out;
    out = flags & KEEP_METADATA ? copy_metadata(data, h, out) : out;
    out = put_quant(h, out, &extended);
    uint8_t *frame = out;
    out = put16(begin_segment(out, FFP_M_SOF0) + 1, h->height);
    out = put16(out, h->width);
    frame[4] = 8;
    *out++ = (uint8_t)h->ncomp;
    for (int c = 0; c < h->ncomp; c++) {
        const int kept = flags & KEEP_METADATA && !(h->notes & FFP_NOTE_SAME_IDS);
        int32_t id = kept ? h->comp[c].id : h->color == FFP_COLOR_RGB ? "RGB"[c] : c + 1;
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
    int64_t interval, flags, capacity, *facts;
    uint8_t *out;
} request;

static void set_facts(const request *r, int64_t size, int64_t notes, int64_t end) {
    r->facts[0] = size;
    r->facts[1] = notes;
    r->facts[2] = end;
}

/* A capacity that suffices. */
static int64_t room(const request *r, const ffp_header *h, int64_t scan) {
    return HEADER_BOUND + (r->flags & KEEP_METADATA ? h->sos_offset : 0) + scan;
}

/* Whether an image is whole although bytes are left over: skim/left_over.c. */
static int left_over_is_extra(const request *r, int64_t size, const ffp_header *h, const ffp_layout *layout,
                              const int16_t *coefficients) {
    if (h->sequential_single_scan) {
        ffp_skim skim;
        const int32_t status = ffp_skim_scan(r->data, size, h, &skim);
        free(skim.memory);
        return status == FFP_OK;
    }
    for (int c = 0; c < h->ncomp; c++) {
        const int16_t *block = coefficients + layout->offset[c];
        for (int64_t n = (int64_t)h->comp[c].blocks_x * h->comp[c].blocks_y; n > 0; n--, block += 64) {
            if (!ffp_plausible_dc(block[0], h->quant[h->comp[c].tq][0])) {
                return 0;
            }
        }
    }
    return 1;
}

static int32_t patch(const request *r, int64_t size, ffp_header *h) {
    ffp_skim skim;
    int64_t bound;
    int32_t status = ffp_skim_scan(r->data, size, h, &skim);
    if (status != FFP_OK) {
        return status;
    }
    set_facts(r, 0, h->notes | skim.notes, skim.end);
    if (!(r->flags & CHECK)) {
        status = ffp_patch_plan(&skim, h, r->interval, &bound);
        if (status == FFP_OK && (r->facts[0] = room(r, h, bound)) > r->capacity) {
            status = FFP_NO_SPACE;
        } else if (status == FFP_OK) {
            uint8_t *scan = put_header(r->data, h, r->interval, r->flags, r->out);
            r->facts[0] = put16(ffp_patch_scan(&skim, h, r->interval, scan), 0xFF00 | FFP_M_EOI) - r->out;
        }
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
    int64_t bound, end = 0;
    if (!ffp_plausible(h, size, (int64_t)h->mcus_x * h->mcus_y)) {
        return FFP_TRUNCATED_SCAN;
    }
    int16_t *coefficients = calloc((size_t)layout.count, sizeof *coefficients);
    if (!coefficients) {
        return FFP_NO_MEMORY;
    }
    int32_t status = ffp_decode_whole(r->data, size, h, coefficients, &end);
    if (status == FFP_OK && h->notes & (FFP_NOTE_LEFT_OVER | FFP_NOTE_STRAY) &&
        !left_over_is_extra(r, size, h, &layout, coefficients)) {
        status = FFP_CORRUPT_SCAN;
    }
    if (status == FFP_OK && !(r->flags & CHECK)) {
        share_quant(h);
        status = ffp_divide_factors(h);
    }
    set_facts(r, 0, h->notes, end);
    if (status == FFP_OK && !(r->flags & CHECK)) {
        const int64_t interval = choose_interval(h, r->interval);
        status = ffp_recode_plan(coefficients, layout.offset, h, interval, &bound);
        if (status == FFP_OK && (r->facts[0] = room(r, h, bound)) > r->capacity) {
            status = FFP_NO_SPACE;
        } else if (status == FFP_OK) {
            uint8_t *scan = put_header(r->data, h, interval, r->flags, r->out);
            r->facts[0] = put16(ffp_recode_scan(coefficients, layout.offset, h, interval, scan), 0xFF00 | FFP_M_EOI) -
                          r->out;
        }
    }
    free(coefficients);
    return status;
}

/* Whether libjpeg reads the tables of the scan, which would be kept. */
static int common_tables(const ffp_header *h) {
    int common = 1;
    for (int c = 0; c < h->ncomp; c++) {
        common = common && ffp_table_is_common(&h->dht[0][h->comp[c].td], 1) &&
                 ffp_table_is_common(&h->dht[1][h->comp[c].ta], 0);
    }
    return common;
}

static int32_t judge(const request *r, int64_t size, const ffp_header *h) {
    if (h->sequential_single_scan && !(r->flags & OPTIMISE)) {
        const int common = common_tables(h);
        if (common || r->flags & CHECK) {
            ffp_header own = *h;
            own.notes |= common ? 0 : FFP_NOTE_CODES;
            request patched = *r;
            patched.interval = choose_interval(h, r->interval);
            const int32_t status = patch(&patched, size, &own);
            if (status != FFP_BAD_HUFFMAN_TABLE) {
                return status;
            }
        }
    }
    ffp_header own = *h;
    return recode(r, size, &own);
}

int32_t ffp_rewrite_parsed(const uint8_t *data, int64_t size, const ffp_header *header, int64_t interval, int64_t flags,
                           uint8_t *out, int64_t capacity, int64_t *facts) {
    const request r = {data, interval, flags & FLAGS, capacity, facts, out};
    set_facts(&r, 0, 0, 0);
    if ((header->color == FFP_COLOR_CMYK || header->color == FFP_COLOR_YCCK) && !(flags & KEEP_METADATA)) {
        return FFP_UNSUPPORTED_COLOR;
    }
    return judge(&r, size, header);
}

int64_t ffp_rewrite(const uint8_t *data, int64_t size, int64_t interval, int64_t flags, uint8_t *out, int64_t capacity,
                    int64_t *facts) {
    ffp_header h;
    memset(facts, 0, FFP_FACTS * sizeof *facts);
    const int32_t status = ffp_parse(data, size, &h);
    return status == FFP_OK ? ffp_rewrite_parsed(data, size, &h, interval, flags, out, capacity, facts) : status;
}

int64_t ffp_check(const uint8_t *data, int64_t size, int64_t *facts) {
    ffp_header h;
    const request r = {data, 0, CHECK, 0, facts, NULL};
    set_facts(&r, 0, 0, 0);
    const int32_t status = ffp_parse(data, size, &h);
    if (status != FFP_OK) {
        return status;
    }
    return judge(&r, size, &h);
}
