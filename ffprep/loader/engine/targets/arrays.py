"""How a worker makes a row of a batch from an image of any type: cropped, resized, mirrored and normalised.

Values are weighted in float64, rows first, by the weights of :mod:`ffprep.kernels.resample.weights`; those outside a
crop do not count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.abi import ARRAY_VIEW
from ffprep.kernels.image.crop import resized_sides
from ffprep.kernels.image.job import CROP_RESIZE_CENTER
from ffprep.kernels.image.view import placed
from ffprep.kernels.jit import inline
from ffprep.kernels.layout import NO_MEMORY, OK, SIZE_MISMATCH, aligned
from ffprep.kernels.memory import (
    bytes_at,
    double_rows_at,
    doubles_at,
    fill_zero,
    floats_at,
    halves_at,
    ints_at,
    longs_at,
    put_i16,
    record_at,
)
from ffprep.kernels.resample.exact import bfloat_bits, half_bits
from ffprep.kernels.resample.weights import axis_weights, effective_filter, support, tap_limit
from ffprep.loader.engine.rows import payload
from ffprep.loader.engine.targets.shared import ARRAY_HEAD, array_size, recorded_size, room, spec_at, task_at, thread_at
from ffprep.transforms.compiled.follow import nearest_of

U8, I8, U16, I16, U32, I32, F16, F32, F64, BF16 = range(10)
"""Types of elements, in the order of ``ffprep.fields.dense.images.RESULTS``."""

BAD_ARRAY = 108
"""Status code: the payload is no image of the field's type."""

view_at = record_at(ARRAY_VIEW)


@inline
def size_of(kind: int) -> int:
    """Return the bytes of an element."""
    if kind in (U8, I8):
        return np.int64(1)
    if kind in (U16, I16, F16, BF16):
        return np.int64(2)
    return np.int64(8) if kind == F64 else np.int64(4)


@inline
def _half(bits: int) -> float:
    size, part = (bits >> 10) & 31, np.float64(bits & 1023)
    if size == 31:
        value = np.inf if part == 0.0 else np.nan
    elif size == 0:
        value = part * 2.0**-24
    else:
        value = (1024.0 + part) * np.float64(np.int64(1) << size) * 2.0**-25
    return -value if bits & 0x8000 else value


@inline
def _add(kind: int, source: int, count: int, weight: float, sums: NDArray[np.float64]) -> None:
    """Add weighted elements to as many sums; elements are little-endian and may lie anywhere."""
    raw = bytes_at(source, count * size_of(kind))
    if kind == U8:
        for i in range(count):
            sums[i] += weight * raw[i]
    elif kind == I8:
        for i in range(count):
            sums[i] += weight * np.int8(raw[i])
    elif kind == U16:
        values = halves_at(source, count)
        for i in range(count):
            sums[i] += weight * values[i]
    elif kind == I16:
        values = halves_at(source, count)
        for i in range(count):
            sums[i] += weight * np.int16(values[i])
    elif kind == F16:
        values = halves_at(source, count)
        for i in range(count):
            sums[i] += weight * _half(np.int64(values[i]))
    elif kind == I32:
        wide = ints_at(source, count)
        for i in range(count):
            sums[i] += weight * wide[i]
    elif kind == U32:
        wide = ints_at(source, count)
        for i in range(count):
            sums[i] += weight * (np.int64(wide[i]) & 0xFFFFFFFF)
    elif kind == F32:
        floats = floats_at(source, count)
        for i in range(count):
            sums[i] += weight * floats[i]
    else:
        doubles = doubles_at(source, count)
        for i in range(count):
            sums[i] += weight * doubles[i]


@inline
def _whole(value: float, low: float, high: float) -> int:
    return np.int64(min(max(np.rint(value), low), high))


@inline
def _put(kind: int, out: int, at: int, value: float) -> None:
    """Write a value as element number `at`; whole numbers are rounded and clipped to their type."""
    if kind == F32:
        floats_at(out + 4 * at, 1)[0] = np.float32(value)
    elif kind == F16:
        put_i16(out + 2 * at, np.int16(half_bits(np.float32(value))))
    elif kind == BF16:
        put_i16(out + 2 * at, np.int16(bfloat_bits(np.float32(value))))
    elif kind == U8:
        bytes_at(out + at, 1)[0] = np.uint8(_whole(value, 0.0, 255.0))
    elif kind == I8:
        bytes_at(out + at, 1)[0] = np.uint8(_whole(value, -128.0, 127.0))
    elif kind == U16:
        halves_at(out + 2 * at, 1)[0] = np.uint16(_whole(value, 0.0, 65535.0))
    elif kind == I16:
        halves_at(out + 2 * at, 1)[0] = np.uint16(_whole(value, -32768.0, 32767.0))
    elif kind == U32:
        ints_at(out + 4 * at, 1)[0] = np.int32(_whole(value, 0.0, 4294967295.0))
    elif kind == I32:
        ints_at(out + 4 * at, 1)[0] = np.int32(_whole(value, -2147483648.0, 2147483647.0))
    else:
        doubles_at(out + 8 * at, 1)[0] = value


