"""Weights of an axis, written down and beside plain definitions of the filters: first samples, counts and every weight.

The numbers of samples matter as much as the weights: the renderers size their tables by them.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ffprep.kernels.jit import kernel
from ffprep.kernels.resample import weights

BILINEAR, BICUBIC, AREA, STRETCH = 0, 1, 2, 3
DIRECT, BOX, FANCY = 0, 1, 2
Axis = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


@kernel
def make_axis(kind: int, origin: float, scale: float, lo: int, hi: int, n: int) -> Axis:
    """An axis; entries that nobody wrote stay 7."""
    starts, counts = np.full(n, -9), np.full(n, -9)
    values = np.full((n, weights.tap_limit(kind, scale, lo, hi)), 7.0)
    weights.axis_weights(kind, origin, scale, lo, hi, starts, counts, values)
    return starts, counts, values


@kernel
def make_composed(
    how: int,
    ratio: int,
    length: int,
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    values: NDArray[np.float64],
    taps: int,
) -> Axis:
    n = starts.size
    out_starts, out_counts = np.full(n, -9), np.full(n, -9)
    out = np.full((n, taps), 7.0)
    weights.compose(how, ratio, length, starts, counts, values, out_starts, out_counts, out)
    return out_starts, out_counts, out


@kernel
def facts(kind: int, scale: float, other: float, lo: int, hi: int) -> tuple[int, float, int]:
    return (
        weights.effective_filter(kind, scale, other),
        weights.support(kind, scale),
        weights.tap_limit(kind, scale, lo, hi),
    )


@kernel
def upsampling(hs: int, vs: int, width: int) -> tuple[int, int]:
    return weights.upsampling(hs, vs, width)


@kernel
def span(how: int, ratio: int, length: int, first: int, last: int) -> tuple[int, int]:
    return weights.component_span(how, ratio, length, first, last)


# -- filters -----------------------------------------------------------------------------------------------------------


def test_which_filter_and_how_far_it_reaches() -> None:
    assert [facts(AREA, y, x, 0, 9)[0] for y, x in ((1, 1), (2, 0.5), (0.5, 2), (0.5, 0.5), (1, 3))] == [2, 3, 3, 3, 2]
    assert [facts(kind, 0.5, 0.5, 0, 9)[0] for kind in (BILINEAR, BICUBIC, STRETCH)] == [0, 1, 3]
    scales = (0.25, 1.0, 2.5)
    assert [facts(BILINEAR, scale, 1, 0, 9)[1] for scale in scales] == [1, 1, 2.5]
    assert [facts(BICUBIC, scale, 1, 0, 9)[1] for scale in scales] == [2, 2, 5]
    assert [facts(AREA, scale, 1, 0, 9)[1] for scale in scales] == [1, 1, 2.5]
    assert [facts(STRETCH, scale, 1, 0, 9)[1] for scale in scales] == [2.125, 2.5, 3.25]
    assert [facts(BILINEAR, scale, 1, 10, 99)[2] for scale in scales] == [4, 4, 7]
    assert [facts(BICUBIC, 2.5, 1, 10, hi)[2] for hi in (11, 21, 22, 23)] == [1, 11, 12, 12]


def cubic(x: float) -> float:
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0


def smooth_twin(kind: int, origin: float, scale: float, lo: int, hi: int, n: int) -> list[tuple[int, list[float]]]:
    """Every sample whose centre lies within the filter's reach, rounded outwards as Pillow does."""
    wide = max(scale, 1)
    reach = 2 * wide if kind == BICUBIC else wide
    rows = []
    for o in range(n):
        center = origin - lo + (o + 0.5) * scale
        first = min(max(math.floor(center - reach + 0.5), 0), hi - lo - 1)
        end = max(min(math.floor(center + reach + 0.5), hi - lo), first + 1)
        distances = [(p + 0.5 - center) / wide for p in range(first, end)]
        values = [cubic(d) if kind == BICUBIC else max(0.0, 1 - abs(d)) for d in distances]
        total = sum(values)
        rows.append((lo + first, [value / total for value in values]))
    return rows


