"""Axis weights for the fixed-point renderers, computed for sixteen outputs at a time.

This is the fast form of :mod:`ffprep.kernels.resample.weights`, which says why there are two.

An axis of n outputs is a few arrays of 4-byte elements in the workspace, tap-major: element o of row k of a table is
weight k of output o. Rows are :func:`lanes` (n) elements apart and begin 16 elements in, so that a vector that starts
before output 0 or ends after output n - 1 stays inside. Weights are float32 first, then integers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ffprep.kernels.jit import inline
from ffprep.kernels.memory import get_f32, get_i32, put_f32, put_i32
from ffprep.kernels.resample.weights import (
    AREA,
    BICUBIC,
    STRETCH,
    outputs_per_sample,
    smooth_first,
    stretch_place,
    support,
)
from ffprep.kernels.simd import operations as v

FRONT = 64
"""Bytes of a row in front of output 0."""
SPARE_ROWS = 3
"""Rows of zeros above and below a weight table that :func:`compose_fancy` reads."""


class Axis(NamedTuple):
    """An axis in the workspace; the addresses are those of output 0.

    Attributes
    ----------
    outputs, taps : int
        How many outputs there are; rows of the table of weights.
    first : int
        Address of each output's first source sample (int32).
    weights : int
        Address of the table of weights: float32, or int32 once :func:`quantise_axis` has rounded them.
    """

    outputs: int
    taps: int
    first: int
    weights: int


@inline
def lanes(n: int) -> int:
    """Return the elements from one row of a table to the next."""
    return ((n + 15) & ~np.int64(15)) + 32


@inline
def composed_taps(count: int) -> int:
    """Return how many samples of a component at half resolution `count` neighbouring image samples need."""
    return (count + 2) // 2 + 1


@inline
def _places(kind: int, offset: float, scale: float, length: int, axis: Axis, place: int) -> None:
    """Write each output's first sample and, as :func:`fill_axis` needs it, where that lies relative to the output."""
    v.compact()
    reach = support(kind, scale)
    inverse = outputs_per_sample(scale, axis.outputs)
    for o in range(axis.outputs):
        if kind == STRETCH:
            start, part = stretch_place(o, offset, inverse, length)
            put_f32(place + 4 * o, np.float32(part))
        elif kind == AREA:
            begin = max(offset + scale * o, 0.0)
            start = min(np.int64(np.floor(begin)), length - 1)
            put_f32(place + 4 * o, np.float32(start - begin))
        else:
            center = offset + (o + 0.5) * scale
            start = smooth_first(center, reach, length)
            put_f32(place + 4 * o, np.float32(start + 0.5 - center))
        put_i32(axis.first + 4 * o, np.int32(start))


@inline
def fill_axis(kind: int, offset: float, scale: float, length: int, axis: Axis, place: int) -> None:
    """Fill an axis whose output o covers ``offset + scale * [o, o + 1)`` of `length` samples.

    The axis has :func:`ffprep.kernels.resample.weights.tap_count` taps and SPARE_ROWS zeroed rows above and below its
    weights. `place` is the address of output 0 in a float32 row of scratch.
    """
    v.compact()
    n, count, first, weights = axis
    _places(kind, offset, scale, length, axis, place)
    pitch = 4 * lanes(n)
    one, nothing = v.fill_f32x16(np.float32(1)), v.fill_f32x16(np.float32(0))
    inverse = v.fill_f32x16(np.float32(1.0 / max(scale, 1.0)))
    cell = v.fill_f32x16(np.float32(scale))
    end = v.fill_i32x16(length)
    for at in range(0, 4 * n, 64):
        x = v.load_f32x16(place + at)
        position = v.load_i32x16(first + at)
        total = nothing
        for k in range(count):
            if kind == STRETCH:
                w = v.subtract_f32x16(one, x) if k == 0 else x
            elif kind == AREA:
                w = v.max_f32x16(
                    v.subtract_f32x16(v.min_f32x16(v.add_f32x16(x, one), cell), v.max_f32x16(x, nothing)), nothing
                )
                x = v.add_f32x16(x, one)
            else:
                d = v.absolute_f32x16(v.multiply_f32x16(x, inverse))
                w = v.cubic_f32x16(d) if kind == BICUBIC else v.max_f32x16(v.subtract_f32x16(one, d), nothing)
                x = v.add_f32x16(x, one)
            w = v.keep_below_f32x16(position, end, w)
            position = v.add_i32x16(position, v.fill_i32x16(1))
            total = v.add_f32x16(total, w)
            v.store_f32x16(weights + k * pitch + at, w)
        factor = v.divide_f32x16(one, total)
        for k in range(count):
            to = weights + k * pitch + at
            v.store_f32x16(to, v.multiply_f32x16(v.load_f32x16(to), factor))


