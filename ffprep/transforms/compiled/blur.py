"""Gaussian blur of RGB images, uint8 in place.

Levels are 128ths in 16 bits, weights 65536ths, and each product loses its fraction: for the usual kernels a result
differs from the exact one by some hundredths of a level before it is rounded. Kernels that reach far have too many
terms for that and are left to :mod:`ffprep.transforms.compiled.blur_wide`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
from ffprep.kernels.memory import bytes_at, copy_bytes, doubles_at, halves_at, longs_at
from ffprep.kernels.random import uniform
from ffprep.kernels.simd import levels as u
from ffprep.kernels.simd import operations as v
from ffprep.transforms.compiled.blur_wide import blur_wide, mirrored

LEAST_WEIGHT = 2.0**-13
"""Smaller weights are left out, in favour of the middle."""
FARTHEST = 12
"""Most taps on each side of the middle."""
BLOCK, LARGE = 16, 48
"""Numbers of a vector, and of those that are summed at a time."""


@inline
def _weights(out: NDArray[np.uint16], radius: int, sigma: float) -> int:
    """Write half a Gaussian, sampled at whole distances, in 65536ths; return the last distance, or -1 if it is far."""
    total, last = 1.0, np.int64(0)
    for d in range(1, radius + 1):
        total += 2.0 * np.exp(-0.5 * (d / sigma) ** 2)
    middle = np.int64(65536)
    for d in range(1, radius + 1):
        weight = np.exp(-0.5 * (d / sigma) ** 2) / total
        if weight < LEAST_WEIGHT:
            break
        if d > FARTHEST:
            return np.int64(-1)
        last, rounded = np.int64(d), np.int64(weight * 65536.0 + 0.5)
        out[d] = np.uint16(rounded)
        middle -= 2 * rounded
    out[0] = np.uint16(min(middle, np.int64(65535)))
    return last


@inline
def _read_row(levels: int, count: int, out: int) -> None:
    """Turn a row of levels into 128ths."""
    if count < BLOCK:
        few, numbers = bytes_at(levels, count), halves_at(out, count)
        for i in range(count):
            numbers[i] = np.uint16(np.int32(few[i]) << 7)
        return
    for begin in range(0, count, BLOCK):
        at = min(begin, count - BLOCK)
        v.store_i16x16(out + 2 * at, u.times_128_i16x16(v.widen_u8_i16x16(v.load_i8x16(levels + at))))


@inline
def _middle(at: int, weight: Any, lost: Any) -> Any:
    return v.add_i16x16(u.high_product_u16x16(v.load_i16x16(at), weight), lost)


@inline
def _pair(total: Any, left: int, right: int, weight: Any) -> Any:
    both = v.add_i16x16(v.load_i16x16(left), v.load_i16x16(right))
    return v.add_i16x16(total, u.high_product_u16x16(both, weight))


@inline
def _add_rows(centre: int, near: NDArray[np.int64], weights: int, last: int, count: int, out: int) -> None:
    """Weight rows of numbers: the one at `centre`, and pairs of rows whose addresses are in `near`, from distance 1."""
    middle, lost = v.repeat_i16x16(weights), v.fill_i16x16((last + 1) // 2)
    done = np.int64(0)
    while done + LARGE <= count:
        at = 2 * done
        p = _middle(centre + at, middle, lost)
        q = _middle(centre + at + 32, middle, lost)
        r = _middle(centre + at + 64, middle, lost)
        for d in range(1, last + 1):
            left, right, weight = near[2 * d] + at, near[2 * d + 1] + at, v.repeat_i16x16(weights + 2 * d)
            p = _pair(p, left, right, weight)
            q = _pair(q, left + 32, right + 32, weight)
            r = _pair(r, left + 64, right + 64, weight)
        v.store_i16x16(out + at, p)
        v.store_i16x16(out + at + 32, q)
        v.store_i16x16(out + at + 64, r)
        done += LARGE
    while done < count:
        at = 2 * min(done, max(np.int64(0), count - BLOCK))
        p = _middle(centre + at, middle, lost)
        for d in range(1, last + 1):
            p = _pair(p, near[2 * d] + at, near[2 * d + 1] + at, v.repeat_i16x16(weights + 2 * d))
        v.store_i16x16(out + at, p)
        done += BLOCK


@inline
def _store_levels(at: int, total: Any) -> None:
    v.store_i8x16(at, u.low_i8x16_of_i16(u.over_128_u16x16(total)))


@inline
def _add_columns(row: int, weights: int, last: int, count: int, out: int, few: int) -> None:
    """Weight each number of a row and its neighbours in its own channel, and write levels; `few` is of 16 bytes."""
    middle, lost = v.repeat_i16x16(weights), v.fill_i16x16((last + 1) // 2 + 64)
    target = np.int64(out) if count >= BLOCK else np.int64(few)
    done = np.int64(0)
    while done + LARGE <= count:
        at = row + 2 * done
        p, q, r = _middle(at, middle, lost), _middle(at + 32, middle, lost), _middle(at + 64, middle, lost)
        for d in range(1, last + 1):
            left, right, weight = at - 6 * d, at + 6 * d, v.repeat_i16x16(weights + 2 * d)
            p = _pair(p, left, right, weight)
            q = _pair(q, left + 32, right + 32, weight)
            r = _pair(r, left + 64, right + 64, weight)
        _store_levels(target + done, p)
        _store_levels(target + done + BLOCK, q)
        _store_levels(target + done + 2 * BLOCK, r)
        done += LARGE
    while done < count:
        begin = min(done, max(np.int64(0), count - BLOCK))
        at = row + 2 * begin
        p = _middle(at, middle, lost)
        for d in range(1, last + 1):
            p = _pair(p, at - 6 * d, at + 6 * d, v.repeat_i16x16(weights + 2 * d))
        _store_levels(target + begin, p)
        done += BLOCK
    if count < BLOCK:
        copy_bytes(np.int64(out), np.int64(few), np.int64(count))


@inline
def _mirror_ends(row: int, reach: int, w: int) -> None:
    """Write the `reach` pixels to the left and to the right of a row of pixels."""
    numbers = halves_at(row - 6 * reach, 3 * w + 6 * reach)
    for x in range(reach):
        left, right = 3 * (reach + mirrored(-1 - x, w)), 3 * (reach + mirrored(w + x, w))
        for c in range(3):
            numbers[3 * (reach - 1 - x) + c] = numbers[left + c]
            numbers[3 * (reach + w + x) + c] = numbers[right + c]


def gaussian_blur(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability, taps down and across (odd), range of sigma. Draw 0 decides, draw 1 is sigma.

    Work: see ``ffprep.transforms.GaussianBlur.work``. Columns first, then rows; edges mirrored. A ring of rows, a power
    of two, holds what the rows to come still need.
    """
    v.compact()
    n = doubles_at(numbers, 5)
    if uniform(seed, epoch, sample, stream, 0) >= n[0]:
        return np.int64(0)
    down, across = np.int64(n[1]) // 2, np.int64(n[2]) // 2
    sigma = n[3] + (n[4] - n[3]) * uniform(seed, epoch, sample, stream, 1)
    near, vertical = longs_at(work, 2 * FARTHEST + 2), np.int64(work + 16 * (FARTHEST + 1))
    horizontal = vertical + 2 * (FARTHEST + 1)
    reach_y = _weights(halves_at(vertical, FARTHEST + 1), down, sigma)
    reach_x = _weights(halves_at(horizontal, FARTHEST + 1), across, sigma)
    if reach_y < 0 or reach_x < 0:
        blur_wide(source, h, w, down, across, sigma, work)
        return np.int64(0)
    size = 3 * w
    pitch = 2 * (size + BLOCK)
    few = horizontal + 2 * (FARTHEST + 1)
    row = few + BLOCK + 6 * reach_x
    ring = row + pitch + 6 * reach_x
    rows = np.int64(1)
    while rows < min(np.int64(h), 2 * reach_y + 1):
        rows *= 2
    mask, read = rows - 1, np.int64(0)
    for y in range(h):
        while read < h and (read <= y + reach_y or read < rows):
            _read_row(source + read * size, size, ring + (read & mask) * pitch)
            read += 1
        for d in range(1, reach_y + 1):
            near[2 * d] = ring + (mirrored(y - d, h) & mask) * pitch
            near[2 * d + 1] = ring + (mirrored(y + d, h) & mask) * pitch
        _add_rows(ring + (y & mask) * pitch, near, vertical, reach_y, size, row)
        _mirror_ends(row, reach_x, w)
        _add_columns(row, horizontal, reach_x, size, source + y * size, few)
    return np.int64(0)
