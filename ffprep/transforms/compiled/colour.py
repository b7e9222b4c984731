"""Operations on the levels of RGB images: uint8, in place.

The formulas are those of torchvision's functions on uint8 tensors, which compute in float32 and drop the fraction; see
the transforms of the same names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
from ffprep.kernels.memory import bytes_at, doubles_at, longs_at
from ffprep.kernels.random import uniform

_RED, _GREEN, _BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
_TOP = np.float32(255.0)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


@inline
def _level(value: Any) -> Any:
    """Return a value in 0..255 without its fraction."""
    return np.uint8(np.int32(min(max(value, _ZERO), _TOP)))


@inline
def _luma(r: Any, g: Any, b: Any) -> Any:
    """Return the grey level of a pixel, as a whole number of float32."""
    grey = _RED * np.float32(r) + _GREEN * np.float32(g) + _BLUE * np.float32(b)
    return np.float32(np.int32(grey))


@inline
def _between(low: float, high: float, seed: int, epoch: int, sample: int, stream: int, k: int) -> float:
    return low + (high - low) * uniform(seed, epoch, sample, stream, k)


@inline
def _scale(levels: NDArray[np.uint8], factor: float) -> None:
    f = np.float32(factor)
    for i in range(levels.size):
        levels[i] = _level(np.float32(levels[i]) * f)


@inline
def _blend_mean(levels: NDArray[np.uint8], factor: float) -> None:
    """Blend with the mean grey level."""
    total = np.int64(0)
    pixels = levels.size // 3
    for i in range(pixels):
        total += np.int32(_luma(levels[3 * i], levels[3 * i + 1], levels[3 * i + 2]))
    f = np.float32(factor)
    rest = np.float32(np.float64(total) / pixels) * np.float32(1.0 - factor)
    for i in range(levels.size):
        levels[i] = _level(np.float32(levels[i]) * f + rest)


@inline
def _blend_grey(levels: NDArray[np.uint8], factor: float) -> None:
    """Blend each pixel with its own grey level."""
    f, g = np.float32(factor), np.float32(1.0 - factor)
    for i in range(levels.size // 3):
        r, gr, b = levels[3 * i], levels[3 * i + 1], levels[3 * i + 2]
        rest = _luma(r, gr, b) * g
        levels[3 * i] = _level(np.float32(r) * f + rest)
        levels[3 * i + 1] = _level(np.float32(gr) * f + rest)
        levels[3 * i + 2] = _level(np.float32(b) * f + rest)


@inline
def _sector(position: Any) -> Any:
    """Return how much of the saturation a channel lacks, by its distance on the hue circle (0 to 6)."""
    position = position - np.float32(6.0) * np.float32(np.int32(position * np.float32(1.0 / 6.0)))
    return max(_ZERO, min(min(position, np.float32(4.0) - position), _ONE))


@inline
def _turn(levels: NDArray[np.uint8], shift: float) -> None:
    """Turn the hue by a share of the circle, by way of HSV."""
    turn = np.float32(6.0 * (shift + 1.0))
    unit = np.float32(1.0 / 255.0)
    for i in range(levels.size // 3):
        r = np.float32(levels[3 * i]) * unit
        g = np.float32(levels[3 * i + 1]) * unit
        b = np.float32(levels[3 * i + 2]) * unit
        high, low = max(r, max(g, b)), min(r, min(g, b))
        span = high - low
        safe = span if span > _ZERO else _ONE
        if r == high:
            hue = (g - b) / safe
        elif g == high:
            hue = np.float32(2.0) + (b - r) / safe
        else:
            hue = np.float32(4.0) + (r - g) / safe
        hue = hue + turn  # at least -1 + 3, so positive
        whole = np.float32(255.999)
        levels[3 * i] = _level((high - span * _sector(hue + np.float32(5.0))) * whole)
        levels[3 * i + 1] = _level((high - span * _sector(hue + np.float32(3.0))) * whole)
        levels[3 * i + 2] = _level((high - span * _sector(hue + _ONE)) * whole)


def brightness(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability, least and greatest factor."""
    n = doubles_at(numbers, 3)
    if uniform(seed, epoch, sample, stream, 0) < n[0]:
        _scale(bytes_at(source, 3 * h * w), _between(n[1], n[2], seed, epoch, sample, stream, 1))
    return np.int64(0)


def contrast(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability, least and greatest factor."""
    n = doubles_at(numbers, 3)
    if uniform(seed, epoch, sample, stream, 0) < n[0]:
        _blend_mean(bytes_at(source, 3 * h * w), _between(n[1], n[2], seed, epoch, sample, stream, 1))
    return np.int64(0)


def saturation(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability, least and greatest factor."""
    n = doubles_at(numbers, 3)
    if uniform(seed, epoch, sample, stream, 0) < n[0]:
        _blend_grey(bytes_at(source, 3 * h * w), _between(n[1], n[2], seed, epoch, sample, stream, 1))
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
    levels = bytes_at(source, 3 * h * w)
    order = longs_at(work, 4)
    for k in range(4):
        order[k] = k
    for k in range(3):
        last = 3 - k
        other = np.int64(uniform(seed, epoch, sample, stream, 1 + k) * (last + 1))
        order[last], order[other] = order[other], order[last]
    for k in range(4):
        kind = order[k]
        if n[1 + 3 * kind] == 0.0:
            continue
        value = _between(n[2 + 3 * kind], n[3 + 3 * kind], seed, epoch, sample, stream, 4 + kind)
        if kind == 0:
            _scale(levels, value)
        elif kind == 1:
            _blend_mean(levels, value)
        elif kind == 2:
            _blend_grey(levels, value)
        else:
            _turn(levels, value)
    return np.int64(0)


def grayscale(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability."""
    if uniform(seed, epoch, sample, stream, 0) < doubles_at(numbers, 1)[0]:
        levels = bytes_at(source, 3 * h * w)
        for i in range(h * w):
            grey = _level(_luma(levels[3 * i], levels[3 * i + 1], levels[3 * i + 2]))
            levels[3 * i] = grey
            levels[3 * i + 1] = grey
            levels[3 * i + 2] = grey
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
