"""Measuring what operations draw, from the pictures and the points that they make; and tests of distributions."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.common.seeds import signed
from ffprep.pipeline.form import BatchInfo
from ffprep.transforms.compiled.run import run_rows
from ffprep.transforms.image import ImageOp

N = 2000
BATCH = BatchInfo(np.arange(N) + 10_000, 4, 1234, 56)
RNG = np.random.default_rng(5)
Values = NDArray[Any]


def uniform(values: Values, low: float, high: float) -> None:
    """Kolmogorov and Smirnov's test for a uniform distribution, at about 1 in 1,000."""
    x = np.sort((np.asarray(values, np.float64) - low) / (high - low))
    assert x[0] >= -1e-9 and x[-1] <= 1 + 1e-9
    n = len(x)
    distance = max((np.arange(1, n + 1) / n - x).max(), (x - np.arange(n) / n).max())
    assert distance * math.sqrt(n) < 1.95, (distance, n)


def discrete(values: Any, shares: dict[Any, float]) -> None:
    """The chi-squared test at about 1 in 1,000; all values have to be among those of `shares`, which add up to 1."""
    counts = Counter(values)
    assert set(counts) <= set(shares), set(counts) - set(shares)
    assert math.isclose(sum(shares.values()), 1.0, rel_tol=1e-9)
    total = sum(counts.values())
    expected = {value: share * total for value, share in shares.items() if share > 0}
    statistic = sum((counts[value] - many) ** 2 / many for value, many in expected.items())
    free = len(expected) - 1
    assert statistic < free * (1 - 2 / (9 * free) + 3.3 * math.sqrt(2 / (9 * free))) ** 3, (statistic, free)


def evenly(values: Any, possible: Any) -> None:
    found = list(possible)
    discrete(values, {value: 1 / len(found) for value in found})


def coin(happened: Values, p: float) -> None:
    discrete(np.asarray(happened, bool).tolist(), {True: p, False: 1 - p})


def spread(levels: Values) -> Values:
    """Undo that fractions of levels were dropped."""
    return np.asarray(levels, np.float64) + RNG.random(len(levels))


def same(picture: Any) -> NDArray[np.uint8]:
    return np.tile(np.asarray(picture, np.uint8), (N, 1, 1, 1))


def ramp(h: int = 8, w: int = 9) -> NDArray[np.uint8]:
    """A picture without symmetry, with many levels."""
    return np.arange(20, 20 + 3 * h * w).reshape(h, w, 3).astype(np.uint8)


def flat(level: Any, h: int = 2, w: int = 2) -> NDArray[np.uint8]:
    return np.broadcast_to(np.asarray(level, np.uint8), (h, w, 3)).copy()


def changed(op: ImageOp, picture: Any = None) -> Values:
    x = same(ramp() if picture is None else picture)
    return np.asarray((op.apply(x, BATCH) != x).any(axis=(1, 2, 3)))


def moved(op: ImageOp, points: list[tuple[float, float]], h: int, w: int) -> NDArray[np.float64]:
    """Where an operation on images of this size sends points (x, y): (N, points, 2)."""
    follower = op.follower("points")
    assert follower is not None
    size = 4 + 3 * len(points)
    assert 8 * size == h * w  # so that lists lie where images of bytes would
    lists = np.zeros((N, size))
    lists[:, 0] = len(points)
    lists[:, 4:] = np.array([(x, y, 1.0) for x, y in points]).ravel()
    numbers, work = follower.numbers(h, w, "uint8", 1), np.empty(follower.work(h, w) + 64, np.uint8)
    sizes = np.array([h, w, h, w, 1], np.int64)
    address = lists.ctypes.data
    status = run_rows(
        follower.entry(), address, address, sizes, numbers.ctypes.data, work.ctypes.data,
        signed(BATCH.seed), BATCH.epoch, BATCH.ids, BATCH.stream,
    )  # fmt: skip
    assert status == 0
    return lists[:, 4:].reshape(N, -1, 3)[:, :, :2]
