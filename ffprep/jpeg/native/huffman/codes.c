/* Canonical Huffman codes: T.81 annex C. The one place that turns counts and symbols into codes. */
#include "huffman.h"

#include <string.h>

int32_t ffp_count_codes(const uint8_t counts[FFP_CODE_LENGTHS + 1]) {
    int32_t total = 0, code = 0; /* code: the next one, if it has n bits */
    for (int n = 1; n <= FFP_CODE_LENGTHS; n++) {
        total += counts[n];
        code = code * 2 + counts[n];
        if (code > 1 << n) {
            return -1;
        }
    }
    return total > FFP_CODE_SYMBOLS ? -1 : total;
}

int ffp_table_is_common(const ffp_dht *dht, int dc) {
    int32_t code = 0, total = 0;
    for (int n = 1; n <= FFP_CODE_LENGTHS; n++) {
        code = code * 2 + dht->counts[n];
        total += dht->counts[n];
    }
    int common = code < 1 << FFP_CODE_LENGTHS;
    for (int32_t i = 0; dc && i < total; i++) {
        common = common && dht->symbols[i] <= 15;
    }
    return common;
}

/* Figures C.1 and C.2. */
void ffp_list_codes(const ffp_dht *dht, ffp_codes *codes) {
    int32_t code = 0, count = 0;
    for (int n = 1; n <= FFP_CODE_LENGTHS; n++, code <<= 1) {
        for (int i = 0; i < dht->counts[n]; i++, code++, count++) {
            codes->code[count] = (ffp_code){(uint16_t)code, (uint8_t)n, dht->symbols[count]};
        }
    }
    codes->count = count;
}

/* Figure F.15, with codes left-aligned to 16 bits. */
void ffp_search_build(ffp_code_search *search, const ffp_dht *dht) {
    ffp_codes codes;
    ffp_list_codes(dht, &codes);
    int32_t limit = 0, k = 0;
    for (int n = 1; n <= FFP_CODE_LENGTHS; n++) {
        const int32_t unit = FFP_CODE_LENGTHS - n;
        search->offset[n] = k - (limit >> unit);
        for (; k < codes.count && codes.code[k].length == n; k++) {
            limit = (codes.code[k].bits + 1) << unit;
        }
        search->limit[n] = limit;
    }
    search->limit[FFP_CODE_LENGTHS + 1] = INT32_MAX;
    memcpy(search->symbols, dht->symbols, sizeof search->symbols);
}

void ffp_encoder_build(ffp_encoder *encoder, const ffp_dht *dht) {
    ffp_codes codes;
    ffp_list_codes(dht, &codes);
    memset(encoder, 0, sizeof *encoder);
    for (int32_t k = 0; k < codes.count; k++) {
        const ffp_code c = codes.code[k];
        encoder->bits[c.symbol] = c.bits;
        encoder->length[c.symbol] = c.length;
    }
}
