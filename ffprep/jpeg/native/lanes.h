/* What the lane decoders share: tables and the preparation of jobs. See lanes.c. */
#ifndef FFPREP_JPEG_LANES_H
#define FFPREP_JPEG_LANES_H

#include "internal.h"

/* An entry of a lane table, found by the next FFP_LANE_BITS bits:
 *
 *   bits 0..4    bits to drop: the code and the value behind it
 *   bits 5..15   2^size - 1, the mask of the value's bits
 *   bit 16       set when the code is longer than the lookup: then bits 16..31 (an odd number) say where the table
 *                starts that the bits behind these FFP_LANE_BITS are looked up in next; no symbol yet
 *   bits 21..31  else how far the place in the block moves: zeros before the value, plus 1
 *
 * The value is what rotating the bits left by "drop" brings into the mask. A place p = -1..62 (the coefficient written
 * last) moves to p + skip: 63 ends the block; end of block moves to 129..191; an overrun or an invalid code to
 * 64..127, so that bit 6 of all places reached, taken together, says whether the blocks were sound. */
#define FFP_LANE_BITS 9
#define FFP_LANE_SIDE (1 << FFP_LANE_BITS)
#define FFP_LANE_LONG (1u << 16)
enum { FFP_LANE_EOB = 129, FFP_LANE_BAD = 65, FFP_LANE_BAD_BIT = 64 };

#define FFP_LANE_PAD 32               /* zero bytes behind each job's bytes */

typedef struct {
    const uint32_t *table;
    int32_t blocks;                   /* in an MCU */
    int32_t dc_first;                 /* where the first block's DC table starts in table[]; its AC table */
                                      /* is FFP_LANE_SIDE further */
    int32_t next[16];                 /* by number of a block in the MCU: the block that follows ... */
    int32_t dc_next[16];              /* ... and where its DC table starts */
} ffp_lane_plan;

/* A job whose bytes are free of stuffing. */
typedef struct {
    uint32_t pos, end;                /* first bit, and the byte behind the last, both from the start of the bytes */
    uint32_t coef, last;              /* first coefficient and first of the last block, from the lowest coefficient */
    int32_t regular;                  /* 0: has bytes only the scalar decoder judges */
    int32_t turn;                     /* number of the job that is started n-th: long ones first */
} ffp_lane_job;

/* Tables and order of the header's scan. Builds only what differs from the image before. FFP_OK, FFP_NO_MEMORY, or
 * FFP_NO_SPACE when the codes are so odd that the tables have no room for them. */
int32_t ffp_lane_prepare(ffp_context *ctx, const ffp_header *header, ffp_lane_plan *plan);

/* Decodes job again from a clean start with the scalar decoder, whose word on the status is final. */
int32_t ffp_lane_repair(ffp_context *ctx, const ffp_header *header, ffp_job *job, int32_t blocks);

/* Copies entropy-coded bytes without their stuffing: returns the number written, at most n; -1 when a marker or a lone
 * FF is in them. May write 64 bytes more than it returns. */
typedef int64_t (*ffp_unstuff)(const uint8_t *in, int64_t n, uint8_t *out);
int64_t ffp_unstuff_plain(const uint8_t *in, int64_t n, uint8_t *out);

/* Unstuffs as many of the jobs as 32-bit positions can address into ctx->level_bytes and ctx->level_work; returns that
 * number (0: memory is short). *lowest is the coefficient that ffp_lane_job counts from. */
int32_t ffp_lane_load(ffp_context *ctx, const ffp_job *jobs, int32_t njobs, int32_t blocks, ffp_unstuff unstuff,
                      int16_t **lowest);

/* Whether a lane that stopped at bit pos, having reached these places, decoded its job as the scalar decoder does. */
static inline int ffp_lane_sound(const ffp_lane_job *lane, const ffp_job *job, uint32_t pos, uint32_t reached) {
    uint64_t end = (uint64_t)lane->end * 8;
    return lane->regular && !(reached & FFP_LANE_BAD_BIT) && pos <= end && (!job->to_end || end - pos < 8);
}

#endif
