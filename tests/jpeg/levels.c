/* Entropy decoding of jobs at every CPU level against the scalar one; to be built with sanitizers.
 *
 *   levels ROUNDS SEED FILE...
 *
 * The restart segments of each file become jobs: a random part of them in random order, some ended early, each with its
 * bytes and its coefficients in blocks of exactly their size, coefficients in random distances. All rounds but the first
 * damage bytes of some segments. Every level must give every job the status and, where that is FFP_OK, the coefficients of
 * the scalar level, and leave the gap after the job zero; and none may leave a job of the first round to the scalar level.
 * Prints the number of jobs that were sound and that were not.
 */
#include <stdio.h>
#include <stdlib.h>

#include "context.h"
#include "lanes/lanes.h"

enum { MOST = 4096, GAP = 64 };

static uint64_t state;
static int64_t sound, damaged;

static int64_t below(int64_t n) { /* splitmix64 */
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return n > 0 ? (int64_t)((z ^ z >> 31) % (uint64_t)n) : 0;
}

static void *room(size_t n) {
    void *p = calloc(n ? n : 1, 1);
    if (!p) {
        exit(2);
    }
    return p;
}

/* Jobs for all restart segments: begin and end in `data`. */
static int32_t split(const ffp_header *h, const uint8_t *data, int64_t size, ffp_job *jobs) {
    int32_t n = 0, all = h->mcus_x * h->mcus_y;
    const uint8_t *begin = data + h->scan_offset;
    for (const uint8_t *p = begin; p + 1 < data + size && n < MOST; p++) {
        if (p[0] != 0xFF || p[1] == 0) {
            continue;
        }
        int32_t first = n * h->restart_interval, mcus = h->restart_interval ? h->restart_interval : all;
        jobs[n] = (ffp_job){.begin = begin, .end = p, .first_mcu = first, .to_end = 1};
        jobs[n++].mcus = mcus < all - first ? mcus : all - first;
        begin = p += 2;
        if (p[-1] == 0xD9 || first + mcus >= all) {
            break;
        }
    }
    return n;
}

/* A random selection in random order; early ends; own copies of the bytes, some damaged. */
static int32_t draw_jobs(ffp_job *jobs, int32_t n, int hurt) {
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t j = i + (int32_t)below(n - i);
        ffp_job job = jobs[j];
        jobs[j] = jobs[i];
        if (below(8) == 0) {
            continue;
        }
        if (below(4) == 0) {
            job.mcus = 1 + (int32_t)below(job.mcus);
            job.to_end = 0;
        }
        int64_t size = job.end - job.begin;
        uint8_t *bytes = room((size_t)size);
        memcpy(bytes, job.begin, (size_t)size);
        if (hurt && below(3) == 0) {
            size = below(3) ? size : below(size + 1);
            for (int64_t k = size ? below(4) : 0; k > 0; k--) {
                bytes[below(size)] = below(4) ? (uint8_t)below(256) : 0xFF;
            }
        }
        uint8_t *exact = room((size_t)size);
        memcpy(exact, bytes, (size_t)size);
        free(bytes);
        job.begin = exact;
        job.end = exact + size;
        jobs[kept++] = job;
    }
    return kept;
}

static int run(ffp_context *ctx, const ffp_header *h, ffp_job *jobs, int32_t n, const size_t *at, size_t total,
               int16_t *coef) {
    memset(coef, 0, total * 2);
    for (int32_t i = 0; i < n; i++) {
        jobs[i].coef = coef + at[i];
        jobs[i].status = -1;
    }
    int32_t status = ffp_current_level()->entropy(ctx, h, jobs, n);
    for (int32_t i = 0; i < n; i++) {
        if (jobs[i].status != FFP_OK) {
            return status == jobs[i].status; /* the first */
        }
    }
    return status == FFP_OK;
}

/* Whether blocks in an engine's order are those in zigzag order. */
static int same(const int16_t *coef, const int16_t *zigzag, size_t count, const ffp_lane_engine *engine) {
    int good = 1;
    for (size_t i = 0; i < count; i++) {
        good &= coef[i / 64 * 64 + (engine->order ? engine->order[i % 64] : i % 64)] == zigzag[i];
    }
    return good;
}

static int round_of(ffp_context *ctx, const uint8_t *data, int64_t size, int hurt) {
    static const char *const levels[] = {"avx2", "avx512"};
    static ffp_job jobs[MOST], twins[MOST];
    static size_t at[MOST];
    ffp_header h;
    if (ffp_parse(data, size, &h) != FFP_OK || !h.sequential_single_scan) {
        return 1;
    }
    int32_t n = draw_jobs(jobs, split(&h, data, size, jobs), hurt);
    size_t total = 0;
    for (int32_t i = n - 1; i >= 0; i--) {
        at[i] = total;
        total += (size_t)jobs[i].mcus * (size_t)h.blocks_per_mcu * 64 + GAP + 64 * (size_t)below(3);
    }
    int16_t *expected = room(total * 2), *coef = room(total * 2);
    memcpy(twins, jobs, sizeof jobs);
    ffp_set_simd_level("scalar");
    int good = run(ctx, &h, twins, n, at, total, expected);
    for (int k = 0; good && k < 2; k++) {
        if (ffp_set_simd_level(levels[k]) != FFP_OK) {
            continue;
        }
        ctx->repaired = 0;
        good = run(ctx, &h, jobs, n, at, total, coef) && (hurt || ctx->repaired == 0);
        for (int32_t i = 0; good && i < n; i++) {
            size_t count = (size_t)jobs[i].mcus * (size_t)h.blocks_per_mcu * 64;
            good = jobs[i].status == twins[i].status;
            if (jobs[i].status == FFP_OK) {
                good &= same(coef + at[i], expected + at[i], count, ffp_current_level()->engine);
                for (size_t g = 0; g < GAP; g++) {
                    good &= coef[at[i] + count + g] == 0;
                }
            }
        }
    }
    for (int32_t i = 0; i < n; i++) {
        sound += twins[i].status == FFP_OK;
        damaged += twins[i].status != FFP_OK;
        free((void *)(uintptr_t)jobs[i].begin);
    }
    free(expected);
    free(coef);
    return good;
}

int main(int argc, char **argv) {
    ffp_context *ctx = ffp_context_new();
    for (int i = 3; ctx && i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (!f || fseek(f, 0, SEEK_END) != 0) {
            return 2;
        }
        int64_t size = ftell(f);
        rewind(f);
        uint8_t *data = room((size_t)size);
        if (fread(data, 1, (size_t)size, f) != (size_t)size) {
            return 2;
        }
        fclose(f);
        for (int64_t round = 0; round <= atoll(argv[1]); round++) {
            state = strtoull(argv[2], NULL, 10) * 1000003u + (uint64_t)i * 7919u + (uint64_t)round;
            if (!round_of(ctx, data, size, round > 0)) {
                fprintf(stderr, "%s: round %lld: levels differ\n", argv[i], (long long)round);
                return 1;
            }
        }
        free(data);
    }
    ffp_context_free(ctx);
    printf("%lld %lld\n", (long long)sound, (long long)damaged);
    return 0;
}
