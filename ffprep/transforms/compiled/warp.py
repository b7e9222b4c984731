"""Operations that show an image through a map of coordinates: affine and perspective; RGB images, uint8.

A map gives the place in the source for a place in the result, both measured from the image's corner, as in Pillow: the
first pixel's centre is (0.5, 0.5). Places are whole numbers of 2**-32 pixels. What lies outside becomes the fill
colour.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
from ffprep.kernels.memory import bytes_at, copy_bytes, doubles_at, get_i64, longs_at, put_u8
from ffprep.kernels.random import uniform
from ffprep.transforms.compiled.nearest import fill_pixels, filled_around, nearest_row

NEAREST, BILINEAR, BICUBIC, EITHER = 0, 1, 2, 3
"""Interpolations; the last is one of the two before it, drawn by draw 0."""
ROTATE, SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y = 0, 1, 2, 3, 4
ONE = 4294967296.0
"""A pixel in units of places."""
HALF = 2147483648
STEP_12 = 1 << 19
"""Half of 2**-12 pixels."""
BORDER, LANE = 2, 21
"""Pixels around an image, and bits for each channel of one, where pixels are blended."""
FAR = 1e6
"""Maps that lead further away than this many pixels are cut off there."""


@inline
def _fixed(value: float) -> int:
    return np.int64(np.floor(min(max(value, -FAR), FAR) * ONE + 0.5))


@inline
def _fixed16(value: float) -> int:
    return np.int64(np.floor(min(max(value, -FAR), FAR) * 65536.0 + 0.5))


@inline
def spread(image: NDArray[np.uint8], out: NDArray[np.int64], h: int, w: int) -> None:
    """Write an image with a border of two pixels, copies of its edge, each pixel as three numbers of 21 bits."""
    wide = w + 2 * BORDER
    for y in range(h):
        row, begin = image[3 * w * y : 3 * w * (y + 1)], (y + BORDER) * wide
        inner = out[begin + BORDER : begin + BORDER + w]
        for x in range(w):
            inner[x] = (
                np.int64(row[3 * x]) | (np.int64(row[3 * x + 1]) << LANE) | (np.int64(row[3 * x + 2]) << (2 * LANE))
            )
        for k in range(BORDER):
            out[begin + k], out[begin + BORDER + w + k] = inner[0], inner[w - 1]
    for k in range(BORDER):
        for x in range(wide):
            out[k * wide + x] = out[BORDER * wide + x]
            out[(h + BORDER + k) * wide + x] = out[(h + BORDER - 1) * wide + x]


@inline
def _put(out: int, total: int, shift: int) -> None:
    """Write three sums of levels, scaled by a power of two, as a pixel without fractions, in 0..255."""
    for k in range(3):
        level = (total << (64 - LANE)) >> (64 - LANE)
        total = (total - level) >> LANE
        put_u8(out + k, np.uint8(min(max(level >> shift, np.int64(0)), np.int64(255))))


@inline
def _put_linear(pixels: int, out: int, x: int, y: int, wide: int) -> None:
    """Write the bilinear mean of the four pixels around a place; weights are whole numbers of 2**-12."""
    x += STEP_12 - HALF
    y += STEP_12 - HALF
    fx, fy = (x >> 20) & 4095, (y >> 20) & 4095
    base = pixels + 8 * (((y >> 32) + BORDER) * wide + (x >> 32) + BORDER)
    for_d = (fx * fy + 2048) >> 12
    total = get_i64(base) * (4096 - fx - fy + for_d) + get_i64(base + 8) * (fx - for_d)
    base += 8 * wide
    _put(out, total + get_i64(base) * (fy - for_d) + get_i64(base + 8) * for_d, np.int64(12))


@inline
def _cubic(fraction: int) -> tuple[int, int, int, int]:
    """Return Pillow's weights of four neighbours for a place between the second and the third, in 2**-11."""
    d = np.float32(fraction) * np.float32(1.0 / 65536.0)
    square = d * d
    cube = square * d
    unit, half = np.float32(2048.0), np.float32(4096.5)  # positive, so that dropping the fraction rounds
    first = np.int64(np.int32((square + square - cube - d) * unit + half)) - 4096
    second = np.int64(np.int32((np.float32(1.0) - square - square + cube) * unit + half)) - 4096
    fourth = np.int64(np.int32((cube - square) * unit + half)) - 4096
    return first, second, np.int64(2048) - first - second - fourth, fourth


