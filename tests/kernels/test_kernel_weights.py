"""Axis weights against the libraries they imitate, and the algebra of composing and rounding them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ffprep.kernels.jit import kernel
from ffprep.kernels.resample import axis, weights

Axis = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


@kernel
def make_axis(kind: int, origin: float, scale: float, lo: int, hi: int, n: int) -> Axis:
    starts, counts = np.zeros(n, np.int64), np.zeros(n, np.int64)
    values = np.zeros((n, weights.tap_limit(kind, scale, lo, hi)))
    weights.axis_weights(kind, origin, scale, lo, hi, starts, counts, values)
    return starts, counts, values


@kernel
def make_composed(how: int, ratio: int, length: int, axis: Axis) -> Axis:
    starts, counts, values = axis
    n = starts.size
    out_starts, out_counts = np.zeros(n, np.int64), np.zeros(n, np.int64)
    out = np.full((n, values.shape[1] + 3), 7.0)
    weights.compose(how, ratio, length, starts, counts, values, out_starts, out_counts, out)
    return out_starts, out_counts, out


@kernel
def make_quantised(values: NDArray[np.float32], one: int) -> NDArray[np.int32]:
    n, pitch = np.int64(1), axis.lanes(1)
    table, out = np.zeros((values.size, pitch), np.float32), np.zeros((values.size, pitch), np.int32)
    used = np.zeros(pitch, np.int32)
    table[:, 16] = values
    rounded = axis.Axis(n, np.int64(values.size), np.int64(0), np.int64(table.ctypes.data) + axis.FRONT)
    axis.quantise_axis(rounded, one, np.int64(out.ctypes.data) + axis.FRONT, np.int64(used.ctypes.data) + axis.FRONT)
    return out[:, 16].copy()


def matrix(axis: Axis, length: int) -> NDArray[np.float64]:
    """The axis as a dense (n, length) matrix; checks that it stays inside."""
    starts, counts, values = axis
    dense = np.zeros((starts.size, length))
    for o, (s, c) in enumerate(zip(starts, counts, strict=True)):
        assert s >= 0 and c >= 1 and s + c <= length
        dense[o, s : s + c] = values[o, :c]
    return dense


SIZES = st.tuples(st.integers(1, 200), st.integers(1, 60))


@given(SIZES, st.sampled_from(["bilinear", "bicubic"]))
@settings(max_examples=100, deadline=None)
def test_smooth_axes_are_torchs_antialiased_interpolation(sizes: tuple[int, int], mode: str) -> None:
    torch = pytest.importorskip("torch")
    length, n = sizes
    identity = torch.eye(length, dtype=torch.float64)[:, None, None, :]
    expected = (
        torch.nn.functional.interpolate(identity, size=(1, n), mode=mode, antialias=True, align_corners=False)[
            :, 0, 0, :
        ]
        .numpy()
        .T
    )
    got = matrix(make_axis(weights.FILTERS[mode], 0.0, length / n, 0, length, n), length)
    np.testing.assert_allclose(got, expected, atol=1e-9)


@given(SIZES, st.booleans())
@settings(max_examples=100, deadline=None)
def test_area_axes_are_opencvs(sizes: tuple[int, int], other_axis_grows: bool) -> None:
    cv2 = pytest.importorskip("cv2")
    length, n = sizes
    rows = 2
    kind = weights.STRETCH if other_axis_grows or n > length else weights.AREA
    image = np.zeros((rows, length, length), np.float32)
    image[:, np.arange(length), np.arange(length)] = 1
    expected = np.stack(
        [
            cv2.resize(image[..., k], (n, 3 if other_axis_grows else 1), interpolation=cv2.INTER_AREA)[0]
            for k in range(length)
        ],
        axis=1,
    )
    got = matrix(make_axis(kind, 0.0, length / n, 0, length, n), length)
    np.testing.assert_allclose(got, expected, atol=2e-3)  # OpenCV ignores cells covered by less than 1e-3


@given(
    st.sampled_from([weights.BILINEAR, weights.BICUBIC, weights.AREA, weights.STRETCH]),
    st.floats(0, 50),
    st.floats(0.02, 400),
    st.integers(1, 300),
    st.integers(1, 50),
    st.integers(0, 1000),
)
@settings(max_examples=200, deadline=None)
def test_any_axis_stays_inside_sums_to_one_and_moves_on(
    kind: int, origin: float, extent: float, length: int, n: int, lo: int
) -> None:
    assume(origin < length)
    if kind == weights.AREA and extent < n:
        kind = weights.STRETCH
    starts, counts, values = make_axis(kind, lo + origin, extent / n, lo, lo + length, n)
    dense = matrix((starts - lo, counts, values), length)
    if origin + extent <= length:
        np.testing.assert_allclose(dense.sum(1), 1, atol=3e-3)
    assert np.all(np.diff(starts) >= 0) and np.all(np.diff(starts + counts) >= 0)
    if kind != weights.BICUBIC:
        assert dense.min() >= 0


@given(
    st.sampled_from([(weights.FANCY, 2), (weights.BOX, 2), (weights.BOX, 4), (weights.BOX, 3), (weights.DIRECT, 1)]),
    st.sampled_from([weights.BILINEAR, weights.BICUBIC, weights.AREA]),
    st.integers(3, 150),
    st.integers(0, 100),
    st.integers(1, 150),
    st.integers(1, 40),
)
@settings(max_examples=200, deadline=None)
def test_composed_axis_is_upsampling_then_resampling(
    how_ratio: tuple[int, int], kind: int, length: int, lo: int, extent: int, n: int
) -> None:
    how, ratio = how_ratio
    lo = min(lo, length - 1)
    hi = min(lo + extent, length)
    axis = make_axis(kind, float(lo), (hi - lo) / n, lo, hi, n)
    component = -(-length // ratio)
    upsample = np.zeros((length, component))
    for p in range(length):
        upsample[p, p // ratio] += 0.75 if how == weights.FANCY else 1.0
        if how == weights.FANCY:
            upsample[p, min(max(p // 2 - 1 + 2 * (p % 2), 0), component - 1)] += 0.25
    composed = matrix(make_composed(how, ratio, component, axis), component)
    np.testing.assert_allclose(composed, matrix(axis, length) @ upsample, atol=1e-12)


@given(
    st.lists(st.floats(-0.25, 1, width=32), min_size=1, max_size=40), st.sampled_from([112, 127, 112 * 256, 127 * 256])
)
@settings(max_examples=100, deadline=None)
def test_rounded_weights_sum_to_one_exactly_and_err_below_one(values: list[float], one: int) -> None:
    w = np.array(values)
    assume(w.sum() > 0.5)
    w = (w / w.sum()).astype(np.float32).astype(float)
    running = np.cumsum(w)
    assume(running.min() * one > -1000 and running.max() < 2)
    got = make_quantised(w.astype(np.float32), one)
    # Each float32 addition and the last product err by at most 2**-24 of a sum below 2.
    error = (w.size + 1) * 2.0**-23 * one
    assert got.sum() == one
    assert np.abs(got - w * one).max() <= 1 + 2 * error
    assert np.abs(np.cumsum(got) - running * one).max() <= 0.5 + error
