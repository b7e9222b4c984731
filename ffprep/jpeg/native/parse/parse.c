/* From the first byte of a stream to its first scan (ITU-T T.81 annex B): every length and value is checked.
 *
 * Lenient exactly where decoders in use are: fill bytes and stray bytes between segments are skipped, unknown APPn and
 * COM are skipped, EXIF that makes no sense counts as none. Colour is decided as libjpeg does it: JFIF, then Adobe's
 * transform, then the component identifiers. segments.c, frame.c and exif.c read the single segments.
 */
#include "parse.h"

#include <string.h>

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
    ffp_standard_tables(h, scan);
    h->notes |= scan->odd_band ? FFP_NOTE_BAND : 0;
    for (int i = 0; i < scan->ncomp; i++) {
        ffp_component *c = &h->comp[scan->comp[i]];
        c->td = scan->td[i];
        c->ta = scan->ta[i];
        if (!h->quant_present[c->tq]) {
            return FFP_MISSING_TABLE;
        }
        if (!h->progressive && !h->arithmetic && (!h->dht[0][c->td].present || !h->dht[1][c->ta].present)) {
            return FFP_MISSING_TABLE;
        }
    }
    h->sequential_single_scan = !h->progressive && !h->arithmetic && scan->ncomp == h->ncomp;
    return FFP_OK;
}

int32_t ffp_parse(const uint8_t *data, int64_t size, ffp_header *h) {
    memset(h, 0, sizeof *h);
    h->adobe_transform = -1;
    h->orientation = 1;
    memset(h->conditioning[0], 1 << 4, sizeof h->conditioning[0]);
    memset(h->conditioning[1], 5, sizeof h->conditioning[1]);
    if (size < 2 || data[0] != 0xFF || data[1] != FFP_M_SOI) {
        return FFP_NOT_JPEG;
    }
    int64_t pos = 2, before = 2;
    int32_t marker, n, status, jfif = 0, oriented = 0;
    for (; ffp_next_marker(data, size, &pos, &marker); before = pos) {
        h->notes |= ffp_stray(data, before, pos);
        if (ffp_stands_alone(marker)) {
            continue;
        }
        if (marker == FFP_M_EOI) {
            return FFP_TRUNCATED_HEADER;
        }
        if (marker == FFP_M_SOI) {
            return FFP_BAD_MARKER;
        }
        const uint8_t *p = ffp_segment(data, size, pos, marker, &n, &h->notes);
        if (!p) {
            return size - pos < 2 || ffp_load_be16(data + pos) >= 2 ? FFP_TRUNCATED_HEADER : FFP_BAD_MARKER;
        }
        status = FFP_OK;
        switch (marker) {
        case FFP_M_SOF0:
        case FFP_M_SOF1:
        case FFP_M_SOF2:
        case FFP_M_SOF9:
        case FFP_M_SOF10:
            status = ffp_parse_sof(h, marker, p, n);
            break;
        case FFP_M_DHT:
            status = ffp_parse_dht(h, p, n);
            break;
        case FFP_M_DQT:
            status = ffp_parse_dqt(h, p, n);
            break;
        case FFP_M_DRI:
            status = ffp_parse_dri(h, p, n);
            break;
        case FFP_M_APP0:
            if (n >= 14 && memcmp(p, "JFIF", 5) == 0) {
                jfif = 1;
                h->notes |= p[5] == 1 ? 0 : FFP_NOTE_COLOUR;
            }
            break;
        case FFP_M_APP1:
            if (!oriented) {
                oriented = ffp_exif_orientation(p, n);
            }
            break;
        case FFP_M_APP14:
            if (n >= 12 && memcmp(p, "Adobe", 5) == 0) {
                h->adobe_transform = p[11];
            }
            break;
        case FFP_M_SOS: {
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
                h->notes |= h->ncomp == 3 && !jfif && h->adobe_transform > 1 ? FFP_NOTE_COLOUR : 0;
                return h->scan_offset < size ? FFP_OK : FFP_TRUNCATED_HEADER;
            }
            break;
        }
        case FFP_M_DAC:
            status = ffp_parse_dac(h, p, n);
            break;
        case FFP_M_DNL:
        case FFP_M_COM:
            break;
        default:
            if (marker > FFP_M_APP0 && marker <= FFP_M_APP15) {
                break;
            }
            /* the other SOFn, hierarchical frames, JPEG-LS; what is left is reserved (B.1.1.3) */
            status = (marker >= FFP_M_SOF0 && marker <= FFP_M_SOF15) || marker == FFP_M_DHP || marker == FFP_M_EXP ||
                             marker == FFP_M_JPG_LS
                         ? FFP_UNSUPPORTED_PROCESS
                         : FFP_BAD_MARKER;
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
    } else if (h->arithmetic) {
        bits = mcus * h->blocks_per_mcu / 4096; /* flat blocks take next to nothing */
    } else {
        for (int i = 0; i < h->ncomp; i++) { /* a DC code each; end-of-band runs may hold the rest */
            bits += (int64_t)((h->comp[i].width + 7) / 8) * ((h->comp[i].height + 7) / 8);
        }
    }
    return bits <= 8 * (size - h->scan_offset);
}

int32_t ffp_mcu_layout(const ffp_header *header, uint8_t component[FFP_MAX_BLOCKS_PER_MCU]) {
    int32_t blocks = 0;
    for (int c = 0; c < header->ncomp; c++) {
        for (int i = 0; i < header->comp[c].h * header->comp[c].v; i++) {
            component[blocks++] = (uint8_t)c;
        }
    }
    return blocks;
}

int64_t ffp_read_header(const uint8_t *data, int64_t size, int64_t *info) {
    ffp_header h;
    memset(info, 0, FFP_INFO_SIZE * sizeof *info);
    int32_t status = ffp_parse(data, size, &h);
    if (status != FFP_OK) {
        return status;
    }
    const int64_t facts[14] = {
        h.width,           h.height, h.ncomp, h.color,  h.sof,    h.sequential_single_scan, h.orientation,
        h.adobe_transform, h.mcu_w,  h.mcu_h, h.mcus_x, h.mcus_y, h.restart_interval,       h.scan_offset};
    memcpy(info, facts, sizeof facts);
    for (int i = 0; i < h.ncomp; i++) {
        info[14 + 2 * i] = h.comp[i].h;
        info[15 + 2 * i] = h.comp[i].v;
    }
    return FFP_OK;
}