@inline
def _put_cubic(pixels: int, out: int, x: int, y: int, wide: int) -> None:
    """Write the bicubic mean of the sixteen pixels around a place; weights are whole numbers of 2**-11."""
    x += 32768 - HALF
    y += 32768 - HALF
    x0, x1, _, x3 = _cubic((x >> 16) & 65535)
    y0, y1, y2, y3 = _cubic((y >> 16) & 65535)
    base = pixels + 8 * (((y >> 32) + BORDER - 1) * wide + (x >> 32) + BORDER - 1)
    total = np.int64(0)
    for k in range(4):
        weight = y0 if k == 0 else (y1 if k == 1 else (y2 if k == 2 else y3))
        a, b, d = (weight * x0 + 1024) >> 11, (weight * x1 + 1024) >> 11, (weight * x3 + 1024) >> 11
        total += get_i64(base) * a + get_i64(base + 8) * b + get_i64(base + 16) * (weight - a - b - d)
        total += get_i64(base + 24) * d
        base += 8 * wide
    _put(out, total, np.int64(11))


@inline
def _warp(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int,
    m: tuple[float, float, float, float, float, float], way: int, fill: NDArray[np.float64], work: int,
) -> None:  # fmt: skip
    """Show an image through the map ``x' = m0 x + m1 y + m2``, ``y' = m3 x + m4 y + m5``.

    Work: 8 bytes for each pixel, with a border of two, unless the nearest pixel is taken.
    """
    image = bytes_at(source, 3 * h * w)
    if way == NEAREST:
        x, y = _fixed16(m[2] + m[0] * 0.5 + m[1] * 0.5), _fixed16(m[5] + m[3] * 0.5 + m[4] * 0.5)
        a, b, d, e = _fixed16(m[0]), _fixed16(m[1]), _fixed16(m[3]), _fixed16(m[4])
        for row in range(out_h):
            nearest_row(image, bytes_at(target + 3 * row * out_w, 3 * out_w), h, w, out_w, x, y, a, d, fill)
            x += b
            y += e
        return
    spread(image, longs_at(work, (h + 2 * BORDER) * (w + 2 * BORDER)), h, w)
    dx, dy = _fixed(m[0]), _fixed(m[3])
    wide, high = np.int64(w) << 32, np.int64(h) << 32
    for row in range(out_h):
        out = bytes_at(target + 3 * row * out_w, 3 * out_w)
        x, y = _fixed(m[0] * 0.5 + m[1] * (row + 0.5) + m[2]), _fixed(m[3] * 0.5 + m[4] * (row + 0.5) + m[5])
        first, last = filled_around(out, out_w, x, y, dx, dy, wide, high, fill)
        place = np.int64(target + 3 * row * out_w)
        if way == BILINEAR:
            for k in range(first, last):
                _put_linear(np.int64(work), place + 3 * k, x + k * dx, y + k * dy, w + 2 * BORDER)
        else:
            for k in range(first, last):
                _put_cubic(np.int64(work), place + 3 * k, x + k * dx, y + k * dy, w + 2 * BORDER)


@inline
def chosen(way: float, seed: int, epoch: int, sample: int, stream: int) -> int:
    if way == EITHER:
        return np.int64(BILINEAR) if uniform(seed, epoch, sample, stream, 0) < 0.5 else np.int64(BICUBIC)
    return np.int64(way)


@inline
def _between(low: float, high: float, seed: int, epoch: int, sample: int, stream: int, k: int) -> float:
    return low + (high - low) * uniform(seed, epoch, sample, stream, k)


