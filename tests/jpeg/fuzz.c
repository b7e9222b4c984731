/* Deterministic mutation fuzzing of the JPEG kernel, to be built with -fsanitize=address,undefined.
 *
 *   fuzz ROUNDS SEED FILE...
 *
 * Every file is decoded as it is and then ROUNDS times damaged. The bytes lie in a block of exactly their size: from
 * malloc, or (vector gathers are not seen by AddressSanitizer) against a page that must not be touched. For each stream:
 *
 *   - header, coefficients and random rectangles at every CPU level answer with a status of jpeg.h;
 *   - the levels agree on status and samples;
 *   - samples do not depend on what the planes' memory held before: nothing stale is reported as decoded;
 *   - the coefficient memory is all zero after every call;
 *   - rewriting accepts what the coefficient path accepts and nothing else, but for values no 8-bit image has; what it
 *     writes keeps the coefficients, fits in what it asked for, rewrites to itself, and is the same at every CPU level.
 *
 * Prints how often each status was seen; exits 1 on the first broken rule.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "context.h"

static uint64_t state;
static int64_t seen[FFP_STATUS_COUNT];

static uint64_t rnd(void) { /* splitmix64 */
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static int64_t below(int64_t n) { return n > 0 ? (int64_t)(rnd() % (uint64_t)n) : 0; }

static void fail(const char *file, int64_t round, const char *what) {
    fprintf(stderr, "%s: round %lld: %s\n", file, (long long)round, what);
    exit(1);
}

static int64_t counted(const char *file, int64_t round, int64_t status) {
    if (status < 0 || status >= FFP_STATUS_COUNT) {
        fail(file, round, "unknown status");
    }
    seen[status]++;
    return status;
}

/* ---- damage ------------------------------------------------------------------------------------------------------- */

/* Changes *data (room for twice *size) in one to four ways. */
static void damage(uint8_t *data, int64_t *size) {
    for (int64_t times = 1 + below(4); times > 0 && *size > 4; times--) {
        int64_t n = *size, head = n < 700 ? n : 700, at, count;
        switch (below(9)) {
        case 0: /* random bytes anywhere */
            for (count = 1 + below(20); count > 0; count--) {
                data[below(n)] = (uint8_t)rnd();
            }
            break;
        case 1: /* in the header */
            for (count = 1 + below(4); count > 0; count--) {
                data[below(head)] = (uint8_t)rnd();
            }
            break;
        case 2: /* one bit */
            data[below(n)] ^= (uint8_t)(1 << below(8));
            break;
        case 3: /* cut short */
            *size = 1 + below(n);
            break;
        case 4: /* a marker somewhere */
            at = below(n - 1);
            data[at] = 0xFF;
            data[at + 1] = (uint8_t)(0xC0 + below(64));
            break;
        case 5: /* a piece taken out */
            at = below(n);
            count = 1 + below(n - at < 64 ? n - at : 64);
            memmove(data + at, data + at + count, (size_t)(n - at - count));
            *size = n - count;
            break;
        case 6: /* a piece repeated */
            at = below(n);
            count = 1 + below(n - at < 300 ? n - at : 300);
            memmove(data + at + count, data + at, (size_t)(n - at));
            *size = n + count;
            return;
        case 7: /* a run of one value */
            at = below(n);
            count = 1 + below(n - at < 40 ? n - at : 40);
            memset(data + at, below(2) ? 0xFF : (int)below(256), (size_t)count);
            break;
        default: /* a length or a size field made extreme */
            at = below(head - 1);
            data[at] = (uint8_t)(below(2) ? 0xFF : 0);
            data[at + 1] = (uint8_t)(below(2) ? 0xFF : below(4));
        }
    }
}

/* ---- blocks of exactly the right size ----------------------------------------------------------------------------- */

typedef struct {
    uint8_t *data;
    void *base;
    size_t mapped;
} block;

static block exact(const uint8_t *data, int64_t size, int guarded) {
    block b = {NULL, NULL, 0};
    if (guarded) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE), room = ((size_t)size + page - 1) / page * page;
        b.mapped = room + page;
        b.base = mmap(NULL, b.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (b.base == MAP_FAILED || mprotect((uint8_t *)b.base + room, page, PROT_NONE) != 0) {
            exit(2);
        }
        b.data = (uint8_t *)b.base + room - size;
    } else {
        b.base = b.data = malloc(size ? (size_t)size : 1);
        if (!b.base) {
            exit(2);
        }
    }
    memcpy(b.data, data, (size_t)size);
    return b;
}

