/* Rewriting accepts what the coefficient path accepts and nothing else, but for values that no 8-bit image has; what it
 * writes keeps the coefficients, fits in what it asked for, rewrites to itself, and is the same at every CPU level. */
#include "support.h"

static void rewrite_once(const uint8_t *data, int64_t size) {
    int64_t interval = below(3) ? below(20) : -1, flags = below(4), status, count, count2, status2;
    int64_t facts[FFP_FACTS], judged[FFP_FACTS], other[FFP_FACTS];
    int64_t got = counted(ffp_rewrite(data, size, interval, flags, NULL, 0, facts));
    const int64_t needed = facts[0], sound = counted(ffp_check(data, size, judged));
    for (int i = 0; i < 3; i++) {
        if (ffp_set_simd_level(levels[i]) == FFP_OK &&
            (ffp_rewrite(data, size, interval, flags, NULL, 0, other) != got || ffp_check(data, size, other) != sound ||
             memcmp(judged, other, sizeof other) != 0)) {
            fail("levels judge differently");
        }
    }
    if (sound == FFP_OK && (judged[2] <= 0 || judged[2] > size)) {
        fail("the last MCU ends outside of the data");
    }
    if (got == FFP_NO_SPACE && (sound != FFP_OK || (facts[1] & ~FFP_NOTE_DIVIDED) != judged[1])) {
        fprintf(stderr, "sound %lld, notes %lld and %lld\n", (long long)sound, (long long)facts[1],
                (long long)judged[1]);
        fail("rewritten, and not found sound, or otherwise sound");
    }
    int16_t *before = all_coefficients(data, size, &status, &count);
    if (got != FFP_NO_SPACE) {
        int refusal = got == FFP_UNSUPPORTED_COLOR || got == FFP_UNSUPPORTED_SAMPLING || got == FFP_CORRUPT_SCAN;
        if (got == FFP_OK || (status == FFP_OK && !refusal)) {
            fprintf(stderr, "rewrite %lld, coefficients %lld\n", (long long)got, (long long)status);
            fail("refused to rewrite what decodes");
        }
        free(before);
        return;
    }
    uint8_t *out = room((size_t)needed);
    if (ffp_rewrite(data, size, interval, flags, out, needed, facts) != FFP_OK || facts[0] > needed) {
        fail("rewriting asked for too little room");
    }
    const int64_t written = facts[0];
    block b = exact(out, written, (int)below(2));
    int16_t *after = all_coefficients(b.data, written, &status2, &count2);
    const int regular = !(facts[1] & FFP_NOTE_DIVIDED);
    if (status != FFP_OK || status2 != FFP_OK ||
        (regular && (count != count2 || memcmp(before, after, (size_t)count * 2) != 0))) {
        fprintf(stderr, "statuses %lld, %lld\n", (long long)status, (long long)status2);
        fail("rewriting changes coefficients");
    }
    uint8_t *again = room(2 * (size_t)needed);
    for (int i = 0; i < 3; i++) {
        if (ffp_set_simd_level(levels[i]) == FFP_OK &&
            (ffp_rewrite(data, size, interval, flags, again, needed, other) != FFP_OK || other[0] != written ||
             memcmp(again, out, (size_t)written) != 0)) {
            fail("levels rewrite differently");
        }
    }
    if (ffp_rewrite(b.data, written, interval, flags, again, 2 * needed, other) != FFP_OK || other[0] != written ||
        memcmp(again, b.data, (size_t)written) != 0) {
        fail("rewriting twice is not rewriting once");
    }
    discard(&b);
    free(out);
    free(again);
    free(before);
    free(after);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    const int64_t size = (int64_t)length;
    int64_t info[FFP_INFO_SIZE] = {0};
    seed_by(bytes, size);
    block b = exact(bytes, size, (int)below(2));
    counted(ffp_read_header(b.data, size, info));
    if (info[0] * info[1] <= MOST_PIXELS) {
        rewrite_once(b.data, size);
    }
    discard(&b);
    return 0;
}
