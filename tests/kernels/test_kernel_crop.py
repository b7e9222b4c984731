"""Crop sampling: torchvision's algorithm with our random numbers, and its properties."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ffprep.kernels import random
from ffprep.kernels.image import crop
from ffprep.kernels.jit import kernel

SIDES = st.integers(1, 3000)


@kernel
def random_crops(
    height: int, width: int, s0: float, s1: float, r0: float, r1: float, seed: int, n: int
) -> NDArray[np.int64]:
    out = np.empty((n, 4), np.int64)
    for i in range(n):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = crop.random_resized_crop(
            height, width, s0, s1, r0, r1, seed, 0, i, 4
        )
    return out


@kernel
def centers(height: int, width: int, ratio: float) -> tuple[int, int, int, int]:
    return crop.center_crop(height, width, ratio)


@kernel
def resize_centers(height: int, width: int, short: int, h: int, w: int) -> tuple[float, float, float, float]:
    return crop.resize_center_crop(height, width, short, h, w)


def crop_twin(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float], seed: int, sample: int
) -> tuple[int, int, int, int]:
    """torchvision.transforms.RandomResizedCrop.get_params, with the draws named in random_resized_crop."""

    def draw(k: int) -> float:
        return float(random.uniforms(seed, 0, np.array([sample]), 4, k)[0])

    for t in range(10):
        target = height * width * (scale[0] + (scale[1] - scale[0]) * draw(2 * t))
        a, b = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(a + (b - a) * draw(2 * t + 1))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(draw(20) * (height - h + 1)), int(draw(21) * (width - w + 1)), h, w
    own = width / height
    h, w = height, width
    if own < ratio[0]:
        h = max(1, min(height, round(w / ratio[0])))
    elif own > ratio[1]:
        w = max(1, min(width, round(h * ratio[1])))
    return (height - h) // 2, (width - w) // 2, h, w


@given(SIDES, SIDES, st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 2**63 - 1))
@settings(max_examples=150, deadline=None)
def test_random_resized_crop_is_torchvisions(height: int, width: int, s0: float, s1: float, seed: int) -> None:
    scale = (min(s0, s1), max(s0, s1))
    got = random_crops(height, width, *scale, 3 / 4, 4 / 3, seed, 2)
    for sample in range(2):
        y, x, h, w = got[sample].tolist()
        assert y >= 0 and y + h <= height and x >= 0 and x + w <= width and h > 0 and w > 0
        assert (y, x, h, w) == crop_twin(height, width, scale, (3 / 4, 4 / 3), seed, sample)


def test_extreme_shapes_fall_back_to_the_centre() -> None:
    assert random_crops(1000, 10, 0.9, 1, 3 / 4, 4 / 3, 0, 1)[0].tolist() == [493, 0, 13, 10]
    assert random_crops(10, 1000, 0.9, 1, 3 / 4, 4 / 3, 0, 1)[0].tolist() == [0, 493, 10, 13]
    assert random_crops(1, 1, 0.08, 0.1, 3 / 4, 4 / 3, 0, 1)[0].tolist() == [0, 0, 1, 1]


def test_crops_are_distributed_as_asked() -> None:
    n = 20_000
    y, x, h, w = random_crops(400, 500, 0.08, 0.5, 3 / 4, 4 / 3, 3, n).T.astype(float)
    area = h * w / 200_000
    # Nearly every try fits here, so the area is uniform and the log of the ratio is.
    for values, low, high in ((area, 0.08, 0.5), (np.log(w / h), math.log(3 / 4), math.log(4 / 3))):
        u = (values - low) / (high - low)
        grid = np.sort(u)
        distance = np.abs(grid - (np.arange(n) + 0.5) / n).max()
        assert distance < 0.013  # Kolmogorov-Smirnov at 0.2 %, and a little for whole pixels
    for start, room in ((y, 400 - h), (x, 500 - w)):
        u = (start + 0.5) / (room + 1)
        assert abs(u.mean() - 0.5) < 0.01 and abs(u.var() - 1 / 12) < 0.003


@given(SIDES, SIDES, st.floats(0.01, 1))
@settings(max_examples=100, deadline=None)
def test_center_crop_is_ffcvs(height: int, width: int, ratio: float) -> None:
    side = max(1, int(ratio * min(height, width)))
    assert centers(height, width, ratio) == ((height - side) // 2, (width - side) // 2, side, side)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 400), st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=150, deadline=None)
def test_resize_and_center_crop_is_one_box(height: int, width: int, short: int, oh: int, ow: int) -> None:
    y, x, h, w = resize_centers(height, width, short, oh, ow)
    if height <= width:
        rh, rw = short, int(short * width / height)
    else:
        rh, rw = int(short * height / width), short
    if oh <= rh:
        assert math.isclose(y * rh / height, round((rh - oh) / 2), abs_tol=1e-6)
        assert math.isclose(h * rh / height, oh)
    else:
        assert (y, h) == (0, height)
    if ow <= rw:
        assert math.isclose(x * rw / width, round((rw - ow) / 2), abs_tol=1e-6)
        assert math.isclose(w * rw / width, ow)
    else:
        assert (x, w) == (0, width)
    assert y >= 0 and y + h <= height + 1e-6 and x >= 0 and x + w <= width + 1e-6
