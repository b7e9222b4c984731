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

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.abi import AUGMENTATION, AUGMENTATION_STEP, COLOUR
from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.memory import bytes_at, call_entry, copy_bytes, floats_at, halves_at, record_at
from ffprep.kernels.simd import levels as u
from ffprep.kernels.simd import operations as v
from ffprep.transforms.compiled.pixels import PIXELS, channels_at

OP_SIGNATURE = f"int64({', '.join(['int64'] * 13)})"

augmentation_at, step_at, colour_at = record_at(AUGMENTATION), record_at(AUGMENTATION_STEP), record_at(COLOUR)
STEP_BYTES = AUGMENTATION_STEP.itemsize
CHANNELS = 3


ROW = 512
"""Pixels whose channels are written one after the other, so that few places are written to at a time."""


@inline
def _put_floats(at: int, levels: Any, scale: Any, bias: Any, stream: int) -> None:
    """Write 16 levels as ``scale * level + bias``."""
    value = v.add_f32x16(v.multiply_f32x16(v.widen_u8_f32x16(levels), scale), bias)
    if stream:
        v.stream_f32x16(at, value)
    else:
        v.store_f32x16(at, value)


@inline
def _put_plane(at: int, levels: Any, scale: Any, bias: Any, stream: int) -> None:
    """The same for 32."""
    _put_floats(at, u.lower_i8x16(levels), scale, bias, stream)
    _put_floats(at + 64, u.upper_i8x16(levels), scale, bias, stream)


@inline
def _finish_floats(image: int, out: int, table: int, planar: int, pixels: int, stream: int) -> None:
    """Write ``scale * level + bias`` as float32, with the COLOUR at `table`."""
    levels, floats = bytes_at(image, 3 * pixels), floats_at(out, 3 * pixels)
    scale, bias = colour_at(table).scale, colour_at(table).bias
    a, b, c = v.fill_f32x16(scale[0]), v.fill_f32x16(scale[1]), v.fill_f32x16(scale[2])
    d, e, f = v.fill_f32x16(bias[0]), v.fill_f32x16(bias[1]), v.fill_f32x16(bias[2])
    past = np.int64(stream != 0 and out % 64 == 0 and pixels % 16 == 0)
    done, plane = np.int64(0), 4 * pixels
    if planar:
        whole = pixels // PIXELS * PIXELS
        while done < whole:
            end = min(whole, done + ROW)
            for at in range(done, end, PIXELS):
                _put_plane(out + 4 * at, channels_at(image + 3 * at)[0], a, d, past)
            for at in range(done, end, PIXELS):
                _put_plane(out + plane + 4 * at, channels_at(image + 3 * at)[1], b, e, past)
            for at in range(done, end, PIXELS):
                _put_plane(out + 2 * plane + 4 * at, channels_at(image + 3 * at)[2], c, f, past)
            done = end
    else:
        a, b, c = v.pixel_part_0(a, b, c), v.pixel_part_1(a, b, c), v.pixel_part_2(a, b, c)
        d, e, f = v.pixel_part_0(d, e, f), v.pixel_part_1(d, e, f), v.pixel_part_2(d, e, f)
        while done + PIXELS <= pixels:
            for half in range(2):
                at = 3 * done + 48 * half
                _put_floats(out + 4 * at, v.load_i8x16(image + at), a, d, past)
                _put_floats(out + 4 * at + 64, v.load_i8x16(image + at + 16), b, e, past)
                _put_floats(out + 4 * at + 128, v.load_i8x16(image + at + 32), c, f, past)
            done += PIXELS
    for i in range(done, pixels):
        for k in range(3):
            place = k * pixels + i if planar else 3 * i + k
            floats[place] = np.float32(levels[3 * i + k]) * scale[k] + bias[k]
    if past:
        v.store_fence()


@inline
def _finish_halves(image: int, out: int, table: int, planar: int, pixels: int) -> None:
    """Look up two bytes for every level, in a table for each channel."""
    levels = bytes_at(image, 3 * pixels)
    if planar:
        for begin in range(0, pixels, ROW):
            end = min(pixels, begin + ROW)
            for k in range(3):
                of_level, plane = halves_at(table + 512 * k, 256), halves_at(out + 2 * k * pixels, pixels)
                for i in range(begin, end):
                    plane[i] = of_level[levels[3 * i + k]]
    else:
        reds, greens, blues = halves_at(table, 256), halves_at(table + 512, 256), halves_at(table + 1024, 256)
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
        planar, stream = augmentation.planar, augmentation.stream
        _finish_floats(here, np.int64(out), augmentation.table, planar, augmentation.pixels, stream)
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
            _finish_floats(np.int64(image), np.int64(out), table, 0, np.int64(pixels), 0)
        else:
            _finish_halves(image, out, table, 0, pixels)
