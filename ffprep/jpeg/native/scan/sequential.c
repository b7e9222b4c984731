/* Scalar sequential Huffman decoding (T.81 F.2.2): jobs, and pieces of one long stream. It is the specification that the
 * vector levels equal. tables.c makes the lookups.
 *
 * End of block and a run of 16 zeros are stored as values 0: up to 64 coefficients after the block, where all is zero yet.
 * A second symbol read although the first was coefficient 63 belongs to the next block and is given back.
 *
 * Invalid: bits that are no code, DC sizes over 11, AC sizes over 10 (tables F.1 and F.2, 8 bit), AC symbols x0 with x in
 * 1..14, a coefficient after number 63. Zeros are read after the end of the data; a block that used one of them is an
 * error of its own.
 */
#include <string.h>

#include "context.h"

/* What an invalid AC code counts as: it ends the block as only an end of block may, and is none. */
#define INVALID ((uint64_t)FFP_SKIP_EOB << 8 | FFP_ENTRY_ALONE)

/* ---- blocks ------------------------------------------------------------------------------------------------------- */

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
    if (__builtin_expect(e & FFP_ENTRY_LONG, 0)) {
        e = ffp_ac_long_entry(ac, bits);
        e = e ? e | FFP_ENTRY_ALONE : INVALID;
    }
    ffp_bits_drop(b, e & FFP_ENTRY_DROP);
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
    if (__builtin_expect(e & FFP_ENTRY_LONG, 0)) {
        e = ffp_dc_long_entry(dc, b->bits);
        if (e == 0) {
            return 0;
        }
    }
    coef[0] = first_value(b->bits, e);
    ffp_bits_drop(b, e & FFP_ENTRY_DROP);
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
        /* the first symbol is past 63: a lone end of block; else the second is: an end of block, or coefficient 63 */
        return first > 63 ? (e & FFP_ENTRY_EOB) && (e >> 40 & 0xFF) == 1 : (e & FFP_ENTRY_EOB) || k == 64;
    }
    if ((e >> 40 & 0xFF) != 1) { /* coefficient 63 and a symbol of the next block */
        coef[63 + (e >> 32 & 0xFF)] = 0;
        coef[63] = first_value(before, e);
        b->bits = before;
        b->count += e & FFP_ENTRY_DROP;
        ffp_bits_drop(b, (int)((e >> 16 & 0xFF) + (e >> 24 & 0xFF)));
    }
    return 1;
}

/* ---- MCUs --------------------------------------------------------------------------------------------------------- */

/* The MCU's blocks in order: component and tables of each. */
typedef struct {
    int32_t count;
    uint8_t comp[FFP_MAX_BLOCKS_PER_MCU];
    const ffp_dc_table *dc[FFP_MAX_BLOCKS_PER_MCU];
    const ffp_ac_table *ac[FFP_MAX_BLOCKS_PER_MCU];
} mcu_plan;

static void plan_mcu(const ffp_context *ctx, const ffp_header *h, mcu_plan *plan) {
    plan->count = ffp_mcu_layout(h, plan->comp);
    for (int i = 0; i < plan->count; i++) {
        plan->dc[i] = &ctx->dc[h->comp[plan->comp[i]].td];
        plan->ac[i] = &ctx->ac[h->comp[plan->comp[i]].ta];
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

int32_t ffp_entropy_scalar(ffp_context *ctx, const ffp_header *header, ffp_job *jobs, int32_t njobs) {
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
