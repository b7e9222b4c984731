/* Huffman tables for writing: a table from frequencies (T.81 K.2), and symbols added to a table. */
#include "huffman.h"

#include <string.h>

enum { LEAVES = FFP_CODE_SYMBOLS + 1 }; /* the symbols and the one that takes the code of all ones */

/* The symbols that occur and that `skip` does not mark, the most frequent first. Returns their number. */
static int32_t ranked(const uint32_t frequency[FFP_CODE_SYMBOLS], const uint8_t skip[FFP_CODE_SYMBOLS],
                      uint8_t order[FFP_CODE_SYMBOLS]) {
    int32_t n = 0;
    for (int s = 0; s < FFP_CODE_SYMBOLS; s++) {
        if (frequency[s] == 0 || skip[s]) {
            continue;
        }
        int32_t i = n++;
        for (; i > 0 && frequency[order[i - 1]] < frequency[s]; i--) {
            order[i] = order[i - 1];
        }
        order[i] = (uint8_t)s;
    }
    return n;
}

/* Counts the codes of each length that Huffman's construction gives to n symbols and one more: the rarest, which takes the
 * code of all ones so that no other symbol gets it (K.2). */
static void code_lengths(const uint32_t frequency[FFP_CODE_SYMBOLS], const uint8_t order[FFP_CODE_SYMBOLS], int32_t n,
                         int32_t counts[LEAVES + 1]) {
    uint64_t weight[2 * LEAVES];
    int16_t parent[2 * LEAVES];
    weight[0] = 1;
    for (int32_t i = 0; i < n; i++) {
        weight[1 + i] = frequency[order[n - 1 - i]];
    }
    /* leaves rise in weight, and so do nodes in the order they are made: the two lightest are the two next ones */
    int32_t leaves = n + 1, leaf = 0, inner = leaves, last = leaves;
    for (; last < 2 * leaves - 1; last++) {
        weight[last] = 0;
        for (int child = 0; child < 2; child++) {
            int32_t pick = leaf < leaves && (inner >= last || weight[leaf] <= weight[inner]) ? leaf++ : inner++;
            weight[last] += weight[pick];
            parent[pick] = (int16_t)last;
        }
    }
    int16_t depth[2 * LEAVES];
    depth[last - 1] = 0;
    memset(counts, 0, (LEAVES + 1) * sizeof *counts);
    for (int32_t i = last - 2; i >= 0; i--) {
        depth[i] = (int16_t)(depth[parent[i]] + 1);
        counts[depth[i]] += i < leaves;
    }
}

void ffp_optimal_table(const uint32_t frequency[FFP_CODE_SYMBOLS], ffp_dht *table) {
    static const uint8_t none[FFP_CODE_SYMBOLS];
    int32_t counts[LEAVES + 1];
    memset(table, 0, sizeof *table);
    table->present = 1;
    int32_t n = ranked(frequency, none, table->symbols);
    code_lengths(frequency, table->symbols, n, counts);
    /* figure K.3: two codes that are too long become one a bit shorter, and a shorter code splits to take the other */
    for (int i = LEAVES; i > FFP_CODE_LENGTHS; i--) {
        while (counts[i] > 0) {
            int j = i - 2;
            while (counts[j] == 0) {
                j--;
            }
            counts[i] -= 2;
            counts[i - 1]++;
            counts[j + 1] += 2;
            counts[j]--;
        }
    }
    int longest = FFP_CODE_LENGTHS;
    while (counts[longest] == 0) {
        longest--;
    }
    counts[longest]--; /* the code of all ones */
    for (int i = 1; i <= FFP_CODE_LENGTHS; i++) {
        table->counts[i] = (uint8_t)counts[i];
    }
}

int32_t ffp_extend_table(ffp_dht *table, const uint32_t frequency[FFP_CODE_SYMBOLS]) {
    uint8_t has[FFP_CODE_SYMBOLS] = {0}, order[FFP_CODE_SYMBOLS];
    int32_t total = ffp_count_codes(table->counts), longest = 1, room = 1 << FFP_CODE_LENGTHS;
    for (int n = 1; n <= FFP_CODE_LENGTHS; n++) {
        room -= table->counts[n] << (FFP_CODE_LENGTHS - n);
        longest = table->counts[n] ? n : longest;
    }
    for (int i = 0; i < total; i++) {
        has[table->symbols[i]] = 1;
    }
    int32_t missing = ranked(frequency, has, order);
    if (total + missing > FFP_CODE_SYMBOLS) {
        return 0;
    }
    for (int32_t i = 0; i < missing; i++) {
        int32_t after = missing - i; /* the least that must be left: a code of 16 bits for each, and all ones */
        while (longest <= FFP_CODE_LENGTHS && room - (1 << (FFP_CODE_LENGTHS - longest)) < after) {
            longest++;
        }
        if (longest > FFP_CODE_LENGTHS || table->counts[longest] == 255) {
            return 0;
        }
        room -= 1 << (FFP_CODE_LENGTHS - longest);
        table->counts[longest]++;
        table->symbols[total++] = order[i];
    }
    return 1;
}
