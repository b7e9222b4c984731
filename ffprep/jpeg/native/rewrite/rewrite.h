/* Lossless rewriting of JPEG streams: what the files of this folder share.
 *
 *   rewrite.c   ffp_rewrite: decides between the two ways, and writes the headers
 *   many.c      ffp_rewrite_many: several streams in one call
 *   patch.c     copies the bits between restart points and codes anew only the DC values next to them
 *   recode.c    coefficients -> entropy-coded data with Huffman tables made for them (progressive and several scans)
 *   sink.h      writes bits
 */
#ifndef FFPREP_REWRITE_H
#define FFPREP_REWRITE_H

#include "skim/skim.h"

/* ffp_rewrite for a stream whose header was parsed. */
int32_t ffp_rewrite_parsed(const uint8_t *data, int64_t size, const ffp_header *header, int64_t interval, int64_t flags,
                           uint8_t *out, int64_t capacity, int64_t *facts);

/* Either way has two steps. The first brings header->dht up to date and sets *bound to a size that the new scan does not
 * exceed; the second writes the scan and returns its end. `interval` is in MCUs, 0 for no restart markers. */

/* FFP_BAD_HUFFMAN_TABLE when the stream's own tables have no room for what has to be added. */
int32_t ffp_patch_plan(const ffp_skim *skim, ffp_header *header, int64_t interval, int64_t *bound);
uint8_t *ffp_patch_scan(const ffp_skim *skim, const ffp_header *header, int64_t interval, uint8_t *out);

/* Coefficients as ffp_coefficients delivers them, component c at offset[c]; sets the components' td and ta too.
 * FFP_CORRUPT_SCAN when an 8-bit image cannot have a value. */
int32_t ffp_recode_plan(const int16_t *coefficients, const int64_t offset[FFP_MAX_COMPONENTS], ffp_header *header,
                        int64_t interval, int64_t *bound);
uint8_t *ffp_recode_scan(const int16_t *coefficients, const int64_t offset[FFP_MAX_COMPONENTS],
                         const ffp_header *header, int64_t interval, uint8_t *out);

#endif
