/* The CPU levels: what each does with jobs (job.h). levels.c chooses one. */
#ifndef FFPREP_LEVELS_H
#define FFPREP_LEVELS_H

#include "job.h"

/* Whether the AVX2 and AVX-512 levels are compiled in. */
#if defined(__x86_64__) && defined(__GNUC__)
#define FFP_X86 1
#else
#define FFP_X86 0
#endif

struct ffp_lane_engine;
struct ffp_skimmer;

typedef void (*ffp_inverse_dct)(const ffp_header *header, ffp_job *jobs, int32_t njobs,
                                const ffp_plane planes[FFP_MAX_COMPONENTS]);

/* A CPU level. All levels give identical results; the scalar one is the specification (scan/sequential.c and
 * idct/idct_scalar.c define the arithmetic). */
typedef struct {
    const char *name;
    /* Entropy-decodes jobs: sets the status of each and returns the first that is not FFP_OK. */
    int32_t (*entropy)(ffp_context *ctx, const ffp_header *header, ffp_job *jobs, int32_t njobs);
    /* The inverse DCT of decoded jobs into planes, of the blocks only that lie in them: sums up the DC differences,
     * dequantises, and leaves the coefficients zero. */
    ffp_inverse_dct idct;
    /* The inverse DCT into those planes that have a scale; leaves the coefficients as they are. */
    ffp_inverse_dct reduce;
    const struct ffp_lane_engine *engine; /* lanes/lanes.h; NULL: the level has none */
    const struct ffp_skimmer *skimmer;    /* skim/marks.h; NULL likewise */
} ffp_level;

const ffp_level *ffp_current_level(void);

/* Whether the level in use is plain C. */
int ffp_level_is_scalar(void);

#endif