@inline
def _axis(
    blend: int, kind: int, begin: float, extent: float, n: int, length: int, inside: int, centre: int, full: int,
    starts: NDArray[np.int64], counts: NDArray[np.int64], weights: NDArray[np.float64],
) -> None:  # fmt: skip
    """Write the weights of an axis whose `n` outputs show the box from `begin` on.

    With `inside` nothing outside the box counts. Without `blend`, output o shows the place that a label mask has there:
    number ``centre + o`` of `full` outputs.
    """
    if blend == 0:
        first = np.int64(begin) if inside else np.int64(0)
        span = np.int64(extent) if inside else length
        for o in range(n):
            starts[o], counts[o], weights[o, 0] = first + nearest_of(centre + o, span, full), 1, 1.0
        return
    lo, hi = np.int64(begin), np.int64(begin + extent)
    if not inside:
        margin = support(kind, extent / n) + 1.0
        lo = max(np.int64(np.floor(begin - margin)), np.int64(0))
        hi = min(np.int64(np.ceil(begin + extent + margin)), length)
    axis_weights(kind, begin, extent / n, lo, hi, starts, counts, weights)


@inline
def _show(view: Any, spec: Any, thread: Any, values: int, height: int, width: int, key: int, out: int) -> int:
    """Write what a view shows of an array whose elements begin at the address `values`."""
    y, x, h, w, mirrored = placed(spec, height, width, key)
    out_h, out_w, channels, kind = spec.out_h, spec.out_w, view.channels, view.stored
    inside = np.int64(spec.crop != CROP_RESIZE_CENTER)
    blend = effective_filter(spec.filter, h / out_h, w / out_w)
    taps_y, taps_x = tap_limit(blend, h / out_h, 0, height), tap_limit(blend, w / out_w, 0, width)
    full_h, full_w, top, left = out_h, out_w, np.int64(0), np.int64(0)
    if not inside:
        rows, cols = resized_sides(height, width, spec.short)
        if out_h < rows:
            full_h, top = rows, np.int64(np.rint((rows - out_h) / 2.0))
        if out_w < cols:
            full_w, left = cols, np.int64(np.rint((cols - out_w) / 2.0))
    size = aligned(16 * out_h) + aligned(16 * out_w) + aligned(8 * out_h * taps_y) + aligned(8 * out_w * taps_x)
    if not room(thread, size + 8 * width * channels):
        return np.int64(NO_MEMORY)
    at = thread.scratch
    starts_y, counts_y, at = longs_at(at, out_h), longs_at(at + 8 * out_h, out_h), at + aligned(16 * out_h)
    starts_x, counts_x, at = longs_at(at, out_w), longs_at(at + 8 * out_w, out_w), at + aligned(16 * out_w)
    weights_y, at = double_rows_at(at, out_h, taps_y), at + aligned(8 * out_h * taps_y)
    weights_x, at = double_rows_at(at, out_w, taps_x), at + aligned(8 * out_w * taps_x)
    blends = view.image_filter
    _axis(blends, blend, y, h, out_h, height, inside, top, full_h, starts_y, counts_y, weights_y)
    _axis(blends, blend, x, w, out_w, width, inside, left, full_w, starts_x, counts_x, weights_x)

    first = starts_x[0]
    columns = starts_x[out_w - 1] + counts_x[out_w - 1] - first
    item, plane = size_of(kind), np.int64(1)
    step, parts = channels, np.int64(1)
    if view.planes:
        step, parts, plane = np.int64(1), channels, height
    count = columns * step
    line, colour = doubles_at(at, columns * channels), doubles_at(view.colour, 2 * channels)
    for o in range(out_h):
        line[:] = 0.0
        for part in range(parts):
            sums = line[part * count : (part + 1) * count]
            for t in range(counts_y[o]):
                row = (part * plane + starts_y[o] + t) * width + first
                _add(kind, values + row * step * item, count, weights_y[o, t], sums)
        for j in range(out_w):
            to = out_w - 1 - j if mirrored else j
            for c in range(channels):
                near = (starts_x[j] - first) * step + (c * count if view.planes else c)
                total = 0.0
                for t in range(counts_x[j]):
                    total += weights_x[j, t] * line[near + t * step]
                place = (c * out_h + o) * out_w + to if view.planar else (o * out_w + to) * channels + c
                _put(view.element, out, place, total * colour[2 * c] + colour[2 * c + 1])
    return np.int64(OK)


@inline
def _array(task: Any, sample: int, key: int, thread: Any, out: int) -> int:
    view = view_at(task.target)
    address, size = payload(task, sample)
    if size < 0:
        return -size
    height, width, begin = view.height, view.width, np.int64(0)
    if height == 0:
        height, width = array_size(address, size)
        begin = np.int64(ARRAY_HEAD)
        if height == 0 or bytes_at(address + 4, 1)[0] != size_of(view.stored):
            return np.int64(BAD_ARRAY)
    if size != begin + height * width * view.channels * size_of(view.stored):
        return np.int64(BAD_ARRAY)
    if view.meta != 0:
        shown_h, shown_w = recorded_size(view, sample)
        if shown_h != height or shown_w != width:
            return np.int64(SIZE_MISMATCH)
    return _show(view, spec_at(view.spec), thread, address + begin, height, width, key, out)


def make_array(task_address: int, row: int, sample: int, key: int, thread_address: int) -> int:
    """Make a row of a batch of images of any type; return the status."""
    task = task_at(task_address)
    out = task.out + row * task.row_bytes
    status = _array(task, sample, key, thread_at(thread_address), out)
    if status != OK:
        fill_zero(np.int64(out), task.row_bytes)
    return status
