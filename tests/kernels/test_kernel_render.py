"""Renderers: the exact one against Pillow in every bit, all formats, and what a renderer must refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ffprep.errors import OptionError
from ffprep.kernels import layout
from ffprep.kernels.jit import kernel
from ffprep.kernels.resample.exact import bfloat_bits, half_bits
from ffprep.kernels.resample.render import DTYPES, colour_array, packed_desc, render

PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pillow_twin(
    image: NDArray[np.uint8], box: tuple[int, int, int, int], size: tuple[int, int], mode: str, flip: bool
) -> NDArray[np.uint8]:
    """Crop, resize the width, then the height: the order of torch and of Pillow before 13, which chooses one."""
    y, x, h, w = box
    part = Image.fromarray(np.ascontiguousarray(image[y : y + h, x : x + w]))
    out = np.asarray(part.resize((size[1], h), PILLOW[mode]).resize((size[1], size[0]), PILLOW[mode]))
    return out[:, ::-1] if flip else out


@st.composite
def crops(draw: Any) -> tuple[NDArray[np.uint8], tuple[int, int, int, int], tuple[int, int]]:
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    h, w = draw(st.integers(1, height)), draw(st.integers(1, width))
    y, x = draw(st.integers(0, height - h)), draw(st.integers(0, width - w))
    size = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    return noise(height, width, draw(st.integers(0, 9))), (y, x, h, w), size


@given(crops(), st.sampled_from(["bilinear", "bicubic"]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_exact_renderer_is_pillow_in_every_bit(case: Any, mode: str, flip: bool) -> None:
    image, box, size = case
    got = render(packed_desc(image), box, size, filter=mode, flip=flip, level="exact")
    np.testing.assert_array_equal(got, pillow_twin(image, box, size, mode, flip))


@given(crops())
@settings(max_examples=100, deadline=None)
def test_exact_area_is_opencvs_within_a_level(case: Any) -> None:
    cv2 = pytest.importorskip("cv2")
    image, (y, x, h, w), size = case
    got = render(packed_desc(image), (y, x, h, w), size, filter="area", level="exact")
    part = np.ascontiguousarray(image[y : y + h, x : x + w])
    expected = cv2.resize(part, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(got.astype(int) - expected.reshape(got.shape)).max() <= 1


@pytest.mark.parametrize("form", ["u8_grey", "f32_grey", "f16_grey", "bf16_grey"])
def test_the_exact_renderer_is_one_of_colours(form: str) -> None:
    with pytest.raises(OptionError, match=f"status {layout.BAD_OPTION}"):
        render(packed_desc(noise(8, 9)), (0, 0, 8, 9), (4, 4), format=form, level="exact")


@pytest.mark.parametrize("form", [form for form in sorted(layout.FORMATS) if not form.endswith("grey")])
def test_formats_are_the_levels_normalised_converted_and_transposed(form: str) -> None:
    image = noise(40, 50)
    levels = render(packed_desc(image), (3, 4, 30, 41), (17, 23), level="exact")
    got = render(
        packed_desc(image),
        (3, 4, 30, 41),
        (17, 23),
        format=form,
        colour=colour_array(MEAN, STD),
        level="exact",
    )
    dtype, last = DTYPES[form]
    assert got.dtype == dtype and got.shape == ((17, 23, 3) if last else (3, 17, 23))
    got = got if last else np.moveaxis(got, 0, 2)
    if form.startswith("u8"):
        np.testing.assert_array_equal(got, levels)
        return
    expected = (levels - np.array(MEAN)) / np.array(STD)
    if form.startswith("bf16"):
        got = (got.astype(np.uint32) << 16).view(np.float32)
    rtol = {"f32": 1e-5, "f16": 1e-3, "bf16": 8e-3}[form.split("_")[0]]
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=5e-7)


@kernel
def half_twin_bits(values: NDArray[np.float32]) -> NDArray[np.int64]:
    out = np.empty(values.size, np.int64)
    for i in range(values.size):
        out[i] = half_bits(values[i])
    return out


@kernel
def bfloat_all(values: NDArray[np.float32]) -> NDArray[np.int64]:
    out = np.empty(values.size, np.int64)
    for i in range(values.size):
        out[i] = bfloat_bits(values[i])
    return out


def test_half_and_bfloat_bits_round_to_nearest_even() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    bits = rng.integers(0, 2**32, 20_000, dtype=np.uint32)
    values = bits.view(np.float32)
    edges = np.concatenate([2.0 ** np.arange(-30, 18), [0, -0.0, 65504, 65519.99, 65520]]).astype(np.float32)
    values = np.concatenate([values[np.isfinite(values)], edges])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(half_twin_bits(values), values.astype(np.float16).view(np.uint16))
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(bfloat_all(values), expected)


def test_what_cannot_be_rendered_is_refused() -> None:
    image = noise(20, 30)
    desc = packed_desc(image)
    for box, bounds in [
        ((0, 0, 21, 30), None),
        ((0, 0, 20, 31), None),
        ((-1, 0, 5, 5), None),
        ((0, 0, 5, 5), (0, 5, 0, 31)),
    ]:
        with pytest.raises(OptionError, match="status 14"):
            render(desc, box, (8, 8), bounds=bounds)
    with pytest.raises(OptionError, match="nothing to render"):
        render(desc, (0, 0, 0, 5), (8, 8))
    with pytest.raises(OptionError, match="filter must be"):
        render(desc, (0, 0, 5, 5), (8, 8), filter="lanczos")
    desc["color"] = 4
    with pytest.raises(OptionError, match="status 5"):
        render(desc, (0, 0, 5, 5), (8, 8))
    with pytest.raises(OptionError, match="contiguous"):
        packed_desc(image[:, ::2])
    with pytest.raises(OptionError, match="mean and std"):
        colour_array((0, 0, 0), (1, 0, 1))
