/* A long scan without restart markers, decoded in pieces at once (lanes/speculate.c): the vector levels answer what the
 * scalar one does, wherever the rectangle ends and wherever the scan is damaged. Streams with a restart interval have it
 * removed, so that mutations of any stream get here. */
#include "support.h"

/* Sets every restart interval of the headers to none. */
static void undivided(uint8_t *data, int64_t size) {
    for (int64_t at = 2; at + 6 <= size && data[at] == 0xFF && data[at + 1] != FFP_M_SOS;) {
        const int64_t length = data[at + 2] << 8 | data[at + 3];
        if (data[at + 1] == FFP_M_DRI && length == 4) {
            data[at + 4] = data[at + 5] = 0;
        }
        at += 2 + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    const int64_t size = (int64_t)length;
    ffp_header h;
    seed_by(bytes, size);
    block b = exact(bytes, size, (int)below(2));
    undivided(b.data, size);
    if (counted(ffp_parse(b.data, size, &h)) == FFP_OK && (int64_t)h.width * h.height <= 4 * MOST_PIXELS &&
        h.sequential_single_scan && h.restart_interval == 0) {
        const int64_t bottom = below(2) ? h.height : 1 + below(h.height),
                      right = below(2) ? h.width : 1 + below(h.width);
        const int64_t y = below(2) ? 0 : below(bottom), x = below(2) ? 0 : below(right);
        ffp_image_desc image;
        ffp_decode_request request = {.context = (int64_t)(intptr_t)decoder(),
                                      .data = (int64_t)(intptr_t)b.data,
                                      .size = size,
                                      .x = x,
                                      .y = y,
                                      .w = right - x,
                                      .h = bottom - y,
                                      .scale = below(2) ? 0 : below(4),
                                      .image = (int64_t)(intptr_t)&image};
        uint64_t hash;
        decode_everywhere(&request, &hash);
    }
    discard(&b);
    return 0;
}
