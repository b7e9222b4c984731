/* Marker segments up to the first scan (ITU-T T.81 annex B), every length and value checked.
 *
 * Lenient exactly where decoders in use are: fill bytes and stray bytes between segments are skipped, unknown APPn and
 * COM are skipped, EXIF that makes no sense counts as none. Colour is decided as libjpeg does it: JFIF, then Adobe's
 * transform, then the component identifiers.
 */
#include "internal.h"

enum {
    M_SOF0 = 0xC0, M_SOF1 = 0xC1, M_SOF2 = 0xC2, M_DHT = 0xC4, M_JPG = 0xC8, M_DAC = 0xCC, M_RST0 = 0xD0, M_RST7 = 0xD7,
    M_SOI = 0xD8, M_EOI = 0xD9, M_SOS = 0xDA, M_DQT = 0xDB, M_DNL = 0xDC, M_DRI = 0xDD, M_DHP = 0xDE, M_EXP = 0xDF,
    M_APP0 = 0xE0, M_APP1 = 0xE1, M_APP14 = 0xEE, M_APP15 = 0xEF, M_JPG_LS = 0xF7, M_COM = 0xFE, M_TEM = 0x01
};

static int32_t be16(const uint8_t *p) { return p[0] << 8 | p[1]; }

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

const uint8_t *ffp_segment(const uint8_t *data, int64_t size, int64_t pos, int32_t *length) {
    if (size - pos < 2) {
        return NULL;
    }
    int32_t n = be16(data + pos);
    if (n < 2 || size - pos < n) {
        return NULL;
    }
    *length = n - 2;
    return data + pos + 2;
}

/* B.2.4.2 */
int32_t ffp_parse_dht(ffp_header *h, const uint8_t *p, int32_t n) {
    while (n > 0) {
        if (n < 17) {
            return FFP_BAD_HUFFMAN_TABLE;
        }
        int32_t class = p[0] >> 4, id = p[0] & 15, total = 0, code = 0;
        if (class > 1 || id > 3) {
            return FFP_BAD_HUFFMAN_TABLE;
        }
        for (int i = 1; i <= 16; i++) {
            total += p[i];
            code = code * 2 + p[i];   /* codes of i bits used so far, at i bits */
            if (code > 1 << i) {
                return FFP_BAD_HUFFMAN_TABLE; /* over-subscribed */
            }
        }
        if (total > 256 || total > n - 17) {
            return FFP_BAD_HUFFMAN_TABLE;
        }
        ffp_dht *t = &h->dht[class][id];
        memset(t, 0, sizeof *t);
        memcpy(t->counts + 1, p + 1, 16);
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
            int32_t q = wide ? be16(p + 1 + 2 * i) : p[1 + i];
            if (q == 0) {
                return FFP_BAD_QUANT_TABLE;
            }
            h->quant[id][i] = (uint16_t)q;
        }
        h->quant_present[id] = 1;
        p += need;
        n -= need;
    }
    return FFP_OK;
}

/* B.2.4.4 */
int32_t ffp_parse_dri(ffp_header *h, const uint8_t *p, int32_t n) {
    if (n != 2) {
        return FFP_BAD_MARKER;
    }
    h->restart_interval = be16(p);
    return FFP_OK;
}

