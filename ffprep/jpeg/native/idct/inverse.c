/* The inverse DCT of jobs to planes of any scale, by the functions of a CPU level. */
#include <string.h>

#include "idct/idct.h"

/* A job to planes of which some are reduced. */
static void reduce_some(const ffp_level *level, const ffp_header *header, ffp_job *job,
                        const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    int32_t pred[FFP_MAX_COMPONENTS];
    memcpy(pred, job->pred, sizeof pred);
    level->reduce(header, job, 1, planes);
    ffp_plane others[FFP_MAX_COMPONENTS];
    memcpy(others, planes, sizeof others);
    for (int i = 0; i < header->ncomp; i++) {
        others[i].w = others[i].scale ? 0 : others[i].w; /* nothing of it is wanted any more */
    }
    memcpy(job->pred, pred, sizeof pred);
    level->idct(header, job, 1, others);
}

void ffp_inverse(const ffp_level *level, const ffp_header *header, ffp_job *jobs, int32_t njobs,
                 const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    int32_t reduced = 0;
    for (int i = 0; i < header->ncomp; i++) {
        reduced += planes[i].scale > 0;
    }
    if (!reduced) {
        level->idct(header, jobs, njobs, planes);
        return;
    }
    if (reduced < header->ncomp) {
        for (int32_t i = 0; i < njobs; i++) {
            reduce_some(level, header, jobs + i, planes);
        }
        return;
    }
    level->reduce(header, jobs, njobs, planes);
    for (int32_t i = 0; i < njobs; i++) {
        memset(jobs[i].coef, 0, (size_t)jobs[i].mcus * (size_t)header->blocks_per_mcu * 128);
    }
}
