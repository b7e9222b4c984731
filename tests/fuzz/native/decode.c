/* Decoding: header, coefficients and a rectangle at every CPU level answer with a status of jpeg.h, the levels agree, and
 * nothing that was in the planes' memory before is reported as decoded. Where libjpeg-turbo is at hand, whole images
 * that it decodes without a warning are compared with its samples (libjpeg.c). */
#include "support.h"

#ifdef FFP_LIBJPEG
void compare_with_libjpeg(const uint8_t *data, int64_t size);
#endif

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    const int64_t size = (int64_t)length;
    int64_t info[FFP_INFO_SIZE] = {0}, count, status, rect[4] = {0, 0, 1, 1};
    seed_by(bytes, size);
    block b = exact(bytes, size, (int)below(2));
    if (counted(ffp_read_header(b.data, size, info)) == FFP_OK) {
        for (int axis = 0; axis < 2; axis++) {
            const int64_t n = info[axis], most = n < 2048 ? n : 2048;
            rect[axis] = below(2) ? 0 : below(n);
            rect[axis + 2] = rect[axis] == 0 && below(2) ? most
                                                         : 1 + below(n - rect[axis] < most ? n - rect[axis] : most);
        }
    }
    if (info[0] * info[1] <= MOST_PIXELS) {
        if (below(4) == 0) {
            free(all_coefficients(b.data, size, &status, &count));
            counted(status);
        }
        ffp_image_desc image;
        ffp_decode_request request = {.context = (int64_t)(intptr_t)decoder(),
                                      .data = (int64_t)(intptr_t)b.data,
                                      .size = size,
                                      .x = rect[0],
                                      .y = rect[1],
                                      .w = rect[2],
                                      .h = rect[3],
                                      .scale = below(2) ? 0 : below(4),
                                      .image = (int64_t)(intptr_t)&image};
        uint64_t hash;
        decode_everywhere(&request, &hash);
#ifdef FFP_LIBJPEG
        compare_with_libjpeg(b.data, size);
#endif
    }
    discard(&b);
    return 0;
}