/* B.2.2 and A.1.1; the sizes that follow from it. */
static int32_t parse_sof(ffp_header *h, int32_t marker, const uint8_t *p, int32_t n) {
    if (h->sof || n < 6) {
        return FFP_BAD_MARKER;
    }
    if (p[0] != 8) {
        return FFP_UNSUPPORTED_PROCESS;
    }
    h->sof = marker;
    h->progressive = marker == M_SOF2;
    h->height = be16(p + 1);
    h->width = be16(p + 3);
    h->ncomp = p[5];
    if (h->ncomp == 0 || n != 6 + 3 * h->ncomp || h->width == 0) {
        return FFP_BAD_MARKER;
    }
    if (h->height == 0) {
        return FFP_UNSUPPORTED_PROCESS; /* DNL */
    }
    if (h->ncomp == 2 || h->ncomp > FFP_MAX_COMPONENTS) {
        return FFP_UNSUPPORTED_COLOR;
    }
    if ((int64_t)h->width * h->height > FFP_MAX_PIXELS) {
        return FFP_TOO_LARGE;
    }
    h->hmax = h->vmax = 1;
    for (int i = 0; i < h->ncomp; i++) {
        ffp_component *c = &h->comp[i];
        c->id = p[6 + 3 * i];
        c->h = p[7 + 3 * i] >> 4;
        c->v = p[7 + 3 * i] & 15;
        c->tq = p[8 + 3 * i];
        if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4 || c->tq > 3) {
            return FFP_BAD_MARKER;
        }
        for (int j = 0; j < i; j++) {
            if (h->comp[j].id == c->id) {
                return FFP_BAD_MARKER;
            }
        }
        if (h->ncomp == 1) {
            c->h = c->v = 1;          /* A.2.2: a scan of one component is not interleaved, whatever its factors */
        }
        h->hmax = c->h > h->hmax ? c->h : h->hmax;
        h->vmax = c->v > h->vmax ? c->v : h->vmax;
    }
    h->mcu_w = 8 * h->hmax;
    h->mcu_h = 8 * h->vmax;
    h->mcus_x = (h->width + h->mcu_w - 1) / h->mcu_w;
    h->mcus_y = (h->height + h->mcu_h - 1) / h->mcu_h;
    for (int i = 0; i < h->ncomp; i++) {
        ffp_component *c = &h->comp[i];
        if (h->hmax % c->h || h->vmax % c->v) {
            return FFP_UNSUPPORTED_SAMPLING;
        }
        c->width = (h->width * c->h + h->hmax - 1) / h->hmax;
        c->height = (h->height * c->v + h->vmax - 1) / h->vmax;
        c->blocks_x = h->mcus_x * c->h;
        c->blocks_y = h->mcus_y * c->v;
        h->blocks_per_mcu += c->h * c->v;
    }
    return FFP_OK;
}

/* B.2.3 */
int32_t ffp_parse_sos(const ffp_header *h, const uint8_t *p, int32_t n, ffp_scan *scan) {
    if (!h->sof || n < 1 || p[0] < 1 || p[0] > h->ncomp || n != 4 + 2 * p[0]) {
        return FFP_BAD_MARKER;
    }
    scan->ncomp = p[0];
    int32_t blocks = 0;
    for (int i = 0; i < scan->ncomp; i++) {
        int c = i ? scan->comp[i - 1] + 1 : 0; /* in the frame's order */
        while (c < h->ncomp && h->comp[c].id != p[1 + 2 * i]) {
            c++;
        }
        if (c == h->ncomp) {
            return FFP_BAD_MARKER;
        }
        scan->comp[i] = c;
        scan->td[i] = p[2 + 2 * i] >> 4;
        scan->ta[i] = p[2 + 2 * i] & 15;
        if (scan->td[i] > 3 || scan->ta[i] > 3) {
            return FFP_BAD_MARKER;
        }
        blocks += h->comp[c].h * h->comp[c].v;
    }
    if (scan->ncomp > 1 && blocks > FFP_MAX_BLOCKS_PER_MCU) {
        return FFP_UNSUPPORTED_SAMPLING;
    }
    p += 1 + 2 * scan->ncomp;
    scan->ss = p[0];
    scan->se = p[1];
    scan->ah = p[2] >> 4;
    scan->al = p[2] & 15;
    if (!h->progressive) {            /* B.2.3 fixes them; decoders in use ignore what a stream says instead */
        scan->ss = scan->ah = scan->al = 0;
        scan->se = 63;
        return FFP_OK;
    }
    /* G.1.1.1: DC alone and interleaved, or a band of AC of one component; Ah is 0 or Al + 1; Al up to 13 */
    if (scan->al > 13 || (scan->ah && scan->ah != scan->al + 1)) {
        return FFP_BAD_MARKER;
    }
    if (scan->ss == 0 ? scan->se != 0 : (scan->ncomp != 1 || scan->se < scan->ss || scan->se > 63)) {
        return FFP_BAD_MARKER;
    }
    return FFP_OK;
}

