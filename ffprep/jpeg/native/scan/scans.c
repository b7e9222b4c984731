/* Whole images of any scan structure -> coefficients: progressive (T.81 annex G) and sequential in one or several scans.
 *
 * Stricter than libjpeg on purpose: a scan may send a coefficient's bits only in the order that G.1.1.1 demands, and at
 * the end every bit of every coefficient must have been sent; a stream that stops between two scans is FFP_TRUNCATED_SCAN
 * even when it has an EOI. Work is bounded: at most MAX_VISITS blocks are decoded over all scans.
 */
#include <stdlib.h>
#include <string.h>

#include "scan/scan.h"

enum { MAX_SCANS = 1000, UNSENT = 127 };
static const int64_t MAX_VISITS = (int64_t)1 << 27;

typedef struct {
    const uint8_t *data;
    int64_t size;
    ffp_header *header;
    int16_t *out;
    ffp_layout layout;
    int64_t visits, end;
    int32_t scans;
    uint16_t quant[FFP_MAX_COMPONENTS][64];
    uint8_t seen[FFP_MAX_COMPONENTS];
    int8_t bit[FFP_MAX_COMPONENTS][64]; /* lowest bit sent of each coefficient */
    ffp_dc_table dc[4];
    ffp_ac_table ac[4];
    ffp_prog_table prog[4]; /* the scan's, one for each component */
    ffp_arith_bins bins;
} whole;

ffp_layout ffp_layout_of(const ffp_header *h) {
    ffp_layout layout = {{0}, 0};
    for (int i = 0; i < h->ncomp; i++) {
        layout.offset[i] = layout.count;
        layout.count += (int64_t)h->comp[i].blocks_x * h->comp[i].blocks_y * 64;
    }
    return layout;
}

/* ---- scans -------------------------------------------------------------------------------------------------------- */

static int sequential_block(whole *w, ffp_scan_state *s, int i, int16_t *coef) {
    int16_t block[128] = {0};
    if (!ffp_decode_block(&s->bits, &w->dc[s->scan->td[i]], &w->ac[s->scan->ta[i]], block)) {
        return 0;
    }
    s->pred[i] = (int16_t)(s->pred[i] + block[0]);
    block[0] = (int16_t)s->pred[i];
    memcpy(coef, block, 128);
    return 1;
}

static void note_codes(ffp_header *h, int common) { h->notes |= common ? 0 : FFP_NOTE_CODES; }

/* Order of the bits sent (G.1.1.1), tables present; builds them. */
static int32_t prepare_scan(whole *w, const ffp_scan *scan) {
    ffp_header *h = w->header;
    for (int i = 0; i < scan->ncomp; i++) {
        int c = scan->comp[i];
        if (!w->seen[c]) {
            if (!h->quant_present[h->comp[c].tq]) {
                return FFP_MISSING_TABLE;
            }
            memcpy(w->quant[c], h->quant[h->comp[c].tq], sizeof w->quant[c]);
            w->seen[c] = 1;
        } else if (!h->progressive) {
            return FFP_BAD_MARKER;
        }
        if (scan->ss > 0 && w->bit[c][0] == UNSENT) {
            return FFP_BAD_MARKER;
        }
        for (int k = scan->ss; k <= scan->se; k++) {
            if (w->bit[c][k] != (scan->ah ? scan->ah : UNSENT)) {
                return FFP_BAD_MARKER;
            }
            w->bit[c][k] = (int8_t)scan->al;
        }
        if (h->arithmetic) {
            continue;
        }
        const ffp_dht *dc = &h->dht[0][scan->td[i]], *ac = &h->dht[1][scan->ta[i]];
        if (!h->progressive) {
            if (!dc->present || !ac->present) {
                return FFP_MISSING_TABLE;
            }
            note_codes(h, ffp_table_is_common(dc, 1) && ffp_table_is_common(ac, 0));
            ffp_dc_table_build(&w->dc[scan->td[i]], dc);
            ffp_ac_table_build(&w->ac[scan->ta[i]], ac);
        } else if (scan->ss > 0 || scan->ah == 0) {
            const ffp_dht *used = scan->ss ? ac : dc;
            if (!used->present) {
                return FFP_MISSING_TABLE;
            }
            note_codes(h, ffp_table_is_common(used, used == dc));
            ffp_prog_table_build(&w->prog[i], used);
        }
    }
    return FFP_OK;
}

/* Every bit of every coefficient has been sent. */
static int complete(const whole *w) {
    for (int i = 0; i < w->header->ncomp; i++) {
        for (int k = 0; k < 64; k++) {
            if (w->bit[i][k] != 0) {
                return 0;
            }
        }
    }
    return 1;
}

