"""Elastic deformation: each pixel shows a place that smooth noise has moved it to; images, labels and points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
from ffprep.kernels.memory import bytes_at, doubles_at, floats_at, longs_at
from ffprep.kernels.random import bits64
from ffprep.transforms.compiled.blur_wide import mirrored
from ffprep.transforms.compiled.follow import LIST_HEAD
from ffprep.transforms.compiled.warp import BORDER, NEAREST, chosen, show, spread

FIRST_DRAW = 1
"""The noise of pixel i is draw i after this one: its upper half across, its lower half down. Draw 0 is warp's."""


@inline
def _weights(out: NDArray[np.float32], sigma: float) -> None:
    """Write half a normalised Gaussian, from its middle on."""
    total = 1.0
    for d in range(1, out.size):
        total += 2.0 * np.exp(-0.5 * (d / sigma) ** 2)
    for d in range(out.size):
        out[d] = np.float32(np.exp(-0.5 * (d / sigma) ** 2) / total)


@inline
def _smooth_rows(
    field: NDArray[np.float32], line: NDArray[np.float32], wide: NDArray[np.float32], h: int, w: int
) -> None:
    """Smooth each row with the weights in `line`; `wide` holds a row with mirrored edges."""
    radius = line.size - 1
    for y in range(h):
        row = field[y * w : (y + 1) * w]
        for x in range(w + 2 * radius):
            wide[x] = row[mirrored(x - radius, w)]
        for x in range(w):
            row[x] = line[0] * wide[x + radius]
        for d in range(1, radius + 1):
            weight = line[d]
            before, after = wide[radius - d : radius - d + w], wide[radius + d : radius + d + w]
            for x in range(w):
                row[x] += weight * (before[x] + after[x])


@inline
def _smooth_columns(
    field: NDArray[np.float32], line: NDArray[np.float32], copied: NDArray[np.float32], h: int, w: int
) -> None:
    for i in range(h * w):
        copied[i] = field[i]
    for y in range(h):
        row = field[y * w : (y + 1) * w]
        for x in range(w):
            row[x] = line[0] * row[x]
        for d in range(1, line.size):
            weight, above, below = line[d], mirrored(y - d, h) * w, mirrored(y + d, h) * w
            for x in range(w):
                row[x] += weight * (copied[above + x] + copied[below + x])


