/* Puts restart markers into a scan whose codes stay as they are.
 *
 * A restart marker resets the DC predictions (T.81 F.1.1.5.1), so the first block of each component after it needs a new DC
 * code, and so does the first one after a restart marker that is taken out. All other bits are copied.
 */
#include "rewrite/rewrite.h"
#include "rewrite/sink.h"

/* The places where predictions change, in order. */
typedef struct {
    const ffp_skim *skim;
    const ffp_header *header;
    int64_t interval;  /* 0: none */
    int64_t mcu, mcus; /* the place: an MCU, never the first one; when it is mcus, none is left */
    int32_t resets;    /* 1: a restart marker is to be written before it */
    int32_t first[FFP_MAX_COMPONENTS], last[FFP_MAX_COMPONENTS]; /* blocks of each component in an MCU */
} places;

static int64_t next_multiple(int64_t mcu, int64_t interval, int64_t mcus) {
    int64_t next = interval ? (mcu / interval + 1) * interval : mcus;
    return next < mcus ? next : mcus;
}

static void to_next_place(places *p) {
    int64_t new = next_multiple(p->mcu, p->interval, p->mcus);
    int64_t old = next_multiple(p->mcu, p->header->restart_interval, p->mcus);
    p->mcu = new < old ? new : old;
    p->resets = p->mcu == new;
}

static places find_places(const ffp_skim *skim, const ffp_header *header, int64_t interval) {
    places p = {.skim = skim, .header = header, .interval = interval, .mcus = skim->blocks / header->blocks_per_mcu};
    for (int c = 0, block = 0; c < header->ncomp; c++) {
        p.first[c] = block;
        block += header->comp[c].h * header->comp[c].v;
        p.last[c] = block - 1;
    }
    to_next_place(&p);
    return p;
}

static int64_t first_block(const places *p, int c) { return p->mcu * p->header->blocks_per_mcu + p->first[c]; }

/* The DC difference to write for the first block of component c here. */
static int32_t difference(const places *p, int c) {
    const int32_t *dc = p->skim->dc;
    int64_t before = (p->mcu - 1) * p->header->blocks_per_mcu + p->last[c];
    return dc[first_block(p, c)] - (p->resets ? 0 : dc[before]);
}

int32_t ffp_patch_plan(const ffp_skim *skim, ffp_header *header, int64_t interval, int64_t *bound) {
    uint32_t frequency[4][256] = {{0}};
    int64_t bits = skim->size * 8, markers = 0;
    for (places p = find_places(skim, header, interval); p.mcu < p.mcus; to_next_place(&p)) {
        for (int c = 0; c < header->ncomp; c++) {
            uint32_t size = ffp_size_category(difference(&p, c));
            if (size > FFP_MAX_DC_SIZE) {
                return FFP_CORRUPT_SCAN;
            }
            frequency[header->comp[c].td][size]++;
            bits += 16 + size;
        }
        bits += 8;
        markers++;
    }
    for (int t = 0; t < 4; t++) {
        if (header->dht[0][t].present && !ffp_extend_table(&header->dht[0][t], frequency[t])) {
            return FFP_BAD_HUFFMAN_TABLE;
        }
    }
    *bound = 2 * (bits / 8 + 16) + 2 * markers;
    return FFP_OK;
}

uint8_t *ffp_patch_scan(const ffp_skim *skim, const ffp_header *header, int64_t interval, uint8_t *out) {
    ffp_sink sink = {.out = out};
    ffp_encoder codes[4];
    uint32_t at = skim->bit[0];
    int64_t segment = 0;
    for (int c = 0; c < header->ncomp; c++) {
        ffp_encoder_build(&codes[header->comp[c].td], &header->dht[0][header->comp[c].td]);
    }
    for (places p = find_places(skim, header, interval); p.mcu < p.mcus; to_next_place(&p)) {
        int64_t old = header->restart_interval;
        uint32_t begin = skim->bit[2 * first_block(&p, 0)];
        ffp_sink_copy(&sink, skim->bytes, at, old && p.mcu % old == 0 ? skim->segment_end[p.mcu / old - 1] : begin);
        if (p.resets) {
            ffp_sink_restart(&sink, ++segment);
        }
        at = begin;
        for (int c = 0; c < header->ncomp; c++) {
            const uint32_t *bit = &skim->bit[2 * first_block(&p, c)];
            const ffp_encoder *code = &codes[header->comp[c].td];
            int32_t value = difference(&p, c);
            uint32_t size = ffp_size_category(value);
            ffp_sink_copy(&sink, skim->bytes, at, bit[0]);
            ffp_sink_coded(&sink, code->bits[size], code->length[size], value, size);
            at = bit[1];
        }
    }
    ffp_sink_copy(&sink, skim->bytes, at, skim->segment_end[skim->segments - 1]);
    ffp_sink_flush(&sink);
    return sink.out;
}