static void start_segment(whole *w, ffp_scan_state *s, const uint8_t *begin) {
    if (w->header->arithmetic) {
        memset(&w->bins, 0, sizeof w->bins);
        memset(s->context, 0, sizeof s->context);
        ffp_arith_start(&s->arith, begin, w->data + w->size);
    } else {
        ffp_bits_start(&s->bits, begin, w->data + w->size, 0);
    }
    memset(s->pred, 0, sizeof s->pred);
}

/* Ends a segment that begins at `begin`: returns whether nothing but padding is left of it. *end is set to where its last
 * MCU ends, *next to a place at or after that, before the next marker. */
static int end_segment(const whole *w, ffp_scan_state *s, const uint8_t *begin, const uint8_t **end,
                       const uint8_t **next) {
    if (w->header->arithmetic) {
        const uint8_t *stop = w->data + w->size, *p = s->arith.next;
        while (p < stop && *p == 0) {
            p++;
        }
        const int sound = p == stop || (p[0] == 0xFF && (stop - p < 2 || p[1] != 0));
        *end = sound ? p : s->arith.next;
        *next = p;
        return sound;
    }
    *end = ffp_bits_position(&s->bits, begin);
    const int sound = s->eobrun == 0 && ffp_bits_finish(&s->bits) == FFP_OK;
    s->eobrun = 0;
    *next = s->bits.next;
    return sound;
}

/* From the end of a segment that begins at *begin past the marker. */
static int32_t restart(whole *w, ffp_scan_state *s, int32_t number, const uint8_t **begin) {
    const uint8_t *end, *p, *stop = w->data + w->size;
    if (!end_segment(w, s, *begin, &end, &p)) {
        return FFP_CORRUPT_SCAN;
    }
    w->header->notes |= p > end ? FFP_NOTE_STRAY : 0;
    while (p < stop && *p == 0) {
        p++; /* padding of arithmetic codes */
    }
    while (p < stop && *p == 0xFF) {
        p++;
    }
    if (p == stop || *p == FFP_M_EOI) {
        return FFP_TRUNCATED_SCAN;
    }
    if (*p != FFP_M_RST0 + (number & 7)) {
        return FFP_BAD_RESTART;
    }
    *begin = p + 1;
    start_segment(w, s, *begin);
    return FFP_OK;
}

static int decode_block(whole *w, ffp_scan_state *s, int i, int16_t *coef) {
    const ffp_header *h = w->header;
    if (h->arithmetic) {
        return ffp_decode_arith_block(s, i, &w->bins, h->conditioning, h->progressive, coef);
    }
    return h->progressive ? ffp_decode_prog_block(s, i, &w->prog[i], coef) : sequential_block(w, s, i, coef);
}

/* One MCU, or where the scan has one component, one of its blocks (A.2.2). */
static int decode_unit(whole *w, ffp_scan_state *s, int32_t ux, int32_t uy) {
    for (int i = 0; i < s->scan->ncomp; i++) {
        const int c = s->scan->comp[i];
        const ffp_component *comp = &w->header->comp[c];
        const int32_t bw = s->scan->ncomp > 1 ? comp->h : 1, bh = s->scan->ncomp > 1 ? comp->v : 1;
        for (int32_t j = 0; j < bw * bh; j++) {
            int64_t block = (int64_t)(uy * bh + j / bw) * comp->blocks_x + ux * bw + j % bw;
            int16_t *coef = w->out + w->layout.offset[c] + block * 64;
            if (!decode_block(w, s, i, coef)) {
                return 0;
            }
        }
    }
    return 1;
}

