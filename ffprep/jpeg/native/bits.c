/* The bit reader where it is slow: near markers, stuffed bytes and the end of the data. */
#include "bits.h"

#include "jpeg.h"

void ffp_bits_fill_slow(ffp_bits *b) {
    while (b->count < 56) {
        uint64_t byte = 0;
        if (b->next < b->end && (b->next[0] != 0xFF || (b->end - b->next > 1 && b->next[1] == 0))) {
            byte = b->next[0];
            b->next += byte == 0xFF ? 2 : 1;
        } else {
            b->padding += 8;
        }
        b->bits |= byte << (56 - b->count);
        b->count += 8;
    }
}

const uint8_t *ffp_bits_position(const ffp_bits *b, const uint8_t *begin) {
    const uint8_t *p = b->next;
    for (int32_t unread = (b->count - b->padding) >> 3; unread > 0 && p > begin; unread--) {
        p--;
        p -= *p == 0 && p > begin && p[-1] == 0xFF;
    }
    return p;
}

int32_t ffp_bits_finish(ffp_bits *b) {
    ffp_bits_drop(b, (b->count - b->padding) & 7);
    for (;;) {
        ffp_bits_fill_slow(b);
        if (b->count <= b->padding) {
            return FFP_OK;
        }
        uint32_t byte = ffp_bits_take(b, 8);
        if (byte != 0 && byte != 0xFF) {
            return FFP_CORRUPT_SCAN;
        }
    }
}
