"""Gaussian blur by kernels that reach far, in float32: RGB images, uint8 in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.memory import bytes_at, copy_bytes, floats_at, longs_at
from ffprep.kernels.simd import operations as v

NEGLIGIBLE = 1e-7
"""Weights that cannot change a level are left out."""


@inline
def mirrored(i: int, n: int) -> int:
    """Return where position i lies in 0..n-1, mirrored at the first and last as often as need be."""
    if 0 <= i < n:
        return np.int64(i)
    if n == 1:
        return np.int64(0)
    period = 2 * (n - 1)
    i = abs(i) % period
    return min(i, period - i)


@inline
def _weights(out: NDArray[np.float32], radius: int, sigma: float) -> int:
    """Write half a normalised Gaussian, sampled at whole distances 0..radius; return the last that matters."""
    total = 1.0
    for d in range(1, radius + 1):
        total += 2.0 * np.exp(-0.5 * (d / sigma) ** 2)
    last = np.int64(0)
    for d in range(radius + 1):
        weight = np.exp(-0.5 * (d / sigma) ** 2) / total
        out[d] = np.float32(weight)
        if weight > NEGLIGIBLE:
            last = d
    return last


BLOCK, WIDE = 16, 48
"""Numbers of a vector, and of those that are summed at a time."""


@inline
def _read_row(levels: int, count: int, out: int) -> None:
    """Turn a row of levels into float32 numbers."""
    if count < BLOCK:
        few, numbers = bytes_at(levels, count), floats_at(out, count)
        for i in range(count):
            numbers[i] = np.float32(few[i])
        return
    for begin in range(0, count, BLOCK):
        at = min(begin, count - BLOCK)
        v.store_f32x16(out + 4 * at, v.widen_u8_f32x16(v.load_i8x16(levels + at)))


@inline
def _pair(total: Any, left: int, right: int, weight: Any) -> Any:
    return v.multiply_add_f32x16(v.add_f32x16(v.load_f32x16(left), v.load_f32x16(right)), weight, total)


@inline
def _add_rows(centre: int, near: NDArray[np.int64], weights: int, last: int, count: int, out: int) -> None:
    """Weight rows of numbers: the one at `centre`, and pairs of rows whose addresses are in `near`, from distance 1."""
    middle = v.repeat_f32x16(weights)
    done = np.int64(0)
    while done + WIDE <= count:
        at = 4 * done
        p = v.multiply_f32x16(v.load_f32x16(centre + at), middle)
        q = v.multiply_f32x16(v.load_f32x16(centre + at + 64), middle)
        r = v.multiply_f32x16(v.load_f32x16(centre + at + 128), middle)
        for d in range(1, last + 1):
            left, right, weight = near[2 * d] + at, near[2 * d + 1] + at, v.repeat_f32x16(weights + 4 * d)
            p = _pair(p, left, right, weight)
            q = _pair(q, left + 64, right + 64, weight)
            r = _pair(r, left + 128, right + 128, weight)
        v.store_f32x16(out + at, p)
        v.store_f32x16(out + at + 64, q)
        v.store_f32x16(out + at + 128, r)
        done += WIDE
    while done < count:
        at = 4 * min(done, max(np.int64(0), count - BLOCK))
        p = v.multiply_f32x16(v.load_f32x16(centre + at), middle)
        for d in range(1, last + 1):
            p = _pair(p, near[2 * d] + at, near[2 * d + 1] + at, v.repeat_f32x16(weights + 4 * d))
        v.store_f32x16(out + at, p)
        done += BLOCK


@inline
def _store_levels(at: int, total: Any) -> None:
    v.store_i8x16(at, v.low_i8x16(v.to_i32x16(total)))


@inline
def _add_columns(row: int, weights: int, last: int, count: int, out: int, few: int) -> None:
    """Weight each number of a row and its neighbours in its own channel, and write levels; `few` is of 16 bytes."""
    middle, half = v.repeat_f32x16(weights), v.fill_f32x16(np.float32(0.5))
    target = np.int64(out) if count >= BLOCK else np.int64(few)
    done = np.int64(0)
    while done + WIDE <= count:
        at = row + 4 * done
        p = v.multiply_add_f32x16(v.load_f32x16(at), middle, half)
        q = v.multiply_add_f32x16(v.load_f32x16(at + 64), middle, half)
        r = v.multiply_add_f32x16(v.load_f32x16(at + 128), middle, half)
        for d in range(1, last + 1):
            left, right, weight = at - 12 * d, at + 12 * d, v.repeat_f32x16(weights + 4 * d)
            p = _pair(p, left, right, weight)
            q = _pair(q, left + 64, right + 64, weight)
            r = _pair(r, left + 128, right + 128, weight)
        _store_levels(target + done, p)
        _store_levels(target + done + BLOCK, q)
        _store_levels(target + done + 2 * BLOCK, r)
        done += WIDE
    while done < count:
        begin = min(done, max(np.int64(0), count - BLOCK))
        at = row + 4 * begin
        p = v.multiply_add_f32x16(v.load_f32x16(at), middle, half)
        for d in range(1, last + 1):
            p = _pair(p, at - 12 * d, at + 12 * d, v.repeat_f32x16(weights + 4 * d))
        _store_levels(target + begin, p)
        done += BLOCK
    if count < BLOCK:
        copy_bytes(np.int64(out), np.int64(few), np.int64(count))


@kernel
def blur_wide(image: int, h: int, w: int, down: int, across: int, sigma: float, work: int) -> None:
    """Blur an image with a Gaussian of `down` and `across` taps on each side of the middle.

    Work: see ``ffprep.transforms.GaussianBlur.work``. Columns first, then rows; edges mirrored. A ring of rows holds
    what the rows to come still need.
    """
    v.compact()
    size = 3 * w
    pitch = 4 * (size + BLOCK)
    near, few = longs_at(work, 2 * down + 2), work + 16 * (down + 1)
    vertical, horizontal = few + BLOCK, few + BLOCK + 4 * (down + 1)
    reach_y = _weights(floats_at(vertical, down + 1), down, sigma)
    reach_x = _weights(floats_at(horizontal, across + 1), across, sigma)
    row = horizontal + 4 * (across + 1) + 12 * reach_x
    ring = row + pitch + 12 * reach_x
    rows = min(np.int64(h), 2 * reach_y + 1)
    read = np.int64(0)
    for y in range(h):
        while read < h and (read <= y + reach_y or read < rows):
            _read_row(image + read * size, size, ring + read % rows * pitch)
            read += 1
        for d in range(1, reach_y + 1):
            near[2 * d] = ring + mirrored(y - d, h) % rows * pitch
            near[2 * d + 1] = ring + mirrored(y + d, h) % rows * pitch
        _add_rows(ring + y % rows * pitch, near, vertical, reach_y, size, row)
        middle = floats_at(row - 12 * reach_x, size + 6 * reach_x)
        for x in range(reach_x):
            left, right = 3 * (reach_x + mirrored(-1 - x, w)), 3 * (reach_x + mirrored(w + x, w))
            for c in range(3):
                middle[3 * (reach_x - 1 - x) + c] = middle[left + c]
                middle[3 * (reach_x + w + x) + c] = middle[right + c]
        _add_columns(row, horizontal, reach_x, size, image + y * size, few)
