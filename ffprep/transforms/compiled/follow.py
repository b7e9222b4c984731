"""What label masks, boxes and keypoints do where an image is moved, with the same parameters and draws.

Functions on labels take images of one channel whose values have ``pixel`` bytes. Functions on points take a list of
them at `source`, float64, and change it in place: the number of rows, 1 if a row is a box (x1, y1, x2, y2) or 0 if it
is a point (x, y, visibility), 1 if the image is mirrored, one that is unused, then the rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.image.crop import random_resized_crop
from ffprep.kernels.jit import inline
from ffprep.kernels.memory import bytes_at, copy_bytes, doubles_at
from ffprep.kernels.random import uniform
from ffprep.transforms.compiled.warp import map_of, tilt_of

LIST_HEAD = 4
"""Elements before the rows of a list of points."""


def nothing(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Do nothing: a member of a composition that moves no pixels."""
    return np.int64(0)


@inline
def nearest_of(out: int, source: int, target: int) -> int:
    """Return which of `source` places output place `out` of `target` shows; torch's rule, in float32."""
    if source == target:
        return np.int64(out)
    if target == 2 * source:
        return np.int64(out) >> 1
    scale = np.float32(source) / np.float32(target)
    return min(np.int64(np.floor(np.float32(out) * scale)), np.int64(source - 1))


@inline
def _copy(image: NDArray[np.uint8], out: NDArray[np.uint8], at: int, to: int, pixel: int) -> None:
    for k in range(pixel):
        out[to * pixel + k] = image[at * pixel + k]


@inline
def _fill(out: NDArray[np.uint8], to: int, pixel: int, value: int) -> None:
    for k in range(pixel):
        out[to * pixel + k] = np.uint8((value >> (8 * k)) & 255)


