"""Operations on the levels of RGB images: uint8, in place.

The formulas are those of torchvision's functions on uint8 tensors, which compute in float32 and drop the fraction; see
the transforms of the same names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ffprep.kernels.jit import inline
from ffprep.kernels.memory import bytes_at, doubles_at, longs_at
from ffprep.kernels.random import uniform
from ffprep.transforms.compiled.pixels import (
    change_colours,
    contrast_step,
    grey_step,
    saturate_step,
    scale_step,
    turn_step,
)

_TOP = np.float32(255.0)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


@inline
def _level(value: Any) -> Any:
    """Return a value in 0..255 without its fraction."""
    return np.uint8(np.int32(min(max(value, _ZERO), _TOP)))


@inline
def _between(low: float, high: float, seed: int, epoch: int, sample: int, stream: int, k: int) -> float:
    return low + (high - low) * uniform(seed, epoch, sample, stream, k)


def brightness(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability, least and greatest factor."""
    n = doubles_at(numbers, 3)
    if uniform(seed, epoch, sample, stream, 0) < n[0]:
        scale_step(work, np.int64(0), _between(n[1], n[2], seed, epoch, sample, stream, 1))
        change_colours(source, h * w, work, np.int64(0), np.int64(1), False, True)
    return np.int64(0)


def contrast(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability, least and greatest factor."""
    n = doubles_at(numbers, 3)
    if uniform(seed, epoch, sample, stream, 0) < n[0]:
        factor = _between(n[1], n[2], seed, epoch, sample, stream, 1)
        contrast_step(source, h * w, work, np.int64(0), factor)
        change_colours(source, h * w, work, np.int64(0), np.int64(1), False, True)
    return np.int64(0)


def saturation(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability, least and greatest factor."""
    n = doubles_at(numbers, 3)
    if uniform(seed, epoch, sample, stream, 0) < n[0]:
        saturate_step(work, np.int64(0), _between(n[1], n[2], seed, epoch, sample, stream, 1))
        change_colours(source, h * w, work, np.int64(0), np.int64(1), False, True)
    return np.int64(0)


def colour_jitter(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability; then for brightness, contrast, saturation and hue: 1 if it is on, least, greatest.

    Draw 0 decides, draws 1 to 3 shuffle the four (the last place first), draws 4 to 7 are their factors.
    """
    n = doubles_at(numbers, 13)
    if uniform(seed, epoch, sample, stream, 0) >= n[0]:
        return np.int64(0)
    order, table = longs_at(work, 4), np.int64(work + 32)
    for k in range(4):
        order[k] = k
    for k in range(3):
        last = 3 - k
        other = np.int64(uniform(seed, epoch, sample, stream, 1 + k) * (last + 1))
        order[last], order[other] = order[other], order[last]
    begin, count, pixels = np.int64(0), np.int64(0), np.int64(h * w)
    for k in range(4):
        kind = order[k]
        if n[1 + 3 * kind] == 0.0:
            continue
        value = _between(n[2 + 3 * kind], n[3 + 3 * kind], seed, epoch, sample, stream, 4 + kind)
        if kind == 0:
            scale_step(table, count, value)
        elif kind == 1:
            contrast_step(source, pixels, table, count, value)
            begin = count
        elif kind == 2:
            saturate_step(table, count, value)
        else:
            turn_step(table, count, value)
        count += 1
    if begin < count:
        change_colours(source, pixels, table, begin, count, False, True)
    return np.int64(0)


def grayscale(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability."""
    if uniform(seed, epoch, sample, stream, 0) < doubles_at(numbers, 1)[0]:
        grey_step(work, np.int64(0))
        change_colours(source, h * w, work, np.int64(0), np.int64(1), False, True)
    return np.int64(0)


def solarize(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability, least level that is inverted (0 to 256)."""
    n = doubles_at(numbers, 2)
    if uniform(seed, epoch, sample, stream, 0) < n[0]:
        levels = bytes_at(source, 3 * h * w)
        least = np.int32(n[1])
        for i in range(levels.size):
            level = np.int32(levels[i])
            levels[i] = np.uint8(255 - level if level >= least else level)
    return np.int64(0)


def posterize(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability, mask of the bits that stay."""
    n = doubles_at(numbers, 2)
    if uniform(seed, epoch, sample, stream, 0) < n[0]:
        levels = bytes_at(source, 3 * h * w)
        mask = np.uint8(np.int64(n[1]))
        for i in range(levels.size):
            levels[i] &= mask
    return np.int64(0)


def autocontrast(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability."""
    if uniform(seed, epoch, sample, stream, 0) >= doubles_at(numbers, 1)[0]:
        return np.int64(0)
    levels = bytes_at(source, 3 * h * w)
    for c in range(3):
        low, high = np.uint8(255), np.uint8(0)
        for i in range(h * w):
            low, high = min(low, levels[3 * i + c]), max(high, levels[3 * i + c])
        if low == high:
            continue
        step = (np.float32(high) - np.float32(low)) * np.float32(1.0 / 255.0)
        for i in range(h * w):
            levels[3 * i + c] = _level((np.float32(levels[3 * i + c]) - np.float32(low)) / step)
    return np.int64(0)


def equalize(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability. Work: 256 int64."""
    if uniform(seed, epoch, sample, stream, 0) >= doubles_at(numbers, 1)[0]:
        return np.int64(0)
    levels, counts = bytes_at(source, 3 * h * w), longs_at(work, 256)
    for c in range(3):
        for v in range(256):
            counts[v] = 0
        top = np.int64(0)
        for i in range(h * w):
            level = np.int64(levels[3 * i + c])
            counts[level] += 1
            top = max(top, level)
        step = (h * w - counts[top]) // 255
        if step == 0:
            continue
        below = np.int64(0)
        for v in range(256):
            count = counts[v]
            counts[v] = min((below + step // 2) // step, 255) if v > 0 else 0
            below += count
        for i in range(h * w):
            levels[3 * i + c] = np.uint8(counts[levels[3 * i + c]])
    return np.int64(0)


def poison(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Blend a pattern into the image if its sample is one of those chosen.

    ``numbers`` is the address of six float64 values: the least and greatest result, the addresses of mask and opacity
    (float64, h x w x 3), the address of the sorted samples (int64) and their count.
    """
    n = doubles_at(numbers, 6)
    count = np.int64(n[5])
    samples = longs_at(np.int64(n[4]), count)
    low, high = np.int64(0), count
    while low < high:
        middle = (low + high) // 2
        if samples[middle] < sample:
            low = middle + 1
        else:
            high = middle
    if low == count or samples[low] != sample:
        return np.int64(0)
    levels = bytes_at(source, 3 * h * w)
    mask, opacity = doubles_at(np.int64(n[2]), 3 * h * w), doubles_at(np.int64(n[3]), 3 * h * w)
    for i in range(levels.size):
        value = np.float32(np.float64(levels[i]) * (1.0 - opacity[i]))
        value = np.float32(np.float64(value) + mask[i])
        value = min(max(value, np.float32(n[0])), np.float32(n[1]))
        levels[i] = np.uint8(np.int32(value))
    return np.int64(0)