CASES = [
    (origin, scale, lo, hi, n)
    for lo, hi, origin, extent, n in (
        (0, 10, 0.0, 10.0, 10),
        (0, 10, 0.0, 10.0, 4),
        (0, 10, 0.0, 10.0, 3),
        (0, 10, 0.0, 10.0, 23),
        (5, 18, 5.0, 13.0, 6),
        (5, 18, 6.25, 9.5, 7),
        (100, 140, 103.3, 30.1, 9),
        (3, 4, 3.0, 1.0, 5),
        (3, 5, 3.0, 2.0, 1),
        (0, 64, 0.0, 64.0, 1),
        (7, 40, 7.0, 33.0, 32),
        (0, 9, 2.0, 4.0, 4),
        (0, 9, 0.5, 8.0, 4),
        (0, 100, 0.0005, 99.0, 33),
        (0, 100, 0.9995, 99.0, 33),
    )
    for scale in (extent / n,)
]


@pytest.mark.parametrize("kind", [BILINEAR, BICUBIC])
@pytest.mark.parametrize("case", CASES)
def test_smooth_axes_are_their_definition(kind: int, case: tuple[float, float, int, int, int]) -> None:
    starts, counts, values = make_axis(kind, *case)
    expected = smooth_twin(kind, *case)
    assert starts.tolist() == [first for first, _ in expected]
    assert counts.tolist() == [len(row) for _, row in expected]
    for got, (_, row) in zip(values, expected, strict=True):
        assert got[: len(row)] == pytest.approx(row, abs=1e-13)
        assert (got[len(row) :] == 7).all()


def test_area_axes_by_hand() -> None:
    starts, counts, values = make_axis(AREA, 0.0, 2.5, 0, 10, 4)
    assert (starts.tolist(), counts.tolist()) == ([0, 2, 5, 7], [3, 3, 3, 3])
    assert values[0, :3] == pytest.approx([0.4, 0.4, 0.2], abs=1e-13)
    assert values[1, :3] == pytest.approx([0.2, 0.4, 0.4], abs=1e-13)
    starts, counts, values = make_axis(AREA, 4.0, 2.0, 4, 10, 3)
    assert (starts.tolist(), counts.tolist()) == ([4, 6, 8], [2, 2, 2])
    assert values[:, :2].tolist() == [[0.5, 0.5]] * 3
    # Less than a thousandth of a sample is left out, as OpenCV does; cells are cut at the end.
    starts, counts, values = make_axis(AREA, 0.9995, 2.0, 0, 10, 2)
    assert (starts.tolist(), counts.tolist()) == ([1, 3], [2, 2])
    starts, counts, values = make_axis(AREA, 0.9985, 2.0, 0, 10, 2)
    assert (starts.tolist(), counts.tolist()) == ([0, 2], [3, 3])
    assert values[0, :3] == pytest.approx([0.00075, 0.5, 0.49925], abs=1e-12)
    starts, counts, values = make_axis(AREA, 8.5, 2.0, 0, 10, 1)
    assert (starts.tolist(), counts.tolist()) == ([8], [2])
    assert values[0, :2] == pytest.approx([1 / 3, 2 / 3], abs=1e-13)


def test_an_area_of_one_sample_is_not_rounded_up() -> None:
    starts, counts, values = make_axis(AREA, 0.0, 1.0005, 0, 10, 1)
    assert (starts.tolist(), counts.tolist()) == ([0], [1])
    assert values[0, 0] == pytest.approx(1 / 1.0005, abs=1e-13)


def test_stretched_axes_by_hand() -> None:
    starts, counts, values = make_axis(STRETCH, 0.0, 0.5, 0, 3, 6)
    assert (starts.tolist(), counts.tolist()) == ([0, 0, 1, 1, 2, 2], [2, 2, 2, 2, 1, 1])
    assert [row[:2].tolist() for row in values[:4]] == [[1, 0], [1, 0], [1, 0], [1, 0]]
    assert values[4:, 0].tolist() == [1, 1] and (values[4:, 1:] == 7).all()
    starts, counts, values = make_axis(STRETCH, 10.0, 0.8, 10, 14, 5)
    assert (starts.tolist(), counts.tolist()) == ([10, 10, 11, 12, 13], [2, 2, 2, 2, 1])
    assert values[:4, 1] == pytest.approx([0, 0.75, 0.5, 0.25], abs=1e-6)
    starts, counts, _ = make_axis(STRETCH, 0.0, 2.0, 0, 8, 4)
    assert (starts.tolist(), counts.tolist()) == ([0, 2, 4, 6], [2, 2, 2, 2])