def resize_labels(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Resize labels, or a random part of them; numbers as of `space.resize`."""
    n = doubles_at(numbers, 8)
    y, x, rows, cols = np.int64(0), np.int64(0), np.int64(h), np.int64(w)
    if n[5] > 0.0:
        y, x, rows, cols = random_resized_crop(h, w, n[4], n[5], n[6], n[7], seed, epoch, sample, stream)
    image, out = bytes_at(source, h * w * pixel), bytes_at(target, out_h * out_w * pixel)
    for i in range(out_h):
        begin = (y + nearest_of(i, rows, out_h)) * w + x
        for j in range(out_w):
            _copy(image, out, begin + nearest_of(j, cols, out_w), i * out_w + j, pixel)
    return np.int64(0)


@inline
def _fixed16(value: float) -> int:
    return np.int64(np.floor(min(max(value, -1e6), 1e6) * 65536.0 + 0.5))


def move_labels(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Rotate, shear or shift labels as `warp.move` does images with the nearest pixel; numbers as there."""
    n = doubles_at(numbers, 6)
    fill = np.int64(n[3])
    m = map_of(numbers, h, w, seed, epoch, sample, stream)
    x, y = _fixed16(m[2] + m[0] * 0.5 + m[1] * 0.5), _fixed16(m[5] + m[3] * 0.5 + m[4] * 0.5)
    a, b, d, e = _fixed16(m[0]), _fixed16(m[1]), _fixed16(m[3]), _fixed16(m[4])
    wide, high = np.int64(w) << 16, np.int64(h) << 16
    image, out = bytes_at(source, h * w * pixel), bytes_at(target, out_h * out_w * pixel)
    for row in range(out_h):
        xx, yy = x, y
        for k in range(out_w):
            if 0 <= xx < wide and 0 <= yy < high:
                _copy(image, out, (yy >> 16) * w + (xx >> 16), row * out_w + k, pixel)
            else:
                _fill(out, row * out_w + k, pixel, fill)
            xx += a
            yy += d
        x += b
        y += e
    return np.int64(0)


def tilt_labels(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Tilt labels as `warp.perspective` does images with the nearest pixel; numbers and work as there."""
    n, m = doubles_at(numbers, 6), doubles_at(work, 72)
    if not tilt_of(numbers, m, h, w, seed, epoch, sample, stream):
        copy_bytes(np.int64(target), np.int64(source), h * w * pixel)
        return np.int64(0)
    image, out = bytes_at(source, h * w * pixel), bytes_at(target, out_h * out_w * pixel)
    for row in range(out_h):
        y = row + 0.5
        for k in range(out_w):
            x = k + 0.5
            depth = m[62] * x + m[71] * y + 1.0
            at_x, at_y = (m[8] * x + m[17] * y + m[26]) / depth, (m[35] * x + m[44] * y + m[53]) / depth
            if 0.0 <= at_x < w and 0.0 <= at_y < h:
                _copy(image, out, np.int64(at_y) * w + np.int64(at_x), row * out_w + k, pixel)
            else:
                _fill(out, row * out_w + k, pixel, np.int64(n[3]))
    return np.int64(0)


@inline
def _clipped(value: float, side: float) -> float:
    return min(max(value, 0.0), side)


@inline
def mirror_points(points: int, side: int, axis: int) -> None:
    """Mirror a list of points in an image with this many pixels along `axis`: 0 across, 1 down.

    As in torchvision, boxes are measured from the image's corner, points from the middle of its first pixel.
    """
    head = doubles_at(points, LIST_HEAD)
    count = np.int64(head[0])
    head[2] = 1.0 - head[2]
    rows = doubles_at(points + 8 * LIST_HEAD, 4 * count)
    for i in range(count):
        if head[1] != 0.0:
            low, high = rows[4 * i + axis], rows[4 * i + 2 + axis]
            rows[4 * i + axis], rows[4 * i + 2 + axis] = side - high, side - low
        else:
            rows[3 * i + axis] = side - 1.0 - rows[3 * i + axis]


@inline
def place_points(points: int, y: float, x: float, h: float, w: float, down: float, across: float) -> None:
    """Let a list of points follow a crop (y, x, h, w) that is resized by the factors `down` and `across`.

    Boxes are clipped to the crop.
    """
    head = doubles_at(points, LIST_HEAD)
    count = np.int64(head[0])
    rows = doubles_at(points + 8 * LIST_HEAD, 4 * count)
    for i in range(count):
        if head[1] != 0.0:
            rows[4 * i] = _clipped(rows[4 * i] - x, w) * across
            rows[4 * i + 1] = _clipped(rows[4 * i + 1] - y, h) * down
            rows[4 * i + 2] = _clipped(rows[4 * i + 2] - x, w) * across
            rows[4 * i + 3] = _clipped(rows[4 * i + 3] - y, h) * down
        else:
            rows[3 * i] = (rows[3 * i] - x) * across
            rows[3 * i + 1] = (rows[3 * i + 1] - y) * down


@inline
def _project(points: int, m: tuple[float, ...], out_h: int, out_w: int) -> None:
    """Send points from the source to the result; `m` maps the other way, its last element is 1."""
    a, b, c, d, e, f, g, k = m
    # The adjugate is the inverse up to a factor, which the quotient takes away.
    p0, p1, p2 = e - f * k, c * k - b, b * f - c * e
    q0, q1, q2 = f * g - d, a - c * g, c * d - a * f
    r0, r1, r2 = d * k - e * g, b * g - a * k, a * e - b * d
    head = doubles_at(points, LIST_HEAD)
    count = np.int64(head[0])
    if r2 < 0.0:
        head[2] = 1.0 - head[2]
    rows = doubles_at(points + 8 * LIST_HEAD, 4 * count)
    for i in range(count):
        if head[1] == 0.0:
            x, y = rows[3 * i], rows[3 * i + 1]
            depth = r0 * x + r1 * y + r2
            rows[3 * i], rows[3 * i + 1] = (p0 * x + p1 * y + p2) / depth, (q0 * x + q1 * y + q2) / depth
            continue
        left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
        for corner in range(4):
            x = rows[4 * i + (0 if corner % 2 == 0 else 2)]
            y = rows[4 * i + (1 if corner < 2 else 3)]
            depth = r0 * x + r1 * y + r2
            at_x, at_y = (p0 * x + p1 * y + p2) / depth, (q0 * x + q1 * y + q2) / depth
            left, right = min(left, at_x), max(right, at_x)
            top, bottom = min(top, at_y), max(bottom, at_y)
        rows[4 * i], rows[4 * i + 1] = _clipped(left, np.float64(out_w)), _clipped(top, np.float64(out_h))
        rows[4 * i + 2], rows[4 * i + 3] = _clipped(right, np.float64(out_w)), _clipped(bottom, np.float64(out_h))


def flip_points_horizontal(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers as of `space.flip_horizontal`."""
    if uniform(seed, epoch, sample, stream, 0) < doubles_at(numbers, 1)[0]:
        mirror_points(source, w, 0)
    return np.int64(0)


def flip_points_vertical(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers as of `space.flip_vertical`."""
    if uniform(seed, epoch, sample, stream, 0) < doubles_at(numbers, 1)[0]:
        mirror_points(source, h, 1)
    return np.int64(0)


def crop_points(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers as of `space.crop_padded`."""
    n = doubles_at(numbers, 5)
    top = np.int64(uniform(seed, epoch, sample, stream, 0) * n[2]) - np.int64(n[0])
    left = np.int64(uniform(seed, epoch, sample, stream, 1) * n[3]) - np.int64(n[1])
    place_points(
        source, np.float64(top), np.float64(left), np.float64(out_h), np.float64(out_w), 1.0, 1.0
    )  # fmt: skip
    return np.int64(0)


def resize_points(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers as of `space.resize`."""
    n = doubles_at(numbers, 8)
    y, x, rows, cols = np.int64(0), np.int64(0), np.int64(h), np.int64(w)
    if n[5] > 0.0:
        y, x, rows, cols = random_resized_crop(h, w, n[4], n[5], n[6], n[7], seed, epoch, sample, stream)
    place_points(
        source, np.float64(y), np.float64(x), np.float64(rows), np.float64(cols),
        np.float64(out_h) / rows, np.float64(out_w) / cols,
    )  # fmt: skip
    return np.int64(0)


def move_points(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers as of `warp.move`."""
    a, b, c, d, e, f = map_of(numbers, h, w, seed, epoch, sample, stream)
    _project(source, (a, b, c, d, e, f, 0.0, 0.0), out_h, out_w)
    return np.int64(0)


def tilt_points(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers and work as of `warp.perspective`."""
    m = doubles_at(work, 72)
    if tilt_of(numbers, m, h, w, seed, epoch, sample, stream):
        _project(source, (m[8], m[17], m[26], m[35], m[44], m[53], m[62], m[71]), out_h, out_w)
    return np.int64(0)
