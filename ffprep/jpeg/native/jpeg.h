/* The JPEG kernel of ffprep: what its C files share.
 *
 * Decodes the MCUs of a baseline JPEG (ITU-T T.81) that a pixel rectangle needs, to planes of samples. The stages:
 *
 *   parse.c        bytes -> ffp_header: every marker segment checked (T.81 annex B)
 *   region.c       header + rectangle -> jobs -> planes; owns the scratch memory (ffp_context)
 *   jobs.c         the restart segments, or pieces told of by a seek index (index.c), that a rectangle needs
 *   entropy*.c     jobs -> coefficients (T.81 annex F): scalar, AVX2 lanes, AVX-512 lanes (lanes.c: what those share)
 *   speculate.c    one long scan in lanes: pieces that fall into step with each other
 *   idct*.c        coefficients -> samples: exact integer inverse DCT (the "islow" method of libjpeg), per CPU level
 *   idct_reduced.c the same to 4x4, 2x2 or 1x1 samples a block
 *   progressive.c  whole images of any scan structure -> coefficients (T.81 annex G, and several sequential scans)
 *   rewrite.c      any stream -> a seekable baseline stream with the same coefficients; rewrite.h lists its helpers
 *   dispatch.c     CPU features -> function pointers; FFPREP_SIMD=avx512|avx2|scalar forces a level
 *
 * Every function that reads input bytes takes the end of the input and never reads past it; every size is checked
 * before memory is asked for. Nothing here prints, exits or keeps state outside an ffp_context.
 */
#ifndef FFPREP_JPEG_H
#define FFPREP_JPEG_H

#include <stddef.h>
#include <stdint.h>

#include "abi.h"

#if defined(_WIN32)
#define FFP_API __declspec(dllexport)
#else
#define FFP_API __attribute__((visibility("default")))
#endif

/* Status codes; the names are mirrored in ffprep/jpeg/status.py (a test compares them). */
enum {
    FFP_OK = 0,
    FFP_NOT_JPEG = 1,          /* no SOI at the start */
    FFP_TRUNCATED_HEADER = 2,  /* input ends before the first scan's data */
    FFP_BAD_MARKER = 3,        /* a marker segment is malformed or out of place */
    FFP_UNSUPPORTED_PROCESS = 4, /* lossless, hierarchical, arithmetic, 12 bit */
    FFP_UNSUPPORTED_COLOR = 5, /* CMYK, YCCK, 2 components */
    FFP_UNSUPPORTED_SAMPLING = 6,
    FFP_BAD_HUFFMAN_TABLE = 7,
    FFP_BAD_QUANT_TABLE = 8,
    FFP_MISSING_TABLE = 9,
    FFP_TRUNCATED_SCAN = 10,   /* entropy-coded data ends early */
    FFP_CORRUPT_SCAN = 11,     /* invalid code, coefficient overrun, data left over in a segment */
    FFP_BAD_RESTART = 12,      /* restart marker missing or out of sequence */
    FFP_TOO_LARGE = 13,        /* dimensions, or the work of all scans, over the limit */
    FFP_BAD_RECTANGLE = 14,
    FFP_NO_MEMORY = 15,
    FFP_NOT_SEQUENTIAL = 16,   /* fast path refused: progressive or several scans; use the coefficient path */
    FFP_BAD_INDEX = 17,        /* a seek index does not belong to this stream */
    FFP_SIZE_MISMATCH = 18,    /* stream and stored width/height differ */
    FFP_NO_SPACE = 19,         /* the output buffer is too small */
    FFP_STATUS_COUNT = 20
};

enum { FFP_COLOR_GRAY = 1, FFP_COLOR_YCC = 2, FFP_COLOR_RGB = 3, FFP_COLOR_CMYK = 4, FFP_COLOR_YCCK = 5 };

#define FFP_MAX_BLOCKS_PER_MCU 10     /* T.81 B.2.3 */
#define FFP_MAX_PIXELS ((int64_t)1 << 28)

