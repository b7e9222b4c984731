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
from ffprep.kernels.simd import levels as u
from ffprep.kernels.simd import operations as v
from ffprep.transforms.compiled.pixels import PIXELS, RUN, channels_at, put_channels

_TOP = np.float32(255.0)
_ZERO = np.float32(0.0)
LANES, LEAST_ROW = 16, 24
"""Levels of a vector, and the fewest of a row that is sharpened in place: its inner part fills a vector."""
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
def _greys(r: Any, g: Any, b: Any) -> Any:
    """Return the grey levels of 16 pixels, int32, whose channels are float32; no sum here is too long for that."""
    total = v.multiply_add_f32x16(b, v.fill_f32x16(np.float32(7471.0)), v.fill_f32x16(np.float32(32768.0)))
    total = v.multiply_add_f32x16(g, v.fill_f32x16(np.float32(38470.0)), total)
    total = v.multiply_add_f32x16(r, v.fill_f32x16(np.float32(19595.0)), total)
    return v.to_i32x16(v.multiply_f32x16(total, v.fill_f32x16(np.float32(1.0 / 65536.0))))


@inline
def _blended(value: Any, grey: Any, factor: Any) -> Any:
    """Blend 16 levels with grey ones, all float32; return levels."""
    value = v.add_f32x16(grey, v.multiply_f32x16(factor, v.subtract_f32x16(value, grey)))
    value = v.min_f32x16(v.max_f32x16(value, v.fill_f32x16(_ZERO)), v.fill_f32x16(_TOP))
    return v.low_i8x16(v.to_i32x16(value))


@inline
def _coloured(red: Any, green: Any, blue: Any, factor: Any) -> tuple[Any, Any, Any]:
    """Blend 16 pixels, whose channels are bytes, with their grey levels."""
    r, g, b = v.widen_u8_f32x16(red), v.widen_u8_f32x16(green), v.widen_u8_f32x16(blue)
    grey = v.to_f32x16(_greys(r, g, b))
    return _blended(r, grey, factor), _blended(g, grey, factor), _blended(b, grey, factor)


@inline
def _grey_sum(image: int, pixels: int) -> int:
    """Return the sum of the grey levels of packed pixels."""
    total, done, whole = np.int64(0), np.int64(0), pixels // PIXELS * PIXELS
    while done < whole:
        sums = v.fill_i16x16(0)
        end = min(whole, done + PIXELS * RUN)
        while done < end:
            red, green, blue = channels_at(image + 3 * done)
            for upper in range(2):
                r = v.widen_u8_f32x16(u.upper_i8x16(red) if upper else u.lower_i8x16(red))
                g = v.widen_u8_f32x16(u.upper_i8x16(green) if upper else u.lower_i8x16(green))
                b = v.widen_u8_f32x16(u.upper_i8x16(blue) if upper else u.lower_i8x16(blue))
                sums = v.add_i16x16(sums, v.low_i16x16(_greys(r, g, b)))
            done += PIXELS
        total += np.int64(u.sum_u16x16(sums))
    rest = bytes_at(image + 3 * whole, 3 * (pixels - whole))
    for i in range(pixels - whole):
        total += np.int64(_grey(rest[3 * i], rest[3 * i + 1], rest[3 * i + 2]))
    return total


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
    v.compact()
    total = _grey_sum(np.int64(source), np.int64(h * w))
    levels = bytes_at(source, 3 * h * w)
    _blend_with(levels, np.int64(total / np.float64(h * w) + 0.5), doubles_at(numbers, 1)[0])
    return np.int64(0)


