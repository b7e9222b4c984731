/* Huffman decoding of many jobs at once, one in each 32-bit lane of vectors.
 *
 *   lane_tables.c     the lookups, made for gathers
 *   lane_jobs.c       jobs become lanes: unstuffed bytes, what happens in a lane between two jobs
 *   decoder.h         the algorithm, included by entropy_avx2.c and entropy_avx512.c, which supply the vector operations
 *   speculate.c       one long scan cut into pieces that are decoded at once
 *
 * The scalar decoder (scan/sequential.c) is the judge of damaged jobs. */
#ifndef FFPREP_LANES_H
#define FFPREP_LANES_H

#include "context.h"
#include "levels.h"

/* ---- tables: lane_tables.c ---------------------------------------------------------------------------------------- */

/* An entry of a lane table, found by the next FFP_LANE_BITS bits:
 *
 *   bits 0..4    bits to drop: the code and the value after it
 *   bits 5..15   2^size - 1, the mask of the value's bits
 *   bit 16       set when the code is longer than the lookup: then bits 16..31 (an odd number) say where the table
 *                starts in which the bits after these FFP_LANE_BITS are looked up next; no symbol yet
 *   bits 21..31  else how far the place in the block moves: zeros before the value, plus 1
 *
 * The value is what rotating the bits left by "drop" brings into the mask. A place p = -1..62 (the coefficient written
 * last) moves to p + skip: 63 ends the block; end of block moves to 129..191; an overrun or an invalid code to
 * 64..127, so that bit 6 of all places reached, taken together, says whether the blocks were sound. */
#define FFP_LANE_BITS 9
#define FFP_LANE_SIDE (1 << FFP_LANE_BITS)
#define FFP_LANE_LONG (1u << 16)
enum { FFP_LANE_EOB = 129, FFP_LANE_BAD = 65, FFP_LANE_BAD_BIT = 64 };

#define FFP_LANE_PAD 32 /* zero bytes after each job's bytes */

/* The turn of a block of the MCU, in one word so that it takes one register: where its AC table starts, from bit
 * FFP_TURN_DC on where the DC table of the block after it does, and from FFP_TURN_NEXT on which block that is. */
enum { FFP_TURN_TABLE = 0xFFF, FFP_TURN_DC = 12, FFP_TURN_NEXT = 24 };

typedef struct {
    const uint32_t *table;
    int32_t blocks;     /* in an MCU */
    uint32_t dc_first;  /* where the first block's DC table starts in table[] */
    uint32_t turns[16]; /* by number of the block in the MCU */
} ffp_lane_plan;

/* A job whose bytes are free of stuffing. */
typedef struct {
    uint32_t pos, end;   /* first bit, and the byte after the last, both from the start of the bytes */
    uint32_t coef, last; /* first coefficient and first of the last block, from the lowest coefficient */
    int32_t regular;     /* 0: has bytes only the scalar decoder judges */
    int32_t turn;        /* number of the job that is started n-th: long ones first */
} ffp_lane_job;

/* Copies entropy-coded bytes without their stuffing, up to a marker or a lone FF at the end: returns the number written, at
 * most n, and sets *taken to the number read, n when all is regular. May write 64 bytes more than it returns. */
typedef int64_t (*ffp_unstuff)(const uint8_t *in, int64_t n, uint8_t *out, int64_t *taken);

/* ---- lanes: their state in memory, between the vector loops ------------------------------------------------------- */

#define FFP_LANES 16 /* a group */

/* Unsigned 32-bit numbers throughout; coefficients are counted from the lowest job's. */
typedef struct {
    uint32_t pos[FFP_LANES];     /* next bit */
    uint32_t limit[FFP_LANES];   /* change() is called once the position is past this byte */
    uint32_t place[FFP_LANES];   /* coefficient of the block written last, -1: none yet */
    uint32_t base[FFP_LANES];    /* first coefficient of this block ... */
    uint32_t last[FFP_LANES];    /* ... and of the job's last block */
    uint32_t turn[FFP_LANES];    /* of this block in the MCU */
    uint32_t table[FFP_LANES];   /* for the next symbol */
    uint32_t reached[FFP_LANES]; /* union of the places that were reached */
    int32_t job[FFP_LANES];
    uint32_t active; /* a bit each */
} __attribute__((aligned(64))) ffp_lanes;

/* Coefficients on their way to memory. They are written one by one four steps after they were found, when the vectors
 * have long left the store queue: quicker than a scatter, and than loading parts of a vector just stored. */
