"""What a worker thread does to a rendered image before it goes to the batch.

A list of operations (:data:`ffprep.abi.AUGMENTATION`) is applied to it, then its levels become elements of the batch's
type and order.

An operation is a C function of :data:`OP_SIGNATURE`::

    op(source, target, h, w, out_h, out_w, pixel, numbers, work, seed, epoch, sample, stream) -> status

    source, target   addresses of packed (h, w) and (out_h, out_w) pixels of `pixel` bytes; the same address where the
                     operation works in place
    numbers          address of its parameters, float64
    work             address of scratch memory of the size it asked for
    seed, epoch, sample, stream   counters of its random draws (``ffprep.kernels.random``)
    status           0, or a code of ``ffprep.kernels.layout``
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.abi import AUGMENTATION, AUGMENTATION_STEP, COLOUR
from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.memory import bytes_at, call_entry, copy_bytes, floats_at, halves_at, record_at

OP_SIGNATURE = f"int64({', '.join(['int64'] * 13)})"

augmentation_at, step_at, colour_at = record_at(AUGMENTATION), record_at(AUGMENTATION_STEP), record_at(COLOUR)
STEP_BYTES = AUGMENTATION_STEP.itemsize
CHANNELS = 3


@inline
def _finish_floats(image: int, out: int, table: int, planar: int, pixels: int) -> None:
    """Write ``scale * level + bias`` as float32, with the COLOUR at `table`."""
    levels = bytes_at(image, 3 * pixels)
    scale, bias = colour_at(table).scale, colour_at(table).bias
    a, b, c, d, e, f = scale[0], scale[1], scale[2], bias[0], bias[1], bias[2]
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


@inline
def _finish_grey(image: int, out: int, table: int, item: int, pixels: int) -> None:
    """Write the luma of each pixel, by the weights of ITU-R BT.601 in 65536ths, as an element of `item` bytes."""
    levels = bytes_at(image, 3 * pixels)
    few, halves, floats = bytes_at(out, pixels), halves_at(out, pixels), floats_at(out, pixels)
    of_level, scale, bias = halves_at(table, 256), colour_at(table).scale, colour_at(table).bias
    a, b = scale[0], bias[0]
    for i in range(pixels):
        red, green, blue = np.int32(levels[3 * i]), np.int32(levels[3 * i + 1]), np.int32(levels[3 * i + 2])
        level = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
        if item == 4:
            floats[i] = np.float32(level) * a + b
        elif item == 2:
            halves[i] = of_level[level]
        else:
            few[i] = np.uint8(level)


def run_program(address: int, image: int, out: int, seed: int, epoch: int, sample: int) -> int:
    """Carry out the augmentation at `address`; return the status.

    The packed RGB image at `image` lies at the start of the augmentation's scratch memory; the finished one goes to
    `out`.
    """
    augmentation = augmentation_at(address)
    here, there = np.int64(image), np.int64(image + augmentation.buffer)
    work = image + 2 * augmentation.buffer
    for k in range(augmentation.count):
        step = step_at(augmentation.steps + k * STEP_BYTES)
        target = there if step.moves else here
        status = call_entry(
            step.entry,
            (
                here, target, step.h, step.w, step.out_h, step.out_w, np.int64(CHANNELS), step.numbers, work,
                np.int64(seed), np.int64(epoch), np.int64(sample), step.stream,
            ),
        )  # fmt: skip
        if status != 0:
            return status
        if step.moves:
            here, there = there, here
    if augmentation.grey:
        _finish_grey(here, out, augmentation.table, augmentation.item, augmentation.pixels)
    elif augmentation.item == 4:
        _finish_floats(here, out, augmentation.table, augmentation.planar, augmentation.pixels)
    elif augmentation.item == 2:
        _finish_halves(here, out, augmentation.table, augmentation.planar, augmentation.pixels)
    else:
        _finish_levels(here, out, augmentation.planar, augmentation.pixels)
    return np.int64(0)


@kernel(arguments=[*[np.int64] * 3, (np.int64, 1), *[np.int64] * 4, (np.int64, 1), np.int64])
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
    """Apply one operation to packed images that lie one after the other; return the first status that is not 0.

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


@kernel(arguments=[np.int64] * 6)
def finish_rows(source: int, target: int, count: int, pixels: int, table: int, item: int) -> None:
    """Make elements of `item` bytes of the levels of `count` packed images, with the `table` of an AUGMENTATION."""
    for i in range(count):
        image, out = source + 3 * i * pixels, target + 3 * i * pixels * item
        if item == 4:
            _finish_floats(image, out, table, 0, pixels)
        else:
            _finish_halves(image, out, table, 0, pixels)
