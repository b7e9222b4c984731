/* Frame and scan headers (T.81 B.2.2, B.2.3), and the sizes that follow from the sampling factors (A.1.1). */
#include "parse.h"

/* B.2.2 and A.1.1. */
int32_t ffp_parse_sof(ffp_header *h, int32_t marker, const uint8_t *p, int32_t n) {
    if (h->sof || n < 6) {
        return FFP_BAD_MARKER;
    }
    if (p[0] != 8) {
        return FFP_UNSUPPORTED_PROCESS;
    }
    h->sof = marker;
    h->progressive = marker == FFP_M_SOF2 || marker == FFP_M_SOF10;
    h->arithmetic = marker == FFP_M_SOF9 || marker == FFP_M_SOF10;
    h->height = ffp_load_be16(p + 1);
    h->width = ffp_load_be16(p + 3);
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
                h->notes |= FFP_NOTE_SAME_IDS; /* a scan names them in the frame's order */
            }
        }
        if (h->ncomp == 1) {
            c->h = c->v = 1; /* A.2.2: a scan of one component is not interleaved, whatever its factors */
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
    scan->odd_band = !h->progressive && (scan->ss != 0 || scan->se != 63 || scan->ah != 0 || scan->al != 0);
    if (!h->progressive) { /* B.2.3 fixes them; decoders in use ignore what a stream says instead */
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

int32_t ffp_divide_factors(ffp_header *h) {
    if (h->blocks_per_mcu <= FFP_MAX_BLOCKS_PER_MCU) {
        return FFP_OK;
    }
    int32_t across = 1, down = 1;
    for (int32_t d = 2; d <= 4; d++) {
        int all_h = 1, all_v = 1;
        for (int c = 0; c < h->ncomp; c++) {
            all_h = all_h && h->comp[c].h % d == 0;
            all_v = all_v && h->comp[c].v % d == 0;
        }
        across = all_h ? d : across;
        down = all_v ? d : down;
    }
    h->blocks_per_mcu = 0;
    for (int c = 0; c < h->ncomp; c++) {
        h->comp[c].h /= across;
        h->comp[c].v /= down;
        h->blocks_per_mcu += h->comp[c].h * h->comp[c].v;
    }
    h->hmax /= across;
    h->vmax /= down;
    h->mcu_w /= across;
    h->mcu_h /= down;
    h->mcus_x = (h->width + h->mcu_w - 1) / h->mcu_w;
    h->mcus_y = (h->height + h->mcu_h - 1) / h->mcu_h;
    h->notes |= FFP_NOTE_DIVIDED;
    return h->blocks_per_mcu <= FFP_MAX_BLOCKS_PER_MCU ? FFP_OK : FFP_UNSUPPORTED_SAMPLING;
}
