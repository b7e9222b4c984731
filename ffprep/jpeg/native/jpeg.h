/* The JPEG library of ffprep: what it exports. C only, no dependencies; every file's first comment is its manual.
 *
 * It decodes the MCUs of a JPEG (ITU-T T.81) that a pixel rectangle needs, into planes of samples, and rewrites streams
 * without loss so that this is fast. A stream passes through the folders in this order:
 *
 *   parse/    bytes -> ffp_header (parse.h): every marker segment is checked (annex B)
 *   region/   header and rectangle -> jobs -> planes: ffp_decode_region, and the search for the restart segments needed
 *   index/    the seek index of a scan without restart markers: where else in it decoding can begin
 *   huffman/  the canonical codes of a table (huffman.h, annex C), and the best table for given frequencies (annex K)
 *   scan/     entropy-coded bits -> coefficients, one symbol after the other (scan/scan.h, annexes F and G)
 *   lanes/    the same for many jobs at once: one job in each lane of AVX2 or AVX-512 vectors (lanes/lanes.h)
 *   idct/     coefficients -> samples: exact integer inverse DCT for each CPU level, and to fewer samples (idct/idct.h)
 *   skim/     where the codes of every block begin, without decoding coefficients: for rewriting and indexing
 *   rewrite/  any stream -> a baseline stream with restart markers and the same coefficients
 *   guard/    what guards the file that streams are read from: checksums of payloads, a word before SIGBUS (guard/guard.h)
 *
 * The headers beside this file belong to no folder: parse.h, huffman.h, bits.h (the bit reader), in_step.h (how two
 * readers of one stream find each other), context.h (scratch memory; context.c), levels.h (jobs, planes, and the
 * functions each CPU level has; levels.c chooses the level, FFPREP_SIMD=avx512|avx2|scalar forces one).
 *
 * Every function that reads input bytes takes the end of the input and never reads past it; every size is checked
 * before memory is allocated. Nothing here prints or exits, and the only state outside an ffp_context is the CPU level.
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
    FFP_NOT_JPEG = 1,            /* no SOI at the start */
    FFP_TRUNCATED_HEADER = 2,    /* input ends before the first scan's data */
    FFP_BAD_MARKER = 3,          /* a marker segment is malformed or out of place */
    FFP_UNSUPPORTED_PROCESS = 4, /* lossless, hierarchical, DNL, 12 bit */
    FFP_UNSUPPORTED_COLOR = 5,   /* CMYK, YCCK, 2 components */
    FFP_UNSUPPORTED_SAMPLING = 6,
    FFP_BAD_HUFFMAN_TABLE = 7,
    FFP_BAD_QUANT_TABLE = 8,
    FFP_MISSING_TABLE = 9,
    FFP_TRUNCATED_SCAN = 10, /* entropy-coded data ends early */
    FFP_CORRUPT_SCAN = 11,   /* invalid code, coefficient overrun, data left over in a segment */
    FFP_BAD_RESTART = 12,    /* restart marker missing or out of sequence */
    FFP_TOO_LARGE = 13,      /* dimensions, or the work of all scans, over the limit */
    FFP_BAD_RECTANGLE = 14,
    FFP_NO_MEMORY = 15,
    FFP_NOT_SEQUENTIAL = 16, /* fast path refused: progressive or several scans; use the coefficient path */
    FFP_BAD_INDEX = 17,      /* a seek index does not belong to this stream */
    FFP_SIZE_MISMATCH = 18,  /* stream and stored width/height differ */
    FFP_NO_SPACE = 19,       /* the output buffer is too small */
    FFP_STATUS_COUNT = 20
};

