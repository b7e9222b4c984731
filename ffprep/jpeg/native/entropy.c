/* Scalar sequential Huffman decoding (T.81 F.2.2): jobs and pieces of one long stream. It is the specification that the
 * vector levels equal.
 *
 * A lookup of the next FFP_LOOKUP_BITS bits gives a whole symbol, its value included, when both fit:
 *
 *   bits 0..6   bits to drop (code and value)     bit 7      the table does not know it all
 *   bits 8..15  zeros to skip before the value    bits 16..31 the value, or with bit 7 set its size in bits
 *
 * With bit 7 and nothing to drop the code is longer than the lookup, or none. End of block is a skip of SKIP_EOB and a
 * value 0, a run of 16 zeros a skip of 15 and a value 0: both then need no branch of their own. The zero they store lies
 * up to 64 coefficients behind the block, on a place that is zero yet.
 *
 * Invalid: bits that are no code, DC sizes over 11, AC sizes over 10 (T.81 tables F.1 and F.2, 8 bit), AC symbols
 * x0 with x in 1..14, a coefficient behind number 63. Zeros are read behind the end of the data; a block that used one of
 * them is an error of its own.
 */
#include "internal.h"

enum { SKIP_EOB = 64, SIZE_BAD = 0xFF, ENTRY_SLOW = 0x80 };

static uint32_t entry(uint32_t drop, uint32_t skip, int32_t value) {
    return drop | skip << 8 | (uint32_t)value << 16;
}

/* Size and skip of a symbol; SIZE_BAD for one that is not allowed. */
static void symbol_meaning(int32_t symbol, int dc, uint32_t *skip, uint32_t *size) {
    *skip = dc ? 0 : (uint32_t)symbol >> 4;
    *size = (uint32_t)(dc ? symbol : symbol & 15);
    if (*size > (dc ? 11u : 10u)) {
        *size = SIZE_BAD;
    }
    if (!dc && *size == 0) {
        if (symbol == 0) {
            *skip = SKIP_EOB;
        } else if (symbol != 0xF0) {
            *size = SIZE_BAD;
        }
    }
}

void ffp_table_build(ffp_table *t, const ffp_dht *dht, int dc) {
    if (memcmp(&t->source, dht, sizeof *dht) == 0) {
        return;
    }
    t->source = *dht;
    int32_t code = 0, at = 0;
    for (int n = 1; n <= 16; n++) {   /* annex C */
        t->offset[n] = at - code;
        code += dht->counts[n];
        at += dht->counts[n];
        t->limit[n] = code << (16 - n);
        code <<= 1;
    }
    const int w = FFP_LOOKUP_BITS;
    int32_t filled = 0;
    at = 0;
    for (int n = 1; n <= w; n++) {
        for (int i = 0; i < dht->counts[n]; i++, at++) {
            uint32_t skip, size, *out = t->lookup + filled;
            int32_t room = w - n;
            symbol_meaning(dht->symbols[at], dc, &skip, &size);
            if (size <= (uint32_t)room) {
                uint32_t each = 1u << (room - (int32_t)size);
                for (uint32_t v = 0; v < 1u << size; v++) {
                    uint32_t e = entry((uint32_t)n + size, skip, size ? ffp_extend(v, (int)size) : 0);
                    for (uint32_t j = 0; j < each; j++) {
                        *out++ = e;
                    }
                }
            } else {
                uint32_t e = entry((uint32_t)n | ENTRY_SLOW, skip, (int32_t)size);
                for (int32_t j = 0; j < 1 << room; j++) {
                    *out++ = e;
                }
            }
            filled += 1 << room;
        }
    }
    while (filled < 1 << w) {
        t->lookup[filled++] = ENTRY_SLOW;
    }
}

void ffp_prepare_tables(ffp_context *ctx, const ffp_header *header) {
    for (int i = 0; i < header->ncomp; i++) {
        const ffp_component *c = &header->comp[i];
        ffp_table_build(&ctx->table[0][c->td], &header->dht[0][c->td], 1);
        ffp_table_build(&ctx->table[1][c->ta], &header->dht[1][c->ta], 0);
    }
}

/* A symbol that the lookup does not hold whole: the entry it would have had, its bits dropped; ENTRY_SLOW: invalid. */
static uint32_t slow_symbol(ffp_bits *b, const ffp_table *t, uint32_t e, int dc) {
    uint32_t skip = e >> 8 & 0xFF, size = e >> 16;
    if (e & 0x7F) {
        ffp_bits_drop(b, (int)(e & 0x7F));
    } else {
        int32_t symbol = ffp_symbol_slow(b, t);
        if (symbol < 0) {
            return ENTRY_SLOW;
        }
        symbol_meaning(symbol, dc, &skip, &size);
    }
    if (size == SIZE_BAD) {
        return ENTRY_SLOW;
    }
    return entry(0, skip, size ? ffp_extend(ffp_bits_take(b, (int)size), (int)size) : 0);
}

static inline uint32_t next_symbol(ffp_bits *b, const ffp_table *t, int dc) {
    uint32_t e = t->lookup[b->bits >> (64 - FFP_LOOKUP_BITS)];
    if (__builtin_expect(e & ENTRY_SLOW, 0)) {
        return slow_symbol(b, t, e, dc);
    }
    ffp_bits_drop(b, (int)(e & 0x7F));
    return e;
}

/* One block; 0 when it is invalid. A refill lasts for two symbols: 16 + 11 and 16 + 10 bits at most. */
static inline int decode_block(ffp_bits *b, const ffp_table *dc, const ffp_table *ac, int16_t *coef) {
    ffp_bits_fill(b);
    uint32_t e = next_symbol(b, dc, 1);
    if (__builtin_expect(e == ENTRY_SLOW, 0)) {
        return 0;
    }
    coef[0] = (int16_t)(e >> 16);
    uint32_t k = 1;
    for (;;) {
        e = next_symbol(b, ac, 0);
        k += e >> 8 & 0xFF;
        coef[k++] = (int16_t)(e >> 16);
        if (k >= 64 || e == ENTRY_SLOW) {
            break;
        }
        ffp_bits_fill(b);
        e = next_symbol(b, ac, 0);
        k += e >> 8 & 0xFF;
        coef[k++] = (int16_t)(e >> 16);
        if (k >= 64 || e == ENTRY_SLOW) {
            break;
        }
    }
    return e != ENTRY_SLOW && (k == 64 || (e >> 8 & 0xFF) == SKIP_EOB);
}

/* The MCU's blocks in order: component and tables of each. */
typedef struct {
    int32_t count;
    uint8_t comp[FFP_MAX_BLOCKS_PER_MCU];
    const ffp_table *dc[FFP_MAX_BLOCKS_PER_MCU], *ac[FFP_MAX_BLOCKS_PER_MCU];
} mcu_plan;

static void plan_mcu(const ffp_context *ctx, const ffp_header *h, mcu_plan *plan) {
    plan->count = 0;
    for (int i = 0; i < h->ncomp; i++) {
        const ffp_component *c = &h->comp[i];
        for (int j = 0; j < c->h * c->v; j++) {
            plan->comp[plan->count] = (uint8_t)i;
            plan->dc[plan->count] = &ctx->table[0][c->td];
            plan->ac[plan->count++] = &ctx->table[1][c->ta];
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

int ffp_decode_block(ffp_bits *b, const ffp_table *dc, const ffp_table *ac, int16_t *coef) {
    return decode_block(b, dc, ac, coef);
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

const ffp_level ffp_level_scalar = {"scalar", entropy_scalar, ffp_idct_scalar};