AXES = {
    0: [
        "7176a91f",
        "1902ea60",
        "dd059517",
        "67aa1800",
        "2e2d8233",
        "9abeadb6",
        "ea75e13c",
        "f6bb8372",
        "d0f9f928",
        "b303f491",
        "509d3b06",
        "dd3aff1c",
        "6996593e",
        "40126d5d",
        "8b72faf7",
    ],
    1: [
        "52b70c4d",
        "e47d3434",
        "969bdf04",
        "d339631a",
        "71444741",
        "f54c9d5f",
        "21bb9432",
        "f6bb8372",
        "d0f9f928",
        "b4d03d49",
        "2d79d9e3",
        "177c7f55",
        "cf3596c4",
        "2de29001",
        "de26b8d5",
    ],
    2: [
        "aee32a12",
        "31d4554c",
        "f7aff6c3",
        "7446c126",
        "4feeb4f1",
        "b9a384ab",
        "d0f9f928",
        "3f40ac5b",
        "d4754712",
        "3626437e",
        "0331a38d",
        "3b340d93",
        "4d273208",
    ],
    3: [
        "f3bbc5d6",
        "9aecc30c",
        "1152fff3",
        "ff970a15",
        "2a9a31a5",
        "44462258",
        "a6bcdf7f",
        "f6bb8372",
        "d0f9f928",
        "615d2de7",
        "2982ad30",
        "f1494979",
        "60372385",
        "62f55fd2",
        "f65d16bb",
    ],
}


def described(axis: Axis) -> str:
    starts, counts, values = axis
    text = np.round(values, 9) + 0.0
    return hashlib.sha256(starts.tobytes() + counts.tobytes() + text.tobytes()).hexdigest()[:8]


@pytest.mark.parametrize("kind", [BILINEAR, BICUBIC, AREA, STRETCH])
def test_axes_are_what_they_were(kind: int) -> None:
    scaled = [case for case in CASES if kind != AREA or case[1] >= 1]
    assert [described(make_axis(kind, *case)) for case in scaled] == AXES[kind]


# -- upsampling --------------------------------------------------------------------------------------------------------


def test_how_libjpeg_upsamples() -> None:
    for width in (1, 2):
        found = [upsampling(hs, vs, width) for hs, vs in ((1, 1), (2, 1), (1, 2), (2, 2))]
        assert found == [(DIRECT, DIRECT), (DIRECT, BOX), (FANCY, DIRECT), (BOX, BOX)]
    for width in (3, 4, 500):
        found = [upsampling(hs, vs, width) for hs, vs in ((1, 1), (2, 1), (1, 2), (2, 2))]
        assert found == [(DIRECT, DIRECT), (DIRECT, FANCY), (FANCY, DIRECT), (FANCY, FANCY)]
    others = ((4, 1), (1, 4), (4, 2), (2, 4), (3, 1), (1, 3), (3, 2), (2, 3))
    assert [upsampling(*pair, 90) for pair in others] == [
        (DIRECT, BOX), (BOX, DIRECT), (BOX, BOX), (BOX, BOX), (DIRECT, BOX), (BOX, DIRECT), (BOX, BOX), (BOX, BOX),
    ]  # fmt: skip