static uint32_t tiff_int(const uint8_t *p, int bytes, int little) {
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++) {
        v = v << 8 | p[little ? bytes - 1 - i : i];
    }
    return v;
}

/* Tag 0x0112 of the first IFD of a TIFF stream; 0 when it is not to be had. */
static int32_t exif_orientation(const uint8_t *p, int32_t n) {
    if (n < 14 || memcmp(p, "Exif\0\0", 6) != 0) {
        return 0;
    }
    p += 6;
    n -= 6;
    int little = p[0] == 'I' && p[1] == 'I';
    if ((!little && !(p[0] == 'M' && p[1] == 'M')) || tiff_int(p + 2, 2, little) != 42) {
        return 0;
    }
    uint32_t at = tiff_int(p + 4, 4, little);
    if (at > (uint32_t)n || (uint32_t)n - at < 2) {
        return 0;
    }
    uint32_t entries = tiff_int(p + at, 2, little);
    at += 2;
    for (uint32_t i = 0; i < entries && (uint32_t)n - at >= 12; i++, at += 12) {
        if (tiff_int(p + at, 2, little) != 0x0112) {
            continue;
        }
        uint32_t type = tiff_int(p + at + 2, 2, little), count = tiff_int(p + at + 4, 4, little);
        uint32_t value = tiff_int(p + at + 8, type == 4 ? 4 : 2, little);
        return count == 1 && (type == 3 || type == 4) && value >= 1 && value <= 8 ? (int32_t)value : 0;
    }
    return 0;
}

static int32_t decide_color(const ffp_header *h, int jfif) {
    if (h->ncomp == 1) {
        return FFP_COLOR_GRAY;
    }
    if (h->ncomp == 4) {
        return h->adobe_transform > 0 ? FFP_COLOR_YCCK : FFP_COLOR_CMYK;
    }
    if (jfif) {
        return FFP_COLOR_YCC;
    }
    if (h->adobe_transform >= 0) {
        return h->adobe_transform == 0 ? FFP_COLOR_RGB : FFP_COLOR_YCC;
    }
    return h->comp[0].id == 'R' && h->comp[1].id == 'G' && h->comp[2].id == 'B' ? FFP_COLOR_RGB : FFP_COLOR_YCC;
}

/* The first scan's tables; whether the image is one sequential scan. */
static int32_t accept_scan(ffp_header *h, const ffp_scan *scan) {
    for (int i = 0; i < scan->ncomp; i++) {
        ffp_component *c = &h->comp[scan->comp[i]];
        c->td = scan->td[i];
        c->ta = scan->ta[i];
        if (!h->quant_present[c->tq]) {
            return FFP_MISSING_TABLE;
        }
        if (!h->progressive && (!h->dht[0][c->td].present || !h->dht[1][c->ta].present)) {
            return FFP_MISSING_TABLE;
        }
    }
    h->sequential_single_scan = !h->progressive && scan->ncomp == h->ncomp;
    return FFP_OK;
}

