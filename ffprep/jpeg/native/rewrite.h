/* Lossless rewriting of JPEG streams: what its files share.
 *
 *   skim*.c     walk the entropy-coded data of a single-scan sequential stream: where the codes of each block begin
 *   patch.c     copies these bits between restart points and codes anew only the DC values next to them
 *   recode.c    coefficients -> entropy-coded data with Huffman tables made for them (progressive and several scans)
 *   huffman.c   tables and codes for both
 *   rewrite.c   ffp_rewrite: decides, and writes the headers
 */
#ifndef FFPREP_REWRITE_H
#define FFPREP_REWRITE_H

#include <string.h>

#include "jpeg.h"

#define FFP_MAX_DC_SIZE 11            /* size categories of a DC difference: T.81 table F.1 */
#define FFP_MAX_AC_SIZE 10            /* table F.2 */
#define FFP_MAX_DC 2047
#define FFP_SKIM_PAD 512              /* readable bytes behind the unstuffed data: a block takes up to 209 */

/* The unstuffed entropy-coded data of a scan and what was found in it. One allocation; free(memory). */
typedef struct {
    void *memory;
    uint8_t *bytes;                   /* size bytes and FFP_SKIM_PAD zeros */
    int64_t size;
    int64_t blocks;
    uint32_t *bit;                    /* 2i: the bit at which the DC code of block i begins; 2i + 1: its AC codes */
    int32_t *dc;                      /* quantised DC values, prediction added */
    int64_t segments;                 /* restart segments of the input */
    int64_t *segment_begin;           /* byte offsets in bytes; segments + 1 of them */
    uint32_t *segment_end;            /* bit behind the last block of each segment */
    int32_t has_eoi;                  /* 0: the input ends without an end marker */
} ffp_skim;

/* Order of the blocks in an MCU: component of each. Returns their number. */
int32_t ffp_mcu_layout(const ffp_header *header, uint8_t component[FFP_MAX_BLOCKS_PER_MCU]);

/* Skims the first scan. FFP_NOT_SEQUENTIAL unless header->sequential_single_scan. */
int32_t ffp_skim_scan(const uint8_t *data, int64_t size, const ffp_header *header, ffp_skim *skim);

/* ---- Huffman tables ---------------------------------------------------------------------------------------------- */

typedef struct {
    uint16_t code[256];
    uint8_t length[256];              /* 0: the table lacks the symbol */
} ffp_codes;

void ffp_make_codes(const ffp_dht *table, ffp_codes *codes);

/* The table with the shortest codes of at most 16 bits, none of them all ones (T.81 K.2). */
void ffp_optimal_table(const uint32_t frequency[256], ffp_dht *table);

/* Gives every symbol that occurs and that the table lacks a code behind its last one; existing codes stay as they are.
 * Returns 0 when there is no room. */
int32_t ffp_extend_table(ffp_dht *table, const uint32_t frequency[256]);

/* ---- the two ways to write a scan -------------------------------------------------------------------------------- */

/* Both bring header->dht up to date and set *bound to a size that the new scan does not exceed; the second step writes it
 * and returns its end. `interval` is in MCUs, 0 for no restart markers. */

/* FFP_BAD_HUFFMAN_TABLE when the stream's own tables have no room for what has to be added. */
int32_t ffp_patch_plan(const ffp_skim *skim, ffp_header *header, int64_t interval, int64_t *bound);
uint8_t *ffp_patch_scan(const ffp_skim *skim, const ffp_header *header, int64_t interval, uint8_t *out);

/* Coefficients as ffp_coefficients delivers them, component c at offset[c]; sets the components' td and ta too.
 * FFP_CORRUPT_SCAN when a value is none that an 8-bit image can have. */
int32_t ffp_recode_plan(const int16_t *coefficients, const int64_t offset[FFP_MAX_COMPONENTS], ffp_header *header,
                        int64_t interval, int64_t *bound);
uint8_t *ffp_recode_scan(const int16_t *coefficients, const int64_t offset[FFP_MAX_COMPONENTS],
                         const ffp_header *header, int64_t interval, uint8_t *out);

#endif