def test_which_samples_of_a_component_are_needed() -> None:
    assert [span(DIRECT, 1, 10, a, b) for a, b in ((0, 0), (3, 7), (9, 12), (-2, 4))] == [
        (0, 0),
        (3, 7),
        (9, 9),
        (0, 4),
    ]
    assert [span(DIRECT, 1, 10, a, b) for a, b in ((12, 13), (-4, -3))] == [(9, 9), (0, 0)]
    assert [span(BOX, 2, 10, a, b) for a, b in ((0, 0), (1, 2), (5, 7), (18, 19))] == [(0, 0), (0, 1), (2, 3), (9, 9)]
    assert [span(BOX, 4, 3, a, b) for a, b in ((3, 4), (0, 11), (11, 13))] == [(0, 1), (0, 2), (2, 2)]
    # Fancy: a sample beside the one above, on the side on which the image's sample lies.
    assert [span(FANCY, 2, 10, a, a) for a in (0, 1, 2, 3, 18, 19)] == [(0, 0), (0, 1), (0, 1), (1, 2), (8, 9), (9, 9)]
    assert [span(FANCY, 2, 10, a, b) for a, b in ((2, 5), (1, 4), (0, 19))] == [(0, 3), (0, 2), (0, 9)]


@pytest.mark.parametrize(("how", "ratio"), [(DIRECT, 1), (BOX, 2), (BOX, 3), (BOX, 4), (FANCY, 2)])
def test_composed_axes_are_upsampling_then_resampling(how: int, ratio: int) -> None:
    """One sample of the image at a time, in fractions."""
    for length, origin, scale, lo, hi, n in ((9, 0.0, 1.0, 0, 9, 9), (20, 3.0, 2.5, 3, 18, 6), (7, 2.5, 0.7, 1, 7, 5)):
        starts, counts, values = make_axis(BILINEAR, origin, scale, lo, hi, n)
        component = -(-length // ratio)
        got = make_composed(how, ratio, component, starts, counts, values, values.shape[1] + 3)
        for o in range(n):
            wanted = np.zeros(component)
            first, last = int(starts[o]), int(starts[o] + counts[o] - 1)
            for p in range(first, last + 1):
                weight = values[o, p - first]
                if how == FANCY:
                    beside = min(max(p // 2 + (1 if p % 2 else -1), 0), component - 1)
                    wanted[p // 2] += 0.75 * weight
                    wanted[beside] += 0.25 * weight
                else:
                    wanted[p // ratio] += weight
            low, high = span(how, ratio, component, first, last)
            assert (got[0][o], got[1][o]) == (low, high - low + 1)
            row = got[2][o, : high - low + 1]
            assert row == pytest.approx(wanted[low : high + 1], abs=1e-13)
            assert (got[2][o, high - low + 1 :] == 7).all()


def test_a_composed_axis_stays_inside_its_table() -> None:
    """Where a table is narrower than an output needs, the last tap takes what is left."""
    starts, counts, values = make_axis(BILINEAR, 0.0, 4.0, 0, 16, 2)
    composed = make_composed(DIRECT, 1, 16, starts, counts, values, 3)
    assert composed[1].tolist() == [3, 3]
    assert composed[2].sum(axis=1) == pytest.approx([1, 1])
    fancy = make_composed(FANCY, 2, 8, starts, counts, values, 2)
    assert fancy[1].tolist() == [2, 2]
    assert fancy[2].sum(axis=1) == pytest.approx([1, 1])


# -- bounds of tables --------------------------------------------------------------------------------------------------


@kernel
def tap_count(kind: int, scale: float, length: int) -> int:
    return weights.tap_count(kind, scale, length)


def test_how_many_samples_an_output_can_have() -> None:
    assert [tap_count(STRETCH, scale, 10) for scale in (0.1, 0.9)] == [2, 2]
    assert [tap_count(AREA, scale, 10) for scale in (1.0, 2.0, 2.5)] == [2, 3, 4]
    assert [tap_count(BILINEAR, scale, 10) for scale in (0.5, 1.0, 2.0, 2.2)] == [2, 2, 4, 5]
    assert [tap_count(BICUBIC, scale, 10) for scale in (0.5, 1.0, 2.0, 2.2)] == [4, 4, 8, 9]
    assert [tap_count(kind, 1.0, 1) for kind in (BILINEAR, BICUBIC, AREA, STRETCH)] == [1, 1, 1, 1]


def test_an_output_beyond_all_samples_shows_the_nearest() -> None:
    starts, counts, values = make_axis(BILINEAR, -5.0, 1.0, 0, 3, 1)
    assert (starts[0], counts[0], values[0, 0]) == (0, 1, 1.0)