typedef struct {
    uint32_t at[FFP_LANES];
    int32_t value[FFP_LANES];
} __attribute__((aligned(64))) ffp_late;

static inline __attribute__((always_inline)) void ffp_write_out(int16_t *coef, const ffp_late *l, int first,
                                                                int count) {
    for (int i = first; i < first + count; i++) {
        coef[l->at[i]] = (int16_t)l->value[i];
    }
}

/* Ends of blocks: number of the block, counted like coefficients; the next bit, and bit 31 when it ended by an error. */
enum { FFP_LOG = 512 };

typedef struct {
    uint32_t block[FFP_LOG + 4 * 2 * FFP_LANES + FFP_LANES], end[FFP_LOG + 4 * 2 * FFP_LANES + FFP_LANES];
    int64_t count; /* change() is called when it is over FFP_LOG, and takes the entries */
} ffp_log;

#define FFP_END_BAD (1u << 31)

/* The jobs on their way through the lanes. */
typedef struct ffp_queue {
    const struct ffp_lane_engine *engine;
    ffp_context *ctx;
    const ffp_header *header;
    ffp_lane_plan plan;
    ffp_job *jobs;
    const ffp_lane_job *work;
    const uint8_t *bytes;
    uint32_t end;  /* byte after the last of all; FFP_LANE_PAD zeros follow */
    int16_t *coef; /* the lowest job's */
    ffp_log *log;  /* NULL: not wanted */
    uint32_t idle; /* where lanes at rest write: the gap after a job */
    int32_t next, count;
    int32_t enough; /* so few active lanes are not worth vectors: run() returns */
    /* Ends the jobs of these lanes, which are done or past their limit, and may start new ones there. */
    void (*change)(struct ffp_queue *q, ffp_lanes *l, uint32_t lanes);
    ffp_late late[8];
} ffp_queue;

typedef struct ffp_lane_engine {
    int32_t groups;      /* of lanes: 1 or 2 */
    int32_t most_blocks; /* that it can take in an MCU */
    ffp_unstuff unstuff;
    void (*run)(ffp_queue *q, ffp_lanes *a, ffp_lanes *b); /* takes the lanes of the groups through the queue */
    const uint8_t *order; /* of coefficients: where each of the zigzag order lies; NULL: in zigzag order */
    void (*arrange)(int16_t *coef, int64_t blocks); /* brings blocks in zigzag order into it; NULL likewise */
} ffp_lane_engine;

int32_t ffp_lane_entropy(const ffp_lane_engine *engine, ffp_context *ctx, const ffp_header *header, ffp_job *jobs,
                         int32_t njobs);

extern const ffp_lane_engine ffp_engine_avx2, ffp_engine_avx512;
int32_t ffp_entropy_avx2(ffp_context *ctx, const ffp_header *header, ffp_job *jobs, int32_t njobs);
int32_t ffp_entropy_avx512(ffp_context *ctx, const ffp_header *header, ffp_job *jobs, int32_t njobs);

/* Tables and order of the header's scan. Builds only what differs from the image before. FFP_OK, FFP_NO_MEMORY, or
 * FFP_NO_SPACE when the codes are so odd that the tables have no room for them. */
int32_t ffp_lane_prepare(ffp_context *ctx, const ffp_header *header, ffp_lane_plan *plan);

/* Lane i at the start of an MCU. */
void ffp_lane_start(const ffp_queue *q, ffp_lanes *l, int i, int32_t job, uint32_t pos, uint32_t limit, uint32_t coef,
                    uint32_t last);

/* Writes all coefficients that are on their way. */
void ffp_lane_settle(ffp_queue *q);

/* Moves b's active lanes into a's idle ones, of which there must be enough. */
void ffp_lane_merge(ffp_lanes *a, const ffp_lanes *b);

/* ---- one long scan (speculate.c) ---------------------------------------------------------------------------------- */

/* Decodes the first `needed` MCUs of a scan without restart markers to planes. FFP_OK, or FFP_NOT_SEQUENTIAL when it is
 * better left to, or has to be judged by, the scalar decoder; the coefficient memory is clean in any case. */
int32_t ffp_speculate(const ffp_level *level, ffp_context *ctx, const ffp_header *header, const uint8_t *data,
                      int64_t size, int32_t needed, const ffp_plane planes[FFP_MAX_COMPONENTS]);

#endif