/* What is odd about an image that is whole: bits, mirrored as Note in ffprep/jpeg/rewrite.py. */
enum {
    FFP_NOTE_LEFT_OVER = 1,   /* bytes between the last MCU and the end marker */
    FFP_NOTE_STRAY = 2,       /* bytes between segments or restart intervals, or after a scan but the last */
    FFP_NOTE_NO_EOI = 4,      /* the data ends after the last MCU */
    FFP_NOTE_CODES = 8,       /* a Huffman table in use that libjpeg refuses: a code of all ones, a DC size over 15 */
    FFP_NOTE_NO_TABLES = 16,  /* Huffman tables are missing, and those of T.81 K.3 are meant */
    FFP_NOTE_SAME_IDS = 32,   /* two components have one identifier */
    FFP_NOTE_ZERO_QUANT = 64, /* a quantisation table has a zero */
    FFP_NOTE_DIVIDED = 128,   /* sampling factors were divided by their common divisor */
    FFP_NOTE_COLOUR = 512,    /* JFIF of an unknown version, or an unknown transform of Adobe: libjpeg warns */
    FFP_NOTE_LENGTH = 1024,   /* an APPn, COM or DNL segment's length is 0 or 1 */
    FFP_NOTE_BAND = 256       /* a sequential scan's header names a band of coefficients, which counts for nothing */
};

enum { FFP_COLOR_GRAY = 1, FFP_COLOR_YCC = 2, FFP_COLOR_RGB = 3, FFP_COLOR_CMYK = 4, FFP_COLOR_YCCK = 5 };

typedef struct ffp_context ffp_context;

/* ---- exported; pointers and integers are 64 bit so that numba can call them -------------------------------------- */

FFP_API ffp_context *ffp_context_new(void);
FFP_API void ffp_context_free(ffp_context *ctx);

/* Nanoseconds of processor time that this context spent in the inverse transforms of independent jobs since the last call;
 * it is counted from the first call on, which returns 0. */
FFP_API int64_t ffp_inverse_time(ffp_context *ctx);

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

/* Lossless rewriting: the same coefficients as an interleaved baseline stream with a restart marker every `interval`
 * MCUs (0: none; -1: as many as suit the sampling). A single sequential scan keeps its Huffman codes, and its DC tables
 * are extended by the codes they lack; anything else gets tables made for it. Sampling factors that would make an MCU of
 * over ten blocks are divided by their common divisor. flags bit 0: keep APPn and COM segments (CMYK and YCCK are rewritten
 * only with them); bit 1: make new tables in any case. facts[FFP_FACTS] is set to the size, FFP_NOTE_* bits, and the
 * offset at which the last MCU of the input ends. FFP_NO_SPACE when `capacity` might not suffice: then the stream has been
 * found to be sound, and the size is a capacity that does suffice. */
#define FFP_FACTS 3
FFP_API int64_t ffp_rewrite(const uint8_t *data, int64_t size, int64_t interval, int64_t flags, uint8_t *out,
                            int64_t capacity, int64_t *facts);

/* ffp_rewrite for several streams, one after the other into `out`: those that are grey or YCbCr in one sequential scan, of
 * up to limits[0] pixels, sides of up to limits[1] and a shorter side of up to limits[2], and, where limits[3] is 1,
 * upright by their EXIF orientation. Whatever is not rewritten has a status other than FFP_OK. */
FFP_API void ffp_rewrite_many(ffp_rewrite_item *items, int64_t count, int64_t interval, int64_t flags,
                              const int64_t limits[4], uint8_t *out, int64_t capacity);

/* Whether every code up to the last MCU is valid and there, whatever the colour; facts as above, the size being 0. */
FFP_API int64_t ffp_check(const uint8_t *data, int64_t size, int64_t *facts);

/* The seek index of a single-scan sequential stream: a place to begin decoding every `interval` MCUs (below 1: every 16,
 * or 8 where an MCU has more than three blocks); index/index.h describes its bytes. A stream with restart markers needs
 * none: FFP_OK and *written 0. *written is set to the size. FFP_NO_SPACE when `capacity` does not suffice: then *written
 * is the capacity needed. */
FFP_API int64_t ffp_index(const uint8_t *data, int64_t size, int64_t interval, uint8_t *out, int64_t capacity,
                          int64_t *written);

/* Name of the CPU level in use, and a way to force one (NULL: by CPU features). Returns FFP_OK or -1. */
FFP_API const char *ffp_simd_level(void);
FFP_API int64_t ffp_set_simd_level(const char *name);

#endif
