/* The context's memory: buffers that grow with the images and shrink after an unusually large one. */
#include "context.h"

#include <stdlib.h>
#include <string.h>

enum { KEEP_BYTES = 32 << 20 }; /* a buffer larger than this is given back when a quarter would do */

static void release(ffp_buffer *buffer) {
    free(buffer->base);
    memset(buffer, 0, sizeof *buffer);
}

int32_t ffp_reserve(ffp_buffer *buffer, size_t size) {
    if (size <= buffer->size && (buffer->size <= KEEP_BYTES || size > buffer->size / 4)) {
        return FFP_OK;
    }
    release(buffer);
    size_t room = size + size / 8; /* so that slowly growing images do not allocate each time */
    void *base = calloc(1, room + 64);
    if (!base) {
        return FFP_NO_MEMORY;
    }
    buffer->base = base;
    buffer->ptr = (uint8_t *)(((uintptr_t)base + 63) & ~(uintptr_t)63);
    buffer->size = room;
    return FFP_OK;
}

ffp_context *ffp_context_new(void) {
    ffp_context *ctx = calloc(1, sizeof(ffp_context));
    if (ctx) {
        ctx->inverse_ns = -1;
    }
    return ctx;
}

int64_t ffp_inverse_time(ffp_context *ctx) {
    const int64_t spent = ctx->inverse_ns;
    ctx->inverse_ns = 0;
    return spent < 0 ? 0 : spent;
}

void ffp_context_free(ffp_context *ctx) {
    if (ctx) {
        release(&ctx->coef);
        release(&ctx->planes);
        release(&ctx->jobs);
        release(&ctx->whole);
        release(&ctx->level_tables);
        release(&ctx->level_bytes);
        release(&ctx->level_work);
        free(ctx);
    }
}
