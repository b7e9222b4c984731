/* From a stream to an ffp_skim: stuffing is removed, lanes mark where blocks begin, DC values are read at the marks. */
#include <stdlib.h>
#include <string.h>

#include "lanes/lanes.h"
#include "levels.h"
#include "skim/marks.h"

/* ffp_unstuff of a level without vectors. */
static int64_t unstuff(const uint8_t *in, int64_t n, uint8_t *out, int64_t *taken) {
    const uint8_t *p = in, *end = in + n, *start = out;
    for (;;) {
        const uint8_t *ff = memchr(p, 0xFF, (size_t)(end - p));
        const int stuffed = ff && end - ff > 1 && ff[1] == 0;
        const size_t run = (size_t)((ff ? ff : end) - p) + (size_t)stuffed;
        memcpy(out, p, run);
        out += run;
        p += run;
        if (!stuffed) {
            *taken = p - in;
            return out - start;
        }
        p++;
    }
}

/* Removes stuffing (B.1.1.5) and splits at restart markers, which count up from RST0. *rest is set to the offset of what
 * ends the last segment, *last to that segment's first byte, *fault to the status if MCUs are missing there. */
static int32_t split(const uint8_t *data, int64_t begin, int64_t size, ffp_skim *skim, int64_t *last, int64_t *rest,
                     int32_t *fault) {
    const uint8_t *p = data + begin, *end = data + size;
    const ffp_lane_engine *engine = ffp_current_level()->engine;
    uint8_t *out = skim->bytes;
    int64_t segment = 0;
    *fault = FFP_TRUNCATED_SCAN;
    *last = begin;
    skim->segment_begin[0] = 0;
    for (;;) {
        int64_t taken;
        out += (engine ? engine->unstuff : unstuff)(p, end - p, out, &taken);
        p += taken;
        if (p == end) {
            break;
        }
        const uint8_t *code = p + 1;
        while (code < end && *code == 0xFF) {
            code++;
        }
        const int restart = code < end && (*code & 0xF8) == 0xD0;
        if (!restart || segment + 1 == skim->segments) {
            /* fill bytes come before markers only */
            *fault = code < end && *code == 0 ? FFP_CORRUPT_SCAN : restart ? FFP_BAD_RESTART : FFP_TRUNCATED_SCAN;
            break;
        }
        if ((*code & 7) != (segment & 7)) {
            return FFP_BAD_RESTART;
        }
        p = code + 1;
        *last = p - data;
        skim->segment_begin[++segment] = out - skim->bytes;
    }
    skim->size = out - skim->bytes;
    skim->segment_begin[++segment] = skim->size;
    memset(out, 0, FFP_SKIM_PAD);
    *rest = p - data;
    if (segment < skim->segments) {
        return *fault == FFP_TRUNCATED_SCAN && p != end ? FFP_BAD_RESTART : *fault;
    }
    return FFP_OK;
}

int64_t ffp_after_unstuffed(const uint8_t *data, int64_t at, int64_t n) {
    for (; n > 0; n--) {
        at += data[at] == 0xFF ? 2 : 1;
    }
    return at;
}

static int32_t reserve(ffp_skim *skim, int64_t bytes, ffp_mark_log *log) {
    const ffp_skimmer *skimmer = ffp_current_level()->skimmer;
    int64_t most = 2 * skim->blocks + 1 + MARK_SLACK + LOG_SLACK;
    size_t marks = (size_t)most * sizeof *skim->bit;
    size_t begins = (size_t)(skim->segments + 1) * sizeof *skim->segment_begin;
    size_t ends = (size_t)skim->segments * sizeof *skim->segment_end;
    size_t dc = (size_t)skim->blocks * sizeof *skim->dc;
    const size_t slack = LOGS * LOG_SLACK * sizeof *log->bit;
    size_t logged = skimmer ? marks + slack : 0;
    char *at = malloc(begins + ends + 3 * marks + slack + dc + logged + (size_t)bytes + FFP_SKIM_PAD);
    if (!at) {
        return FFP_NO_MEMORY;
    }
    skim->memory = at;
    skim->segment_begin = (int64_t *)at;
    skim->segment_end = (uint32_t *)(at += begins);
    skim->bit = (uint32_t *)(at += ends);
    skim->dc = (int32_t *)(at += marks);
    log->marks = (uint32_t *)(at += dc);
    log->bit = (uint32_t *)(at += 2 * marks + slack);
    log->capacity = most;
    log->skimmer = skimmer;
    skim->bytes = (uint8_t *)at + logged;
    return FFP_OK;
}

