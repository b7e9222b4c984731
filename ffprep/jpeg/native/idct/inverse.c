/* The inverse DCT of a job to planes of any scale, by the functions of a CPU level. */
#include <string.h>

#include "idct/idct.h"

void ffp_inverse(const ffp_level *level, const ffp_header *header, ffp_job *job,
                 const ffp_plane planes[FFP_MAX_COMPONENTS]) {
    int32_t reduced = 0;
    for (int i = 0; i < header->ncomp; i++) {
        reduced += planes[i].scale > 0;
    }
    if (!reduced) {
        level->idct(header, job, planes);
        return;
    }
    int32_t pred[FFP_MAX_COMPONENTS];
    memcpy(pred, job->pred, sizeof pred);
    level->reduce(header, job, planes);
    if (reduced == header->ncomp) {
        memset(job->coef, 0, (size_t)job->mcus * (size_t)header->blocks_per_mcu * 128);
        return;
    }
    ffp_plane others[FFP_MAX_COMPONENTS];
    memcpy(others, planes, sizeof others);
    for (int i = 0; i < header->ncomp; i++) {
        others[i].w = others[i].scale ? 0 : others[i].w; /* nothing of it is wanted any more */
    }
    memcpy(job->pred, pred, sizeof pred);
    level->idct(header, job, others);
}
