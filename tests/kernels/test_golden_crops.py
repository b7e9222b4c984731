"""Draws and crops of three seeds, written down, and twins in plain Python that share no constant with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from philox import PUBLISHED, philox_words

from ffprep.kernels import random
from ffprep.kernels.image import crop
from ffprep.kernels.jit import kernel

SEEDS = (0, 20261129, -5)
OP = 7


@kernel
def random_crops(
    height: int, width: int, limits: NDArray[np.float64], seed: int, epoch: int, n: int
) -> NDArray[np.int64]:
    out = np.empty((n, 4), np.int64)
    for i in range(n):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = crop.random_resized_crop(
            height, width, limits[0], limits[1], limits[2], limits[3], seed, epoch, i, 7
        )
    return out


@kernel
def center(height: int, width: int, ratio: float) -> tuple[int, int, int, int]:
    return crop.center_crop(height, width, ratio)


@kernel
def resized_center(height: int, width: int, short: int, h: int, w: int) -> tuple[float, float, float, float]:
    return crop.resize_center_crop(height, width, short, h, w)


@kernel
def words(key0: int, key1: int, c0: int, c1: int, c2: int, c3: int) -> tuple[int, int, int, int]:
    return random.philox4x32(key0, key1, c0, c1, c2, c3)


def draw(seed: int, epoch: int, sample: int, op: int, k: int) -> float:
    high, low, _, _ = philox_words([seed % 2**32, (seed >> 32) % 2**32], [epoch, sample, op, k])
    return ((high << 32 | low) >> 11) / 2**53


# -- draws -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("counter", "key", "result"), PUBLISHED)
def test_philox_is_the_published_one(counter: str, key: str, result: str) -> None:
    counters, keys, results = ([int(word, 16) for word in text.split()] for text in (counter, key, result))
    assert philox_words(keys, counters) == results
    assert [int(word) for word in words(*keys, *counters)] == results


DRAWN = {
    0: [0.49697224610306046, 0.5058002703294046, 0.5128202746682597],
    20261129: [0.7771543669655872, 0.7320155463586749, 0.4997971272230429],
    -5: [0.5678595402025549, 0.9466350136929148, 0.9561754556472302],
}


@pytest.mark.parametrize("seed", SEEDS)
def test_uniform_draws(seed: int) -> None:
    samples = np.array([0, 1, 5_000_000_000])
    assert random.uniforms(np.int64(seed), 3, samples, OP, 2).tolist() == DRAWN[seed]
    assert DRAWN[seed] == [draw(seed, 3, sample % 2**32, OP, 2) for sample in samples.tolist()]


SHUFFLED = {0: [5, 0, 6, 3, 8, 7, 1, 2, 4], 20261129: [8, 3, 2, 0, 4, 7, 5, 1, 6], -5: [5, 3, 4, 7, 0, 8, 2, 1, 6]}


@pytest.mark.parametrize("seed", SEEDS)
def test_shuffles(seed: int) -> None:
    assert random.permutation(9, np.int64(seed), 4).tolist() == SHUFFLED[seed]
    out = list(range(9))
    for i in range(8, 0, -1):
        j = int(draw(seed, 4, i, 0xFFFF0000, 0) * (i + 1))
        out[i], out[j] = out[j], out[i]
    assert SHUFFLED[seed] == out
    assert random.permutation(1, seed, 0).tolist() == [0] and random.permutation(0, seed, 0).tolist() == []


# -- crops -------------------------------------------------------------------------------------------------------------

USUAL = (0.08, 1.0, 3 / 4, 4 / 3)
CROPS = {
    0: [[16, 29, 352, 321], [53, 215, 205, 271], [46, 106, 324, 248], [9, 39, 320, 395]],
    20261129: [[30, 214, 209, 239], [85, 50, 199, 242], [19, 52, 339, 443], [47, 162, 285, 305]],
    -5: [[114, 320, 177, 176], [174, 39, 190, 248], [59, 122, 204, 176], [58, 66, 297, 360]],
}


def crop_twin(height: int, width: int, limits: tuple[float, ...], seed: int, epoch: int, sample: int) -> list[int]:
    """``torchvision.transforms.RandomResizedCrop.get_params`` with our draws."""
    least, most, narrow, wide = limits
    for t in range(10):
        area = height * width * (least + (most - least) * draw(seed, epoch, sample, OP, 2 * t))
        logs = math.log(narrow), math.log(wide)
        aspect = math.exp(logs[0] + (logs[1] - logs[0]) * draw(seed, epoch, sample, OP, 2 * t + 1))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            y = int(draw(seed, epoch, sample, OP, 20) * (height - h + 1))
            x = int(draw(seed, epoch, sample, OP, 21) * (width - w + 1))
            return [y, x, h, w]
    return []


@pytest.mark.parametrize("seed", SEEDS)
def test_random_crops(seed: int) -> None:
    found = random_crops(375, 500, np.array(USUAL), np.int64(seed), 2, 4).tolist()
    assert found == CROPS[seed]
    assert found == [crop_twin(375, 500, USUAL, seed, 2, sample) for sample in range(4)]


def test_random_crops_of_small_and_of_long_images() -> None:
    for height, width, limits in ((3, 5, USUAL), (60, 90, (0.9, 1.0, 0.5, 2.0)), (2, 1, (0.1, 1.0, 0.5, 1.0))):
        found = random_crops(height, width, np.array(limits), 11, 0, 200).tolist()
        expected = [crop_twin(height, width, limits, 11, 0, sample) for sample in range(200)]
        assert [got for got, twin in zip(found, expected, strict=True) if twin] == [twin for twin in expected if twin]
    # Where no try fits: the middle, of the image's own ratio as far as that is allowed.
    never = (5.0, 6.0, 3 / 4, 4 / 3)
    for height, width, wanted in (
        (1000, 10, [493, 0, 13, 10]),
        (10, 1000, [0, 493, 10, 13]),
        (100, 120, [0, 0, 100, 120]),
        (30, 40, [0, 0, 30, 40]),
        (40, 30, [0, 0, 40, 30]),
        (30, 41, [0, 0, 30, 40]),
        (41, 30, [0, 0, 40, 30]),
        (9, 2, [3, 0, 3, 2]),
        (1, 1, [0, 0, 1, 1]),
        (2, 1, [0, 0, 1, 1]),
        (1, 2, [0, 0, 1, 1]),
    ):
        assert random_crops(height, width, np.array(never), 1, 0, 1).tolist() == [wanted]
    assert random_crops(100, 1, np.array([5.0, 6.0, 4.0, 5.0]), 1, 0, 1).tolist() == [[49, 0, 1, 1]]
    assert random_crops(1, 100, np.array([5.0, 6.0, 0.1, 0.2]), 1, 0, 1).tolist() == [[0, 49, 1, 1]]


def test_the_largest_and_the_smallest_crop_are_taken() -> None:
    whole = random_crops(64, 64, np.array([1.0, 1.0, 1.0, 1.0]), 1, 0, 3)
    assert whole.tolist() == [[0, 0, 64, 64]] * 3
    pixel = random_crops(64, 64, np.array([1 / 4096, 1 / 4096, 1.0, 1.0]), 1, 0, 500)
    assert (pixel[:, 2:] == 1).all()
    assert pixel[:, :2].min() == 0 and pixel[:, :2].max() == 63
    # Crops of no pixel are no crops: after ten tries the whole image is taken.
    assert random_crops(64, 64, np.array([0.0, 0.0, 1.0, 1.0]), 1, 0, 1).tolist() == [[0, 0, 64, 64]]
    assert random_crops(64, 64, np.array([1.05, 1.05, 1.0, 1.0]), 1, 0, 1).tolist() == [[0, 0, 64, 64]]


@pytest.mark.parametrize(
    ("size", "ratio", "wanted"),
    [
        ((375, 500), 224 / 256, (23, 86, 328, 328)),
        ((500, 375), 224 / 256, (86, 23, 328, 328)),
        ((5, 9), 1.0, (0, 2, 5, 5)),
        ((9, 5), 1.5, (2, 0, 5, 5)),
        ((9, 6), 0.001, (4, 2, 1, 1)),
        ((1, 1), 0.5, (0, 0, 1, 1)),
    ],
)
def test_center_crops(size: tuple[int, int], ratio: float, wanted: tuple[int, ...]) -> None:
    assert center(*size, ratio) == wanted


@pytest.mark.parametrize(
    ("size", "short", "out", "wanted"),
    [
        ((400, 500), 200, (160, 160), (40.0, 90.0, 320.0, 320.0)),
        ((500, 400), 200, (160, 160), (90.0, 40.0, 320.0, 320.0)),
        ((400, 500), 200, (250, 300), (0.0, 0.0, 400.0, 500.0)),
        ((400, 500), 200, (200, 250), (0.0, 0.0, 400.0, 500.0)),
        ((400, 400), 200, (199, 197), (0.0, 4.0, 398.0, 394.0)),
        ((300, 301), 100, (50, 99), (75.0, 0.0, 150.0, 297.99)),
        ((301, 300), 100, (99, 50), (0.0, 75.0, 297.99, 150.0)),
        ((1, 900), 1, (1, 1), (0.0, 450.0, 1.0, 1.0)),
    ],
)
def test_resized_center_crops(
    size: tuple[int, int], short: int, out: tuple[int, int], wanted: tuple[float, ...]
) -> None:
    assert resized_center(*size, short, *out) == pytest.approx(wanted, rel=1e-12)
