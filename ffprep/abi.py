"""The structures that Python, the compiled kernels and the C library hand to one another.

Each is a numpy structured dtype, used three ways: Python fills an array of it by field name (``task["row_bytes"] =
12``), kernels take its records (``task.row_bytes``; :mod:`ffprep.kernels.memory` gives the record at an address), and
the C library has the same layout in ``jpeg/native/abi.h``, which a test compares with this file.

Conventions: whole numbers are int64 and real numbers float64 unless said otherwise; an *address* is that of memory
which the array's maker keeps alive, 0 for none; sizes and strides are bytes; a flag is 0 or 1. Two tables hold what
several threads write: their fields lie on cache lines of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

CACHE_LINE = 64
MOST_COMPONENTS = 4


def _whole(names: str) -> list[tuple[str, Any]]:
    return [(name, np.int64) for name in names.split()]


def _real(names: str) -> list[tuple[str, Any]]:
    return [(name, np.float64) for name in names.split()]


# ---- decoded images: written by the C library, read by the renderers -------------------------------------------------

PLANE = np.dtype(_whole("address stride x0 y0 w h hs vs width height"))
"""Decoded samples of one component, uint8.

address, stride
    Sample (x0, y0) of the component; bytes from one row to the next.
x0, y0, w, h
    The rectangle of the component's samples that is held.
hs, vs
    Pixels of the image that a sample stands for, across and down.
width, height
    Samples of the whole component.
"""

IMAGE = np.dtype(
    [
        *_whole("width height components color"),
        ("reserved", np.int64, (4,)),
        ("planes", PLANE, (MOST_COMPONENTS,)),
    ]
)
"""A decoded image, or the part of it that was asked for: its size in pixels, and a plane for each component.

`color` is one of ``GRAY``, ``YCC``, ``RGB`` of :mod:`ffprep.kernels.layout`, or ``RGB_PACKED`` for one plane of
interleaved pixels, three bytes each.
"""

DECODE_REQUEST = np.dtype(_whole("context data size index index_size x y w h scale luma image"))
"""What ``ffp_decode_region`` is asked for.

context
    Address of an ``ffp_context``; the decoded planes live in it until its next use.
data, size; index, index_size
    The JPEG stream; its seek index, or 0 and 0.
x, y, w, h
    Pixels of the whole image that are needed.
scale
    0 to 3: how many times the image is halved while it is decoded.
luma
    1: of a YCbCr image decode Y alone, which is then a grey image.
image
    Address of the :data:`IMAGE` that receives what was decoded.
"""

REWRITE = np.dtype(_whole("data size status begin end sum width height notes"))
"""One of the streams that ``ffp_rewrite_many`` is given, and what became of it.

data, size
    The JPEG stream.
status
    0: it was rewritten. All others are for ``ffp_rewrite``, which tells why.
begin, end
    Where the new stream is in the output.
sum
    xxh3-64 of it, with a sign.
width, height
    Pixels of the image.
notes
    Bits of :class:`ffprep.jpeg.rewrite.Note`.
"""

# ---- from a decoded image to pixels: renderers -----------------------------------------------------------------------

COLOUR = np.dtype([("scale", np.float32, (3,)), ("bias", np.float32, (3,))])
"""Normalisation of each of R, G, B: a level of 0..255 becomes ``scale * level + bias``."""

RENDER = np.dtype(
    [
        *_whole("image"),
        *_real("y x h w"),
        *_whole("lo_y hi_y lo_x hi_x flip filter out out_h out_w format colour work work_size stream"),
    ]
)
"""What a renderer is asked for; see :mod:`ffprep.kernels.resample.render`.

image
    Address of an :data:`IMAGE`.
y, x, h, w
    Box in pixels of that image: the output shows exactly this.
lo_y, hi_y, lo_x, hi_x
    Pixels that may be used, ends excluded; for a crop, its own ends.
flip, filter
    1 mirrors left and right; one of ``weights.FILTERS``.
out, out_h, out_w, format
    Address of the output, ``out_h * out_w`` pixels, densely packed, in one of ``layout.FORMATS``.
colour
    Address of a :data:`COLOUR`; ignored for uint8.
work, work_size
    Workspace: its address, at least as many bytes as ``render.work_size`` says.
stream
    1: write past the cache where the format allows it.
"""

ROW_TABLES = np.dtype(_whole("first used weight pitch shift last"))
"""Which rows of a plane make each output row, as a fixed-point renderer reads it.

first, used
    Addresses of each output row's first source row and of how many taps, or pairs of taps, it has (int32).
weight, pitch
    Address of the weights (int32 table, tap-major), bytes from one of its rows to the next.
shift
    What to add to a source row to get a row of the component.
last
    The last source row used, counted as those in `first` are.
"""

COLUMN_TABLES = np.dtype(_whole("first used weight pitch origin columns base index groups"))
"""Which columns of a plane make each output column, as a fixed-point renderer reads it.

origin, columns
    The first column of the component that is used, and how many are.
base, index, weight, groups
    With block tables: those of :func:`ffprep.kernels.resample.axis.block_tables` and their groups of four taps.
