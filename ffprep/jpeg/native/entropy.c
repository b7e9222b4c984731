/* Scalar sequential Huffman decoding (T.81 F.2.2): jobs and pieces of one long stream. It is the specification that the
 * vector levels equal.
 *
 * A lookup of the next bits gives a symbol's code length and value size together, so that the next lookup need not wait
 * for the value. DC (FFP_DC_BITS) one symbol, AC (FFP_AC_BITS) one, or two where the second's value lies in the lookup too:
 *
 *   bits 0..5   bits to drop for all             bit 6   the last symbol is an end of block
 *   bits 8..15  zeros before the first value     bit 7   the code is longer than the lookup, or none
 *   bits 16..23 length of the first code         bits 24..31  size of the first value
 *   bits 32..39 from the first value to the second (0: none)   bits 48..63  second value
 *   bits 40..47 from the first value to the next k             (the upper half: AC only)
 *
 * End of block and a run of 16 zeros are values 0 stored far enough on (SKIP_EOB; 15): up to 64 coefficients behind the
 * block, on places that are zero yet. A second symbol read although the first was coefficient 63 belongs to the next
 * block and is given back.
 *
 * Invalid: bits that are no code, DC sizes over 11, AC sizes over 10 (T.81 tables F.1 and F.2, 8 bit), AC symbols
 * x0 with x in 1..14, a coefficient behind number 63. Zeros are read behind the end of the data; a block that used one of
 * them is an error of its own.
 */
#include "internal.h"

enum { SKIP_EOB = 63, SIZE_BAD = 0xFF, ENTRY_EOB = 0x40, ENTRY_LONG = 0x80, DROP = 63 };

#define ALONE ((uint64_t)1 << 40)
/* What an invalid AC code counts as: it ends the block as only an end of block may, and is none. */
#define INVALID ((uint64_t)SKIP_EOB << 8 | ALONE)

/* ---- tables ------------------------------------------------------------------------------------------------------- */

/* Annex C. */
void ffp_code_build(ffp_code *c, const ffp_dht *dht) {
    int32_t code = 0, at = 0;
    c->source = *dht;
    for (int n = 1; n <= 16; n++) {
        c->offset[n] = at - code;
        code += dht->counts[n];
        at += dht->counts[n];
        c->limit[n] = code << (16 - n);
        code <<= 1;
    }
}

static uint32_t entry(uint32_t length, uint32_t skip, uint32_t size) {
    return (length + size) | (skip == SKIP_EOB ? ENTRY_EOB : 0) | skip << 8 | length << 16 | size << 24;
}

/* The entry of a symbol whose code has the length; 0 when the symbol is not allowed. */
static uint32_t dc_entry(uint32_t length, int32_t symbol) {
    return symbol > 11 ? 0 : entry(length, 0, (uint32_t)symbol);
}

static uint32_t ac_entry(uint32_t length, int32_t symbol) {
    uint32_t size = (uint32_t)symbol & 15;
    if (symbol == 0) {
        return entry(length, SKIP_EOB, 0);
    }
    return size > 10 || (size == 0 && symbol != 0xF0) ? 0 : entry(length, (uint32_t)symbol >> 4, size);
}

/* Entries of single symbols by the next `width` bits; ENTRY_LONG where there is none. */
static void fill(uint32_t *lookup, int width, const ffp_dht *dht, uint32_t (*meaning)(uint32_t, int32_t)) {
    int32_t filled = 0, at = 0;
    for (int n = 1; n <= width; n++) {
        for (int i = 0; i < dht->counts[n]; i++, at++) {
            uint32_t e = meaning((uint32_t)n, dht->symbols[at]);
            for (int32_t stop = filled + (1 << (width - n)); filled < stop;) {
                lookup[filled++] = e ? e : ENTRY_LONG;
            }
        }
    }
    while (filled < 1 << width) {
        lookup[filled++] = ENTRY_LONG;
    }
}

void ffp_dc_table_build(ffp_dc_table *t, const ffp_dht *dht) {
    if (memcmp(&t->code.source, dht, sizeof *dht) != 0) {
        ffp_code_build(&t->code, dht);
        fill(t->lookup, FFP_DC_BITS, dht, dc_entry);
    }
}

/* Both symbols as one entry; low: the lookup's bits behind the first symbol, at the top of FFP_AC_BITS. */
static uint64_t pair(uint32_t first, uint32_t second, uint32_t low) {
    const uint64_t e = first + (second & DROP), skip = second >> 8 & 0xFF;
    const int size = (int)(second >> 24);
    if (skip == SKIP_EOB) {
        return e | ENTRY_EOB | (uint64_t)SKIP_EOB << 40;
    }
    const uint32_t bits = low >> (FFP_AC_BITS - (second & DROP)) & ((1u << size) - 1);
    const uint64_t value = (uint64_t)(size ? ffp_extend(bits, size) : 0) & 0xFFFF;
    return e | (skip + 1) << 32 | (skip + 2) << 40 | value << 48;
}