static void discard(block *b) {
    if (b->mapped) {
        munmap(b->base, b->mapped);
    } else {
        free(b->base);
    }
}

/* ---- rules -------------------------------------------------------------------------------------------------------- */

static const char *const levels[] = {"scalar", "avx2", "avx512"};

static uint64_t hash_planes(const ffp_image_desc *image) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (int64_t c = 0; c < image->components; c++) {
        const ffp_plane_desc *p = &image->planes[c];
        for (int64_t y = 0; y < p->h; y++) {
            const uint8_t *row = (const uint8_t *)(intptr_t)(p->address + y * p->stride);
            for (int64_t x = 0; x < p->w; x++) {
                hash = (hash ^ row[x]) * 0x100000001B3u;
            }
        }
    }
    return hash;
}

static void expect_zero(const ffp_context *ctx, const char *file, int64_t round) {
    const uint8_t *p = ctx->coef.ptr;
    if (ctx->coef.size && (p[0] || memcmp(p, p + 1, ctx->coef.size - 1) != 0)) {
        fail(file, round, "coefficients left behind");
    }
}

static void decode_everywhere(ffp_context *ctx, const uint8_t *data, int64_t size, const int64_t *rect, int64_t scale,
                              const char *file, int64_t round) {
    ffp_image_desc image;
    const ffp_decode_request request = {.context = (int64_t)(intptr_t)ctx,
                                        .data = (int64_t)(intptr_t)data,
                                        .size = size,
                                        .x = rect[0],
                                        .y = rect[1],
                                        .w = rect[2],
                                        .h = rect[3],
                                        .scale = scale,
                                        .image = (int64_t)(intptr_t)&image};
    int64_t first = -1;
    uint64_t hash = 0;
    for (int i = 0; i < 4; i++) { /* the scalar level twice */
        if (ffp_set_simd_level(levels[i ? i - 1 : 0]) != FFP_OK) {
            continue;
        }
        if (ctx->planes.ptr) {
            memset(ctx->planes.ptr, i % 2 ? 0x55 : 0xAA, ctx->planes.size);
        }
        int64_t status = ffp_decode_region(&request);
        counted(file, round, status);
        expect_zero(ctx, file, round);
        uint64_t mine = status == FFP_OK ? hash_planes(&image) : 0;
        if (first >= 0 && (status != first || mine != hash)) {
            fprintf(stderr, "level %s: status %lld after %lld\n", ffp_simd_level(), (long long)status,
                    (long long)first);
            fail(file, round, "levels or runs differ");
        }
        first = status;
        hash = mine;
    }
}

/* All coefficients, NULL when the stream has none to give. */
static int16_t *coefficients(const uint8_t *data, int64_t size, int64_t *status, int64_t *count) {
    *status = ffp_coefficients(data, size, NULL, 0, count);
    int16_t *out = *status == FFP_OK ? malloc((size_t)*count * 2) : NULL;
    if (out) {
        *status = ffp_coefficients(data, size, out, *count, count);
    }
    return out;
}