first, used, weight, pitch
    Without block tables: as of :data:`ROW_TABLES`; the first output's entry in `first` is the column `origin`.
"""

PLANE_TABLES = np.dtype([("rows", ROW_TABLES), ("columns", COLUMN_TABLES)])
"""Both axes of a class of planes: luma, or chroma at another resolution; see :mod:`ffprep.kernels.resample.plan`."""

WIDE_AXIS = np.dtype(_whole("first count weight pitch least"))
"""One axis of a plane as the wide renderer reads it.

first, count
    Addresses of each output's first source sample and of how many samples it has (int64).
weight, pitch
    Address of the weights (float32), how many weights from one output to the next.
least
    The first source sample of the first output.
"""

WIDE_PLANE = np.dtype([("rows", WIDE_AXIS), ("columns", WIDE_AXIS)])
"""Both axes of a plane as the wide renderer reads them."""

# ---- images of a batch -----------------------------------------------------------------------------------------------

ITEM = np.dtype(_whole("address size index index_size width height mode sample"))
"""A stored image: its bytes (checked to lie in the file), its seek index or 0 and 0, width and height from its record,
storage mode (0 JPEG, 1 raw RGB), and the number that its random draws are keyed by."""

IMAGE_SPEC = np.dtype(
    [
        *_whole("crop filter format out_h out_w pitch seed epoch crop_op flip_op"),
        *_whole("stream short reduce luma next augment"),
        *_real("scale_lo scale_hi ratio_lo ratio_hi center flip"),
        ("colour", COLOUR),
    ]
)
"""What an image operation makes of every image; :func:`ffprep.kernels.image.job.image_spec` fills it.

crop, filter, format
    One of ``job.CROPS``, ``weights.FILTERS``, ``layout.FORMATS``.
out_h, out_w, pitch
    Size of the output; bytes from one output to the next.
seed, epoch, crop_op, flip_op
    Key and counters of the random draws.
stream
    1: write past the cache.
short
    Of ``resize_center``: the shorter side after the resize.
reduce
    1 where JPEGs may be halved while they are decoded.
luma
    1 where nothing but an image's luma is needed.
next
    The operation that makes the next view of the same image, 0 for none.
augment
    Address of an :data:`AUGMENTATION`, 0 for none.
scale_lo .. ratio_hi, center, flip
    Ranges of the random crop, or of a size on a canvas; share of the shorter side of the centred one; probability of
    mirroring.
"""

BOX = np.dtype(_real("y x h w flip") + _whole("rows cols down across"))
"""What an image was cut to, in pixels, and 1 where it was mirrored, else 0; the size that this is rendered in, and
where it then lies on the output, which it fills unless the crop is one on a canvas."""

REACH = np.dtype(_whole("lo_y hi_y lo_x hi_x"))
"""Pixels of an image that a box and its filter need, ends excluded."""

THREAD = np.dtype(
    [
        *_whole("context decode render unscaled wide exact scale work work_size scratch scratch_size"),
        ("image", IMAGE),
        ("reach", REACH),
        ("whole", REACH),
        ("both", REACH),
        ("request", DECODE_REQUEST),
        ("arguments", RENDER),
    ]
)
"""What one thread owns. Made by :func:`ffprep.kernels.image.job.new_thread`, freed by ``free_thread``.

context
    Address of its ``ffp_context``.
decode, render, unscaled, wide
    Addresses of ``ffp_decode_region``, of the CPU's renderer, of that for boxes that keep their size, of the one that
    takes what these leave.
exact
    1: all renderers are the exact one.
scale
    How often the decoded image was halved.
work, work_size; scratch, scratch_size
    Memory of the C heap: workspace of the renderers; what an augmentation works in.
image, reach, whole, both, request, arguments
    Of the image under way.
"""

# ---- augmentations ---------------------------------------------------------------------------------------------------

AUGMENTATION = np.dtype(_whole("entry scratch bytes count steps buffer table item planar grey pixels stream"))
"""Operations on a rendered image; :func:`ffprep.transforms.image.build_program` fills it.

entry
    Address of a C function ``run(augmentation, image, out, seed, epoch, sample) -> status``.
scratch
    Bytes of scratch memory, at whose beginning the rendered image lies as uint8 (H, W, 3).
bytes
    Of the finished image.
count, steps
    Address of an array of :data:`AUGMENTATION_STEP`, of that many elements.
buffer
    Bytes of one of the two image buffers in the scratch memory.
table, item
    Address of what makes elements of levels; bytes of an element. For float32 a :data:`COLOUR`, for 16-bit types a
    table (3, 256).
planar, grey, pixels
    Whether channels are planes; whether only their luma is written; pixels of the finished image.
stream
    Whether float32 is written past the cache.
