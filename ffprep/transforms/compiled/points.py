"""Operations of Pillow's ``ImageEnhance`` and ``ImageOps`` on the levels of RGB images: uint8, in place.

The results are Pillow's to the bit: its blends are computed in float32 and drop the fraction, its grey levels are whole
numbers of 65536ths. ``numbers`` begins with the magnitude, so that a policy can put another one there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
from ffprep.kernels.memory import bytes_at, copy_bytes, doubles_at, ints_at

_TOP = np.float32(255.0)
_ZERO = np.float32(0.0)
BLOCK = 48
"""Levels that are compared side by side: a multiple of the channels and of a vector."""


@inline
def _level(value: Any) -> Any:
    """Return a value in 0..255 without its fraction."""
    return np.uint8(np.int32(min(max(value, _ZERO), _TOP)))


@inline
def _grey(r: int, g: int, b: int) -> Any:
    """Return Pillow's grey level of a pixel, int32."""
    scaled = np.int32(
        np.int32(r) * np.int32(19595) + np.int32(g) * np.int32(38470) + np.int32(b) * np.int32(7471) + np.int32(32768)
    )
    return np.int32(scaled >> np.int32(16))


@inline
def _blend_with(levels: NDArray[np.uint8], base: int, factor: float) -> None:
    """Blend all levels with one."""
    f, rest = np.float32(factor), np.float32(base)
    for i in range(levels.size):
        levels[i] = _level(rest + f * (np.float32(levels[i]) - rest))


