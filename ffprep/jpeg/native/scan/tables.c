/* The lookups of the sequential decoder: the next bits give a symbol's code length and value size together, so that the
 * next lookup need not wait for the value. A DC lookup (FFP_DC_BITS) holds one symbol, an AC lookup (FFP_AC_BITS) one, or
 * two where the second one's value lies in the lookup too. An entry:
 *
 *   bits 0..5   bits to drop for all             bit 6   the last symbol is an end of block
 *   bits 8..15  zeros before the first value     bit 7   the code is longer than the lookup, or none
 *   bits 16..23 length of the first code         bits 24..31  size of the first value
 *   bits 32..39 from the first value to the second (0: none)   bits 48..63  second value
 *   bits 40..47 from the first value to the next k             (the upper half: AC only)
 *
 * End of block and a run of 16 zeros are values 0 stored far enough on (FFP_SKIP_EOB; 15). Symbols that 8-bit sequential
 * scans cannot have (huffman.h) are no entries: the search that follows finds them invalid.
 */
#include <string.h>

#include "scan/scan.h"

typedef uint32_t (*meaning)(uint32_t length, uint32_t symbol);

static uint32_t entry(uint32_t length, uint32_t skip, uint32_t size) {
    return (length + size) | (skip == FFP_SKIP_EOB ? FFP_ENTRY_EOB : 0) | skip << 8 | length << 16 | size << 24;
}

/* The entry of a symbol whose code has the length; 0 when the symbol is not allowed. */
static uint32_t dc_entry(uint32_t length, uint32_t symbol) {
    return ffp_dc_allowed(symbol) ? entry(length, 0, symbol) : 0;
}

static uint32_t ac_entry(uint32_t length, uint32_t symbol) {
    if (!ffp_ac_allowed(symbol)) {
        return 0;
    }
    return entry(length, symbol == FFP_EOB ? FFP_SKIP_EOB : symbol >> 4, symbol & 15);
}

/* Entries of single symbols by the next `width` bits; FFP_ENTRY_LONG where there is none. */
static void fill(uint32_t *lookup, int width, const ffp_dht *dht, meaning of) {
    ffp_codes codes;
    int32_t filled = 0;
    ffp_list_codes(dht, &codes);
    for (int32_t k = 0; k < codes.count && codes.code[k].length <= width; k++) {
        const ffp_code c = codes.code[k];
        const uint32_t e = of(c.length, c.symbol);
        for (const int32_t stop = filled + ffp_lookup_span(c, width); filled < stop;) {
            lookup[filled++] = e ? e : FFP_ENTRY_LONG;
        }
    }
    while (filled < 1 << width) {
        lookup[filled++] = FFP_ENTRY_LONG;
    }
}

void ffp_dc_table_build(ffp_dc_table *t, const ffp_dht *dht) {
    if (memcmp(&t->source, dht, sizeof *dht) != 0) {
        t->source = *dht;
        ffp_search_build(&t->search, dht);
        fill(t->lookup, FFP_DC_BITS, dht, dc_entry);
    }
}

/* Both symbols as one entry; low: the lookup's bits after the first symbol, at the top of FFP_AC_BITS. */
static uint64_t pair(uint32_t first, uint32_t second, uint32_t low) {
    const uint64_t e = first + (second & FFP_ENTRY_DROP), skip = second >> 8 & 0xFF;
    const int size = (int)(second >> 24);
    if (skip == FFP_SKIP_EOB) {
        return e | FFP_ENTRY_EOB | (uint64_t)FFP_SKIP_EOB << 40;
    }
    const uint32_t bits = low >> (FFP_AC_BITS - (second & FFP_ENTRY_DROP)) & ((1u << size) - 1);
    const uint64_t value = (uint64_t)(size ? ffp_extend(bits, size) : 0) & 0xFFFF;
    return e | (skip + 1) << 32 | (skip + 2) << 40 | value << 48;
}

void ffp_ac_table_build(ffp_ac_table *t, const ffp_dht *dht) {
    const uint32_t mask = (1u << FFP_AC_BITS) - 1;
    uint32_t one[1 << FFP_AC_BITS];
    if (memcmp(&t->source, dht, sizeof *dht) == 0) {
        return;
    }
    t->source = *dht;
    ffp_search_build(&t->search, dht);
    fill(one, FFP_AC_BITS, dht, ac_entry);
    for (uint32_t i = 0; i <= mask; i++) {
        const uint32_t first = one[i], low = i << (first & FFP_ENTRY_DROP) & mask, second = one[low];
        const int fits = (first & FFP_ENTRY_DROP) + (second & FFP_ENTRY_DROP) <= FFP_AC_BITS;
        const int two = fits && !(first & (FFP_ENTRY_LONG | FFP_ENTRY_EOB)) && !(second & FFP_ENTRY_LONG);
        t->lookup[i] = two ? pair(first, second, low) : first | FFP_ENTRY_ALONE;
    }
}

static uint32_t long_entry(const ffp_code_search *search, uint64_t bits, meaning of) {
    int32_t length;
    const int32_t symbol = ffp_search(search, bits, &length);
    return symbol < 0 ? 0 : of((uint32_t)length, (uint32_t)symbol);
}

uint32_t ffp_dc_long_entry(const ffp_dc_table *t, uint64_t bits) { return long_entry(&t->search, bits, dc_entry); }

uint32_t ffp_ac_long_entry(const ffp_ac_table *t, uint64_t bits) { return long_entry(&t->search, bits, ac_entry); }
