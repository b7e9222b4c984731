/* Skimming: where the codes of every block of an entropy-coded scan begin, and the DC values; nothing else is stored.
 *
 * Rewriting, checking and indexing a stream need no coefficients, only proof that all codes are valid and the places at
 * which to cut.
 *
 *   skim.c         removes stuffing, checks what follows the scan, reads the DC values: ffp_skim_scan
 *   left_over.c    whether bytes after the last MCU are a sign of damage
 *   skim_table.c   lookups that step over several symbols at once
 *   skim_lane.c    two or three places at once move on from code to code and mark where blocks begin
 *   skim_vectors.h the same from 32 places, in the lanes of vectors, and DC differences of many blocks at once: included by
 *                  skim_avx2.c and skim_avx512.c, which supply the vector operations
 */
#ifndef FFPREP_SKIM_H
#define FFPREP_SKIM_H

#include "parse.h"

#define FFP_MAX_DC 2047  /* quantised DC values are in -2047..2047 */
#define FFP_SKIM_PAD 512 /* readable bytes after the unstuffed data: a block takes up to 209 */

/* The unstuffed entropy-coded data of a scan and what was found in it. One allocation: the caller calls free(memory). */
typedef struct {
    void *memory;
    uint8_t *bytes; /* size bytes and FFP_SKIM_PAD zeros */
    int64_t size;
    int64_t blocks;
    uint32_t *bit;          /* 2i: the bit at which the DC code of block i begins; 2i + 1: its AC codes */
    int32_t *dc;            /* quantised DC values, prediction added */
    int64_t segments;       /* restart segments of the input */
    int64_t *segment_begin; /* byte offsets in bytes; segments + 1 of them */
    uint32_t *segment_end;  /* first bit after the last block of each segment */
    int32_t padded_before;  /* 1: whole bytes of padding precede a restart marker */
    int32_t padded;         /* 1: whole bytes of padding, or others, follow the last MCU */
    int32_t left_over;      /* 1: bytes other than padding follow the last MCU */
    int32_t notes;          /* FFP_NOTE_*: what follows the last MCU */
    int64_t end;            /* offset of it in the input */
} ffp_skim;

/* Whether a dequantised DC value may be one of 8-bit samples: 8 * -128 to 8 * 127 (A.3.3), and a quarter more. */
static inline int ffp_plausible_dc(int32_t dc, int32_t quant) {
    return dc * quant <= 1280 + quant && dc * quant >= -1280 - quant;
}

/* Skims the first scan. FFP_NOT_SEQUENTIAL unless header->sequential_single_scan. */
int32_t ffp_skim_scan(const uint8_t *data, int64_t size, const ffp_header *header, ffp_skim *skim);

#endif
