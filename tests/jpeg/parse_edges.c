/* Parses headers in blocks of exactly their size; to be built with sanitizers.
 *
 *   parse_edges FILE...
 *
 * Prints for each file the status, colour, orientation, Adobe transform and restart interval that ffp_read_header gives,
 * and the notes that ffp_parse takes.
 * Every prefix of the file is parsed too, so that a read past the end is reported wherever a stream may end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jpeg.h"
#include "parse.h"

static int64_t parse(const uint8_t *data, int64_t size, int64_t *info, int32_t *notes) {
    ffp_header header;
    uint8_t *exact = malloc(size ? (size_t)size : 1);
    if (!exact) {
        exit(2);
    }
    memcpy(exact, data, (size_t)size);
    const int64_t status = ffp_read_header(exact, size, info);
    ffp_parse(exact, size, &header);
    *notes = header.notes;
    free(exact);
    return status;
}

int main(int argc, char **argv) {
    static uint8_t data[1 << 16];
    int64_t info[FFP_INFO_SIZE];
    int32_t notes;
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (!f) {
            return 2;
        }
        const int64_t size = (int64_t)fread(data, 1, sizeof data, f);
        fclose(f);
        for (int64_t n = 0; n < size; n++) {
            parse(data, n, info, &notes);
        }
        const int64_t status = parse(data, size, info, &notes);
        printf("%lld %lld %lld %lld %lld %d\n", (long long)status, (long long)info[3], (long long)info[6],
               (long long)info[7], (long long)info[12], notes);
    }
    return 0;
}