def enhance_brightness(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: factor."""
    _blend_with(bytes_at(source, 3 * h * w), 0, doubles_at(numbers, 1)[0])
    return np.int64(0)


def enhance_contrast(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: factor."""
    levels = bytes_at(source, 3 * h * w)
    total = np.int64(0)
    for y in range(h):
        row = levels[3 * w * y : 3 * w * (y + 1)]
        part = np.int32(0)
        for x in range(w):
            part = np.int32(part + _grey(row[3 * x], row[3 * x + 1], row[3 * x + 2]))
        total += np.int64(part)
    _blend_with(levels, np.int64(total / np.float64(h * w) + 0.5), doubles_at(numbers, 1)[0])
    return np.int64(0)


def enhance_colour(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: factor."""
    levels, f = bytes_at(source, 3 * h * w), np.float32(doubles_at(numbers, 1)[0])
    for i in range(h * w):
        r, g, b = levels[3 * i], levels[3 * i + 1], levels[3 * i + 2]
        grey = np.float32(_grey(r, g, b))
        levels[3 * i] = _level(grey + f * (np.float32(r) - grey))
        levels[3 * i + 1] = _level(grey + f * (np.float32(g) - grey))
        levels[3 * i + 2] = _level(grey + f * (np.float32(b) - grey))
    return np.int64(0)


def enhance_sharpness(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Blend with the image smoothed by 3x3 pixels, whose border is the image's own. Numbers: factor. Work: two rows.

    A smoothed level is a whole number of thirteenths, ``5042 / 65536`` is close enough to one of these.
    """
    if h < 3 or w < 3:
        return np.int64(0)
    factor, size = np.float32(doubles_at(numbers, 1)[0]), 3 * w
    before, here = np.int64(work), np.int64(work + size)
    copy_bytes(before, np.int64(source), size)
    inner = size - 6
    for y in range(1, h - 1):
        row = np.int64(source + y * size)
        copy_bytes(here, row, size)
        a, b, c = bytes_at(before, inner), bytes_at(before + 3, inner), bytes_at(before + 6, inner)
        d, e, f = bytes_at(here, inner), bytes_at(here + 3, inner), bytes_at(here + 6, inner)
        g, i, j = bytes_at(row + size, inner), bytes_at(row + size + 3, inner), bytes_at(row + size + 6, inner)
        out = bytes_at(row + 3, inner)
        for k in range(inner):
            around = np.int32(a[k]) + np.int32(b[k]) + np.int32(c[k]) + np.int32(d[k]) + np.int32(f[k])
            around += np.int32(g[k]) + np.int32(i[k]) + np.int32(j[k])
            # numba adds int32 as int64, which has half as many lanes.
            total = np.int32(around + np.int32(5) * np.int32(e[k]) + np.int32(6))
            smooth = np.float32(np.int32(np.int32(total * np.int32(5042)) >> np.int32(16)))
            out[k] = _level(smooth + factor * (np.float32(e[k]) - smooth))
        before, here = here, before
    return np.int64(0)


def posterize_bits(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: bits that stay, 0 to 8."""
    levels = bytes_at(source, 3 * h * w)
    mask = np.uint8(256 - (1 << (8 - np.int64(doubles_at(numbers, 1)[0]))))
    for i in range(levels.size):
        levels[i] &= mask
    return np.int64(0)


def solarize_from(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: levels of at least this are inverted."""
    levels = bytes_at(source, 3 * h * w)
    least = np.int32(np.ceil(doubles_at(numbers, 1)[0] - 1e-9))
    for i in range(levels.size):
        level = np.int32(levels[i])
        levels[i] = np.uint8(np.int32(255) - level if level >= least else level)
    return np.int64(0)


def solarize_add(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: what is added to a level, and below which level."""
    levels, n = bytes_at(source, 3 * h * w), doubles_at(numbers, 2)
    more, end = np.int32(n[0]), np.int32(np.ceil(n[1]))
    for i in range(levels.size):
        level = np.int32(levels[i])
        levels[i] = np.uint8(min(level + more, np.int32(255)) if level < end else level)
    return np.int64(0)


@inline
def _look_up(levels: NDArray[np.uint8], table: NDArray[np.uint8]) -> None:
    """Replace each level by what the table of its channel, one of three of 256, has for it."""
    for i in range(levels.size // 3):
        levels[3 * i] = table[np.int64(levels[3 * i])]
        levels[3 * i + 1] = table[256 + np.int64(levels[3 * i + 1])]
        levels[3 * i + 2] = table[512 + np.int64(levels[3 * i + 2])]


def stretch_contrast(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Stretch each channel to the levels 0 to 255. Work: a table (3, 256), then the least and greatest of blocks."""
    levels = bytes_at(source, 3 * h * w)
    table, low, high = bytes_at(work, 768), bytes_at(work + 768, BLOCK), bytes_at(work + 768 + BLOCK, BLOCK)
    for k in range(BLOCK):
        low[k], high[k] = np.uint8(255), np.uint8(0)
    whole = levels.size // BLOCK
    for block in range(whole):
        for k in range(BLOCK):
            level = levels[BLOCK * block + k]
            low[k], high[k] = min(low[k], level), max(high[k], level)
    for i in range(BLOCK * whole, levels.size):
        k = i - BLOCK * whole
        low[k], high[k] = min(low[k], levels[i]), max(high[k], levels[i])
    for c in range(3):
        least, most = np.uint8(255), np.uint8(0)
        for k in range(c, BLOCK, 3):
            least, most = min(least, low[k]), max(most, high[k])
        scale, offset = 1.0, 0.0
        if most > least:
            scale = 255.0 / np.float64(np.int64(most) - np.int64(least))
            offset = -np.float64(least) * scale
        for v in range(256):
            table[256 * c + v] = np.uint8(np.int64(min(max(v * scale + offset, 0.0), 255.0)))
    _look_up(levels, table)
    return np.int64(0)


def equalize_levels(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Equalise the histogram of each channel. Work: a table (3, 256), then two histograms (3, 256) of int32.

    Neighbouring pixels, which are often alike, are counted in different histograms, so that no count waits for another.
    """
    levels, table, counts = bytes_at(source, 3 * h * w), bytes_at(work, 768), ints_at(work + 768, 1536)
    for k in range(1536):
        counts[k] = 0
    for i in range(h * w // 2):
        for c in range(6):
            counts[256 * c + np.int64(levels[6 * i + c])] += 1
    if h * w % 2:
        for c in range(3):
            counts[256 * c + np.int64(levels[3 * (h * w - 1) + c])] += 1
    for c in range(3):
        top = np.int64(0)
        for v in range(256):
            counts[256 * c + v] += counts[768 + 256 * c + v]
            if counts[256 * c + v] > 0:
                top = np.int64(v)
        step = (h * w - np.int64(counts[256 * c + top])) // 255
        below = step // 2
        for v in range(256):
            table[256 * c + v] = np.uint8(min(below // step, 255) if step > 0 else v)
            below += np.int64(counts[256 * c + v])
    _look_up(levels, table)
    return np.int64(0)
