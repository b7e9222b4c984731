#include "support.h"

#include <sys/mman.h>
#include <unistd.h>

enum { MOST_LOOKED_AT = 1 << 15 };

int64_t seen[FFP_STATUS_COUNT];
uint64_t state;
const char *const levels[3] = {"scalar", "avx2", "avx512"};

int64_t below(int64_t n) { /* splitmix64 */
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return n > 0 ? (int64_t)((z ^ z >> 31) % (uint64_t)n) : 0;
}

static uint64_t mixed(uint64_t hash, const uint8_t *p, int64_t n) { /* FNV-1a */
    for (int64_t i = 0; i < n; i++) {
        hash = (hash ^ p[i]) * 0x100000001B3u;
    }
    return hash;
}

void seed_by(const uint8_t *data, int64_t size) { state = mixed(0xCBF29CE484222325u, data, size); }

void fail(const char *what) {
    fprintf(stderr, "broken rule: %s\n", what);
    abort();
}

int64_t counted(int64_t status) {
    if (status < 0 || status >= FFP_STATUS_COUNT) {
        fail("unknown status");
    }
    seen[status]++;
    return status;
}

void *room(size_t size) {
    void *p = malloc(size ? size : 1);
    if (!p) {
        fprintf(stderr, "no memory\n");
        exit(2);
    }
    return p;
}

block exact(const uint8_t *data, int64_t size, int guarded) {
    block b = {NULL, NULL, 0};
    if (guarded) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE), all = ((size_t)size + page - 1) / page * page;
        b.mapped = all + page;
        b.base = mmap(NULL, b.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (b.base == MAP_FAILED || mprotect((uint8_t *)b.base + all, page, PROT_NONE) != 0) {
            exit(2);
        }
        b.data = (uint8_t *)b.base + all - size;
    } else {
        b.base = b.data = room((size_t)size);
    }
    if (size) {
        memcpy(b.data, data, (size_t)size);
    }
    return b;
}

void discard(block *b) {
    if (b->mapped) {
        munmap(b->base, b->mapped);
    } else {
        free(b->base);
    }
}

static ffp_context *kept;

static void free_decoder(void) { ffp_context_free(kept); }

ffp_context *decoder(void) {
    if (!kept) {
        kept = ffp_context_new();
        if (!kept || atexit(free_decoder) != 0) {
            exit(2);
        }
    }
    return kept;
}

uint64_t hash_planes(const ffp_image_desc *image) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (int64_t c = 0; c < image->components; c++) {
        const ffp_plane_desc *p = &image->planes[c];
        for (int64_t y = 0; y < p->h; y++) {
            hash = mixed(hash, (const uint8_t *)(intptr_t)(p->address + y * p->stride), p->w);
        }
    }
    return hash;
}

/* All of the memory, which may be megabytes, only now and then: what is left behind stays until it is found. */
static void expect_zero(const ffp_context *ctx, int thorough) {
    const size_t some = thorough || ctx->coef.size < MOST_LOOKED_AT ? ctx->coef.size : MOST_LOOKED_AT;
    const uint8_t *p = ctx->coef.ptr;
    if (some && (p[0] || memcmp(p, p + 1, some - 1) != 0)) {
        fail("coefficients left behind");
    }
}

int64_t decode_everywhere(ffp_decode_request *request, uint64_t *hash) {
    ffp_context *ctx = decoder();
    const int thorough = below(32) == 0;
    int64_t first = -1;
    for (int i = 0; i < 4; i++) {
        if (ffp_set_simd_level(levels[i ? i - 1 : 0]) != FFP_OK) {
            continue;
        }
        if (ctx->planes.ptr) {
            memset(ctx->planes.ptr, i % 2 ? 0x55 : 0xAA, ctx->planes.size);
        }
        const int64_t status = counted(ffp_decode_region(request));
        expect_zero(ctx, thorough);
        const uint64_t mine = status == FFP_OK ? hash_planes((ffp_image_desc *)(intptr_t)request->image) : 0;
        if (first >= 0 && (status != first || mine != *hash)) {
            fprintf(stderr, "level %s: status %lld after %lld\n", ffp_simd_level(), (long long)status,
                    (long long)first);
            fail("levels or runs differ");
        }
        first = status;
        *hash = mine;
    }
    return first;
}

int16_t *all_coefficients(const uint8_t *data, int64_t size, int64_t *status, int64_t *count) {
    *status = ffp_coefficients(data, size, NULL, 0, count);
    int16_t *out = *status == FFP_OK ? room((size_t)*count * 2) : NULL;
    if (out) {
        *status = ffp_coefficients(data, size, out, *count, count);
    }
    return out;
}