int32_t ffp_parse(const uint8_t *data, int64_t size, ffp_header *h) {
    memset(h, 0, sizeof *h);
    h->adobe_transform = -1;
    h->orientation = 1;
    if (size < 2 || data[0] != 0xFF || data[1] != M_SOI) {
        return FFP_NOT_JPEG;
    }
    int64_t pos = 2;
    int32_t marker, n, status, jfif = 0, oriented = 0;
    while (ffp_next_marker(data, size, &pos, &marker)) {
        if (marker == M_TEM || (marker >= M_RST0 && marker <= M_RST7)) {
            continue;
        }
        if (marker == M_EOI) {
            return FFP_TRUNCATED_HEADER;
        }
        if (marker == M_SOI) {
            return FFP_BAD_MARKER;
        }
        const uint8_t *p = ffp_segment(data, size, pos, &n);
        if (!p) {
            return size - pos < 2 || be16(data + pos) >= 2 ? FFP_TRUNCATED_HEADER : FFP_BAD_MARKER;
        }
        status = FFP_OK;
        switch (marker) {
        case M_SOF0: case M_SOF1: case M_SOF2:
            status = parse_sof(h, marker, p, n);
            break;
        case M_DHT:
            status = ffp_parse_dht(h, p, n);
            break;
        case M_DQT:
            status = ffp_parse_dqt(h, p, n);
            break;
        case M_DRI:
            status = ffp_parse_dri(h, p, n);
            break;
        case M_APP0:
            jfif |= n >= 14 && memcmp(p, "JFIF", 5) == 0;
            break;
        case M_APP1:
            if (!oriented) {
                oriented = exif_orientation(p, n);
            }
            break;
        case M_APP14:
            if (n >= 12 && memcmp(p, "Adobe", 5) == 0) {
                h->adobe_transform = p[11];
            }
            break;
        case M_SOS: {
            ffp_scan scan;
            status = ffp_parse_sos(h, p, n, &scan);
            if (status == FFP_OK) {
                status = accept_scan(h, &scan);
            }
            if (status == FFP_OK) {
                h->sos_offset = pos - 2;
                h->scan_offset = pos + 2 + n;
                h->orientation = oriented ? oriented : 1;
                h->color = decide_color(h, jfif);
                return h->scan_offset < size ? FFP_OK : FFP_TRUNCATED_HEADER;
            }
            break;
        }
        case M_DAC: case M_DNL: case M_COM:
            break;
        default:
            if (marker > M_APP0 && marker <= M_APP15) {
                break;
            }
            /* the other SOFn, hierarchical frames, JPEG-LS; what is left is reserved (B.1.1.3) */
            status = (marker >= 0xC0 && marker <= 0xCF) || marker == M_DHP || marker == M_EXP || marker == M_JPG_LS
                         ? FFP_UNSUPPORTED_PROCESS : FFP_BAD_MARKER;
        }
        if (status != FFP_OK) {
            return status;
        }
        pos += 2 + n;
    }
    return FFP_TRUNCATED_HEADER;
}

int ffp_plausible(const ffp_header *h, int64_t size, int64_t mcus) {
    int64_t bits = 0;
    if (h->sequential_single_scan) {
        bits = mcus * h->blocks_per_mcu * 2; /* a DC and an AC code of one bit each */
        bits += h->restart_interval ? (mcus - 1) / h->restart_interval * 16 : 0;
    } else {
        for (int i = 0; i < h->ncomp; i++) { /* a DC code each; end-of-band runs may hold the rest */
            bits += (int64_t)((h->comp[i].width + 7) / 8) * ((h->comp[i].height + 7) / 8);
        }
    }
    return bits <= 8 * (size - h->scan_offset);
}

int64_t ffp_read_header(const uint8_t *data, int64_t size, int64_t *info) {
    ffp_header h;
    memset(info, 0, FFP_INFO_SIZE * sizeof *info);
    int32_t status = ffp_parse(data, size, &h);
    if (status != FFP_OK) {
        return status;
    }
    const int64_t facts[14] = {h.width, h.height, h.ncomp, h.color, h.sof, h.sequential_single_scan, h.orientation,
                               h.adobe_transform, h.mcu_w, h.mcu_h, h.mcus_x, h.mcus_y, h.restart_interval,
                               h.scan_offset};
    memcpy(info, facts, sizeof facts);
    for (int i = 0; i < h.ncomp; i++) {
        info[14 + 2 * i] = h.comp[i].h;
        info[15 + 2 * i] = h.comp[i].v;
    }
    return FFP_OK;
}
