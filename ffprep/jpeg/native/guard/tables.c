/* Looks whether the tables of a file agree, sample after sample, so that both can be read where they are. */
#include <string.h>

#include "guard.h"

static uint64_t number_at(const uint8_t *place) {
    uint64_t number;
    memcpy(&number, place, sizeof number);
    return number;
}

int64_t ffp_plain_extents(const uint8_t *pointers, int64_t stride, const uint8_t *rows, int64_t row_stride,
                          int64_t count, int64_t least, const uint64_t *bounds) {
    const uint64_t start = bounds[0], end = bounds[1], page = bounds[2];
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *row = rows + i * row_stride;
        const uint64_t offset = number_at(row + 8), size = number_at(row + 16);
        if (number_at(row) != (uint64_t)i || number_at(pointers + i * stride) != offset || offset > end ||
            size > end - offset || size > page || (int64_t)size < least) {
            return i;
        }
        if (size && (offset < start || (offset ^ (offset + size - 1)) >= page)) {
            return i;
        }
    }
    return count;
}