@inline
def compose_fancy(lo: int, length: int, axis: Axis, composed: Axis) -> None:
    """Combine an axis with libjpeg's 3:1 upsampling of a component of `length` samples at half resolution.

    The first samples of `axis` count from image sample `lo`, those of `composed` from the component's sample 0;
    `composed` has :func:`composed_taps` rows. Image sample p is 3/4 of sample p // 2 and 1/4 of its neighbour on p's
    side, so tap j of the result gathers four taps of the axis, one further on where the axis begins at an odd p.
    """
    v.compact()
    n, _, first, weights = axis
    _, total, out_first, out_weights = composed
    pitch = 4 * lanes(n)
    quarter, most = v.fill_f32x16(np.float32(0.25)), v.fill_f32x16(np.float32(0.75))
    start = v.fill_i32x16(lo)
    for at in range(0, 4 * n, 64):
        p = v.add_i32x16(v.load_i32x16(first + at), start)
        v.store_i32x16(out_first + at, v.half_down_i32x16(v.add_i32x16(p, v.fill_i32x16(-1))))
        for j in range(total):
            row = weights + (2 * j - 3) * pitch + at
            w0, w1, w2 = v.load_f32x16(row), v.load_f32x16(row + pitch), v.load_f32x16(row + 2 * pitch)
            w3, w4 = v.load_f32x16(row + 3 * pitch), v.load_f32x16(row + 4 * pitch)
            outer = v.add_f32x16(v.choose_odd_f32x16(p, w1, w0), v.choose_odd_f32x16(p, w4, w3))
            inner = v.add_f32x16(v.choose_odd_f32x16(p, w2, w1), v.choose_odd_f32x16(p, w3, w2))
            v.store_f32x16(
                out_weights + j * pitch + at,
                v.multiply_add_f32x16(inner, most, v.multiply_f32x16(outer, quarter)),
            )
    for at in range(0, 4 * n, 4):
        a = np.int64(get_i32(out_first + at))
        if a < 0:
            edge = get_f32(out_weights + at)
            for j in range(total - 1):
                put_f32(out_weights + j * pitch + at, get_f32(out_weights + (j + 1) * pitch + at))
            put_f32(out_weights + (total - 1) * pitch + at, np.float32(0))
            put_f32(out_weights + at, get_f32(out_weights + at) + edge)
            a = np.int64(0)
            put_i32(out_first + at, np.int32(0))
        if a + total > length:
            last = out_weights + (length - 1 - a) * pitch + at
            for j in range(length - a, total):
                put_f32(last, get_f32(last) + get_f32(out_weights + j * pitch + at))
                put_f32(out_weights + j * pitch + at, np.float32(0))


@inline
def quantise_axis(axis: Axis, one: int, out: int, used: int) -> None:
    """Round each output's weights to integers that sum to `one`, by rounding their running sum.

    `out` is the address of an int32 table of as many rows, `used` that of an int32 row that receives how many taps
    there are up to the last that is not 0.
    """
    v.compact()
    n, count, _, weights = axis
    pitch = 4 * lanes(n)
    unit = v.fill_f32x16(np.float32(one))
    # The running sum may be negative; moved up by 1024, it is rounded down by truncation.
    half = v.fill_f32x16(np.float32(1024.5))
    for at in range(0, 4 * n, 64):
        total = v.fill_f32x16(np.float32(0))
        before = v.fill_i32x16(1024)
        most = v.fill_i32x16(0)
        for k in range(count):
            total = v.add_f32x16(total, v.load_f32x16(weights + k * pitch + at))
            now = v.to_i32x16(v.multiply_add_f32x16(total, unit, half))
            q = v.subtract_i32x16(now, before)
            before = now
            v.store_i32x16(out + k * pitch + at, q)
            most = v.keep_where_zero_i32x16(q, most, v.fill_i32x16(k + 1))
        v.store_i32x16(used + at, most)


