/* From a rectangle of MCUs to jobs: jobs.c. */
#ifndef FFPREP_JOBS_H
#define FFPREP_JOBS_H

#include "context.h"

typedef struct {
    int32_t x0, y0, x1, y1; /* a rectangle of MCUs, both ends included */
} ffp_mcus;

/* Fill ctx->jobs, all but coef. */
int32_t ffp_find_jobs(ffp_context *ctx, const ffp_header *h, const ffp_mcus *r, const uint8_t *data, int64_t size,
                      int32_t *njobs);
int32_t ffp_find_indexed_jobs(ffp_context *ctx, const ffp_header *h, const ffp_mcus *r, const uint8_t *data,
                              int64_t size, const uint8_t *index, int64_t index_size, int32_t *njobs);

#endif
