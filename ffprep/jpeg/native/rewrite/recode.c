/* Entropy coding of coefficients, with Huffman tables made for them (T.81 F.1.2, K.2). */
#include <string.h>

#include "rewrite/rewrite.h"
#include "rewrite/sink.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* A walk through the blocks in the order of an interleaved scan (A.2.3). */
typedef struct {
    const ffp_header *header;
    const int16_t *at[FFP_MAX_COMPONENTS];
    int32_t prediction[FFP_MAX_COMPONENTS];
    int64_t interval, until_restart, restarts;
} walk;

static walk start(const int16_t *coefficients, const int64_t offset[FFP_MAX_COMPONENTS], const ffp_header *h,
                  int64_t interval) {
    walk w = {.header = h, .interval = interval, .until_restart = interval};
    for (int c = 0; c < h->ncomp; c++) {
        w.at[c] = coefficients + offset[c];
    }
    return w;
}

/* To be called before each MCU: whether a restart marker belongs there. */
static int at_restart(walk *w) {
    if (w->interval && w->until_restart-- == 0) {
        memset(w->prediction, 0, sizeof w->prediction);
        w->until_restart = w->interval - 1;
        w->restarts++;
        return 1;
    }
    return 0;
}

/* The blocks of component c in the MCU at (x, y). */
#define FOR_BLOCKS(w, x, y, c, block)                                                                                  \
    for (int32_t row_ = 0; row_ < (w).header->comp[c].v; row_++)                                                       \
        for (const int16_t *block = first_block(&(w), c, x, (y) * (w).header->comp[c].v + row_),                       \
                           *end_ = block + 64 * (w).header->comp[c].h;                                                 \
             block < end_; block += 64)

static const int16_t *first_block(const walk *w, int c, int32_t x, int32_t row) {
    const ffp_component *comp = &w->header->comp[c];
    return w->at[c] + ((int64_t)row * comp->blocks_x + (int64_t)x * comp->h) * 64;
}

/* Bit k: coefficient k is not zero; the DC's bit is left out. */
static inline uint64_t nonzero_ac(const int16_t *block) {
    uint64_t mask = 0;
#if defined(__SSE2__)
    const __m128i zero = _mm_setzero_si128();
    for (int i = 0; i < 4; i++) {
        __m128i low = _mm_loadu_si128((const __m128i *)(const void *)(block + 16 * i));
        __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(block + 16 * i + 8));
        __m128i is_zero = _mm_packs_epi16(_mm_cmpeq_epi16(low, zero), _mm_cmpeq_epi16(high, zero));
        mask |= (uint64_t)(~(uint32_t)_mm_movemask_epi8(is_zero) & 0xFFFF) << (16 * i);
    }
#else
    for (int i = 0; i < 64; i++) {
        mask |= (uint64_t)(block[i] != 0) << i;
    }
#endif
    return mask & ~(uint64_t)1;
}

/* Counts the symbols of a block. 0 when a value is out of range, as skim/ finds it in what would be written. */
static int count_block(const int16_t *block, int32_t *prediction, uint32_t dc[256], uint32_t ac[256]) {
    uint32_t size = ffp_size_category(block[0] - *prediction), k = 0;
    *prediction = block[0];
    if (size > FFP_MAX_DC_SIZE || block[0] < -FFP_MAX_DC || block[0] > FFP_MAX_DC) {
        return 0;
    }
    dc[size]++;
    for (uint64_t mask = nonzero_ac(block); mask; mask &= mask - 1) {
        uint32_t next = (uint32_t)__builtin_ctzll(mask), run = next - k - 1;
        size = ffp_size_category(block[next]);
        if (size > FFP_MAX_AC_SIZE) {
            return 0;
        }
        ac[FFP_ZRL] += run >> 4;
        ac[(run & 15) << 4 | size]++;
        k = next;
    }
    ac[FFP_EOB] += k < 63;
    return 1;
}

