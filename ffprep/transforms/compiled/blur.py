"""Gaussian blur of RGB images, uint8 in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
from ffprep.kernels.memory import bytes_at, doubles_at, floats_at, longs_at
from ffprep.kernels.random import uniform

NEGLIGIBLE = 1e-7
"""Weights that cannot change a level are left out."""


@inline
def mirrored(i: int, n: int) -> int:
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
    for d in range(last + 1, (last + 4) // 4 * 4 + 1):
        out[d] = np.float32(0.0)
    return last


@inline
def _add_four(
    sums: NDArray[np.float32], values: int, weights: NDArray[np.float32], d: int, near: NDArray[np.int64]
) -> None:
    """Add the samples at distances d to d + 3 on both sides, weighted; `near` says at which of `values` they begin."""
    n = sums.size
    a, b, c, e = weights[d], weights[d + 1], weights[d + 2], weights[d + 3]
    a0, a1 = floats_at(values + 4 * near[0], n), floats_at(values + 4 * near[1], n)
    b0, b1 = floats_at(values + 4 * near[2], n), floats_at(values + 4 * near[3], n)
    c0, c1 = floats_at(values + 4 * near[4], n), floats_at(values + 4 * near[5], n)
    e0, e1 = floats_at(values + 4 * near[6], n), floats_at(values + 4 * near[7], n)
    for i in range(n):
        sums[i] += a * (a0[i] + a1[i]) + b * (b0[i] + b1[i]) + c * (c0[i] + c1[i]) + e * (e0[i] + e1[i])


def gaussian_blur(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Numbers: probability, taps down and across (odd), range of sigma. Draw 0 decides, draw 1 is sigma.

    Work: see ``ffprep.transforms.GaussianBlur.work``. Rows first, then columns; edges mirrored.
    """
    n = doubles_at(numbers, 5)
    if uniform(seed, epoch, sample, stream, 0) >= n[0]:
        return np.int64(0)
    down, across = np.int64(n[1]) // 2, np.int64(n[2]) // 2
    sigma = n[3] + (n[4] - n[3]) * uniform(seed, epoch, sample, stream, 1)
    size = 3 * w
    levels = bytes_at(source, h * size)
    near = longs_at(work, 8)
    weights = floats_at(work + 64, max(down, across) + 8)
    work += 64 + 4 * (max(down, across) + 8)
    between = floats_at(work, h * size)
    row = floats_at(work + 4 * h * size, size + 6 * (across + 4))
    sums = floats_at(work + 4 * (h * size + size + 6 * (across + 4)), size)
    last = _weights(weights, across, sigma)
    margin = (last + 3) // 4 * 4
    middle = weights[0]
    for y in range(h):
        for x in range(w + 2 * margin):
            at = 3 * mirrored(x - margin, w) + y * size
            row[3 * x] = np.float32(levels[at])
            row[3 * x + 1] = np.float32(levels[at + 1])
            row[3 * x + 2] = np.float32(levels[at + 2])
        centre = floats_at(np.int64(row.ctypes.data) + 12 * margin, size)
        for i in range(size):
            sums[i] = middle * centre[i]
        for d in range(1, last + 1, 4):
            for k in range(4):
                near[2 * k] = 3 * (margin - d - k)
                near[2 * k + 1] = 3 * (margin + d + k)
            _add_four(sums, np.int64(row.ctypes.data), weights, d, near)
        done = floats_at(np.int64(between.ctypes.data) + 4 * y * size, size)
        for i in range(size):
            done[i] = sums[i]
    last = _weights(weights, down, sigma)
    middle = weights[0]
    for y in range(h):
        centre = floats_at(np.int64(between.ctypes.data) + 4 * y * size, size)
        for i in range(size):
            sums[i] = middle * centre[i]
        for d in range(1, last + 1, 4):
            for k in range(4):
                near[2 * k] = mirrored(y - d - k, h) * size
                near[2 * k + 1] = mirrored(y + d + k, h) * size
            _add_four(sums, np.int64(between.ctypes.data), weights, d, near)
        rounded = bytes_at(source + y * size, size)
        for i in range(size):
            rounded[i] = np.uint8(np.int32(min(max(np.rint(sums[i]), np.float32(0.0)), np.float32(255.0))))
    return np.int64(0)
