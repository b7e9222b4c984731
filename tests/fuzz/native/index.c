/* Seek indexes. A good one decodes a rectangle to the samples that decoding without it gives. A hostile one (made for
 * another stream, damaged, or with marks made up, its checksum made right again) answers with the same status at every
 * level and, where that is FFP_OK, with the same samples. Index and stream lie in blocks of exactly their size. */
#include "support.h"

#include "index/index.h"

static void fix(uint8_t *index, int64_t n, const uint8_t *data, int64_t size, int64_t scan) {
    for (int i = 0; i < 4; i++) {
        index[8 + i] = (uint8_t)(size >> 8 * i);
    }
    const uint32_t sum = ffp_index_checksum(index, n, data, size, scan);
    for (int i = 0; i < 4; i++) {
        index[4 + i] = (uint8_t)(sum >> 8 * i);
    }
}

/* Marks that are well-formed and mean nothing: steps of no bits and of billions, growth up to the largest number. */
static void invent(uint8_t *p, int64_t n, int components) {
    for (int64_t at = 0, field = 0; at < n; field++) {
        static const uint64_t edges[] = {0, 1, 63, 4095, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (UINT64_C(1) << 35) - 1};
        uint64_t value = field % (components + 1) ? (uint64_t)below(64) : (uint64_t)below(2000);
        if (below(20) == 0) {
            value = edges[below(8)];
        }
        do {
            p[at] = (uint8_t)((value & 0x7F) | (value >= 0x80 && at + 1 < n ? 0x80 : 0));
            at++;
            value >>= 7;
        } while (value && at < n);
    }
}

/* Damages an index, which it may make shorter, and sometimes the stream's scan. */
static void hurt(uint8_t *data, int64_t size, uint8_t *index, int64_t *length, const ffp_header *h) {
    int64_t n = *length;
    if (below(3) == 0 && size > h->scan_offset) {
        for (int64_t k = 1 + below(3); k > 0; k--) {
            data[h->scan_offset + below(size - h->scan_offset)] = (uint8_t)below(256);
        }
    }
    if (below(5) && n > FFP_INDEX_HEAD) {
        for (int64_t k = 1 + below(4); k > 0; k--) {
            const int64_t at = below(4) ? FFP_INDEX_HEAD + below(n - FFP_INDEX_HEAD) : 12 + below(4);
            index[at] = (uint8_t)(below(2) ? below(256) : below(4));
        }
        if (below(4) == 0) {
            invent(index + FFP_INDEX_HEAD, n - FFP_INDEX_HEAD, h->ncomp);
        }
        *length = below(4) ? n : FFP_INDEX_HEAD + below(n - FFP_INDEX_HEAD + 1);
    }
}

static void decode_with(block *data, int64_t size, const uint8_t *index, int64_t length, const ffp_header *h,
                        int good) {
    block marks = exact(index, length, (int)below(2));
    const int64_t x = below(h->width), y = below(h->height);
    ffp_image_desc image;
    ffp_decode_request request = {.context = (int64_t)(intptr_t)decoder(),
                                  .data = (int64_t)(intptr_t)data->data,
                                  .size = size,
                                  .index = (int64_t)(intptr_t)marks.data,
                                  .index_size = length,
                                  .x = x,
                                  .y = y,
                                  .w = 1 + below(h->width - x),
                                  .h = 1 + below(h->height - y),
                                  .scale = below(2) ? 0 : below(4),
                                  .image = (int64_t)(intptr_t)&image};
    uint64_t with, without;
    const int64_t status = decode_everywhere(&request, &with);
    request.index = request.index_size = 0;
    if (good && (status != FFP_OK || decode_everywhere(&request, &without) != FFP_OK || with != without)) {
        fail("an index changes what is decoded");
    }
    discard(&marks);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    const int64_t size = (int64_t)length;
    ffp_header h;
    seed_by(bytes, size);
    if (counted(ffp_parse(bytes, size, &h)) != FFP_OK || (int64_t)h.width * h.height > MOST_PIXELS || h.ncomp == 4) {
        return 0;
    }
    const int64_t interval = below(20);
    int64_t n = 0, needed = 0;
    const int64_t status = ffp_index(bytes, size, interval, NULL, 0, &needed);
    block data = exact(bytes, size, (int)below(2));
    if (status == FFP_NO_SPACE) {
        uint8_t *index = room((size_t)needed);
        if (ffp_index(bytes, size, interval, index, needed, &n) != FFP_OK || n != needed) {
            fail("an index needs other room than it says");
        }
        decode_with(&data, size, index, n, &h, 1);
        hurt(data.data, size, index, &n, &h);
        fix(index, n, data.data, size, h.scan_offset);
        decode_with(&data, size, index, n, &h, 0);
        free(index);
    } else if (h.sequential_single_scan && h.scan_offset < size) { /* no index can be made: make one up */
        uint8_t index[200] = {0};
        memcpy(index, ffp_index_magic, 4);
        index[12] = (uint8_t)(1 + below(20));
        n = FFP_INDEX_HEAD + below((int64_t)sizeof index - FFP_INDEX_HEAD);
        invent(index + FFP_INDEX_HEAD, n - FFP_INDEX_HEAD, h.ncomp);
        fix(index, n, data.data, size, h.scan_offset);
        decode_with(&data, size, index, n, &h, 0);
    }
    counted(status);
    discard(&data);
    return 0;
}
