/* The seek index: where in an undivided scan decoding can begin, so that a crop needs no restart markers in the stream.
 *
 *   bytes 0..3    'F' 'S' 'I' 1
 *   bytes 4..7    checksum of all that follows and of pieces of the stream
 *   bytes 8..11   size of the stream in bytes
 *   bytes 12..15  MCUs from one mark to the next
 *   then for each mark but the first, and for the end of the scan: bits from the mark before, stuffing included, and
 *   for each component by how much its DC predictor grew
 *
 * Fields of four bytes are little-endian. The others are numbers in groups of seven bits, low ones first, bit 7 set in all
 * but the last; growth g is written as 2g, or as -2g - 1 when negative. The first mark is at the first bit of the scan. */
#ifndef FFPREP_INDEX_H
#define FFPREP_INDEX_H

#include "parse.h"

enum { FFP_INDEX_HEAD = 16 };

extern const uint8_t ffp_index_magic[4];

/* Of the index from byte 8 on, and of the stream around the start, the middle and the end of its data. */
uint32_t ffp_index_checksum(const uint8_t *index, int64_t index_size, const uint8_t *data, int64_t size, int64_t scan);

/* A place in an index: a mark, or the end of the scan. */
typedef struct {
    const uint8_t *next, *end; /* what follows of the index */
    int64_t interval;
    int64_t bit, bits; /* the mark's bit in the stream; bits in the stream */
    int32_t components;
    int32_t pred[FFP_MAX_COMPONENTS]; /* DC predictors there */
} ffp_index_reader;

/* Stands at the first mark when the index is whole and was made from this stream; else FFP_BAD_INDEX. */
int32_t ffp_index_open(ffp_index_reader *reader, const ffp_header *h, const uint8_t *data, int64_t size,
                       const uint8_t *index, int64_t index_size);

/* Moves to the next mark; 0 when there is none. */
int ffp_index_next(ffp_index_reader *reader);

#endif
