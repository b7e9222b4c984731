/* Coefficients -> samples: the inverse DCT of jobs (job.h) into planes.
 *
 *   inverse.c       ffp_inverse: planes of any scale
 *   walk.h          the walk over a job's blocks, which all of these share
 *   transform.h     the transform of eight lines in vectors, included for SSE2, AVX2 and AVX-512
 *   idct_scalar.c   the exact inverse DCT, the specification; idct_avx2.c and idct_avx512.c equal it
 *   block_neon.h    its block on AArch64
 *   idct_reduced.c  to 4x4, 2x2 or 1x1 samples a block
 */
#ifndef FFPREP_IDCT_H
#define FFPREP_IDCT_H

#include "levels.h"

/* The inverse DCT of jobs to planes of any scale; the coefficients are zero afterwards. */
void ffp_inverse(const ffp_level *level, const ffp_header *header, ffp_job *jobs, int32_t njobs,
                 const ffp_plane planes[FFP_MAX_COMPONENTS]);

/* For ffp_level.idct. */
void ffp_idct_scalar(const ffp_header *header, ffp_job *jobs, int32_t njobs,
                     const ffp_plane planes[FFP_MAX_COMPONENTS]);
void ffp_idct_avx2(const ffp_header *header, ffp_job *jobs, int32_t njobs, const ffp_plane planes[FFP_MAX_COMPONENTS]);
void ffp_idct_avx512(const ffp_header *header, ffp_job *jobs, int32_t njobs,
                     const ffp_plane planes[FFP_MAX_COMPONENTS]);

/* For ffp_level.reduce. */
void ffp_reduce_scalar(const ffp_header *header, ffp_job *jobs, int32_t njobs,
                       const ffp_plane planes[FFP_MAX_COMPONENTS]);
void ffp_reduce_avx2(const ffp_header *header, ffp_job *jobs, int32_t njobs,
                     const ffp_plane planes[FFP_MAX_COMPONENTS]);

/* The order in which the functions of AVX2 and AVX-512 want coefficients: where each of the zigzag order lies. */
extern const uint8_t ffp_order_avx2[64];

/* Brings blocks from the zigzag order into that one. */
void ffp_arrange_avx2(int16_t *coef, int64_t blocks);

/* ---- arithmetic (idct_scalar.c says why) -------------------------------------------------------------------------- */

static inline int32_t ffp_clamp(int32_t v, int32_t low, int32_t high) { return v < low ? low : v > high ? high : v; }

static inline int32_t ffp_narrow(int32_t v) { return ffp_clamp(v, -32768, 32767); }

static inline uint8_t ffp_sample(int32_t v) { return (uint8_t)(ffp_clamp(v, -128, 127) + 128); }

static inline int32_t ffp_dequantised(int32_t coefficient, int32_t quant) {
    return (int16_t)((uint32_t)coefficient * (uint32_t)quant);
}

/* Every sample of a block without AC coefficients. */
static inline uint8_t ffp_flat_sample(int32_t dc, int32_t quant) {
    return ffp_sample((ffp_narrow(ffp_dequantised(dc, quant) * 4) + 16) >> 5);
}

#endif