/* T.81 F.2.2.1 EXTEND: the value of the last `size` of the first `skip` bits; right for size 0 too. */
static inline int32_t receive(uint64_t bits, uint32_t skip, uint32_t size) {
    uint64_t value = bits << (skip - size);
    uint32_t negative = (uint32_t)((value >> 63) - 1);
    return (int32_t)((uint32_t)(value >> 1 >> (63 - size)) + (negative & (1 - (1u << size))));
}

void ffp_skim_difference(const skim_table *table, ffp_skim *skim, int64_t i, uint32_t bit) {
    const uint64_t bits = ffp_load_be64(skim->bytes + (bit >> 3)) << (bit & 7);
    uint32_t e = table->entry[bits >> (64 - SKIM_BITS)], skip = e & 63, size = DC_SIZE(e);
    if (__builtin_expect(skip == 0, 0)) {
        int32_t length;
        size = (uint32_t)ffp_search(&table->search, bits, &length);
        skip = (uint32_t)length + size;
    }
    skim->bit[2 * i] = bit;
    skim->bit[2 * i + 1] = bit + skip;
    skim->dc[i] = receive(bits, skip, size);
}

/* Sums up the differences of a component, which has `own` blocks in each MCU of `blocks`. Sums may wrap: they leave the range
 * before. */
FFP_INLINE void sum_up(int32_t *dc, int64_t mcus, int64_t interval, int32_t blocks, int32_t own) {
    for (int64_t mcu = 0; mcu < mcus;) {
        const int64_t end = mcus - mcu < interval ? mcus : mcu + interval;
        uint32_t sum = 0;
        for (; mcu < end; mcu++, dc += blocks) {
            for (int32_t b = 0; b < own; b++) {
                sum += (uint32_t)dc[b];
                dc[b] = (int32_t)sum;
            }
        }
    }
}

static int in_range(const int32_t *dc, int64_t n) {
    uint32_t outside = 0; /* its uppermost bit, as each difference is in range */
    for (int64_t i = 0; i < n; i++) {
        outside |= ((uint32_t)dc[i] + FFP_MAX_DC) | (FFP_MAX_DC - (uint32_t)dc[i]);
    }
    return outside >> 31 == 0;
}

/* The DC value of every block, from the marks; makes these plain bits. */
static int32_t read_dc(const ffp_header *header, ffp_skim *skim, const skim_table *first,
                       const skim_table *const tables[FFP_MAX_COMPONENTS]) {
    uint8_t component[FFP_MAX_BLOCKS_PER_MCU];
    const int32_t blocks = ffp_mcu_layout(header, component);
    const int64_t mcus = skim->blocks / blocks, interval = header->restart_interval ? header->restart_interval : mcus;
    const ffp_skimmer *skimmer = ffp_current_level()->skimmer;
    int64_t i = skimmer ? skimmer->differences(header, skim, first, tables) : 0;
    for (int32_t b = (int32_t)(i % blocks); i < skim->blocks; i++, b = b + 1 < blocks ? b + 1 : 0) {
        ffp_skim_difference(tables[component[b]], skim, i, ffp_bit_of(skim->bytes, skim->bit[2 * i]));
    }
    int32_t *dc = skim->dc;
    for (int c = 0; c < header->ncomp; c++) {
        const int32_t own = header->comp[c].h * header->comp[c].v;
        if (own == 1) {
            sum_up(dc, mcus, interval, blocks, 1);
        } else {
            sum_up(dc, mcus, interval, blocks, own);
        }
        dc += own;
    }
    return in_range(skim->dc, skim->blocks) ? FFP_OK : FFP_CORRUPT_SCAN;
}

