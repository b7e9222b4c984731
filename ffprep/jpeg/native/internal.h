/* What the C files share among themselves and with nobody else: the context's memory, tables, small helpers. */
#ifndef FFPREP_JPEG_INTERNAL_H
#define FFPREP_JPEG_INTERNAL_H

#include <string.h>

#include "jpeg.h"

/* ---- memory ------------------------------------------------------------------------------------------------------ */

typedef struct {
    void *base;                       /* what malloc gave */
    uint8_t *ptr;                     /* the same, at a 64-byte boundary */
    size_t size;                      /* bytes usable at ptr */
} ffp_buffer;

/* Makes at least `size` bytes usable at buffer->ptr, all zero when they are new; old contents are lost when the
 * buffer grows. FFP_OK or FFP_NO_MEMORY (then the buffer is empty). */
int32_t ffp_reserve(ffp_buffer *buffer, size_t size);
void ffp_release(ffp_buffer *buffer);

/* ---- Huffman tables of the scalar decoder ------------------------------------------------------------------------ */

enum { FFP_DC_BITS = 9, FFP_AC_BITS = 10 };

/* A code as annex F.2.2.3 decodes it, for what a lookup does not hold. */
typedef struct {
    int32_t limit[18];                /* limit[n]: first 16-bit left-aligned value above all codes of up to n bits */
    int32_t offset[17];               /* position of a symbol = (code >> (16 - n)) + offset[n] */
    ffp_dht source;                   /* what it was made from */
} ffp_code;

/* entropy.c says how entries are laid out. */
typedef struct {
    uint32_t lookup[1 << FFP_DC_BITS];
    ffp_code code;
} ffp_dc_table;

typedef struct {
    uint64_t lookup[1 << FFP_AC_BITS];
    ffp_code code;
} ffp_ac_table;

void ffp_code_build(ffp_code *code, const ffp_dht *dht);
/* Bring a table up to date with dht; nothing is done when it is already. */
void ffp_dc_table_build(ffp_dc_table *table, const ffp_dht *dht);
void ffp_ac_table_build(ffp_ac_table *table, const ffp_dht *dht);

/* ---- the context ------------------------------------------------------------------------------------------------- */

struct ffp_context {
    ffp_header header;
    ffp_buffer coef;                  /* all zero between two uses */
    ffp_buffer planes, jobs, whole;
    ffp_dc_table dc[4];               /* scalar tables, kept from image to image */
    ffp_ac_table ac[4];
    ffp_buffer level_tables, level_bytes, level_work; /* for the SIMD levels: whatever they need, theirs alone */
};

/* ---- bit reader: entropy-coded bytes, stuffing removed on the way (T.81 F.2.2.5) ---------------------------------- */

typedef struct {
    const uint8_t *next, *end;
    uint64_t bits;                    /* the next bits, left-aligned; bits below `count` may hold more of the same */
    int32_t count;                    /* how many are valid */
    int32_t padding;                  /* how many of these are zeros that stand for data behind the end */
} ffp_bits;

static inline uint64_t ffp_load_be64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline int ffp_has_ff(uint64_t v) {
    return ((~v - 0x0101010101010101u) & v & 0x8080808080808080u) != 0;
}

/* The careful way: byte by byte to the end or to a marker, zeros from there on. */
void ffp_bits_fill_slow(ffp_bits *b);

/* At least 56 bits. */
static inline void ffp_bits_fill(ffp_bits *b) {
    if (__builtin_expect(b->end - b->next >= 8, 1)) {
        uint64_t v = ffp_load_be64(b->next);
        if (__builtin_expect(!ffp_has_ff(v), 1)) {
            b->bits |= v >> b->count;
            b->next += (63 - b->count) >> 3;
            b->count |= 56;
            return;
        }
    }
    ffp_bits copy = *b;               /* a reader whose address nobody takes stays in registers */
    ffp_bits_fill_slow(&copy);
    *b = copy;
}

static inline void ffp_bits_drop(ffp_bits *b, int n) {
    b->bits <<= n;
    b->count -= n;
}

/* n = 1..31 bits that are there. */
static inline uint32_t ffp_bits_take(ffp_bits *b, int n) {
    uint32_t v = (uint32_t)(b->bits >> (64 - n));
    ffp_bits_drop(b, n);
    return v;
}

static inline int ffp_bits_overrun(const ffp_bits *b) { return b->count < b->padding; }

static inline void ffp_bits_start(ffp_bits *b, const uint8_t *begin, const uint8_t *end, int start_bit) {
    b->next = begin;
    b->end = end;
    b->bits = 0;
    b->count = b->padding = 0;
    if (start_bit) {
        ffp_bits_fill_slow(b);
        ffp_bits_drop(b, start_bit);
    }
}

/* After the last MCU of a segment: FFP_OK when nothing but padding is left (any bits up to the byte's end, then filler
 * bytes 00 or FF, which some encoders write), else FFP_CORRUPT_SCAN. b->next is then at the marker or the end. */
int32_t ffp_bits_finish(ffp_bits *b);

/* T.81 F.2.2.1 EXTEND. */
static inline int32_t ffp_extend(uint32_t v, int size) {
    return (int32_t)v - (v >> (size - 1) ? 0 : (int32_t)(1u << size) - 1);
}

/* The symbol (0..255) at the start of left-aligned bits, by canonical search, and the length of its code; -1 for bits
 * that are no code. */
static inline int32_t ffp_symbol_search(uint64_t bits, const ffp_code *t, int *length) {
    int32_t code = (int32_t)(bits >> 48), n = 1;
    while (n <= 16 && code >= t->limit[n]) {
        n++;
    }
    *length = n;
    return n > 16 ? -1 : t->source.symbols[(code >> (16 - n)) + t->offset[n]];
}

