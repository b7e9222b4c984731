/* What guards the file that payloads are read from: checksums, and a word before a failed read ends the process. */
#ifndef FFPREP_GUARD_H
#define FFPREP_GUARD_H

#include "jpeg.h"

/* Where the payload of a sample stands with its checksum (ffprep/beton/checksums.py has the same numbers). */
enum { FFP_UNKNOWN = 0, FFP_BEING_HASHED = 1, FFP_GOOD = 2, FFP_CHANGED = 3 };

/* Returns xxh3-64 without a seed. */
FFP_API uint64_t ffp_xxh3(const uint8_t *data, int64_t size);

/* Compares a payload with its checksum, unless its state says that this was done; returns FFP_GOOD or FFP_CHANGED.
 * Threads may ask about one payload at once: the first hashes it, the others wait. state: NULL to hash it each time. */
FFP_API int64_t ffp_check_payload(const uint8_t *data, int64_t size, const uint8_t *sum, uint8_t *state);

/* Returns how many samples, from the first on, have plain extents: the row of the allocation table whose turn it is names
 * the sample, the offset that its record has and a size of at least `least` bytes, and they lie in one page and between
 * the bounds. pointers, rows: the first sample's; bounds: first byte of the payloads, their end, bytes of a page, which
 * are a power of two. */
FFP_API int64_t ffp_plain_extents(const uint8_t *pointers, int64_t stride, const uint8_t *rows, int64_t row_stride,
                                  int64_t count, int64_t least, const uint64_t *bounds);

/* Watches memory that a file is mapped to; returns a ticket for one call of ffp_unwatch, or -1 without
 * memory.
 *
 * When a read of such memory fails, because the file was cut or its disk has an error, the system sends SIGBUS. While
 * any memory is watched, a handler writes one line that names the file to standard error, then runs the handler that
 * was there before, and then lets the signal end the process. Other signals go to the handler before. */
FFP_API int64_t ffp_watch(const uint8_t *start, int64_t size, const char *path);
FFP_API void ffp_unwatch(int64_t ticket);

/* Writes what the handler would say about an address, or about a file that was cut if that is NULL: the line's length,
 * 0 for memory that is not watched. */
FFP_API int64_t ffp_watch_line(const uint8_t *address, char *line, int64_t room);

#endif
