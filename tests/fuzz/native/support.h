/* What the fuzz targets of the JPEG library share. Each target is one function, LLVMFuzzerTestOneInput, which libFuzzer
 * calls, or driver.c where there is no clang. It draws what it needs besides the stream (rectangles, intervals) from
 * numbers that follow from the stream's bytes, so that a stream alone repeats a finding. A broken rule aborts. */
#ifndef FFPREP_FUZZ_SUPPORT_H
#define FFPREP_FUZZ_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"

enum { MOST_PIXELS = 1 << 16 }; /* larger images take long and show nothing else */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How often each status was seen. */
extern int64_t seen[FFP_STATUS_COUNT];

/* The generator's state; below(n) is a number from 0 to n - 1, 0 where n is below 1. */
extern uint64_t state;
int64_t below(int64_t n);

/* Seeds the generator with the bytes of a stream. */
void seed_by(const uint8_t *data, int64_t size);

_Noreturn void fail(const char *what);

/* Counts a status and returns it; fails on one that jpeg.h does not have. */
int64_t counted(int64_t status);

/* Memory, or the end of the program. */
void *room(size_t size);

/* A copy in a block of exactly its size: of malloc, or (vector gathers are not seen by AddressSanitizer) with its end
 * against a page that must not be touched. */
typedef struct {
    uint8_t *data;
    void *base;
    size_t mapped;
} block;
block exact(const uint8_t *data, int64_t size, int guarded);
void discard(block *b);

/* The levels of this library in the order in which they are tried; the first is the reference. */
extern const char *const levels[3];

/* One decoder for all calls. */
ffp_context *decoder(void);

/* Decodes at every level, the scalar one twice, over planes that hold other bytes each time; fails where status or
 * samples differ, or coefficients stay behind. Returns the status, and with FFP_OK the hash of the samples. */
int64_t decode_everywhere(ffp_decode_request *request, uint64_t *hash);

uint64_t hash_planes(const ffp_image_desc *image);

/* All coefficients, NULL when the stream has none to give. */
int16_t *all_coefficients(const uint8_t *data, int64_t size, int64_t *status, int64_t *count);

/* Changes *size bytes in one to four ways; data has room for `most`, which is at least *size. */
void damage(uint8_t *data, int64_t *size, int64_t most);

#endif
