/* Huffman tables for writing: codes from a table, a table from frequencies, symbols added to a table. */
#include <string.h>

#include "rewrite.h"

/* T.81 C.2 */
void ffp_make_codes(const ffp_dht *table, ffp_codes *codes) {
    int32_t code = 0, position = 0;
    memset(codes, 0, sizeof *codes);
    for (int n = 1; n <= 16; n++, code <<= 1) {
        for (int i = 0; i < table->counts[n]; i++, code++, position++) {
            codes->code[table->symbols[position]] = (uint16_t)code;
            codes->length[table->symbols[position]] = (uint8_t)n;
        }
    }
}

/* Symbols with a frequency that `skip` does not say to leave out, the most frequent first. Returns their number. */
static int32_t ranked(const uint32_t frequency[256], const uint8_t skip[256], uint8_t order[256]) {
    int32_t n = 0;
    for (int s = 0; s < 256; s++) {
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

/* How many codes of each length Huffman's construction gives n symbols and one more, which is the rarest and takes the
 * code of all ones away from the others (K.2). */
static void code_lengths(const uint32_t frequency[256], const uint8_t order[256], int32_t n, int32_t counts[258]) {
    uint64_t weight[2 * 257];
    int16_t parent[2 * 257];
    weight[0] = 1;
    for (int32_t i = 0; i < n; i++) {
        weight[1 + i] = frequency[order[n - 1 - i]];
    }
    /* leaves rise in weight, and so do the nodes as they are made: the two smallest are at the two heads */
    int32_t leaves = n + 1, leaf = 0, inner = leaves, last = leaves;
    for (; last < 2 * leaves - 1; last++) {
        weight[last] = 0;
        for (int child = 0; child < 2; child++) {
            int32_t pick = leaf < leaves && (inner >= last || weight[leaf] <= weight[inner]) ? leaf++ : inner++;
            weight[last] += weight[pick];
            parent[pick] = (int16_t)last;
        }
    }
    int16_t depth[2 * 257];
    depth[last - 1] = 0;
    memset(counts, 0, 258 * sizeof *counts);
    for (int32_t i = last - 2; i >= 0; i--) {
        depth[i] = (int16_t)(depth[parent[i]] + 1);
        counts[depth[i]] += i < leaves;
    }
}

void ffp_optimal_table(const uint32_t frequency[256], ffp_dht *table) {
    static const uint8_t none[256];
    int32_t counts[258];
    memset(table, 0, sizeof *table);
    table->present = 1;
    int32_t n = ranked(frequency, none, table->symbols);
    code_lengths(frequency, table->symbols, n, counts);
    /* figure K.3: two codes that are too long become one a bit shorter, and a shorter code splits to take the other */
    for (int i = 257; i > 16; i--) {
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
    int longest = 16;
    while (counts[longest] == 0) {
        longest--;
    }
    counts[longest]--;                /* the code of all ones */
    for (int i = 1; i <= 16; i++) {
        table->counts[i] = (uint8_t)counts[i];
    }
}

int32_t ffp_extend_table(ffp_dht *table, const uint32_t frequency[256]) {
    uint8_t has[256] = {0}, order[256];
    int32_t total = 0, longest = 1, room = 1 << 16;
    for (int n = 1; n <= 16; n++) {
        total += table->counts[n];
        room -= table->counts[n] << (16 - n);
        longest = table->counts[n] ? n : longest;
    }
    for (int i = 0; i < total; i++) {
        has[table->symbols[i]] = 1;
    }
    int32_t missing = ranked(frequency, has, order);
    if (total + missing > 256) {
        return 0;
    }
    for (int32_t i = 0; i < missing; i++) {
        int32_t after = missing - i;  /* the least that must be left: a code of 16 bits for each, and all ones */
        while (longest <= 16 && room - (1 << (16 - longest)) < after) {
            longest++;
        }
        if (longest > 16 || table->counts[longest] == 255) {
            return 0;
        }
        room -= 1 << (16 - longest);
        table->counts[longest]++;
        table->symbols[total++] = order[i];
    }
    return 1;
}
