/* Planes of JPEGs, as numbers to compare between builds for different processors.
 *
 *   planes FILE...
 *
 * Prints for each file, each reduction and some rectangles the status and, where that is FFP_OK, a checksum of all samples.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jpeg.h"

static uint64_t sum_of(const ffp_image_desc *image) {
    uint64_t sum = 0xCBF29CE484222325u; /* FNV-1a */
    for (int i = 0; i < image->components; i++) {
        const ffp_plane_desc *p = &image->planes[i];
        for (int64_t y = 0; y < p->h; y++) {
            const uint8_t *row = (const uint8_t *)(intptr_t)p->address + y * p->stride;
            for (int64_t x = 0; x < p->w; x++) {
                sum = (sum ^ row[x]) * 0x100000001B3u;
            }
        }
    }
    return sum;
}

static void decode(int64_t context, const uint8_t *data, int64_t size) {
    ffp_image_desc image;
    memset(&image, 0, sizeof image);
    ffp_decode_request request = {.context = context,
                                  .data = (int64_t)(intptr_t)data,
                                  .size = size,
                                  .image = (int64_t)(intptr_t)&image,
                                  .w = 1,
                                  .h = 1};
    int64_t status = ffp_decode_region(&request);
    const int64_t width = image.width, height = image.height;
    for (int k = 0; status == FFP_OK && k < 8; k++) {
        request.scale = k & 3;
        request.x = k < 4 ? 0 : width / 3;
        request.y = k < 4 ? 0 : height / 4;
        request.w = k < 4 ? width : (width + 1) / 2;
        request.h = k < 4 ? height : (height + 1) / 2;
        status = ffp_decode_region(&request);
        printf(" %016llx", status == FFP_OK ? (unsigned long long)sum_of(&image) : 0);
    }
    printf(" %lld\n", (long long)status);
}

int main(int argc, char **argv) {
    const int64_t context = (int64_t)(intptr_t)ffp_context_new();
    for (int i = 1; context && i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (!f || fseek(f, 0, SEEK_END) != 0) {
            return 2;
        }
        const int64_t size = ftell(f);
        uint8_t *data = malloc((size_t)size + 1);
        rewind(f);
        if (!data || fread(data, 1, (size_t)size, f) != (size_t)size) {
            return 2;
        }
        fclose(f);
        decode(context, data, size);
        free(data);
    }
    ffp_context_free((void *)(intptr_t)context);
    return 0;
}
