/* The structures that Python, the compiled kernels and this library hand to one another.
 *
 * ffprep/abi.py has the same ones as numpy dtypes (PLANE, IMAGE, DECODE_REQUEST, REWRITE); a test compares the two. Every field has
 * 64 bits, so that kernels can fill them; pointers are passed as addresses.
 */
#ifndef FFPREP_ABI_H
#define FFPREP_ABI_H

#include <stdint.h>

#define FFP_MAX_COMPONENTS 4

/* Decoded samples of one component: sample (x0 + i, y0 + j) of it is at address[j * stride + i]. */
typedef struct {
    int64_t address, stride; /* of uint8; bytes from one row to the next */
    int64_t x0, y0, w, h;    /* the rectangle of the component's samples that is held */
    int64_t hs, vs;          /* pixels of the image that a sample stands for, across and down */
    int64_t width, height;   /* samples of the whole component */
} ffp_plane_desc;

/* A decoded image, or the part of it that was asked for. */
typedef struct {
    int64_t width, height;     /* pixels of the whole image, halved as often as the request said */
    int64_t components, color; /* planes in use; FFP_COLOR_GRAY, _YCC or _RGB */
    int64_t reserved[4];
    ffp_plane_desc planes[FFP_MAX_COMPONENTS];
} ffp_image_desc;

/* What ffp_decode_region is asked for. */
typedef struct {
    int64_t context;           /* ffp_context *; the decoded planes live in it until its next use */
    int64_t data, size;        /* the JPEG stream */
    int64_t index, index_size; /* its seek index, or 0 and 0 */
    int64_t x, y, w, h;        /* pixels of the whole image that are needed */
    int64_t scale;             /* 0 to 3: how often the image is halved while it is decoded */
    int64_t luma;              /* 1: of YCbCr decode Y alone, as a grey image */
    int64_t image;             /* ffp_image_desc *; receives what was decoded */
} ffp_decode_request;

/* One of the streams that ffp_rewrite_many is given, and what became of it. */
typedef struct {
    int64_t data, size;    /* the JPEG stream */
    int64_t status;        /* FFP_OK: rewritten; all others are for ffp_rewrite, which tells why */
    int64_t begin, end;    /* where the new stream is in the output */
    int64_t sum;           /* xxh3-64 of it */
    int64_t width, height; /* pixels */
    int64_t notes;         /* FFP_NOTE_* */
} ffp_rewrite_item;

#endif
