"""Crops, padding, translation, cutout and erasing against twins in numpy and torchvision's formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pictures import between, draw, info, pictures, sizes
from numpy.typing import NDArray

from ffprep import transforms as T
from ffprep.errors import OptionError
from ffprep.pipeline.form import BatchInfo

DTYPES = ["uint8", "float32", "float16", "int64"]


@settings(max_examples=30)
@given(
    size=sizes,
    dtype=st.sampled_from(DTYPES),
    mode=st.sampled_from(["constant", "reflect", "edge"]),
    padding=st.sampled_from([0, 3, (2, 1), (0, 4, 5, 1)]),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_random_crop(
    size: tuple[int, int], dtype: str, mode: str, padding: Any, seed: int, data: st.DataObject
) -> None:
    height, width = size
    left, top, right, bottom = {0: (0,) * 4, 3: (3,) * 4, (2, 1): (2, 1, 2, 1)}.get(padding, padding)
    window = (data.draw(st.integers(1, height + top + bottom)), data.draw(st.integers(1, width + left + right)))
    x, batch = pictures(4, *size, seed=seed).astype(dtype), info(4, seed=seed)
    out = T.RandomCrop(window, padding, fill=(1, 2, 3), padding_mode=mode).apply(x, batch)
    assert out.shape == (4, *window, 3) and out.dtype == x.dtype
    for i in range(4):
        border = ((top, bottom), (left, right), (0, 0))
        padded = np.pad(x[i], border, mode=mode) if mode != "constant" else np.pad(x[i], border)  # type: ignore[call-overload]
        if mode == "constant":
            outside = np.pad(np.zeros(size, bool), border[:2], constant_values=True)
            padded[outside] = (1, 2, 3)
        y = int(draw(batch, i, 0) * (height + top + bottom - window[0] + 1))
        z = int(draw(batch, i, 1) * (width + left + right - window[1] + 1))
        assert np.array_equal(out[i], padded[y : y + window[0], z : z + window[1]])


@pytest.mark.parametrize("window", [(5, 7), (9, 7), (4, 10), (12, 13), (1, 1)])
def test_center_crop_is_torchvisions(window: tuple[int, int]) -> None:
    x = pictures(2, 9, 8)
    out = T.CenterCrop(window).apply(x, info(2))
    above, before = max(0, window[0] - 9) // 2, max(0, window[1] - 8) // 2
    border = ((above, max(0, window[0] - 9) - above), (before, max(0, window[1] - 8) - before), (0, 0))
    for i in range(2):
        padded = np.pad(x[i], border)
        y, z = round((padded.shape[0] - window[0]) / 2.0), round((padded.shape[1] - window[1]) / 2.0)
        assert np.array_equal(out[i], padded[y : y + window[0], z : z + window[1]])


def test_pad_if_needed() -> None:
    x = pictures(3, 4, 30)
    assert T.RandomCrop(8, pad_if_needed=True).apply(x, info(3)).shape == (3, 8, 8, 3)
    with pytest.raises(OptionError, match=r"does not fit images of 4x30"):
        T.RandomCrop(8).apply(x, info(3))


@settings(max_examples=20)
@given(size=sizes, padding=st.integers(0, 25), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 10**6))
def test_translate(size: tuple[int, int], padding: int, dtype: str, seed: int) -> None:
    x, batch = pictures(4, *size, seed=seed).astype(dtype), info(4, seed=seed)
    out = T.RandomTranslate(padding, fill=(9, 8, 7)).apply(x, batch)
    for i in range(4):
        canvas = np.full((size[0] + 2 * padding, size[1] + 2 * padding, 3), (9, 8, 7), dtype)
        canvas[padding : padding + size[0], padding : padding + size[1]] = x[i]
        y, z = (int(draw(batch, i, k) * (2 * padding + 1)) for k in (0, 1))
        assert np.array_equal(out[i], canvas[y : y + size[0], z : z + size[1]])


@settings(max_examples=20)
@given(size=sizes, dtype=st.sampled_from(DTYPES), data=st.data())
def test_cutout(size: tuple[int, int], dtype: str, data: st.DataObject) -> None:
    side = data.draw(st.integers(1, min(size)))
    x, batch = pictures(5, *size).astype(dtype), info(5)
    out = T.Cutout(side, fill=(3, 200, 77)).apply(x, batch)
    for i in range(5):
        y, z = (int(draw(batch, i, k) * (n - side + 1)) for k, n in enumerate(size))
        wanted = x[i].copy()
        wanted[y : y + side, z : z + side] = (3, 200, 77)
        assert np.array_equal(out[i], wanted)


def erased(x: NDArray[Any], batch: BatchInfo, i: int, value: Any) -> NDArray[Any]:
    """One image with torchvision's rectangle covered; NaN where there is noise."""
    out = x.astype(np.float64)
    height, width = x.shape[:2]
    if draw(batch, i, 0) >= 0.8:
        return out
    for t in range(10):
        area = height * width * between(0.02, 0.4, draw(batch, i, 2 * t + 1))
        aspect = np.exp(between(np.log(0.3), np.log(3.3), draw(batch, i, 2 * t + 2)))
        h, w = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if h < height and w < width:
            y, z = int(draw(batch, i, 21) * (height - h + 1)), int(draw(batch, i, 22) * (width - w + 1))
            out[y : y + h, z : z + w] = value
            break
    return out


@settings(max_examples=20)
@given(size=sizes, dtype=st.sampled_from(DTYPES), seed=st.integers(0, 10**6))
def test_erasing(size: tuple[int, int], dtype: str, seed: int) -> None:
    x, batch = pictures(5, *size, seed=seed).astype(dtype), info(5, seed=seed)
    out = T.RandomErasing(0.8, (0.02, 0.4), value=(1, 2, 3)).apply(x, batch)
    for i in range(5):
        assert np.array_equal(out[i].astype(np.float64), erased(x[i], batch, i, (1, 2, 3)))


def test_erasing_with_noise() -> None:
    x, batch = np.full((40, 60, 50, 3), 10, np.uint8), info(40)
    out = T.RandomErasing(0.8, (0.02, 0.4), value="random").apply(x, batch)
    noise = []
    for i in range(40):
        covered = np.isnan(erased(x[i], batch, i, np.nan))
        assert (out[i][~covered] == 10).all()
        noise.append(out[i][covered])
    values = np.concatenate(noise)
    counts = np.bincount(values, minlength=256)
    assert len(values) > 30000 and counts.min() > 0.5 * counts.mean() and counts.max() < 1.5 * counts.mean()
    with pytest.raises(OptionError, match="uint8"):
        T.RandomErasing(value="random").apply(x.astype(np.float32), batch)


def test_as_many_images_as_samples() -> None:
    for count in (4, 6):
        with pytest.raises(OptionError, match=f"{count} images, and a batch of 5 samples"):
            T.Cutout(3).apply(pictures(count, 8, 9), info(5))
