/* How two readers of one entropy-coded stream fall into step.
 *
 * Huffman codes synchronise: a reader set down anywhere, as if an MCU began there, reads nonsense for a while, until one
 * of its MCUs begins at a bit where an MCU really does. From there on all that it read is right. So two readers agree from
 * the first bit on at which both have an MCU begin (lanes/speculate.c, skim/skim_lane.c). Header only. */
#ifndef FFPREP_IN_STEP_H
#define FFPREP_IN_STEP_H

#include "huffman.h"

/* The bit at which MCU k of a reader begins, -1 when the reader has not come so far or says no more. Bits rise with k,
 * modulo 2^32. */
typedef int64_t (*ffp_mcu_bit)(const void *reader, int64_t k);

/* Moves *i and *j, MCUs of readers a and b, on to the first ones that begin at one bit. 0 when that is not known yet: then
 * *i and *j are as far as they can go. */
FFP_INLINE int ffp_find_step(ffp_mcu_bit bit_a, const void *a, int64_t *i, ffp_mcu_bit bit_b, const void *b,
                             int64_t *j) {
    for (;;) {
        const int64_t mine = bit_a(a, *i), its = bit_b(b, *j);
        if (mine < 0 || its < 0) {
            return 0;
        }
        if (mine == its) {
            return 1;
        }
        if ((int32_t)((uint32_t)mine - (uint32_t)its) < 0) {
            ++*i;
        } else {
            ++*j;
        }
    }
}

#endif