typedef struct {
    uint8_t counts[17];               /* counts[1..16]: codes of each length */
    uint8_t symbols[256];
    uint8_t present;
} ffp_dht;

typedef struct {
    int32_t id, h, v, tq;             /* identifier, sampling factors, quantisation table */
    int32_t td, ta;                   /* Huffman tables in the first scan */
    int32_t width, height;            /* samples: ceil(X * h / hmax), ceil(Y * v / vmax) */
    int32_t blocks_x, blocks_y;       /* blocks in the MCU-padded grid */
} ffp_component;

typedef struct {
    int32_t width, height, ncomp, color;
    int32_t sof;                      /* 0xC0, 0xC1 or 0xC2 */
    int32_t progressive;              /* SOF2 */
    int32_t sequential_single_scan;   /* 1: fast path applies */
    int32_t orientation;              /* EXIF orientation 1..8, 1 when absent or unreadable */
    int32_t adobe_transform;          /* -1 when there is no APP14 */
    int32_t hmax, vmax, mcu_w, mcu_h; /* MCU size in pixels */
    int32_t mcus_x, mcus_y, blocks_per_mcu;
    int32_t restart_interval;         /* MCUs; 0: none */
    int32_t reserved;
    int64_t scan_offset;              /* first byte of the first scan's entropy-coded data */
    int64_t sos_offset;               /* its SOS marker */
    ffp_component comp[FFP_MAX_COMPONENTS];
    uint16_t quant[4][64];            /* zigzag order */
    uint8_t quant_present[4];
    ffp_dht dht[2][4];                /* [0] DC, [1] AC */
} ffp_header;

/* Parses marker segments up to the first scan. A single component is normalised to 1x1 sampling (T.81 A.2.2). */
int32_t ffp_parse(const uint8_t *data, int64_t size, ffp_header *header);

/* One independent run of MCUs of an interleaved (or single-component) sequential scan. Coefficients come in scan order:
 * for each MCU its blocks in order, each 64 int16 in ZIGZAG order, with the DC DIFFERENCE (not the predicted value) in
 * element 0. The caller hands them zeroed; 64 more coefficients behind the last block may be touched and must be
 * zero again on return unless status is set. Between begin and end every FF has a 00 behind it, and the last byte is
 * no FF unless that 00 follows. What is valid, and which status what is not has, entropy.c says at its top; a level that
 * finds a fault may zero the job's coefficients and ask the scalar level for the status. */
typedef struct {
    const uint8_t *begin, *end;       /* entropy-coded bytes, stuffing included, the closing marker excluded */
    int32_t start_bit;                /* bits of *begin that belong to the previous MCU (index), 0 at a restart */
    int32_t pred[FFP_MAX_COMPONENTS]; /* DC predictors at the start: 0 at a restart */
    int32_t first_mcu;                /* raster number of the first MCU */
    int32_t mcus;                     /* MCUs to decode: early stop makes it fewer than the segment holds */
    int32_t to_end;                   /* 1: the job ends where the segment ends, so the end position is checked */
    int32_t status;                   /* out: FFP_OK, FFP_TRUNCATED_SCAN or FFP_CORRUPT_SCAN */
    int16_t *coef;
} ffp_job;

/* What a decoded plane is: sample (x0 + i, y0 + j) of the component is at addr[j * stride + i]. */
typedef struct {
    uint8_t *addr;
    int64_t stride;
    int32_t x0, y0, w, h;             /* samples held */
    int32_t scale;                    /* a block is 8 >> scale samples wide and high here */
} ffp_plane;

typedef struct ffp_context ffp_context;

/* Entropy decoding of jobs (each job's status is set; returns the first that is not FFP_OK), and the inverse DCT of one
 * decoded job into planes (only the blocks that lie in them; integrates the DC differences, dequantises, zeroes the
 * coefficients behind itself). One pair for each CPU level. All pairs give identical results; the scalar pair is the
 * specification (idct.c defines the arithmetic). */
