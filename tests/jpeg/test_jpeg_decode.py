"""Decoded planes and RGB against libjpeg-turbo (through Pillow), and rectangles against the whole."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ffprep.errors import JpegError
from ffprep.jpeg import decode_planes, decode_rgb, read_header


def encode(height: int, width: int, seed: int = 0, mode: str = "RGB", **options: object) -> bytes:
    """A JPEG of smooth shapes and noise, written by Pillow."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(height // 12, 1), max(width // 12, 1), 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    pixels = (smooth.astype(np.int16) + rng.integers(-20, 21, smooth.shape)).clip(0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


streams = st.fixed_dictionaries(
    {
        "height": st.integers(1, 70),
        "width": st.integers(1, 70),
        "seed": st.integers(0, 1000),
        "mode": st.sampled_from(["RGB", "RGB", "L"]),
        "quality": st.sampled_from([5, 50, 90, 100]),
        "subsampling": st.sampled_from([0, 1, 2]),
        "progressive": st.booleans(),
        "optimize": st.booleans(),
        "restart_marker_blocks": st.sampled_from([0, 0, 1, 3, 7]),
    }
)


@given(streams)
@settings(deadline=None, max_examples=150)
def test_rgb_equals_libjpeg(options: dict[str, object]) -> None:
    data = encode(**options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(decode_rgb(data), by_pillow(data))


@given(streams, st.data())
@settings(deadline=None, max_examples=150)
def test_rectangle_equals_crop_of_whole(options: dict[str, object], draw: st.DataObject) -> None:
    data = encode(**options)  # type: ignore[arg-type]
    header = read_header(data)
    x = draw.draw(st.integers(0, header.width - 1))
    y = draw.draw(st.integers(0, header.height - 1))
    w = draw.draw(st.integers(1, header.width - x))
    h = draw.draw(st.integers(1, header.height - y))
    for part, whole in zip(decode_planes(data, (x, y, w, h)), decode_planes(data), strict=True):
        rows, columns = part.samples.shape
        expected = whole.samples[part.y0 : part.y0 + rows, part.x0 : part.x0 + columns]
        np.testing.assert_array_equal(part.samples, expected)
        for at, size, step, start, length, full in (
            (x, w, part.hs, part.x0, columns, part.width),
            (y, h, part.vs, part.y0, rows, part.height),
        ):
            margin = int(step > 1)
            assert start <= max(at // step - margin, 0)
            assert start + length >= min((at + size - 1) // step + margin + 1, full)


def test_demo_photographs_equal_libjpeg(demo_data: Path) -> None:
    files = sorted(demo_data.rglob("*.JPEG"))
    assert files
    for file in files:
        data = file.read_bytes()
        np.testing.assert_array_equal(decode_rgb(data), by_pillow(data))


@pytest.mark.parametrize("rect", [(-1, 0, 4, 4), (0, 0, 0, 4), (0, 0, 4, 21), (17, 0, 4, 4), (2**40, 0, 4, 4)])
def test_rectangle_outside_is_refused(rect: tuple[int, int, int, int]) -> None:
    with pytest.raises(JpegError, match="rectangle"):
        decode_planes(encode(20, 20), rect)
