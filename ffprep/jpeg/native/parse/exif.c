/* EXIF: the orientation, tag 0x0112 of the first IFD of the TIFF stream that an APP1 segment holds (EXIF 2.3, 4.5 and
 * 4.6). EXIF that makes no sense counts as none. */
#include <string.h>

#include "parse.h"

enum { ORIENTATION = 0x0112 };

static uint32_t tiff_int(const uint8_t *p, int bytes, int little) {
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++) {
        v = v << 8 | p[little ? bytes - 1 - i : i];
    }
    return v;
}

int32_t ffp_exif_orientation(const uint8_t *p, int32_t n) {
    if (n < 14 || memcmp(p, "Exif\0\0", 6) != 0) {
        return 0;
    }
    p += 6;
    n -= 6;
    int little = p[0] == 'I' && p[1] == 'I';
    if ((!little && !(p[0] == 'M' && p[1] == 'M')) || tiff_int(p + 2, 2, little) != 42) {
        return 0;
    }
    uint32_t at = tiff_int(p + 4, 4, little);
    if (at > (uint32_t)n || (uint32_t)n - at < 2) {
        return 0;
    }
    uint32_t entries = tiff_int(p + at, 2, little);
    at += 2;
    for (uint32_t i = 0; i < entries && (uint32_t)n - at >= 12; i++, at += 12) {
        if (tiff_int(p + at, 2, little) != ORIENTATION) {
            continue;
        }
        uint32_t type = tiff_int(p + at + 2, 2, little), count = tiff_int(p + at + 4, 4, little);
        uint32_t value = tiff_int(p + at + 8, type == 4 ? 4 : 2, little);
        return count == 1 && (type == 3 || type == 4) && value >= 1 && value <= 8 ? (int32_t)value : 0;
    }
    return 0;
}