@inline
def shifts_of(numbers: int, work: int, h: int, w: int, seed: int, epoch: int, sample: int, stream: int) -> int:
    """Write how far each pixel's place is moved across, then down, as float32 at `work`; return where memory goes on.

    Numbers: greatest shifts across and down in pixels, if noise were not smoothed; sigmas across and down; radii of
    their weights; then as of `warp.perspective` from the interpolation on.
    """
    n = doubles_at(numbers, 6)
    across, down = floats_at(work, h * w), floats_at(work + 4 * h * w, h * w)
    rx, ry = np.int64(n[4]), np.int64(n[5])
    place = work + 8 * h * w
    copied = floats_at(place, h * w)
    place += 4 * h * w
    wide = floats_at(place, w + 2 * rx)
    place += 4 * (w + 2 * rx)
    row, column = floats_at(place, rx + 1), floats_at(place + 4 * (rx + 1), ry + 1)
    place += 4 * (rx + ry + 2)
    _weights(row, n[2])
    _weights(column, n[3])
    unit = np.float32(1.0 / 2147483648.0)
    for i in range(h * w):
        bits = bits64(seed, epoch, sample, stream, FIRST_DRAW + i)
        across[i] = np.float32(np.int64(bits >> np.uint64(32))) * unit - np.float32(1.0)
        down[i] = np.float32(np.int64(bits & np.uint64(0xFFFFFFFF))) * unit - np.float32(1.0)
    for part in range(2):
        field = floats_at(work + part * 4 * h * w, h * w)
        if rx > 0:
            _smooth_rows(field, row, wide, h, w)
        if ry > 0:
            _smooth_columns(field, column, copied, h, w)
        most = np.float32(n[part])
        for i in range(h * w):
            field[i] *= most
    return np.int64((place + 63) // 64 * 64)


def elastic(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Deform an image. Numbers and work: as of `shifts_of`, then interpolation and fill colour, and its memory."""
    look = doubles_at(numbers + 48, 4)
    way = chosen(look[0], seed, epoch, sample, stream)
    pixels = shifts_of(numbers, work, h, w, seed, epoch, sample, stream)
    across, down = floats_at(work, h * w), floats_at(work + 4 * h * w, h * w)
    image = bytes_at(source, 3 * h * w)
    if way != NEAREST:
        spread(image, longs_at(pixels, (h + 2 * BORDER) * (w + 2 * BORDER)), h, w)
    for y in range(out_h):
        out = bytes_at(target + 3 * y * out_w, 3 * out_w)
        for x in range(out_w):
            i = y * w + x
            show(
                image, pixels, out, x, x + 0.5 + np.float64(across[i]), y + 0.5 + np.float64(down[i]), h, w, way,
                look[1:],
            )  # fmt: skip
    return np.int64(0)


def elastic_labels(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers and work as of `elastic`."""
    fill = np.int64(doubles_at(numbers + 48, 2)[1])
    shifts_of(numbers, work, h, w, seed, epoch, sample, stream)
    across, down = floats_at(work, h * w), floats_at(work + 4 * h * w, h * w)
    image, out = bytes_at(source, h * w * pixel), bytes_at(target, out_h * out_w * pixel)
    for y in range(out_h):
        for x in range(out_w):
            i = y * w + x
            at_x, at_y = x + 0.5 + np.float64(across[i]), y + 0.5 + np.float64(down[i])
            inside = 0.0 <= at_x < w and 0.0 <= at_y < h
            begin = (np.int64(at_y) * w + np.int64(at_x)) * pixel if inside else np.int64(0)
            for k in range(pixel):
                out[i * pixel + k] = image[begin + k] if inside else np.uint8((fill >> (8 * k)) & 255)
    return np.int64(0)


@inline
def _back(
    x: float, y: float, across: NDArray[np.float32], down: NDArray[np.float32], h: int, w: int
) -> tuple[float, float]:
    """Return about where the result shows a place of the source: the shift there, taken back; torchvision's way."""
    column, row = min(max(np.int64(x), 0), w - 1), min(max(np.int64(y), 0), h - 1)
    i = row * w + column
    return column - np.float64(across[i]), row - np.float64(down[i])


def elastic_points(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers and work as of `elastic`."""
    shifts_of(numbers, work, h, w, seed, epoch, sample, stream)
    across, down = floats_at(work, h * w), floats_at(work + 4 * h * w, h * w)
    head = doubles_at(source, LIST_HEAD)
    count = np.int64(head[0])
    rows = doubles_at(source + 8 * LIST_HEAD, 4 * count)
    for i in range(count):
        if head[1] == 0.0:
            rows[3 * i], rows[3 * i + 1] = _back(rows[3 * i], rows[3 * i + 1], across, down, h, w)
            continue
        left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
        for corner in range(4):
            x = rows[4 * i + (0 if corner % 2 == 0 else 2)]
            y = rows[4 * i + (1 if corner < 2 else 3)]
            at_x, at_y = _back(x, y, across, down, h, w)
            left, right = min(left, at_x), max(right, at_x)
            top, bottom = min(top, at_y), max(bottom, at_y)
        rows[4 * i], rows[4 * i + 2] = min(max(left, 0.0), w * 1.0), min(max(right, 0.0), w * 1.0)
        rows[4 * i + 1], rows[4 * i + 3] = min(max(top, 0.0), h * 1.0), min(max(bottom, 0.0), h * 1.0)
    return np.int64(0)