static void put_block(ffp_sink *to, const int16_t *block, int32_t *prediction, const ffp_encoder *dc,
                      const ffp_encoder *ac) {
    ffp_sink copy = *to, *sink = &copy; /* stays in registers */
    int32_t value = block[0] - *prediction;
    uint32_t size = ffp_size_category(value), k = 0;
    *prediction = block[0];
    ffp_sink_coded(sink, dc->bits[size], dc->length[size], value, size);
    for (uint64_t mask = nonzero_ac(block); mask; mask &= mask - 1) {
        uint32_t next = (uint32_t)__builtin_ctzll(mask), run = next - k - 1;
        for (; run > 15; run -= 16) {
            ffp_sink_put(sink, ac->bits[FFP_ZRL], ac->length[FFP_ZRL]);
        }
        size = ffp_size_category(block[next]);
        ffp_sink_coded(sink, ac->bits[run << 4 | size], ac->length[run << 4 | size], block[next], size);
        k = next;
    }
    if (k < 63) {
        ffp_sink_put(sink, ac->bits[FFP_EOB], ac->length[FFP_EOB]);
    }
    *to = copy;
}

int32_t ffp_recode_plan(const int16_t *coefficients, const int64_t offset[FFP_MAX_COMPONENTS], ffp_header *header,
                        int64_t interval, int64_t *bound) {
    uint32_t frequency[2][2][256] = {{{0}}};
    walk w = start(coefficients, offset, header, interval);
    int64_t bits = 0;
    for (int32_t y = 0; y < header->mcus_y; y++) {
        for (int32_t x = 0; x < header->mcus_x; x++) {
            at_restart(&w);
            for (int c = 0; c < header->ncomp; c++) {
                FOR_BLOCKS (w, x, y, c, block) {
                    if (!count_block(block, &w.prediction[c], frequency[0][c > 0], frequency[1][c > 0])) {
                        return FFP_CORRUPT_SCAN;
                    }
                }
            }
        }
    }
    for (int c = 0; c < header->ncomp; c++) {
        header->comp[c].td = header->comp[c].ta = c > 0;
    }
    for (int kind = 0; kind < 2; kind++) {
        for (int t = 0; t < (header->ncomp > 1 ? 2 : 1); t++) {
            ffp_encoder codes;
            ffp_optimal_table(frequency[kind][t], &header->dht[kind][t]);
            ffp_encoder_build(&codes, &header->dht[kind][t]);
            for (int s = 0; s < 256; s++) {
                bits += (int64_t)frequency[kind][t][s] * (codes.length[s] + (s & 15));
            }
        }
    }
    *bound = 2 * ((bits + 8 * w.restarts) / 8 + 16) + 2 * w.restarts;
    return FFP_OK;
}

uint8_t *ffp_recode_scan(const int16_t *coefficients, const int64_t offset[FFP_MAX_COMPONENTS],
                         const ffp_header *header, int64_t interval, uint8_t *out) {
    ffp_encoder codes[2][2];
    ffp_sink sink = {.out = out};
    walk w = start(coefficients, offset, header, interval);
    for (int kind = 0; kind < 2; kind++) {
        for (int t = 0; t < (header->ncomp > 1 ? 2 : 1); t++) {
            ffp_encoder_build(&codes[kind][t], &header->dht[kind][t]);
        }
    }
    for (int32_t y = 0; y < header->mcus_y; y++) {
        for (int32_t x = 0; x < header->mcus_x; x++) {
            if (at_restart(&w)) {
                ffp_sink_restart(&sink, w.restarts);
            }
            for (int c = 0; c < header->ncomp; c++) {
                FOR_BLOCKS (w, x, y, c, block) {
                    put_block(&sink, block, &w.prediction[c], &codes[0][c > 0], &codes[1][c > 0]);
                }
            }
        }
    }
    ffp_sink_flush(&sink);
    return sink.out;
}