void ffp_ac_table_build(ffp_ac_table *t, const ffp_dht *dht) {
    const uint32_t mask = (1u << FFP_AC_BITS) - 1;
    uint32_t one[1 << FFP_AC_BITS];
    if (memcmp(&t->code.source, dht, sizeof *dht) == 0) {
        return;
    }
    ffp_code_build(&t->code, dht);
    fill(one, FFP_AC_BITS, dht, ac_entry);
    for (uint32_t i = 0; i <= mask; i++) {
        const uint32_t first = one[i], low = i << (first & DROP) & mask, second = one[low];
        const int fits = (first & DROP) + (second & DROP) <= FFP_AC_BITS;
        t->lookup[i] = fits && !(first & (ENTRY_LONG | ENTRY_EOB)) && !(second & ENTRY_LONG) ? pair(first, second, low)
                                                                                            : first | ALONE;
    }
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

void ffp_bits_fill_slow(ffp_bits *b) {
    while (b->count < 56) {
        uint64_t byte = 0;
        if (b->next < b->end && (b->next[0] != 0xFF || (b->end - b->next > 1 && b->next[1] == 0))) {
            byte = b->next[0];
            b->next += byte == 0xFF ? 2 : 1;
        } else {
            b->padding += 8;
        }
        b->bits |= byte << (56 - b->count);
        b->count += 8;
    }
}

/* The entry that the code at the top of bits would have if lookups were wide enough; 0 when it is invalid. */
static __attribute__((noinline)) uint32_t long_entry(uint64_t bits, const ffp_code *code,
                                                     uint32_t (*meaning)(uint32_t, int32_t)) {
    int length;
    int32_t symbol = ffp_symbol_search(bits, code, &length);
    return symbol < 0 ? 0 : meaning((uint32_t)length, symbol);
}

/* The first value of entry e, found in the bits that it was looked up with: T.81 F.2.2.1 EXTEND without a branch. */
static inline int16_t first_value(uint64_t bits, uint64_t e) {
    const uint32_t size = e >> 24 & 63;
    bits <<= e >> 16 & 63;
    const uint64_t negative = ~(uint64_t)((int64_t)bits >> 63), most = ((uint64_t)1 << size) - 1;
    return (int16_t)((bits >> 1 >> (63 - size)) - (most & negative));
}

/* One or two symbols at *k, the bits before them in *before; *first: where the first value went. */
static inline uint64_t ac_lookup(ffp_bits *b, const ffp_ac_table *ac, int16_t *coef, uint32_t *k, uint32_t *first,
                                 uint64_t *before) {
    const uint64_t bits = *before = b->bits;
    uint64_t e = ac->lookup[bits >> (64 - FFP_AC_BITS)];
    if (__builtin_expect(e & ENTRY_LONG, 0)) {
        e = long_entry(bits, &ac->code, ac_entry);
        e = e ? e | ALONE : INVALID;
    }
    ffp_bits_drop(b, e & DROP);
    *first = *k + (e >> 8 & 0xFF);
    *k = *first + (e >> 40 & 0xFF);
    coef[*first + (e >> 32 & 0xFF)] = (int16_t)(e >> 48);
    coef[*first] = first_value(bits, e);
    return e;
}

/* One block; 0 when it is invalid. A refill lasts for two lookups: 16 + 11 and 16 + 10 bits at most. */
static inline int decode_block(ffp_bits *b, const ffp_dc_table *dc, const ffp_ac_table *ac, int16_t *coef) {
    ffp_bits_fill(b);
    uint64_t e = dc->lookup[b->bits >> (64 - FFP_DC_BITS)], before;
    if (__builtin_expect(e & ENTRY_LONG, 0)) {
        e = long_entry(b->bits, &dc->code, dc_entry);
        if (e == 0) {
            return 0;
        }
    }
    coef[0] = first_value(b->bits, e);
    ffp_bits_drop(b, e & DROP);
    uint32_t k = 1, first;
    do {
        e = ac_lookup(b, ac, coef, &k, &first, &before);
        if (k >= 64) {
            break;
        }
        ffp_bits_fill(b);
        e = ac_lookup(b, ac, coef, &k, &first, &before);
    } while (k < 64);
    if (first != 63) {
        /* the first symbol behind 63: a lone end of block; else the second: an end of block, or coefficient 63 */
        return first > 63 ? (e & ENTRY_EOB) && (e >> 40 & 0xFF) == 1 : (e & ENTRY_EOB) || k == 64;
    }
    if ((e >> 40 & 0xFF) != 1) {      /* coefficient 63 and a symbol of the next block */
        coef[63 + (e >> 32 & 0xFF)] = 0;
        coef[63] = first_value(before, e);
        b->bits = before;
        b->count += e & DROP;
        ffp_bits_drop(b, (int)((e >> 16 & 0xFF) + (e >> 24 & 0xFF)));
    }
    return 1;
}

/* The MCU's blocks in order: component and tables of each. */
typedef struct {
    int32_t count;
    uint8_t comp[FFP_MAX_BLOCKS_PER_MCU];
    const ffp_dc_table *dc[FFP_MAX_BLOCKS_PER_MCU];
    const ffp_ac_table *ac[FFP_MAX_BLOCKS_PER_MCU];
} mcu_plan;

static void plan_mcu(const ffp_context *ctx, const ffp_header *h, mcu_plan *plan) {
    plan->count = 0;
    for (int i = 0; i < h->ncomp; i++) {
        const ffp_component *c = &h->comp[i];
        for (int j = 0; j < c->h * c->v; j++) {
            plan->comp[plan->count] = (uint8_t)i;
            plan->dc[plan->count] = &ctx->dc[c->td];
            plan->ac[plan->count++] = &ctx->ac[c->ta];
        }
    }
}

static int32_t decode_mcus(ffp_bits *bits, const mcu_plan *plan, int32_t mcus, int16_t *coef) {
    ffp_bits b = *bits;
    int32_t status = FFP_OK;
    for (int32_t m = 0; m < mcus && status == FFP_OK; m++) {
        for (int32_t i = 0; i < plan->count; i++, coef += 64) {
            if (!decode_block(&b, plan->dc[i], plan->ac[i], coef)) {
                status = FFP_CORRUPT_SCAN;
                break;
            }
        }
        if (ffp_bits_overrun(&b)) {
            status = FFP_TRUNCATED_SCAN;
        }
    }
    *bits = b;
    return status;
}

int32_t ffp_bits_finish(ffp_bits *b) {
    ffp_bits_drop(b, (b->count - b->padding) & 7);
    for (;;) {
        ffp_bits_fill_slow(b);
        if (b->count <= b->padding) {
            return FFP_OK;
        }
        uint32_t byte = ffp_bits_take(b, 8);
        if (byte != 0 && byte != 0xFF) {
            return FFP_CORRUPT_SCAN;
        }
    }
}

int ffp_decode_block(ffp_bits *b, const ffp_dc_table *dc, const ffp_ac_table *ac, int16_t *coef) {
    return decode_block(b, dc, ac, coef);
}

void ffp_prepare_tables(ffp_context *ctx, const ffp_header *header) {
    for (int i = 0; i < header->ncomp; i++) {
        const ffp_component *c = &header->comp[i];
        ffp_dc_table_build(&ctx->dc[c->td], &header->dht[0][c->td]);
        ffp_ac_table_build(&ctx->ac[c->ta], &header->dht[1][c->ta]);
    }
}

static int32_t entropy_scalar(ffp_context *ctx, const ffp_header *header, ffp_job *jobs, int32_t njobs) {
    mcu_plan plan;
    int32_t first = FFP_OK;
    ffp_prepare_tables(ctx, header);
    plan_mcu(ctx, header, &plan);
    for (int32_t i = 0; i < njobs; i++) {
        ffp_job *job = jobs + i;
        ffp_bits bits;
        ffp_bits_start(&bits, job->begin, job->end, job->start_bit);
        job->status = decode_mcus(&bits, &plan, job->mcus, job->coef);
        if (job->status == FFP_OK && job->to_end) {
            job->status = ffp_bits_finish(&bits);
        }
        if (first == FFP_OK) {
            first = job->status;
        }
    }
    return first;
}

int32_t ffp_stream_decode(ffp_context *ctx, const ffp_header *header, ffp_stream *stream, int32_t mcus, int16_t *coef) {
    mcu_plan plan;
    int16_t spare[(FFP_MAX_BLOCKS_PER_MCU + 1) * 64];
    plan_mcu(ctx, header, &plan);
    const int32_t piece = coef ? mcus : 1;
    for (int32_t done = 0; done < mcus; done += piece) {
        int16_t *out = coef ? coef : spare;
        int32_t status = decode_mcus(&stream->bits, &plan, piece, out);
        if (status != FFP_OK) {
            return status;
        }
        for (int32_t m = 0; m < piece; m++) {
            for (int32_t i = 0; i < plan.count; i++, out += 64) {
                stream->pred[plan.comp[i]] = (int16_t)(stream->pred[plan.comp[i]] + out[0]);
            }
        }
    }
    return FFP_OK;
}

void ffp_idct_scalar(ffp_context *ctx, const ffp_header *header, ffp_job *job, const ffp_plane planes[4]);

const ffp_level ffp_level_scalar = {"scalar", entropy_scalar, ffp_idct_scalar, NULL, ffp_reduce_scalar};