static void rewrite_once(const uint8_t *data, int64_t size, const char *file, int64_t round) {
    int64_t interval = below(3) ? below(20) : -1, flags = below(4), status, count, count2, status2;
    int64_t facts[FFP_FACTS], judged[FFP_FACTS], other[FFP_FACTS];
    int64_t got = counted(file, round, ffp_rewrite(data, size, interval, flags, NULL, 0, facts));
    const int64_t needed = facts[0], sound = counted(file, round, ffp_check(data, size, judged));
    for (int i = 0; i < 3; i++) {
        if (ffp_set_simd_level(levels[i]) == FFP_OK &&
            (ffp_rewrite(data, size, interval, flags, NULL, 0, other) != got || ffp_check(data, size, other) != sound ||
             memcmp(judged, other, sizeof other) != 0)) {
            fail(file, round, "levels judge differently");
        }
    }
    if (sound == FFP_OK && (judged[2] <= 0 || judged[2] > size)) {
        fail(file, round, "the last MCU ends outside of the data");
    }
    const int made_anew = flags & 2 || judged[1] & FFP_NOTE_CODES; /* without a look at the sums of DC differences */
    if (got == FFP_NO_SPACE && !(made_anew && sound == FFP_CORRUPT_SCAN) &&
        (sound != FFP_OK || (facts[1] & ~FFP_NOTE_DIVIDED) != judged[1])) {
        fprintf(stderr, "sound %lld, notes %lld and %lld\n", (long long)sound, (long long)facts[1],
                (long long)judged[1]);
        fail(file, round, "rewritten, and not found sound, or otherwise sound");
    }
    int16_t *before = coefficients(data, size, &status, &count);
    if (got != FFP_NO_SPACE) {
        int refusal = got == FFP_UNSUPPORTED_COLOR || got == FFP_UNSUPPORTED_SAMPLING || got == FFP_CORRUPT_SCAN;
        if (got == FFP_OK || (status == FFP_OK && !refusal)) {
            fprintf(stderr, "rewrite %lld, coefficients %lld\n", (long long)got, (long long)status);
            fail(file, round, "refused to rewrite what decodes");
        }
        free(before);
        return;
    }
    uint8_t *out = malloc((size_t)needed);
    if (ffp_rewrite(data, size, interval, flags, out, needed, facts) != FFP_OK || facts[0] > needed) {
        fail(file, round, "rewriting asked for too little room");
    }
    const int64_t written = facts[0];
    block b = exact(out, written, (int)(round & 1));
    int16_t *after = coefficients(b.data, written, &status2, &count2);
    const int regular = !(facts[1] & FFP_NOTE_DIVIDED);
    if (status != FFP_OK || status2 != FFP_OK ||
        (regular && (count != count2 || memcmp(before, after, (size_t)count * 2) != 0))) {
        fprintf(stderr, "statuses %lld, %lld\n", (long long)status, (long long)status2);
        fail(file, round, "rewriting changes coefficients");
    }
    uint8_t *again = malloc(2 * (size_t)needed);
    for (int i = 0; i < 3; i++) {
        if (ffp_set_simd_level(levels[i]) == FFP_OK &&
            (ffp_rewrite(data, size, interval, flags, again, needed, other) != FFP_OK || other[0] != written ||
             memcmp(again, out, (size_t)written) != 0)) {
            fail(file, round, "levels rewrite differently");
        }
    }
    if (ffp_rewrite(b.data, written, interval, flags, again, 2 * needed, other) != FFP_OK || other[0] != written ||
        memcmp(again, b.data, (size_t)written) != 0) {
        fail(file, round, "rewriting twice is not rewriting once");
    }
    discard(&b);
    free(out);
    free(again);
    free(before);
    free(after);
}

static void try_stream(ffp_context *ctx, const uint8_t *bytes, int64_t size, const char *file, int64_t round) {
    block b = exact(bytes, size, (int)(round & 1));
    int64_t info[FFP_INFO_SIZE], count, rect[4] = {0, 0, 1, 1};
    if (counted(file, round, ffp_read_header(b.data, size, info)) == FFP_OK) {
        for (int axis = 0; axis < 2; axis++) {
            int64_t n = info[axis], most = n < 2048 ? n : 2048;
            rect[axis] = below(2) ? 0 : below(n);
            rect[axis + 2] = rect[axis] == 0 && below(2) ? most
                                                         : 1 + below(n - rect[axis] < most ? n - rect[axis] : most);
        }
        if (info[0] * info[1] <= 1 << 22) {
            if (counted(file, round, ffp_coefficients(b.data, size, NULL, 0, &count)) == FFP_OK) {
                int16_t *coef = malloc((size_t)count * 2);
                counted(file, round, ffp_coefficients(b.data, size, coef, count, &count));
                free(coef);
            }
            rewrite_once(b.data, size, file, round);
        }
    }
    if (info[0] * info[1] <= 1 << 24) {
        decode_everywhere(ctx, b.data, size, rect, below(2) ? 0 : below(4), file, round);
    }
    discard(&b);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: fuzz ROUNDS SEED FILE...\n");
        return 2;
    }
    ffp_context *ctx = ffp_context_new();
    for (int i = 3; ctx && i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (!f || fseek(f, 0, SEEK_END) != 0) {
            return 2;
        }
        int64_t size = ftell(f);
        rewind(f);
        uint8_t *original = malloc((size_t)size + 1), *work = malloc(2 * (size_t)size + 1024);
        if (!original || !work || fread(original, 1, (size_t)size, f) != (size_t)size) {
            return 2;
        }
        fclose(f);
        for (int64_t round = 0; round <= atoll(argv[1]); round++) {
            state = strtoull(argv[2], NULL, 10) * 1000003u + (uint64_t)i * 7919u + (uint64_t)round;
            int64_t n = size;
            memcpy(work, original, (size_t)size);
            if (round) {
                damage(work, &n);
            }
            try_stream(ctx, work, n, argv[i], round);
        }
        free(original);
        free(work);
    }
    ffp_context_free(ctx);
    for (int i = 0; i < FFP_STATUS_COUNT; i++) {
        if (seen[i]) {
            printf("%d %lld\n", i, (long long)seen[i]);
        }
    }
    return 0;
}