static int32_t skim_unstuffed(const ffp_header *header, ffp_skim *skim, ffp_mark_log *log) {
    skim_table tables[2][4];
    const skim_table *dc[FFP_MAX_COMPONENTS];
    uint8_t component[FFP_MAX_BLOCKS_PER_MCU];
    phase ring[2 * FFP_MAX_BLOCKS_PER_MCU];
    int32_t blocks = ffp_mcu_layout(header, component);
    for (int c = 0; c < header->ncomp; c++) {
        int32_t td = header->comp[c].td, ta = header->comp[c].ta;
        ffp_skim_dc_table(&header->dht[0][td], &tables[0][td]);
        ffp_skim_ac_table(&header->dht[1][ta], &tables[1][ta]);
        dc[c] = &tables[0][td];
    }
    for (int b = 0; b < blocks; b++) {
        ring[2 * b].table = dc[component[b]];
        ring[2 * b].next = &ring[2 * b + 1];
        ring[2 * b + 1].table = &tables[1][header->comp[component[b]].ta];
        ring[2 * b + 1].next = &ring[(2 * b + 2) % (2 * blocks)];
    }
    int32_t status = ffp_skim_segments(header, skim, ring, &tables[0][0], log);
    return status == FFP_OK ? read_dc(header, skim, &tables[0][0], dc) : status;
}

int32_t ffp_skim_scan(const uint8_t *data, int64_t size, const ffp_header *header, ffp_skim *skim) {
    memset(skim, 0, sizeof *skim);
    int64_t mcus = (int64_t)header->mcus_x * header->mcus_y, bytes = size - header->scan_offset, rest;
    if (!header->sequential_single_scan) {
        return FFP_NOT_SEQUENTIAL;
    }
    if (bytes >= (int64_t)1 << 28) {
        return FFP_TOO_LARGE; /* bits are counted in 32 bits */
    }
    skim->blocks = mcus * header->blocks_per_mcu;
    if (skim->blocks > bytes * 4) {
        return FFP_TRUNCATED_SCAN; /* no block takes fewer than two bits */
    }
    skim->segments = header->restart_interval ? (mcus - 1) / header->restart_interval + 1 : 1;
    ffp_mark_log log;
    int64_t last = 0;
    int32_t fault = FFP_OK, status = reserve(skim, bytes, &log);
    if (status == FFP_OK) {
        status = split(data, header->scan_offset, size, skim, &last, &rest, &fault);
    }
    if (status == FFP_OK) {
        status = skim_unstuffed(header, skim, &log);
        status = status == FFP_TRUNCATED_SCAN ? fault : status;
    }
    if (status == FFP_OK) {
        const int64_t n = skim->segments - 1, used = (skim->segment_end[n] + 7) / 8 - skim->segment_begin[n];
        skim->end = skim->padded ? ffp_after_unstuffed(data, last, used) : rest;
        status = skim->left_over && !ffp_left_over_is_extra(data, size, header, skim, last) ? FFP_CORRUPT_SCAN : FFP_OK;
        skim->notes = skim->left_over ? 0 : ffp_notes_after(data, size, rest);
        skim->notes |= skim->padded ? FFP_NOTE_LEFT_OVER : 0;
        skim->notes |= skim->padded_before ? FFP_NOTE_STRAY : 0;
    }
    if (status != FFP_OK) {
        free(skim->memory);
        skim->memory = NULL;
    }
    return status;
}