@inline
def _random_map(
    n: NDArray[np.float64], seed: int, epoch: int, sample: int, stream: int
) -> tuple[float, float, float, float, float, float]:
    """Draw a rotation, shift, scale and shear, and return the map from the result to the source.

    Numbers: the point (x, y) about which; ranges of degrees, of pixels to the right and down (which are rounded), of
    the scale, of degrees of shear across and down.
    """
    angle = _between(n[2], n[3], seed, epoch, sample, stream, 1) * np.pi / 180.0
    right = np.rint(_between(n[4], n[5], seed, epoch, sample, stream, 2))
    down = np.rint(_between(n[6], n[7], seed, epoch, sample, stream, 3))
    scale = _between(n[8], n[9], seed, epoch, sample, stream, 4)
    across = _between(n[10], n[11], seed, epoch, sample, stream, 5) * np.pi / 180.0
    along = _between(n[12], n[13], seed, epoch, sample, stream, 6) * np.pi / 180.0
    # The inverse of a shear across, then one down, then the rotation.
    p = np.cos(angle - along) / np.cos(along)
    q = -p * np.tan(across) - np.sin(angle)
    r = np.sin(angle - along) / np.cos(along)
    s = -r * np.tan(across) + np.cos(angle)
    a, b, d, e = s / scale, -q / scale, -r / scale, p / scale
    x, y = -n[0] - right, -n[1] - down
    return a, b, n[0] + a * x + b * y, d, e, n[1] + d * x + e * y


@inline
def map_of(
    numbers: int, h: int, w: int, seed: int, epoch: int, sample: int, stream: int
) -> tuple[float, float, float, float, float, float]:
    """Return the map of a movement, from the result to the source; ``numbers`` as of `move`."""
    n = doubles_at(numbers, 6)
    value, kind = n[0], np.int64(n[1])
    a, b, c, d, e, f = 1.0, 0.0, 0.0, 0.0, 1.0, 0.0
    if kind == ROTATE:
        turn = -(value % 360.0) * (np.pi / 180.0)
        # As in Pillow: so quarters and twelfths of a turn are exact.
        a, b = np.rint(np.cos(turn) * 1e15) / 1e15, np.rint(np.sin(turn) * 1e15) / 1e15
        d, e = -b, a
        c = (a * (-w / 2.0) - b * (h / 2.0)) + w / 2.0
        f = (d * (-w / 2.0) - e * (h / 2.0)) + h / 2.0
    elif kind == SHEAR_X:
        b = value
    elif kind == SHEAR_Y:
        d = value
    elif kind == TRANSLATE_X:
        c = -value
    elif kind == TRANSLATE_Y:
        f = -value
    else:
        a, b, c, d, e, f = _random_map(doubles_at(numbers + 48, 14), seed, epoch, sample, stream)
    return a, b, c, d, e, f


