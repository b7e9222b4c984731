/* What the files of this folder share: tables that step over codes, and the marks that lanes write. */
#ifndef FFPREP_MARKS_H
#define FFPREP_MARKS_H

#include "bits.h"
#include "skim/skim.h"

/* ---- tables: skim_table.c ----------------------------------------------------------------------------------------- */

#define SKIM_BITS 11
#define MOST_SKIP 18 /* three lookups must fit in the 56 bits of a refill */

/* An entry: bits 0..5 how many bits to skip, bits 8..15 how far k advances. k counts the AC coefficients of a block. A phase
 * (the DC code, or the AC codes of a block) ends well when k is LAST, or in 129..191, which only PHASE_END leads to; a DC
 * entry adds its size category to that. Bit 6 of k set calls for a closer look: a lookup went past the end of the block
 * (if by an end-of-block code, k is 192 or more), or does not hold the symbol (SLOW). */
#define LAST 63
#define PHASE_END 129
#define LOOK_CLOSER (64u << 8)
#define SLOW ((uint16_t)LOOK_CLOSER)

/* The size category in a DC entry. */
#define DC_SIZE(e) ((((e) >> 8) & 63) - (PHASE_END & 63))

typedef struct {
    uint16_t entry[1 << SKIM_BITS]; /* first: skim_lane.c finds the table by its entries */
    ffp_code_search search;
    int32_t dc;
} skim_table;

void ffp_skim_dc_table(const ffp_dht *dht, skim_table *table);
void ffp_skim_ac_table(const ffp_dht *dht, skim_table *table);

/* Steps over one symbol at `bit` of *at by search, k being as it was before. Returns its bits, 0 for no code or one that
 * overruns the block; *k becomes PHASE_END at the end of the phase. */
uint32_t ffp_skim_step(const skim_table *t, const uint8_t *at, uint32_t bit, uint32_t *k);

/* The phases of an MCU, in a ring: DC and AC of each of its blocks. */
typedef struct phase {
    const skim_table *table;
    const struct phase *next;
} phase;

/* ---- marks -------------------------------------------------------------------------------------------------------- */

/* A mark as lanes write it, "raw": bits counted from address 0, plus 63. This turns it into a bit of the data at base. */
static inline uint32_t ffp_bit_of(const uint8_t *base, uint32_t raw) {
    return raw - (uint32_t)((uintptr_t)base * 8) - 63;
}

#define MARK_SLACK 8 /* how many more marks than asked for a lane may write */

#define FFP_SKIM_LANES 32

/* What lanes of vectors find: marks[begin[l]] to marks[begin[l + 1]] are where blocks begin in lane l, plain bits, from the
 * beginning of an MCU on. They are gathered in `bit` first, which has room for LOG_SLACK more than its part of `capacity`
 * for each of up to LOGS vectors; `marks` has room for LOGS times LOG_SLACK more than twice
 * `capacity`. */
typedef struct {
    const struct ffp_skimmer *skimmer; /* NULL: no vectors at this level */
    uint32_t *marks, *bit;
    int64_t capacity;
    int64_t begin[FFP_SKIM_LANES + 1];
} ffp_mark_log;

#define LOGS 4
#define LOG_SLACK 64
#define FFP_VECTOR_BYTES ((int64_t)1 << 27) /* data that vectors skim: its bits are signed numbers */
#define FFP_VECTOR_PHASES 16                /* of an MCU, at most: a lane finds the next one by four bits */

/* ---- the end: skim.c, left_over.c --------------------------------------------------------------------------------- */

/* The end of n unstuffed bytes from data[at] on. */
int64_t ffp_after_unstuffed(const uint8_t *data, int64_t at, int64_t n);

/* Whether an image is whole although bytes are left over; data[last] is the first byte of the last segment. */
int ffp_left_over_is_extra(const uint8_t *data, int64_t size, const ffp_header *header, const ffp_skim *skim,
                           int64_t last);

/* ---- lanes -------------------------------------------------------------------------------------------------------- */

/* Fills skim->bit, as raw marks, and skim->segment_end. `first` is the table with the lowest address. */
int32_t ffp_skim_segments(const ffp_header *header, ffp_skim *skim, const phase *ring, const skim_table *first,
                          ffp_mark_log *log);

/* Reads the DC difference of block i, whose code begins at `bit`, into skim->dc and sets its bits. */
void ffp_skim_difference(const skim_table *table, ffp_skim *skim, int64_t i, uint32_t bit);

/* What the level's vectors do (skim_vectors.h). `first` is the table with the lowest address. */
typedef struct ffp_skimmer {
    /* Skims bits [begin, end), an MCU beginning at `begin`, from FFP_SKIM_LANES places at once. */
    void (*run)(const uint8_t *base, const skim_table *first, const phase *ring, int32_t ring_size, uint32_t begin,
                uint32_t end, ffp_mark_log *log);
    /* Reads DC differences as ffp_skim_difference does, of the first blocks; returns how many. Marks are raw before. */
    int64_t (*differences)(const ffp_header *header, ffp_skim *skim, const skim_table *first,
                           const skim_table *const tables[FFP_MAX_COMPONENTS]);
} ffp_skimmer;

extern const ffp_skimmer ffp_skimmer_avx2, ffp_skimmer_avx512;

#endif