@inline
def pair_weights(axis: Axis, used: int, out: int) -> None:
    """Pack integer weights of neighbouring taps as bytes (w0, w1, w0, w1): an int32 table of ``(taps + 1) // 2`` rows.

    `used` is turned from taps into pairs. Where the number of taps is odd, the row after the last is read and must be
    zero.
    """
    v.compact()
    n, count, _, table = axis
    pitch = 4 * lanes(n)
    low = v.fill_i32x16(255)
    for at in range(0, 4 * n, 64):
        for p in range((count + 1) // 2):
            a = v.and_i32x16(v.load_i32x16(table + 2 * p * pitch + at), low)
            b = v.and_i32x16(v.load_i32x16(table + (2 * p + 1) * pitch + at), low)
            both = v.or_i32x16(a, v.shift_left_i32x16(b, v.fill_i32x16(8)))
            v.store_i32x16(out + p * pitch + at, v.or_i32x16(both, v.shift_left_i32x16(both, v.fill_i32x16(16))))
        v.store_i32x16(used + at, v.half_down_i32x16(v.add_i32x16(v.load_i32x16(used + at), v.fill_i32x16(1))))


@inline
def block_start(b: int, n: int) -> int:
    """Return the first output of block b: blocks of 16, the last moved back so that it ends with the row."""
    return max(min(16 * b, n - 16), 0)


@inline
def pad_axis(axis: Axis) -> None:
    """Give an axis of fewer than 16 outputs neighbours that begin where its first and last do and weigh nothing.

    Rows up to the next multiple of 4 taps are padded.
    """
    v.compact()
    n, taps, first, table = axis
    count = (taps + 3) & ~np.int64(3)
    pitch = 4 * lanes(n)
    for o in range(-16, 16):
        if o < 0:
            put_i32(first + 4 * o, get_i32(first))
        elif o >= n:
            put_i32(first + 4 * o, get_i32(first + 4 * (n - 1)))
        if o < 0 or o >= n:
            for k in range(count):
                put_i32(table + k * pitch + 4 * o, np.int32(0))


@inline
def block_tables(axis: Axis, origin: int, flip: int, window: int, columns: Any) -> None:
    """Write what the horizontal pass needs for each block of 16 outputs, to the addresses in a COLUMN_TABLES record.

    For each block:

    - at `base` 16 int32: the column, less `origin`, where each `window` of outputs (16 or 4) begins to read, repeated
      for each of them;
    - at `index` 64 bytes: for each output and tap of a group, the byte within its window;
    - at `weight` 64 bytes for each group of four taps, in the same order. Group g reads 4 g columns further on.

    The number of groups is stored in `groups`. `flip` mirrors the outputs. `axis` has integer weights, and its rows up
    to the next multiple of 4 taps must be zero.
    """
    v.compact()
    n, count, first, table = axis
    base, index, weights = columns.base, columns.index, columns.weight
    pitch = 4 * lanes(n)
    groups = (count + 3) // 4
    columns.groups = groups
    low = v.fill_i32x16(255)
    for b in range((n + 15) // 16):
        x = block_start(b, n)
        o = 4 * (n - 16 - x if flip else x)
        starts = v.load_i32x16(first + o)
        if flip:
            starts = v.reverse_i32x16(starts)
            begin = v.last_of_four_i32x16(starts) if window == 4 else v.last_of_all_i32x16(starts)
        else:
            begin = v.first_of_four_i32x16(starts) if window == 4 else v.first_of_all_i32x16(starts)
        v.store_i32x16(base + 64 * b, v.subtract_i32x16(begin, v.fill_i32x16(origin)))
        within = v.multiply_i32x16(v.subtract_i32x16(starts, begin), v.fill_i32x16(0x01010101))
        v.store_i32x16(index + 64 * b, v.add_i32x16(within, v.fill_i32x16(0x03020100)))
        for g in range(groups):
            packed = v.fill_i32x16(0)
            for j in range(4):
                q = v.load_i32x16(table + (4 * g + 3 - j) * pitch + o)
                packed = v.or_i32x16(v.shift_left_i32x16(packed, v.fill_i32x16(8)), v.and_i32x16(q, low))
            if flip:
                packed = v.reverse_i32x16(packed)
            v.store_i32x16(weights + 64 * (b * groups + g), packed)