def move(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Rotate, shear or shift an image, or do all of that at random.

    Numbers: degrees against the clock about the centre, or the tangent of the shear, or pixels to the right or down;
    which of these; interpolation; the fill colour; then 14 ranges of what is drawn, by draws 1 to 6.
    """
    n = doubles_at(numbers, 6)
    way = chosen(n[2], seed, epoch, sample, stream)
    _warp(
        source, target, h, w, out_h, out_w, map_of(numbers, h, w, seed, epoch, sample, stream), way, n[3:], work
    )  # fmt: skip
    return np.int64(0)


@inline
def show(
    image: NDArray[np.uint8], pixels: int, out: NDArray[np.uint8], k: int, x: float, y: float, h: int, w: int,
    way: int, fill: NDArray[np.float64],
) -> None:  # fmt: skip
    """Write pixel k of a row: what lies at the place (x, y) of the source."""
    if not (0.0 <= x < w and 0.0 <= y < h):
        fill_pixels(out, k, k + 1, fill)
    elif way == NEAREST:
        at = 3 * (np.int64(y) * w + np.int64(x))
        for c in range(3):
            out[3 * k + c] = image[at + c]
    elif way == BILINEAR:
        _put_linear(pixels, np.int64(out.ctypes.data) + 3 * k, _fixed(x), _fixed(y), w + 2 * BORDER)
    else:
        _put_cubic(pixels, np.int64(out.ctypes.data) + 3 * k, _fixed(x), _fixed(y), w + 2 * BORDER)


@inline
def _solve(m: NDArray[np.float64]) -> None:
    """Solve eight linear equations in place: `m` has eight rows of nine, and the solution replaces the last column."""
    for k in range(8):
        best = k
        for i in range(k + 1, 8):
            if abs(m[9 * i + k]) > abs(m[9 * best + k]):
                best = i
        for j in range(9):
            m[9 * k + j], m[9 * best + j] = m[9 * best + j], m[9 * k + j]
        if m[9 * k + k] == 0.0:
            continue
        for i in range(8):
            if i != k:
                share = m[9 * i + k] / m[9 * k + k]
                for j in range(k, 9):
                    m[9 * i + j] -= share * m[9 * k + j]
    for k in range(8):
        m[9 * k + 8] = m[9 * k + 8] / m[9 * k + k] if m[9 * k + k] != 0.0 else 0.0


@inline
def tilt_of(
    numbers: int, m: NDArray[np.float64], h: int, w: int, seed: int, epoch: int, sample: int, stream: int
) -> bool:
    """Draw whether an image is tilted and how; ``numbers`` as of `perspective`.

    The map from the result to the source is written to the last column of `m`, eight rows of nine.
    """
    n = doubles_at(numbers, 2)
    if n[0] > 1.0:
        given = doubles_at(numbers + 48, 8)
        for k in range(8):
            m[9 * k + 8] = given[k]
        return True
    if uniform(seed, epoch, sample, stream, 1) >= n[0]:
        return False
    reach_x, reach_y = np.int64(n[1] * (w // 2)) + 1, np.int64(n[1] * (h // 2)) + 1
    for k in range(4):
        right, below = k == 1 or k == 2, k >= 2
        dx = np.float64(np.int64(uniform(seed, epoch, sample, stream, 2 + 2 * k) * reach_x))
        dy = np.float64(np.int64(uniform(seed, epoch, sample, stream, 3 + 2 * k) * reach_y))
        from_x, from_y = (w - 1.0 if right else 0.0), (h - 1.0 if below else 0.0)
        to_x, to_y = (w - 1.0 - dx if right else dx), (h - 1.0 - dy if below else dy)
        for j in range(18):
            m[18 * k + j] = 0.0
        m[18 * k], m[18 * k + 1], m[18 * k + 2] = to_x, to_y, 1.0
        m[18 * k + 6], m[18 * k + 7], m[18 * k + 8] = -from_x * to_x, -from_x * to_y, from_x
        m[18 * k + 12], m[18 * k + 13], m[18 * k + 14] = to_x, to_y, 1.0
        m[18 * k + 15], m[18 * k + 16], m[18 * k + 17] = -from_y * to_x, -from_y * to_y, from_y
    _solve(m)
    return True


def perspective(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Move the corners of an image inwards at random.

    Numbers: probability, how far corners move (share of half a side), interpolation, the fill colour. Draw 1 decides,
    draws 2 to 9 are the corners. With a probability above 1, eight numbers follow, of the map itself. Work: 72 float64,
    then as for `move`.
    """
    n, m = doubles_at(numbers, 6), doubles_at(work, 72)
    if not tilt_of(numbers, m, h, w, seed, epoch, sample, stream):
        copy_bytes(np.int64(target), np.int64(source), 3 * h * w)
        return np.int64(0)
    way = chosen(n[2], seed, epoch, sample, stream)
    image, pixels = bytes_at(source, 3 * h * w), np.int64(work + 576)
    if way != NEAREST:
        spread(image, longs_at(pixels, (h + 2 * BORDER) * (w + 2 * BORDER)), h, w)
    for row in range(out_h):
        out = bytes_at(target + 3 * row * out_w, 3 * out_w)
        y = row + 0.5
        for k in range(out_w):
            x = k + 0.5
            depth = m[62] * x + m[71] * y + 1.0
            at_x, at_y = (m[8] * x + m[17] * y + m[26]) / depth, (m[35] * x + m[44] * y + m[53]) / depth
            show(image, pixels, out, k, at_x, at_y, h, w, way, n[3:])
    return np.int64(0)