typedef struct {
    const char *name;
    int32_t (*entropy)(ffp_context *ctx, const ffp_header *header, ffp_job *jobs, int32_t njobs);
    void (*idct)(ffp_context *ctx, const ffp_header *header, ffp_job *job, const ffp_plane planes[FFP_MAX_COMPONENTS]);
    const struct ffp_lane_engine *engine; /* lanes.h; NULL: the level has none */
    /* The inverse DCT of those planes that have a scale, which leaves the coefficients (idct_reduced.c). */
    void (*reduce)(const ffp_header *header, ffp_job *job, const ffp_plane planes[FFP_MAX_COMPONENTS]);
} ffp_level;

extern const ffp_level ffp_level_scalar, ffp_level_avx2, ffp_level_avx512;
const ffp_level *ffp_current_level(void);

/* ---- exported; pointers and integers are 64 bit so that numba can call them -------------------------------------- */

FFP_API ffp_context *ffp_context_new(void);
FFP_API void ffp_context_free(ffp_context *ctx);

/* Decodes the planes that a request's pixel rectangle needs (abi.h), one sample of margin included where a subsampled
 * component has it: libjpeg's "fancy" upsampling looks one sample aside. Progressive and multi-scan streams go through
 * the coefficient path.
 *
 * With a scale the image is reduced 2^scale times while it is decoded (idct_reduced.c): the result describes an image of
 * ceil(width / 2^scale) x ceil(height / 2^scale) pixels, each of which stands for a square of whole ones at its place; the
 * request's rectangle is in whole pixels. Components that have fewer samples already are reduced less: at 4:2:0 and
 * scale 1 chroma keeps its samples and needs no upsampling.
 *
 * The seek index (ffp_index) is used where the scan has no restart markers; FFP_BAD_INDEX when it was not made from this
 * stream. Returns a status; the image is written only with FFP_OK. Each plane has >= 128 readable bytes after each row's
 * and before the first row's samples, and a spare row. */
FFP_API int64_t ffp_decode_region(const ffp_decode_request *request);

/* Header facts for Python: info[FFP_INFO_SIZE] = width, height, components, colour, sof, single_scan, orientation,
 * adobe_transform, mcu_w, mcu_h, mcus_x, mcus_y, restart_interval, scan_offset, then h, v of four components. */
#define FFP_INFO_SIZE 32
FFP_API int64_t ffp_read_header(const uint8_t *data, int64_t size, int64_t *info);

/* All coefficients of the image (any scan structure), absolute DC, zigzag order, component after component, each
 * blocks_y x blocks_x x 64 int16. ffp_coefficients with out NULL returns the number of int16 needed in *count. */
FFP_API int64_t ffp_coefficients(const uint8_t *data, int64_t size, int16_t *out, int64_t capacity, int64_t *count);

/* Lossless rewriting: same coefficients as an interleaved baseline stream with a restart marker every `interval` MCUs
 * (0: none; -1: as many as suit the sampling). A single sequential scan keeps its Huffman codes, and the DC tables get
 * those they lack; anything else gets tables made for it. flags bit 0: keep APPn and COM segments; bit 1: make new tables
 * in any case. *written gets the size; FFP_NO_SPACE when capacity might not suffice (then *written is a size that does,
 * and the stream has been found to be whole). */
FFP_API int64_t ffp_rewrite(const uint8_t *data, int64_t size, int64_t interval, int64_t flags, uint8_t *out,
                            int64_t capacity, int64_t *written);

/* The seek index of a single-scan sequential stream: a place to begin decoding every `interval` MCUs (index.c; below 1:
 * 16, or 8 where an MCU has more than three blocks). With restart markers it needs none: FFP_OK and *written 0. *written gets the size; FFP_NO_SPACE when capacity
 * does not suffice (then *written is the size needed). */
FFP_API int64_t ffp_index(const uint8_t *data, int64_t size, int64_t interval, uint8_t *out, int64_t capacity,
                          int64_t *written);

/* Name of the CPU level in use, and a way to force one (NULL: by CPU features). Returns FFP_OK or -1. */
FFP_API const char *ffp_simd_level(void);
FFP_API int64_t ffp_set_simd_level(const char *name);

#endif
