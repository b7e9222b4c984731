/* Huffman tables (huffman/): T.81 annex C turns the counts and symbols of a DHT segment into codes. Every lookup of the
 * decoders and encoders is filled from the list made here. */
#ifndef FFPREP_HUFFMAN_H
#define FFPREP_HUFFMAN_H

#include <stdint.h>

#define FFP_INLINE static inline __attribute__((always_inline))

enum {
    FFP_CODE_LENGTHS = 16,  /* bits of the longest code: C.2, figure C.1 */
    FFP_CODE_SYMBOLS = 256, /* most symbols in a table */
    FFP_MAX_DC_SIZE = 11,   /* most bits of a DC difference of 8-bit samples: table F.1 */
    FFP_MAX_AC_SIZE = 10,   /* most bits of an AC coefficient: table F.2 */
    FFP_EOB = 0x00,
    FFP_ZRL = 0xF0 /* AC symbols: end of block, a run of 16 zeros */
};

/* BITS and HUFFVAL of a DHT segment (B.2.4.2). */
typedef struct {
    uint8_t counts[FFP_CODE_LENGTHS + 1]; /* counts[1..16]: codes of each length */
    uint8_t symbols[FFP_CODE_SYMBOLS];
    uint8_t present;
} ffp_dht;

/* ---- the codes ---------------------------------------------------------------------------------------------------- */

typedef struct {
    uint16_t bits; /* the code, right-aligned */
    uint8_t length, symbol;
} ffp_code;

typedef struct {
    int32_t count;
    ffp_code code[FFP_CODE_SYMBOLS]; /* in rising order: shorter codes first, and left-aligned bits rise too */
} ffp_codes;

/* The number of codes; -1 when there are more than 256 or more of some length than bits can tell apart. Codes that use
 * up all bits are allowed, although C.2 reserves the code of all ones: encoders in use write them. */
int32_t ffp_count_codes(const uint8_t counts[FFP_CODE_LENGTHS + 1]);

/* Whether libjpeg reads a table, which C.2 and F.1.2.1 put narrower bounds to: no code of all ones, no DC size over 15. */
int ffp_table_is_common(const ffp_dht *dht, int dc);

/* C.2. Counts must be good in the sense of ffp_count_codes. */
void ffp_list_codes(const ffp_dht *dht, ffp_codes *codes);

/* In a lookup by the next `width` bits the code has ffp_lookup_span entries from ffp_lookup_first on. */
static inline int32_t ffp_lookup_first(ffp_code c, int width) { return c.bits << (width - c.length); }
static inline int32_t ffp_lookup_span(ffp_code c, int width) { return 1 << (width - c.length); }

/* What an 8-bit sequential scan may contain: F.1.2.1.1 and F.1.2.2.1. */
static inline int ffp_dc_allowed(uint32_t symbol) { return symbol <= FFP_MAX_DC_SIZE; }
static inline int ffp_ac_allowed(uint32_t symbol) {
    const uint32_t size = symbol & 15;
    return size == 0 ? symbol == FFP_EOB || symbol == FFP_ZRL : size <= FFP_MAX_AC_SIZE;
}

/* ---- search: decoding without a lookup (F.2.2.3) ------------------------------------------------------------------ */

typedef struct {
    int32_t limit[FFP_CODE_LENGTHS + 2]; /* limit[n]: first 16-bit left-aligned value above the codes of up to n bits */
    int32_t offset[FFP_CODE_LENGTHS + 1]; /* position of a symbol = (code >> (16 - n)) + offset[n] */
    uint8_t symbols[FFP_CODE_SYMBOLS];
} ffp_code_search;

void ffp_search_build(ffp_code_search *search, const ffp_dht *dht);

/* The symbol at the start of left-aligned bits, and the length of its code; -1 for bits that are no code. */
static inline int32_t ffp_search(const ffp_code_search *search, uint64_t bits, int32_t *length) {
    int32_t code = (int32_t)(bits >> 48), n = 1;
    for (int i = 1; i <= FFP_CODE_LENGTHS;
         i++) { /* no branch to guess: codes that are searched for are of any length */
        n += code >= search->limit[i];
    }
    *length = n;
    return n > FFP_CODE_LENGTHS ? -1 : search->symbols[(code >> (FFP_CODE_LENGTHS - n)) + search->offset[n]];
}

/* ---- for encoders ------------------------------------------------------------------------------------------------- */

typedef struct {
    uint16_t bits[FFP_CODE_SYMBOLS];
    uint8_t length[FFP_CODE_SYMBOLS]; /* 0: the table lacks the symbol */
} ffp_encoder;

/* The codes by symbol (C.3); where a symbol occurs twice, the later code counts. */
void ffp_encoder_build(ffp_encoder *encoder, const ffp_dht *dht);

/* The table with the shortest codes of at most 16 bits, none of them all ones (K.2). */
void ffp_optimal_table(const uint32_t frequency[FFP_CODE_SYMBOLS], ffp_dht *table);

/* Gives every symbol that occurs and that the table lacks a code after its last one; existing codes stay as they are.
 * Returns 0 when there is no room. */
int32_t ffp_extend_table(ffp_dht *table, const uint32_t frequency[FFP_CODE_SYMBOLS]);

#endif
