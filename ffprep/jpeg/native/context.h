/* Scratch memory that one decoder keeps from image to image: context.c makes and frees it. */
#ifndef FFPREP_CONTEXT_H
#define FFPREP_CONTEXT_H

#include <stddef.h>

#include "parse.h"
#include "scan/scan.h"

typedef struct {
    void *base;   /* what calloc returned */
    uint8_t *ptr; /* the same, at a 64-byte boundary */
    size_t size;  /* bytes usable at ptr */
} ffp_buffer;

/* Makes at least `size` bytes usable at buffer->ptr, all zero when they are new; old contents are lost when the buffer
 * grows. FFP_OK or FFP_NO_MEMORY (then the buffer is empty). */
int32_t ffp_reserve(ffp_buffer *buffer, size_t size);

struct ffp_context {
    ffp_header header;
    ffp_buffer coef; /* all zero between two uses */
    ffp_buffer planes, jobs, whole;
    ffp_dc_table dc[4]; /* scalar tables, kept from image to image */
    ffp_ac_table ac[4];
    ffp_buffer level_tables, level_bytes, level_work; /* for the SIMD levels: whatever they need, theirs alone */
    int64_t inverse_ns; /* spent in inverse transforms of jobs; counted only where it is not negative */
    int64_t repaired;   /* jobs that the lanes left to the scalar decoder, for tests: sound ones are none of them */
};

#endif
