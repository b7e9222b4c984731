/* Entropy-coded bits -> coefficients, one symbol after the other: sequential scans (sequential.c, the specification of all
 * CPU levels) and whole images of any scan structure (progressive.c, scans.c). */
#ifndef FFPREP_SCAN_H
#define FFPREP_SCAN_H

#include "bits.h"
#include "job.h"

/* ---- tables of the sequential decoder: tables.c ------------------------------------------------------------------- */

enum { FFP_DC_BITS = 9, FFP_AC_BITS = 10 };

/* Bits and fields of a lookup's entries; tables.c says how they are laid out. */
enum { FFP_ENTRY_EOB = 0x40, FFP_ENTRY_LONG = 0x80, FFP_ENTRY_DROP = 63, FFP_SKIP_EOB = 63 };
#define FFP_ENTRY_ALONE ((uint64_t)1 << 40)

typedef struct {
    uint32_t lookup[1 << FFP_DC_BITS];
    ffp_dht source;         /* what it was made from */
    ffp_code_search search; /* for what the lookup does not hold */
} ffp_dc_table;

typedef struct {
    uint64_t lookup[1 << FFP_AC_BITS];
    ffp_dht source;
    ffp_code_search search;
} ffp_ac_table;

/* Bring a table up to date with dht; nothing is done when it is already. */
void ffp_dc_table_build(ffp_dc_table *table, const ffp_dht *dht);
void ffp_ac_table_build(ffp_ac_table *table, const ffp_dht *dht);

/* The entry that the code at the top of bits would have if lookups were wide enough; 0 when it is invalid. */
uint32_t ffp_dc_long_entry(const ffp_dc_table *table, uint64_t bits);
uint32_t ffp_ac_long_entry(const ffp_ac_table *table, uint64_t bits);

/* ---- blocks and MCUs: sequential.c -------------------------------------------------------------------------------- */

/* One sequential block, DC difference first, into 64 zeroed coefficients; up to 64 more after them may be set to zero.
 * 0 when the data is invalid. */
int ffp_decode_block(ffp_bits *b, const ffp_dc_table *dc, const ffp_ac_table *ac, int16_t *coef);

/* Entropy-decodes jobs: the scalar level (levels.h), whose word on the status of damaged data is final. */
int32_t ffp_entropy_scalar(ffp_context *ctx, const ffp_header *header, ffp_job *jobs, int32_t njobs);

/* One long stream, decoded in pieces. */
typedef struct {
    ffp_bits bits;
    int32_t pred[FFP_MAX_COMPONENTS]; /* DC predictors at this place */
} ffp_stream;

/* Builds the scalar tables that the header's scan needs, in ctx. */
void ffp_prepare_tables(ffp_context *ctx, const ffp_header *header);

/* Decodes the next `mcus` MCUs into coef, laid out as in an ffp_job, or skips them when coef is NULL. */
int32_t ffp_stream_decode(ffp_context *ctx, const ffp_header *header, ffp_stream *stream, int32_t mcus, int16_t *coef);

/* ---- progressive scans: progressive.c ----------------------------------------------------------------------------- */

enum { FFP_PROG_BITS = 9 };

typedef struct {
    uint16_t lookup[1 << FFP_PROG_BITS]; /* length << 8 | symbol; 0: longer, or no code */
    ffp_code_search search;
} ffp_prog_table;

void ffp_prog_table_build(ffp_prog_table *table, const ffp_dht *dht);

/* The reader of arithmetic codes. */
typedef struct {
    const uint8_t *next, *end;
    uint32_t code, interval; /* C and A of D.2 */
    int32_t shifts;          /* left until the next byte is needed */
    int64_t supplied;        /* zeros that stand for data after the end */
    int32_t truncated;       /* 1: a value was made of them */
} ffp_arith;

/* A place in a scan. */
typedef struct {
    const ffp_scan *scan;
    ffp_bits bits;   /* Huffman codes */
    ffp_arith arith; /* arithmetic codes */
    int32_t pred[FFP_MAX_COMPONENTS];
    int32_t eobrun;                      /* blocks left of an end-of-band run (G.1.2.2) */
    int32_t context[FFP_MAX_COMPONENTS]; /* of the next DC difference (F.1.4.4.1.2) */
} ffp_scan_state;

/* What the scan says of one block, added to its 64 coefficients: component i of the scan, whose table is given. 0 when the
 * data is invalid. */
int ffp_decode_prog_block(ffp_scan_state *s, int i, const ffp_prog_table *table, int16_t *coef);

/* ---- arithmetic codes: arithmetic.c ------------------------------------------------------------------------------- */

/* Zeros after the end that may belong to a value before it: three of the register, three that the coder left out. */
enum { FFP_ARITH_SUPPLIED = 6 };

typedef struct {
    uint8_t dc[4][64], ac[4][256]; /* of each table; all zero at the start of a segment */
} ffp_arith_bins;

void ffp_arith_start(ffp_arith *a, const uint8_t *begin, const uint8_t *end);

/* Whether what was decoded last, with that status, came from nothing. */
static inline int ffp_arith_truncated(const ffp_arith *a, int32_t status) {
    return a->truncated || (status != FFP_OK && a->supplied > FFP_ARITH_SUPPLIED);
}

/* The same as ffp_decode_prog_block for arithmetic codes, of sequential scans too. */
int ffp_decode_arith_block(ffp_scan_state *s, int i, ffp_arith_bins *bins, const uint8_t conditioning[2][4],
                           int progressive, int16_t *coef);

/* ---- whole images: scans.c ---------------------------------------------------------------------------------------- */

typedef struct {
    int64_t offset[FFP_MAX_COMPONENTS]; /* first coefficient of each component in the whole */
    int64_t count;                      /* int16 in all */
} ffp_layout;

ffp_layout ffp_layout_of(const ffp_header *header);

/* Decodes every scan into `out` (layout.count int16, zeroed by the caller): absolute DC, zigzag order. On return
 * header->quant[i] is the table component i was decoded with and comp[i].tq == i; header->notes has been added to, and *end
 * is the offset at which the last MCU ends. */
int32_t ffp_decode_whole(const uint8_t *data, int64_t size, ffp_header *header, int16_t *out, int64_t *end);

#endif