"""

AUGMENTATION_STEP = np.dtype(_whole("entry stream h w out_h out_w moves numbers"))
"""One operation: its address and random stream, sizes before and after, whether it writes to the other buffer, address
of its parameters (float64)."""


def offset_of(table: np.dtype[Any], field: str) -> int:
    """Return the bytes from the beginning of a record to one of its fields."""
    assert table.fields is not None
    return int(table.fields[field][1])


# ---- what worker threads do ------------------------------------------------------------------------------------------

TASK = np.dtype(
    _whole(
        "kind out row_bytes meta meta_stride offsets offset_stride sizes size_stride data data_size "
        "lengths element fill rows_each "
        "index index_sizes width source columns counts counts_stride choose seed epoch stream "
        "check sums sum_stride states check_offsets check_offset_stride check_sizes check_size_stride check_rows target"
    )
)
"""What an operation does with the samples of one file; :mod:`ffprep.loader.engine.rows` carries it out.

kind, out, row_bytes
    One of ``rows.KIND_*``; address of the batch's first row, bytes of a row.
meta, meta_stride
    Address of the first sample's record, bytes from one to the next.
offsets, offset_stride, sizes, size_stride, data, data_size
    Addresses of two int64 a sample that say where its payload lies, each with the bytes to the next, since they may be
    those of the file's own tables; the file's bytes.
lengths, element, fill
    Address of the lengths of ragged rows or 0; bytes of an element; what to put after the end, as an int64.
rows_each
    Of tokens and captions: rows that lie one after the other at each of `offsets`.
index, index_sizes
    Of images: addresses of two int64 a sample, address and size of its seek index; 0 where there is none.
width, source, columns
    Of captions: elements of a stored row, bytes of a stored element (also of tokens), elements of a row of the batch.
counts, counts_stride
    Of captions: address of the first sample's int64 that says how many rows count, bytes to the next; 0: all count.
choose, seed, epoch, stream
    Of captions: which rows to take, key and counters of the draw.
check, sums, sum_stride, states
    Address of ``ffp_check_payload``; of the uint64 checksum of each payload, 0 where none is compared, and bytes to the
    next; of a uint8 state each, 0 where each touch is to compare.
check_offsets, check_offset_stride, check_sizes, check_size_stride, check_rows
    Addresses of two int64 a payload that say where it lies, with the bytes to the next; how many samples lie in each
    payload.
target
    Of what follows an image: address of a :data:`TARGET`.
"""

TARGET = np.dtype(
    [
        *_whole(
            "entry spec meta meta_stride steps count out_h out_w item scratch fill stored format columns swaps "
            "swap_count boxes work leader"
        ),
        *_real("min_size min_area"),
    ]
)
"""What follows an image through its crop, flip and geometry; :mod:`ffprep.loader.engine.targets` fills it.

entry
    Address of a C function ``make(task, row, sample, key, thread) -> status``.
spec, meta, meta_stride
    Of the image: addresses of its :data:`IMAGE_SPEC` and of the first sample's record, bytes to the next.
steps, count
    Address of an array of :data:`AUGMENTATION_STEP` for labels or points, of that many elements.
out_h, out_w, work
    Size of the result; bytes of scratch memory that a step needs.
item, scratch, fill
    Of masks: bytes of a stored label, and of an image of labels in scratch memory; label of what lies outside.
stored, format
    Of boxes: numbers of the formats in the file and in the batch.
columns, swaps, swap_count
    Of keypoints: how many a row has; address of pairs of them (int64) that change places in a mirrored image.
boxes
    Address of the :data:`TASK` of the boxes that values and keypoints go along with, 0 for none.
leader
    Address of the :data:`TASK` of an array that is followed as an image, 0 for none.
min_size, min_area
    Of boxes: what must be left of one.
"""

ARRAY_VIEW = np.dtype(
    _whole("entry spec meta meta_stride height width channels stored element planes planar colour image_filter")
)
"""What becomes of an array that is an image; :mod:`ffprep.loader.engine.targets.array_records` fills it.

entry
    As of a :data:`TARGET`.
spec, meta, meta_stride
    Address of the :data:`IMAGE_SPEC` that says what is shown; of an image that it follows, address of the first
    sample's record and bytes to the next, else 0.
height, width, channels
    Of the array; height and width are 0 where each sample has its own, which its payload says.
stored, element
    Types of elements, numbered as in ``arrays.TYPES``: in the file and in the batch.
planes, planar
    1 where channels are planes: in the file and in the batch.
colour
    Address of two float64 for each channel: a value v becomes ``v * first + second``.
image_filter
    1 to blend values, 0 to take the nearest.
"""


def _lines(*lines: str) -> np.dtype[Any]:
    """A table whose groups of fields begin a cache line each."""
    names: list[str] = []
    offsets: list[int] = []
    for number, line in enumerate(lines):
        for place, name in enumerate(line.split()):
            names.append(name)
            offsets.append(number * CACHE_LINE + 8 * place)
    return np.dtype(
        {
            "names": names,
            "formats": [np.int64] * len(names),
            "offsets": offsets,
            "itemsize": len(lines) * CACHE_LINE,
        }
    )


CONTROL = _lines("next_ticket", "published", "sleepers", "stop", "batch_size slots grain work_fd done_fd")
"""What all threads of a pool share: the next ticket, tickets published, threads asleep, the order to end; constants."""

SLOT = _lines("left", "count cancelled failed")
"""One batch under way: tickets not finished yet; its rows, whether to skip them, rows that failed."""
