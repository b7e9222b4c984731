/* Rewriting several streams in one call, each hashed while it is in the cache: what a conversion does with most images.
 *
 * What needs a decision (other colours, several scans, sizes over a limit, damage) is left to the caller.
 */
#include "guard/guard.h"
#include "rewrite/rewrite.h"

static int is_plain(const ffp_header *h, const int64_t limits[4]) {
    const int64_t longer = h->width > h->height ? h->width : h->height, shorter = h->width + h->height - longer;
    return (h->color == FFP_COLOR_GRAY || h->color == FFP_COLOR_YCC) && h->sequential_single_scan &&
           longer * shorter <= limits[0] && longer <= limits[1] && shorter <= limits[2] &&
           (h->orientation == 1 || !limits[3]);
}

void ffp_rewrite_many(ffp_rewrite_item *items, int64_t count, int64_t interval, int64_t flags, const int64_t limits[4],
                      uint8_t *out, int64_t capacity) {
    int64_t at = 0;
    for (ffp_rewrite_item *item = items; item < items + count; item++) {
        const uint8_t *data = (const uint8_t *)(uintptr_t)item->data;
        int64_t facts[FFP_FACTS] = {0};
        ffp_header h;
        item->status = ffp_parse(data, item->size, &h);
        if (item->status == FFP_OK) {
            item->status = is_plain(&h, limits) ? ffp_rewrite_parsed(data, item->size, &h, interval, flags, out + at,
                                                                     capacity - at, facts)
                                                : FFP_NOT_SEQUENTIAL;
        }
        if (item->status == FFP_OK) {
            item->begin = at;
            item->end = at += facts[0];
            item->sum = (int64_t)ffp_xxh3(out + item->begin, facts[0]);
            item->width = h.width;
            item->height = h.height;
            item->notes = facts[1];
        }
    }
}
