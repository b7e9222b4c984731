/* Which CPU level runs: the best one the CPU has, or the one that FFPREP_SIMD or ffp_set_simd_level names. */
#include "levels.h"

#include <stdlib.h>
#include <string.h>

#include "idct/idct.h"
#include "lanes/lanes.h"
#include "skim/marks.h"

static const ffp_level scalar = {"scalar", ffp_entropy_scalar, ffp_idct_scalar, ffp_reduce_scalar, NULL, NULL};

typedef struct {
    const ffp_level *level;
    int (*supported)(void);
} choice;

static int always(void) { return 1; }

#if FFP_X86
static const ffp_level avx2 = {"avx2",          ffp_entropy_avx2, ffp_idct_avx2,
                               ffp_reduce_avx2, &ffp_engine_avx2, &ffp_skimmer_avx2};
static const ffp_level avx512 = {"avx512",        ffp_entropy_avx512, ffp_idct_avx512,
                                 ffp_reduce_avx2, &ffp_engine_avx512, &ffp_skimmer_avx512};

static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"); }

static int has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("bmi2");
}
#endif

/* Best first. */
static const choice choices[] = {
#if FFP_X86
    {&avx512, has_avx512},
    {&avx2, has_avx2},
#endif
    {&scalar, always},
};

enum { CHOICES = sizeof choices / sizeof *choices };

static const ffp_level *current;

static const ffp_level *find(const char *name) {
    for (int i = 0; i < CHOICES; i++) {
        if ((!name || strcmp(name, choices[i].level->name) == 0) && choices[i].supported()) {
            return choices[i].level;
        }
    }
    return NULL;
}

const ffp_level *ffp_current_level(void) {
    const ffp_level *level = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
    if (!level) {
        const char *name = getenv("FFPREP_SIMD");
        level = name && *name ? find(name) : NULL;
        level = level ? level : find(NULL);
        __atomic_store_n(&current, level, __ATOMIC_RELEASE);
    }
    return level;
}

int ffp_level_is_scalar(void) { return ffp_current_level() == &scalar; }

const char *ffp_simd_level(void) { return ffp_current_level()->name; }

int64_t ffp_set_simd_level(const char *name) {
    const ffp_level *level = find(name && *name ? name : NULL);
    if (!level) {
        return -1;
    }
    __atomic_store_n(&current, level, __ATOMIC_RELEASE);
    return FFP_OK;
}
