"""What a worker thread does between rendering an image and leaving it in the batch: a list of operations, then the
element type and order of the batch.

An operation is a C function of :data:`OP_SIGNATURE`::

    op(source, target, h, w, out_h, out_w, pixel, numbers, work, seed, epoch, sample, stream) -> status

    source, target   addresses of packed (h, w) and (out_h, out_w) pixels of `pixel` bytes; one and the same where the
                     operation works in place
    numbers          address of its parameters, float64
    work             address of scratch memory of the size it asked for
    seed, epoch, sample, stream   counters of its random draws (``ffprep.kernels.random``)
    status           0, or a code of ``ffprep.kernels.layout``
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.memory import bytes_at, call_entry, copy_bytes, floats_at, halves_at, longs_at

OP_SIGNATURE = f"int64({', '.join(['int64'] * 13)})"

HEAD_SIZE, RECORD_SIZE = 16, 8
H_COUNT, H_BUFFER, H_TABLE, H_ITEM, H_PLANAR, H_PIXELS = 3, 4, 5, 6, 7, 8
"""Entries of a program (int64) after those of ``ffprep.kernels.image.job.G_ENTRY``: operations; bytes of one of the two
image buffers; address of what makes elements of levels: for float32 scale and bias of each channel, for 16-bit types a
table (3, 256); bytes of an element; whether channels are planes; pixels of the finished image. Then a record for each
operation."""

R_ENTRY, R_STREAM, R_H, R_W, R_OUT_H, R_OUT_W, R_MOVES, R_NUMBERS = range(RECORD_SIZE)
"""Entries of a record: address of the operation, its random stream, sizes, whether it writes to another buffer, address
of its parameters."""


@inline
def _finish_floats(image: int, out: int, scale: NDArray[np.float32], planar: int, pixels: int) -> None:
    """Write ``scale[c] * level + scale[3 + c]`` as float32."""
    levels = bytes_at(image, 3 * pixels)
    a, b, c, d, e, f = scale[0], scale[1], scale[2], scale[3], scale[4], scale[5]
    if planar:
        red, green, blue = (
            floats_at(out, pixels),
            floats_at(out + 4 * pixels, pixels),
            floats_at(out + 8 * pixels, pixels),
        )
        for i in range(pixels):
            red[i] = np.float32(levels[3 * i]) * a + d
            green[i] = np.float32(levels[3 * i + 1]) * b + e
            blue[i] = np.float32(levels[3 * i + 2]) * c + f
    else:
        packed = floats_at(out, 3 * pixels)
        for i in range(pixels):
            packed[3 * i] = np.float32(levels[3 * i]) * a + d
            packed[3 * i + 1] = np.float32(levels[3 * i + 1]) * b + e
            packed[3 * i + 2] = np.float32(levels[3 * i + 2]) * c + f


@inline
def _finish_halves(image: int, out: int, table: int, planar: int, pixels: int) -> None:
    """Look up two bytes for every level, in a table for each channel."""
    levels = bytes_at(image, 3 * pixels)
    reds, greens, blues = halves_at(table, 256), halves_at(table + 512, 256), halves_at(table + 1024, 256)
    if planar:
        red, green, blue = (
            halves_at(out, pixels),
            halves_at(out + 2 * pixels, pixels),
            halves_at(out + 4 * pixels, pixels),
        )
        for i in range(pixels):
            red[i] = reds[levels[3 * i]]
            green[i] = greens[levels[3 * i + 1]]
            blue[i] = blues[levels[3 * i + 2]]
    else:
        packed = halves_at(out, 3 * pixels)
        for i in range(pixels):
            packed[3 * i] = reds[levels[3 * i]]
            packed[3 * i + 1] = greens[levels[3 * i + 1]]
            packed[3 * i + 2] = blues[levels[3 * i + 2]]


@inline
def _finish_levels(image: int, out: int, planar: int, pixels: int) -> None:
    """Write levels as they are."""
    if not planar:
        copy_bytes(np.int64(out), np.int64(image), 3 * pixels)
        return
    levels = bytes_at(image, 3 * pixels)
    red, green, blue = bytes_at(out, pixels), bytes_at(out + pixels, pixels), bytes_at(out + 2 * pixels, pixels)
    for i in range(pixels):
        red[i] = levels[3 * i]
        green[i] = levels[3 * i + 1]
        blue[i] = levels[3 * i + 2]


def run_program(program: int, image: int, out: int, seed: int, epoch: int, sample: int) -> int:
    """Apply a program to the packed RGB image at `image`, which lies at the start of the program's scratch memory."""
    head = longs_at(program, HEAD_SIZE)
    here, there = np.int64(image), np.int64(image + head[H_BUFFER])
    work = image + 2 * head[H_BUFFER]
    for k in range(head[H_COUNT]):
        record = longs_at(program + 8 * (HEAD_SIZE + RECORD_SIZE * k), RECORD_SIZE)
        target = there if record[R_MOVES] else here
        status = call_entry(
            record[R_ENTRY],
            (
                here,
                target,
                record[R_H],
                record[R_W],
                record[R_OUT_H],
                record[R_OUT_W],
                np.int64(3),
                record[R_NUMBERS],
                work,
                np.int64(seed),
                np.int64(epoch),
                np.int64(sample),
                record[R_STREAM],
            ),
        )
        if status != 0:
            return status
        if record[R_MOVES]:
            here, there = there, here
    if head[H_ITEM] == 4:
        _finish_floats(here, out, floats_at(head[H_TABLE], 6), head[H_PLANAR], head[H_PIXELS])
    elif head[H_ITEM] == 2:
        _finish_halves(here, out, head[H_TABLE], head[H_PLANAR], head[H_PIXELS])
    else:
        _finish_levels(here, out, head[H_PLANAR], head[H_PIXELS])
    return np.int64(0)


@kernel
def run_rows(
    entry: int,
    source: int,
    target: int,
    sizes: NDArray[np.int64],
    numbers: int,
    work: int,
    seed: int,
    epoch: int,
    ids: NDArray[np.int64],
    stream: int,
) -> int:
    """Apply one operation to packed images that lie one behind the other; return the first status that is not 0.

    `sizes` is (h, w, out_h, out_w, bytes of a pixel).
    """
    h, w, out_h, out_w, pixel = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    for i in range(ids.size):
        status = call_entry(
            entry,
            (
                np.int64(source + i * h * w * pixel),
                np.int64(target + i * out_h * out_w * pixel),
                h,
                w,
                out_h,
                out_w,
                pixel,
                np.int64(numbers),
                np.int64(work),
                np.int64(seed),
                np.int64(epoch),
                ids[i],
                np.int64(stream),
            ),
        )
        if status != 0:
            return status
    return np.int64(0)


@kernel
def finish_rows(source: int, target: int, count: int, pixels: int, table: int, item: int) -> None:
    """Make elements of the levels of `count` packed images, packed again; see :data:`H_TABLE` for `table`."""
    for i in range(count):
        image, out = source + 3 * i * pixels, target + 3 * i * pixels * item
        if item == 4:
            _finish_floats(image, out, floats_at(table, 6), 0, pixels)
        else:
            _finish_halves(image, out, table, 0, pixels)
