"""Mixing of images across a batch, and the draws it takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.random import uniform

DRAWS = 1 << 12
"""Draws put aside for each of the two gamma variates."""


@inline
def log_gamma_variate(shape: float, seed: int, epoch: int, sample: int, stream: int, first: int) -> float:
    """Return the logarithm of a draw from Gamma(shape, 1).

    Marsaglia and Tsang, "A simple method for generating gamma variables", 2000, for ``shape + 1``; then
    Gamma(a) = Gamma(a + 1) U**(1 / a), in logarithms since that underflows for small a.
    """
    d = shape + 1.0 - 1.0 / 3.0
    c = 1.0 / np.sqrt(9.0 * d)
    boost = np.log(1.0 - uniform(seed, epoch, sample, stream, first)) / shape
    for k in range(1, DRAWS - 3, 3):
        radius = np.sqrt(-2.0 * np.log(1.0 - uniform(seed, epoch, sample, stream, first + k)))
        x = radius * np.cos(2.0 * np.pi * uniform(seed, epoch, sample, stream, first + k + 1))
        v = (1.0 + c * x) ** 3
        u = 1.0 - uniform(seed, epoch, sample, stream, first + k + 2)
        if v > 0.0 and np.log(u) < 0.5 * x * x + d - d * v + d * np.log(v):
            return np.log(d * v) + boost
    return np.log(d) + boost


@kernel(arguments=[np.float64, np.int64, np.int64, (np.int64, 1), np.int64, (np.float64, 1)])
def _draw_betas(
    alpha: float, seed: int, epoch: int, samples: NDArray[np.int64], stream: int, out: NDArray[np.float64]
) -> None:
    for i in range(samples.size):
        a = log_gamma_variate(alpha, seed, epoch, samples[i], stream, 0)
        b = log_gamma_variate(alpha, seed, epoch, samples[i], stream, DRAWS)
        out[i] = 1.0 / (1.0 + np.exp(b - a))


def betas(alpha: float, seed: int, epoch: int, samples: NDArray[np.int64], stream: int) -> NDArray[np.float64]:
    """Return a draw from Beta(alpha, alpha) for each of `samples`; draws 0 .. 2 DRAWS - 1 of `stream`."""
    out = np.empty(samples.size)
    _draw_betas(alpha, seed, epoch, samples, stream, out)
    return out


@kernel(arguments=[(np.uint8, 2), (np.float64, 1), (np.uint8, 2)])
def mix_levels(images: NDArray[np.uint8], share: NDArray[np.float64], out: NDArray[np.uint8]) -> None:
    """Write ``share[i] images[i] + (1 - share[i]) images[i - 1]`` without its fraction; arrays of shape (n, levels).

    The image before the first is the last.
    """
    n = images.shape[0]
    for i in range(n):
        own, other = share[i], 1.0 - share[i]
        partner = i - 1 if i > 0 else n - 1
        for k in range(images.shape[1]):
            out[i, k] = np.uint8(np.int32(own * images[i, k] + other * images[partner, k]))


@kernel(arguments=[(np.float32, 2), (np.float64, 1), (np.float32, 2)])
def mix_floats(images: NDArray[np.float32], share: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Write ``share[i] images[i] + (1 - share[i]) images[i - 1]``; arrays of shape (n, values)."""
    n = images.shape[0]
    for i in range(n):
        own, other = np.float32(share[i]), np.float32(1.0 - share[i])
        partner = i - 1 if i > 0 else n - 1
        for k in range(images.shape[1]):
            out[i, k] = own * images[i, k] + other * images[partner, k]


@kernel(arguments=[(np.uint8, 2), (np.int64, 2), np.int64, np.int64, np.int64, (np.uint8, 2)])
def paste(
    images: NDArray[np.uint8], boxes: NDArray[np.int64], planes: int, width: int, pixel: int, out: NDArray[np.uint8]
) -> None:
    """Copy a box of the image before into each image of `out`.

    Parameters
    ----------
    images, out : uint8 arrays (n, bytes of an image)
    boxes : int64 array (n, 4)
        Rows and columns: top, bottom, left, right.
    planes : int
        Planes of an image, stored one after the other.
    width, pixel : int
        Pixels of a row, bytes of a pixel in a plane.
    """
    n = images.shape[0]
    plane = images.shape[1] // planes
    for i in range(n):
        partner = i - 1 if i > 0 else n - 1
        for p in range(planes):
            for y in range(boxes[i, 0], boxes[i, 1]):
                begin = p * plane + (y * width + boxes[i, 2]) * pixel
                for k in range(begin, begin + (boxes[i, 3] - boxes[i, 2]) * pixel):
                    out[i, k] = images[partner, k]
