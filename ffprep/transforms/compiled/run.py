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

from ffprep.kernels._jit import inline, kernel
from ffprep.kernels.memory import bytes_at, call_entry, halves_at, ints_at, longs_at

OP_SIGNATURE = f"int64({', '.join(['int64'] * 13)})"

HEAD_SIZE, RECORD_SIZE = 16, 8
H_COUNT, H_BUFFER, H_TABLE, H_ITEM, H_PLANAR, H_PIXELS = 3, 4, 5, 6, 7, 8
"""Entries of a program (int64) behind those of ``ffprep.kernels.job.G_ENTRY``: operations; bytes of one of the two
image buffers; address of the table of output elements, (3, 256) of H_ITEM bytes each; whether channels are planes;
pixels of the finished image. Then a record for each operation."""

R_ENTRY, R_STREAM, R_H, R_W, R_OUT_H, R_OUT_W, R_MOVES, R_NUMBERS = range(RECORD_SIZE)
"""Entries of a record: address of the operation, its random stream, sizes, whether it writes to another buffer, address
of its parameters."""


@inline
def _finish(image: int, out: int, table: int, item: int, planar: int, pixels: int) -> None:
    """Look up the batch's element for every level, for packed RGB; to planes or to packed pixels."""
    step = np.int64(1) if planar else np.int64(3)
    jump = np.int64(pixels) if planar else np.int64(1)
    levels = bytes_at(image, 3 * pixels)
    if item == 4:
        ints, int_table = ints_at(out, 3 * pixels), ints_at(table, 768)
        for i in range(pixels):
            ints[step * i] = int_table[levels[3 * i]]
            ints[step * i + jump] = int_table[256 + np.int64(levels[3 * i + 1])]
            ints[step * i + 2 * jump] = int_table[512 + np.int64(levels[3 * i + 2])]
    elif item == 2:
        halves, half_table = halves_at(out, 3 * pixels), halves_at(table, 768)
        for i in range(pixels):
            halves[step * i] = half_table[levels[3 * i]]
            halves[step * i + jump] = half_table[256 + np.int64(levels[3 * i + 1])]
            halves[step * i + 2 * jump] = half_table[512 + np.int64(levels[3 * i + 2])]
    else:
        small = bytes_at(out, 3 * pixels)
        for i in range(pixels):
            small[step * i] = levels[3 * i]
            small[step * i + jump] = levels[3 * i + 1]
            small[step * i + 2 * jump] = levels[3 * i + 2]


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
    _finish(here, out, head[H_TABLE], head[H_ITEM], head[H_PLANAR], head[H_PIXELS])
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
