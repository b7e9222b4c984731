/* The unit of work: a job is decoded to coefficients (scan/, lanes/), and these to planes (idct/). */
#ifndef FFPREP_JOB_H
#define FFPREP_JOB_H

#include "parse.h"

/* One independent run of MCUs of an interleaved (or single-component) sequential scan.
 *
 * Coefficients come in scan order: for each MCU its blocks in order, each 64 int16 in zigzag order or in that of the
 * level's engine (lanes/lanes.h), with the DC DIFFERENCE (not the predicted value) in element 0. The caller provides them
 * zeroed; 64 more coefficients after the last block may be touched and must be zero again on return unless status is set. Between begin and end every FF is followed by 00, and
 * the last byte is no FF unless that 00 follows. scan/sequential.c says at its top which data is valid and which status
 * invalid data gets; a level that finds a fault may zero the job's coefficients and ask the scalar level for the status. */
typedef struct {
    const uint8_t *begin, *end;       /* entropy-coded bytes, stuffing included, the closing marker excluded */
    int32_t start_bit;                /* bits of *begin that belong to the previous MCU (index), 0 at a restart */
    int32_t pred[FFP_MAX_COMPONENTS]; /* DC predictors at the start: 0 at a restart */
    int32_t first_mcu;                /* raster number of the first MCU */
    int32_t mcus;                     /* MCUs to decode: early stop makes it fewer than the segment holds */
    int32_t to_end; /* 1: the job ends where its segment, not the last one, ends: nothing may be left */
    int32_t status; /* out: FFP_OK, FFP_TRUNCATED_SCAN or FFP_CORRUPT_SCAN */
    int16_t *coef;
} ffp_job;

/* A decoded plane: sample (x0 + i, y0 + j) of the component is at addr[j * stride + i]. */
typedef struct {
    uint8_t *addr;
    int64_t stride;
    int32_t x0, y0, w, h; /* samples held */
    int32_t scale;        /* a block is 8 >> scale samples wide and high here */
} ffp_plane;

#endif
