/* Seek indexes, good and hostile, under sanitizers.
 *
 *   index_fuzz ROUNDS SEED FILE...
 *
 * Round 0: the index of the file decodes random rectangles to the samples that decoding without it gives. Later rounds:
 * index or stream are damaged, or marks made up, the checksum made right again; every level must answer with the same
 * status and, where that is FFP_OK, the same samples. Index and stream lie in blocks of exactly their size. Prints how
 * often each status was seen.
 */
#include <stdio.h>
#include <stdlib.h>

#include "context.h"
#include "index/index.h"

static uint64_t state;
static int64_t seen[FFP_STATUS_COUNT];

static int64_t below(int64_t n) { /* splitmix64 */
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return n > 0 ? (int64_t)((z ^ z >> 31) % (uint64_t)n) : 0;
}

static uint8_t *copy(const uint8_t *p, int64_t n) {
    uint8_t *q = malloc(n ? (size_t)n : 1);
    if (!q) {
        exit(2);
    }
    memcpy(q, p, (size_t)n);
    return q;
}

static void fix(uint8_t *index, int64_t n, const uint8_t *data, int64_t size, int64_t scan) {
    uint32_t sum = ffp_index_checksum(index, n, data, size, scan);
    for (int i = 0; i < 4; i++) {
        index[4 + i] = (uint8_t)(sum >> 8 * i);
        index[8 + i] = (uint8_t)(size >> 8 * i);
    }
}

/* Marks that are well-formed and mean nothing: steps of no bits and of billions, growth up to the largest number. */
static void invent(uint8_t *p, int64_t n, int components) {
    for (int64_t at = 0, field = 0; at < n; field++) {
        static const uint64_t edges[] = {0, 1, 63, 4095, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (UINT64_C(1) << 35) - 1};
        uint64_t value = field % (components + 1) ? (uint64_t)below(64) : (uint64_t)below(2000);
        if (below(20) == 0) {
            value = edges[below(8)];
        }
        do {
            p[at] = (uint8_t)((value & 0x7F) | (value >= 0x80 && at + 1 < n ? 0x80 : 0));
            at++;
            value >>= 7;
        } while (value && at < n);
    }
}

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

static int round_of(ffp_context *ctx, const uint8_t *stream, int64_t size, const uint8_t *marks, int64_t n, int hurt) {
    static const char *const levels[] = {"scalar", "avx2", "avx512"};
    ffp_header h;
    if (ffp_parse(stream, size, &h) != FFP_OK) {
        return 0;
    }
    uint8_t *data = copy(stream, size), *index = copy(marks, n);
    if (hurt && below(3) == 0) {
        for (int64_t k = 1 + below(3); k > 0; k--) {
            data[h.scan_offset + below(size - h.scan_offset)] = (uint8_t)below(256);
        }
    }
    if (hurt && below(5) != 0) {
        for (int64_t k = 1 + below(4); k > 0; k--) {
            index[below(4) ? 16 + below(n - 16) : 12 + below(4)] = (uint8_t)(below(2) ? below(256) : below(4));
        }
        if (below(4) == 0) {
            invent(index + 16, n - 16, h.ncomp);
        }
        uint8_t *shorter = copy(index, n = below(4) ? n : 16 + below(n - 15));
        free(index);
        index = shorter;
    }
    fix(index, n, data, size, h.scan_offset);
    int64_t x = below(h.width), y = below(h.height), w = 1 + below(h.width - x), high = 1 + below(h.height - y);
    int64_t first = -1, scale = below(2) ? 0 : below(4);
    ffp_image_desc image;
    ffp_decode_request request = {.context = (int64_t)(intptr_t)ctx,
                                  .data = (int64_t)(intptr_t)data,
                                  .size = size,
                                  .x = x,
                                  .y = y,
                                  .w = w,
                                  .h = high,
                                  .scale = scale,
                                  .image = (int64_t)(intptr_t)&image};
    uint64_t hash = 0;
    int good = 1;
    for (int i = hurt ? 1 : 0; good && i < 4; i++) { /* 0: without the index */
        if (ffp_set_simd_level(levels[i ? i - 1 : 0]) != FFP_OK) {
            continue;
        }
        if (ctx->planes.ptr) {
            memset(ctx->planes.ptr, i % 2 ? 0x55 : 0xAA, ctx->planes.size);
        }
        request.index = i ? (int64_t)(intptr_t)index : 0;
        request.index_size = i ? n : 0;
        int64_t status = ffp_decode_region(&request);
        uint64_t mine = status == FFP_OK ? hash_planes(&image) : 0;
        good = status >= 0 && status < FFP_STATUS_COUNT && (first < 0 || (status == first && mine == hash));
        good &= hurt || status == FFP_OK;
        const uint8_t *p = ctx->coef.ptr;
        good &= ctx->coef.size == 0 || (p[0] == 0 && memcmp(p, p + 1, ctx->coef.size - 1) == 0);
        if (good) {
            seen[status]++;
        }
        first = status;
        hash = mine;
    }
    free(data);
    free(index);
    return good;
}

int main(int argc, char **argv) {
    ffp_context *ctx = ffp_context_new();
    for (int i = 3; ctx && i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (!f || fseek(f, 0, SEEK_END) != 0) {
            return 2;
        }
        int64_t size = ftell(f), n, room;
        rewind(f);
        uint8_t *data = malloc((size_t)size);
        if (!data || fread(data, 1, (size_t)size, f) != (size_t)size) {
            return 2;
        }
        fclose(f);
        for (int64_t round = 0; round <= atoll(argv[1]); round++) {
            state = strtoull(argv[2], NULL, 10) * 1000003u + (uint64_t)i * 7919u + (uint64_t)round;
            int64_t interval = below(20);
            if (ffp_index(data, size, interval, NULL, 0, &room) != FFP_NO_SPACE) {
                fprintf(stderr, "%s: no index\n", argv[i]);
                return 1;
            }
            uint8_t *index = malloc((size_t)room);
            if (!index || ffp_index(data, size, interval, index, room, &n) != FFP_OK || n != room ||
                !round_of(ctx, data, size, index, n, round > 0)) {
                fprintf(stderr, "%s: round %lld, interval %lld\n", argv[i], (long long)round, (long long)interval);
                return 1;
            }
            free(index);
        }
        free(data);
    }
    ffp_context_free(ctx);
    for (int i = 0; i < FFP_STATUS_COUNT; i++) {
        if (seen[i]) {
            printf("%d %lld\n", i, (long long)seen[i]);
        }
    }
    return 0;
}
