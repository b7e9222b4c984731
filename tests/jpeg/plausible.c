/* Calls ffp_plausible for each line of standard input and prints its answers; to be built with a sanitizer.
 *
 * A line holds: whether the frame is sequential in one scan, blocks per MCU, restart interval, offset of the scan, size
 * of the stream, number of MCUs, number of components, and width and height of each. */
#include <stdio.h>
#include <stdlib.h>

#include "parse.h"

int main(void) {
    static ffp_header h;
    long long scan, size, mcus;
    while (scanf("%d %d %d %lld %lld %lld %d", &h.sequential_single_scan, &h.blocks_per_mcu, &h.restart_interval, &scan,
                 &size, &mcus, &h.ncomp) == 7) {
        h.scan_offset = scan;
        for (int i = 0; i < h.ncomp; i++) {
            if (i == FFP_MAX_COMPONENTS || scanf("%d %d", &h.comp[i].width, &h.comp[i].height) != 2) {
                return 2;
            }
        }
        printf("%d\n", ffp_plausible(&h, size, mcus));
    }
    return 0;
}
