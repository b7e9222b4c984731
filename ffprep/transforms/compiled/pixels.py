"""Steps on the colours of RGB images, 32 pixels at a time: uint8, in place.

Steps follow one another on pixels that are in registers, so an image is read and written once, whatever the number of
steps, unless a step needs the mean of the whole image. Between steps levels are whole numbers, as torchvision's. What a
step computes has 5 to 8 bits after the point, so where the exact level lies next to a whole number, it may come out one
off; ``tests/transforms/test_image_ops.py`` has the bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.memory import copy_bytes, fill_zero, halves_at, longs_at
from ffprep.kernels.simd import levels as u
from ffprep.kernels.simd import operations as v

SCALE, BLEND, SATURATE, TURN, GREY = 0, 1, 2, 3, 4
"""What steps do: multiply by a factor; the same and add a number; blend with the grey level; turn the hue; take the
grey level."""

PIXELS, BLOCK = 32, 96
"""Pixels of a block, and their bytes."""
STEP, MOST = 8, 4
"""Numbers of a step, and the most steps."""
STEPS_BYTES = MOST * (8 + 2 * STEP) + BLOCK
"""Scratch memory of :func:`change_colours`: kinds as int64, numbers as uint16, a block."""
RUN = 100
"""Blocks whose grey levels are summed in 16 bits."""

_RED, _GREEN, _BLUE = 19589, 38470, 7471
"""torchvision's weights, 0.2989, 0.587 and 0.114, in 65536ths. Their sum is less than that of grey's own level."""
_MOST_FACTOR = 256.0


@inline
def _put(work: int, k: int, kind: int, i: int, value: float) -> None:
    longs_at(work, MOST)[k] = kind
    halves_at(work + 8 * MOST + 2 * STEP * k, STEP)[i] = np.uint16(np.int64(value))


@inline
def _put_factor(work: int, k: int, kind: int, i: int, factor: float, unit: float) -> None:
    """Write the whole part of a factor times `unit`, and its fraction in 65536ths."""
    scaled = np.int64(np.floor(min(factor, _MOST_FACTOR) * unit * 65536.0 + 0.5))
    _put(work, k, kind, i, scaled >> 16)
    _put(work, k, kind, i + 1, scaled & 65535)


@inline
def _bits(factor: float) -> int:
    """Return how many bits after the point leave room for 255 times a factor."""
    bits = np.int64(8)
    while bits > 0 and factor > 1.0:
        factor, bits = factor / 2.0, bits - 1
    return bits


@inline
def scale_step(work: int, k: int, factor: float) -> None:
    """Write step k to scratch memory of STEPS_BYTES: multiply by `factor`."""
    _put_factor(work, k, np.int64(SCALE), np.int64(0), factor, 1.0)


@inline
def _blend_step(work: int, k: int, factor: float, more: float) -> None:
    """Multiply by `factor` and add `more`, upwards by up to one unit so that whole numbers stay what they are."""
    bits, kind = _bits(factor), np.int64(BLEND)
    unit = np.float64(np.int64(1) << bits)
    constant = np.floor(more * unit) + 1.0
    _put_factor(work, k, kind, np.int64(0), factor, unit)
    _put(work, k, kind, np.int64(2), min(max(constant, 0.0), 65535.0))
    _put(work, k, kind, np.int64(3), min(max(-constant, 0.0), 65535.0))
    _put(work, k, kind, np.int64(4), np.float64(bits))


@inline
def saturate_step(work: int, k: int, factor: float) -> None:
    """Write step k to scratch memory of STEPS_BYTES: `factor` of the pixel, and the rest of its grey level."""
    bits, kind = _bits(factor), np.int64(SATURATE)
    unit = np.float64(np.int64(1) << bits)
    _put_factor(work, k, kind, np.int64(0), factor, unit)
    _put_factor(work, k, kind, np.int64(2), abs(1.0 - factor), unit)
    _put(work, k, kind, np.int64(4), np.float64(bits))
    _put(work, k, kind, np.int64(5), 65535.0 if factor > 1.0 else 0.0)


@inline
def turn_step(work: int, k: int, shift: float) -> None:
    """Write step k to scratch memory of STEPS_BYTES: turn the hue by a share of the circle.

    A hue is (difference of the two other channels) / span, and 0, 2 or 4 more where red, green or blue is the greatest.
    The turn is added to that: a fraction, and a whole number for each of the three, so that the sum is within -3 and 3
    of the hue without it. Four are added to make it positive.
    """
    kind, turn = np.int64(TURN), np.int64(np.floor(6.0 * shift * 65536.0 + 0.5))
    _put(work, k, kind, np.int64(0), np.float64(turn & 65535))
    for c in range(3):
        _put(work, k, kind, np.int64(1 + c), np.float64(((turn >> 16) + 2 * c + 3) % 6 + 1))


@inline
def grey_step(work: int, k: int) -> None:
    """Write step k to scratch memory of STEPS_BYTES: take the grey level."""
    _put(work, k, np.int64(GREY), np.int64(0), 0.0)


@inline
def _part(value: Any, n: int) -> Any:
    """Multiply by what :func:`_put_factor` wrote at `n`, and drop the fraction."""
    whole = v.mul_i16x16(value, v.repeat_i16x16(n))
    return v.add_i16x16(whole, u.high_product_u16x16(value, v.repeat_i16x16(n + 2)))


@inline
def _luma(r: Any, g: Any, b: Any) -> Any:
    red = u.high_product_u16x16(u.times_256_i16x16(r), v.fill_i16x16(_RED))
    green = u.high_product_u16x16(u.times_256_i16x16(g), v.fill_i16x16(_GREEN))
    blue = u.high_product_u16x16(u.times_256_i16x16(b), v.fill_i16x16(_BLUE))
    return u.over_256_u16x16(v.add_i16x16(v.add_i16x16(red, green), blue))


@inline
def _level(value: Any) -> Any:
    return u.min_u16x16(value, v.fill_i16x16(255))


@inline
def _blended(value: Any, n: int, more: Any, less: Any) -> Any:
    total = u.subtract_saturated_u16x16(u.add_saturated_u16x16(_part(value, n), more), less)
    return _level(u.shift_right_u16x16(total, v.repeat_i16x16(n + 8)))


@inline
def _apart(one: Any, other: Any) -> Any:
    return u.or_i16x16(u.subtract_saturated_u16x16(one, other), u.subtract_saturated_u16x16(other, one))


@inline
def _rescaled(value: Any) -> Any:
    """Return levels of 32nds of a level as torchvision scales them: by 255.999 / 255, without the fraction."""
    return u.high_product_u16x16(u.times_8_i16x16(value), v.fill_i16x16(257))


@inline
def _turned(r: Any, g: Any, b: Any, n: int) -> tuple[Any, Any, Any]:
    """Turn hues. Everything is multiplied by the span, so nothing has to be divided; the unit is a 32nd of a level.

    What a channel lacks of the greatest level depends on how far the hue is from the middle of its sector: all of the
    span within 1, nothing from 2 on. On the circle of 6, the hue is 0 to 8 here.
    """
    high, low = u.max_u16x16(r, u.max_u16x16(g, b)), u.min_u16x16(r, u.min_u16x16(g, b))
    part = u.where_equal_i16x16(g, high, u.subtract_i16x16(b, r), u.subtract_i16x16(r, g))
    turn = u.where_equal_i16x16(g, high, v.repeat_i16x16(n + 4), v.repeat_i16x16(n + 6))
    part = u.where_equal_i16x16(r, high, u.subtract_i16x16(g, b), part)
    turn = u.where_equal_i16x16(r, high, v.repeat_i16x16(n + 2), turn)
    span = u.times_32_i16x16(u.subtract_i16x16(high, low))
    hue = v.add_i16x16(u.times_32_i16x16(part), u.high_product_u16x16(span, v.repeat_i16x16(n)))
    hue = v.add_i16x16(hue, v.mul_i16x16(span, turn))
    two = v.add_i16x16(span, span)
    four = v.add_i16x16(two, two)
    red = u.min_u16x16(u.subtract_saturated_u16x16(_apart(hue, four), span), span)
    green = u.min_u16x16(u.subtract_saturated_u16x16(two, _apart(hue, v.add_i16x16(two, span))), span)
    green = v.add_i16x16(green, u.subtract_saturated_u16x16(hue, u.subtract_i16x16(v.add_i16x16(four, four), span)))
    blue = u.min_u16x16(u.subtract_saturated_u16x16(two, _apart(hue, v.add_i16x16(four, span))), span)
    blue = v.add_i16x16(blue, u.subtract_saturated_u16x16(span, hue))
    high = u.times_32_i16x16(high)
    return (
        _rescaled(u.subtract_i16x16(high, red)),
        _rescaled(u.subtract_i16x16(high, green)),
        _rescaled(u.subtract_i16x16(high, blue)),
    )


@inline
def _stepped(r: Any, g: Any, b: Any, kind: int, n: int) -> tuple[Any, Any, Any]:
    if kind == SCALE:
        return _level(_part(r, n)), _level(_part(g, n)), _level(_part(b, n))
    if kind == BLEND:
        more, less = v.repeat_i16x16(n + 4), v.repeat_i16x16(n + 6)
        return _blended(r, n, more, less), _blended(g, n, more, less), _blended(b, n, more, less)
    if kind == SATURATE:
        rest, taken = _part(_luma(r, g, b), n + 4), v.repeat_i16x16(n + 10)
        less = u.and_i16x16(rest, taken)
        more = u.subtract_i16x16(rest, less)
        return _blended(r, n, more, less), _blended(g, n, more, less), _blended(b, n, more, less)
    if kind == TURN:
        return _turned(r, g, b, n)
    grey = _luma(r, g, b)
    return grey, grey, grey


@inline
def channels_at(at: int) -> tuple[Any, Any, Any]:
    """Return the channels of the 32 packed pixels at an address, as bytes."""
    p = v.join_i8x32(v.load_i8x16(at), v.load_i8x16(at + 48))
    q = v.join_i8x32(v.load_i8x16(at + 16), v.load_i8x16(at + 64))
    s = v.join_i8x32(v.load_i8x16(at + 32), v.load_i8x16(at + 80))
    return u.channel_0(p, q, s), u.channel_1(p, q, s), u.channel_2(p, q, s)


@inline
def put_channels(at: int, red: Any, green: Any, blue: Any) -> None:
    """Write the channels of 32 pixels, packed, to an address."""
    p, q, s = u.mixed_0(red, green, blue), u.mixed_1(red, green, blue), u.mixed_2(red, green, blue)
    v.store_i8x16(at, u.lower_i8x16(p))
    v.store_i8x16(at + 16, u.lower_i8x16(q))
    v.store_i8x16(at + 32, u.lower_i8x16(s))
    v.store_i8x16(at + 48, u.upper_i8x16(p))
    v.store_i8x16(at + 64, u.upper_i8x16(q))
    v.store_i8x16(at + 80, u.upper_i8x16(s))


@kernel
def change_colours(image: int, pixels: int, work: int, first: int, last: int, counted: bool, written: bool) -> int:
    """Do steps `first` to `last` - 1 of the scratch memory `work` to packed RGB pixels.

    With `counted` it returns the sum of the grey levels that come of it; only with `written` are pixels changed.
    """
    v.compact()
    kinds, table, few = longs_at(work, MOST), work + 8 * MOST, work + STEPS_BYTES - BLOCK
    total, done = np.int64(0), np.int64(0)
    while done < pixels:
        sums = v.fill_i16x16(0)
        end = min(np.int64(pixels), done + PIXELS * RUN)
        while done < end:
            at, count = image + 3 * done, min(np.int64(PIXELS), pixels - done)
            if count < PIXELS:
                fill_zero(few, np.int64(BLOCK))
                copy_bytes(few, at, 3 * count)
                at = few
            red, green, blue = channels_at(at)
            r, g, b = u.first_u16x16(red), u.first_u16x16(green), u.first_u16x16(blue)
            rr, gg, bb = u.second_u16x16(red), u.second_u16x16(green), u.second_u16x16(blue)
            for k in range(first, last):
                kind, n = kinds[k], table + 2 * STEP * k
                r, g, b = _stepped(r, g, b, kind, n)
                rr, gg, bb = _stepped(rr, gg, bb, kind, n)
            if counted:
                sums = v.add_i16x16(sums, v.add_i16x16(_luma(r, g, b), _luma(rr, gg, bb)))
            if written:
                put_channels(at, u.packed_i8x32(r, rr), u.packed_i8x32(g, gg), u.packed_i8x32(b, bb))
                if count < PIXELS:
                    copy_bytes(image + 3 * done, few, 3 * count)
            done += count
        total += np.int64(u.sum_u16x16(sums))
    return total


@inline
def contrast_step(image: int, pixels: int, work: int, done: int, factor: float) -> None:
    """Do the steps before step `done`, and make that a blend with the mean grey level of what they gave."""
    total = change_colours(image, pixels, work, np.int64(0), done, True, done > 0)
    _blend_step(work, done, factor, np.float64(total) / pixels * (1.0 - factor))