/* One sequential block, DC difference first, into 64 zeroed coefficients; up to 64 more behind them may be set to zero.
 * 0 when the data is invalid. */
int ffp_decode_block(ffp_bits *b, const ffp_dc_table *dc, const ffp_ac_table *ac, int16_t *coef);

/* ---- one long stream, decoded in pieces -------------------------------------------------------------------------- */

typedef struct {
    ffp_bits bits;
    int32_t pred[FFP_MAX_COMPONENTS]; /* DC predictors at this place */
} ffp_stream;

/* Builds the scalar tables that the header's scan needs. */
void ffp_prepare_tables(ffp_context *ctx, const ffp_header *header);
/* Decodes the next `mcus` MCUs into coef as an ffp_job has them, or nowhere when coef is NULL. */
int32_t ffp_stream_decode(ffp_context *ctx, const ffp_header *header, ffp_stream *stream, int32_t mcus, int16_t *coef);

/* ---- jobs (jobs.c) and seek indexes (index.c) -------------------------------------------------------------------- */

typedef struct {
    int32_t x0, y0, x1, y1;           /* a rectangle of MCUs, both ends included */
} ffp_mcus;

/* Fill ctx->jobs, all but coef. */
int32_t ffp_find_jobs(ffp_context *ctx, const ffp_header *h, const ffp_mcus *r, const uint8_t *data, int64_t size,
                      int32_t *njobs);
int32_t ffp_find_indexed_jobs(ffp_context *ctx, const ffp_header *h, const ffp_mcus *r, const uint8_t *data,
                              int64_t size, const uint8_t *index, int64_t index_size, int32_t *njobs);

/* A place in an index, which is a mark every `interval` MCUs and one at the end of the scan. */
typedef struct {
    const uint8_t *next, *end;        /* what follows of the index */
    int64_t interval;
    int64_t bit, bits;                /* the mark's bit in the stream; bits in the stream */
    int32_t components;
    int32_t pred[FFP_MAX_COMPONENTS]; /* DC predictors there */
} ffp_index_reader;

/* At the first mark, when the index is whole and was made from this stream; else FFP_BAD_INDEX. */
int32_t ffp_index_open(ffp_index_reader *reader, const ffp_header *h, const uint8_t *data, int64_t size,
                       const uint8_t *index, int64_t index_size);
/* Of the index from byte 8 on, and of the stream around the start, the middle and the end of its data. */
uint32_t ffp_index_checksum(const uint8_t *index, int64_t index_size, const uint8_t *data, int64_t size, int64_t scan);
/* To the next mark; 0 when there is none. */
int ffp_index_next(ffp_index_reader *reader);

/* ---- markers (parse.c) -------------------------------------------------------------------------------------------- */

typedef struct {
    int32_t ncomp;
    int32_t comp[FFP_MAX_COMPONENTS]; /* indices into header->comp */
    int32_t td[FFP_MAX_COMPONENTS], ta[FFP_MAX_COMPONENTS];
    int32_t ss, se, ah, al;
} ffp_scan;

/* Whether the data left can hold the blocks of the first `mcus` MCUs at all: guards every allocation by image size. */
int ffp_plausible(const ffp_header *h, int64_t size, int64_t mcus);
/* Position behind the next marker code at or after *pos (fill bytes and stray bytes skipped), the code in *marker;
 * 0 when there is none. */
int ffp_next_marker(const uint8_t *data, int64_t size, int64_t *pos, int32_t *marker);
/* The parameter bytes of the segment whose length field is at pos: *length of them. 0 when it does not fit. */
const uint8_t *ffp_segment(const uint8_t *data, int64_t size, int64_t pos, int32_t *length);
int32_t ffp_parse_dht(ffp_header *h, const uint8_t *p, int32_t n);
int32_t ffp_parse_dqt(ffp_header *h, const uint8_t *p, int32_t n);
int32_t ffp_parse_dri(ffp_header *h, const uint8_t *p, int32_t n);
int32_t ffp_parse_sos(const ffp_header *h, const uint8_t *p, int32_t n, ffp_scan *scan);

/* ---- inverse DCT -------------------------------------------------------------------------------------------------- */

extern const uint8_t ffp_natural_order[64]; /* zigzag position -> row * 8 + column */

/* The inverse DCT of a job to planes of any scale; the coefficients are zero afterwards. */
void ffp_inverse(const ffp_level *level, ffp_context *ctx, const ffp_header *header, ffp_job *job,
                 const ffp_plane planes[FFP_MAX_COMPONENTS]);
void ffp_reduce_scalar(const ffp_header *header, ffp_job *job, const ffp_plane planes[FFP_MAX_COMPONENTS]);
void ffp_reduce_avx2(const ffp_header *header, ffp_job *job, const ffp_plane planes[FFP_MAX_COMPONENTS]);

/* ---- whole images (progressive.c) --------------------------------------------------------------------------------- */

typedef struct {
    int64_t offset[FFP_MAX_COMPONENTS]; /* first coefficient of each component in the whole */
    int64_t count;                    /* int16 in all */
} ffp_layout;

ffp_layout ffp_layout_of(const ffp_header *header);
/* Decodes every scan into `out` (layout.count int16, zeroed by the caller): absolute DC, zigzag order. On return
 * header->quant[i] is the table component i was decoded with and comp[i].tq == i. */
int32_t ffp_decode_whole(const uint8_t *data, int64_t size, ffp_header *header, int16_t *out);

#endif