def enhance_colour(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: factor."""
    v.compact()
    levels, f = bytes_at(source, 3 * h * w), np.float32(doubles_at(numbers, 1)[0])
    factor, whole = v.fill_f32x16(f), h * w // PIXELS * PIXELS
    for done in range(0, whole, PIXELS):
        at = np.int64(source + 3 * done)
        red, green, blue = channels_at(at)
        r, g, b = _coloured(u.lower_i8x16(red), u.lower_i8x16(green), u.lower_i8x16(blue), factor)
        rr, gg, bb = _coloured(u.upper_i8x16(red), u.upper_i8x16(green), u.upper_i8x16(blue), factor)
        put_channels(at, v.join_i8x32(r, rr), v.join_i8x32(g, gg), v.join_i8x32(b, bb))
    for i in range(whole, h * w):
        r, g, b = levels[3 * i], levels[3 * i + 1], levels[3 * i + 2]
        grey = np.float32(_grey(r, g, b))
        levels[3 * i] = _level(grey + f * (np.float32(r) - grey))
        levels[3 * i + 1] = _level(grey + f * (np.float32(g) - grey))
        levels[3 * i + 2] = _level(grey + f * (np.float32(b) - grey))
    return np.int64(0)


@inline
def _add_columns(before: int, here: int, after: int, sums: int, size: int) -> None:
    """Write the sums of three rows of levels, at least 16, as 16-bit numbers."""
    for begin in range(0, size, LANES):
        at = min(begin, size - LANES)
        total = v.add_i16x16(v.widen_u8_i16x16(v.load_i8x16(before + at)), v.widen_u8_i16x16(v.load_i8x16(here + at)))
        total = v.add_i16x16(total, v.widen_u8_i16x16(v.load_i8x16(after + at)))
        v.store_i16x16(sums + 2 * at, total)


@inline
def _sharpen_row(here: int, sums: int, out: int, inner: int, factor: Any) -> None:
    """Blend the levels from `here` + 3 on, at least 16, with smoothed ones; `sums` are of three rows from `here` on."""
    for begin in range(0, inner, LANES):
        at = min(begin, inner - LANES)
        level = v.widen_u8_i16x16(v.load_i8x16(here + 3 + at))
        total = v.add_i16x16(v.load_i16x16(sums + 2 * at), v.load_i16x16(sums + 2 * at + 6))
        total = v.add_i16x16(total, v.load_i16x16(sums + 2 * at + 12))
        total = v.add_i16x16(total, v.add_i16x16(v.mul_i16x16(level, v.fill_i16x16(4)), v.fill_i16x16(6)))
        smooth = u.high_product_u16x16(total, v.fill_i16x16(5042))
        apart = v.to_f32x16(v.widen_i16_i32x16(u.subtract_i16x16(level, smooth)))
        value = v.add_f32x16(v.to_f32x16(v.widen_i16_i32x16(smooth)), v.multiply_f32x16(factor, apart))
        value = v.min_f32x16(v.max_f32x16(value, v.fill_f32x16(_ZERO)), v.fill_f32x16(_TOP))
        v.store_i8x16(out + at, v.low_i8x16(v.to_i32x16(value)))


def enhance_sharpness(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Blend with the image smoothed by 3x3 pixels, whose border is the image's own. Numbers: factor.

    A smoothed level is a whole number of thirteenths, ``5042 / 65536`` is close enough to one of these. Work: two rows
    of levels and one of 16-bit sums. Rows of less than 24 levels are copied to wider ones.
    """
    v.compact()
    if h < 3 or w < 3:
        return np.int64(0)
    factor, size = v.fill_f32x16(np.float32(doubles_at(numbers, 1)[0])), np.int64(3 * w)
    wide = max(size, np.int64(LEAST_ROW))
    before, here, sums = np.int64(work), np.int64(work + wide), np.int64(work + 2 * wide)
    after, out = sums + 2 * wide, sums + 3 * wide
    copy_bytes(before, np.int64(source), size)
    for y in range(1, h - 1):
        row = np.int64(source + y * size)
        copy_bytes(here, row, size)
        if size == wide:
            _add_columns(before, here, row + size, sums, size)
            _sharpen_row(here, sums, row + 3, size - 6, factor)
        else:
            copy_bytes(after, row + size, size)
            _add_columns(before, here, after, sums, wide)
            _sharpen_row(here, sums, out, wide - 6, factor)
            copy_bytes(row + 3, out, size - 6)
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
    whole_range = True
    for c in range(3):
        least, most = np.uint8(255), np.uint8(0)
        for k in range(c, BLOCK, 3):
            least, most = min(least, low[k]), max(most, high[k])
        scale, offset = 1.0, 0.0
        if most > least:
            whole_range = whole_range and least == 0 and most == 255
            scale = 255.0 / np.float64(np.int64(most) - np.int64(least))
            offset = -np.float64(least) * scale
        for k in range(256):
            table[256 * c + k] = np.uint8(np.int64(min(max(k * scale + offset, 0.0), 255.0)))
    if not whole_range:
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
        for k in range(256):
            counts[256 * c + k] += counts[768 + 256 * c + k]
            if counts[256 * c + k] > 0:
                top = np.int64(k)
        step = (h * w - np.int64(counts[256 * c + top])) // 255
        below = step // 2
        for k in range(256):
            table[256 * c + k] = np.uint8(min(below // step, 255) if step > 0 else k)
            below += np.int64(counts[256 * c + k])
    _look_up(levels, table)
    return np.int64(0)