/* Decodes the scan whose data begins at *pos; *pos then is where it ends. */
static int32_t decode_scan(whole *w, const ffp_scan *scan, int64_t *pos) {
    const ffp_header *h = w->header;
    const ffp_component *only = &h->comp[scan->comp[0]];
    int32_t units_x = h->mcus_x, units_y = h->mcus_y;
    if (scan->ncomp == 1) {
        units_x = (only->width + 7) / 8;
        units_y = (only->height + 7) / 8;
    }
    w->visits += (int64_t)units_x * units_y * (scan->ncomp == 1 ? 1 : h->blocks_per_mcu);
    if (++w->scans > MAX_SCANS || w->visits > MAX_VISITS) {
        return FFP_TOO_LARGE;
    }
    int32_t status = prepare_scan(w, scan);
    ffp_scan_state s = {.scan = scan};
    const uint8_t *begin = w->data + *pos, *end, *next;
    start_segment(w, &s, begin);
    int32_t until_restart = h->restart_interval, number = 0;
    for (int32_t uy = 0; status == FFP_OK && uy < units_y; uy++) {
        for (int32_t ux = 0; status == FFP_OK && ux < units_x; ux++) {
            if (h->restart_interval && until_restart-- == 0) {
                status = restart(w, &s, number++, &begin);
                until_restart = h->restart_interval - 1;
                if (status != FFP_OK) {
                    break;
                }
            }
            status = decode_unit(w, &s, ux, uy) ? FFP_OK : FFP_CORRUPT_SCAN;
            if (h->arithmetic ? ffp_arith_truncated(&s.arith, status) : ffp_bits_overrun(&s.bits)) {
                status = FFP_TRUNCATED_SCAN;
            }
        }
    }
    if (status == FFP_OK) {
        const int sound = end_segment(w, &s, begin, &end, &next);
        w->end = end - w->data;
        w->header->notes |= (sound && next == end) || complete(w) ? 0 : FFP_NOTE_STRAY;
        *pos = next - w->data;
    }
    return status;
}

/* The scans and what lies between them, until nothing is missing. */
static int32_t decode_all(whole *w) {
    ffp_header *h = w->header;
    int64_t pos = h->sos_offset;
    int32_t marker, n;
    while (!complete(w)) {
        const int64_t before = pos;
        if (!ffp_next_marker(w->data, w->size, &pos, &marker)) {
            return FFP_TRUNCATED_SCAN;
        }
        h->notes |= ffp_stray(w->data, before, pos);
        if (marker == FFP_M_EOI) {
            return FFP_TRUNCATED_SCAN;
        }
        if (ffp_stands_alone(marker)) {
            continue;
        }
        const uint8_t *p = ffp_segment(w->data, w->size, pos, marker, &n, &h->notes);
        if (!p) {
            return FFP_TRUNCATED_SCAN;
        }
        pos += 2 + n;
        int32_t status = FFP_OK;
        if (marker == FFP_M_SOS) {
            ffp_scan scan;
            status = ffp_parse_sos(h, p, n, &scan);
            if (status == FFP_OK) {
                ffp_standard_tables(h, &scan);
                h->notes |= scan.odd_band ? FFP_NOTE_BAND : 0;
                status = decode_scan(w, &scan, &pos);
            }
        } else if (marker == FFP_M_DHT) {
            status = ffp_parse_dht(h, p, n);
        } else if (marker == FFP_M_DQT) {
            status = ffp_parse_dqt(h, p, n);
        } else if (marker == FFP_M_DRI) {
            status = ffp_parse_dri(h, p, n);
        } else if (marker == FFP_M_DAC) {
            status = ffp_parse_dac(h, p, n);
        } else if (marker < FFP_M_APP0 ? marker != FFP_M_DNL : marker > FFP_M_APP15 && marker != FFP_M_COM) {
            status = FFP_BAD_MARKER; /* as in front of the first scan */
        }
        if (status != FFP_OK) {
            return status;
        }
    }
    h->notes |= ffp_notes_after(w->data, w->size, w->end);
    for (int i = 0; i < h->ncomp; i++) {
        memcpy(h->quant[i], w->quant[i], sizeof h->quant[i]);
        h->quant_present[i] = 1;
        h->comp[i].tq = i;
    }
    return FFP_OK;
}

int32_t ffp_decode_whole(const uint8_t *data, int64_t size, ffp_header *header, int16_t *out, int64_t *end) {
    whole *w = calloc(1, sizeof *w);
    if (!w) {
        return FFP_NO_MEMORY;
    }
    w->data = data;
    w->size = size;
    w->header = header;
    w->out = out;
    w->layout = ffp_layout_of(header);
    memset(w->bit, UNSENT, sizeof w->bit);
    int32_t status = decode_all(w);
    *end = w->end;
    free(w);
    return status;
}

int64_t ffp_coefficients(const uint8_t *data, int64_t size, int16_t *out, int64_t capacity, int64_t *count) {
    ffp_header h;
    *count = 0;
    int32_t status = ffp_parse(data, size, &h);
    if (status != FFP_OK) {
        return status;
    }
    const int64_t need = ffp_layout_of(&h).count;
    if (!ffp_plausible(&h, size, (int64_t)h.mcus_x * h.mcus_y)) {
        return FFP_TRUNCATED_SCAN;
    }
    *count = need;
    if (!out) {
        return FFP_OK;
    }
    if (capacity < need) {
        return FFP_NO_SPACE;
    }
    memset(out, 0, (size_t)need * 2);
    int64_t end;
    return ffp_decode_whole(data, size, &h, out, &end);
}
