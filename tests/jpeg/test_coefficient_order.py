"""Coefficients reach the inverse DCT in its own order on every way that leads there: all levels give equal samples."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from simd_levels import forced_level

from ffprep.jpeg import build_index, decode_planes, rewrite
from ffprep.jpeg.native import set_simd_level

SAVED = {
    "pieces": {"subsampling": 0, "quality": 92},
    "flat": {"subsampling": 0, "quality": 5},
    "halved chroma": {"subsampling": 2, "quality": 90},
    "restart markers": {"subsampling": 0, "quality": 95, "restart_marker_blocks": 3},
    "restart markers, halved chroma": {"subsampling": 2, "quality": 95, "restart_marker_blocks": 1},
    "progressive": {"subsampling": 2, "quality": 85, "progressive": True},
}
RECTANGLES = [None, (33, 18, 217, 150), (100, 40, 9, 11), (0, 0, 1, 1)]


@pytest.fixture(scope="module", params=["avx2", "avx512"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """A vector level; skips, visibly, where this CPU lacks it."""
    with forced_level(request.param) as name:
        yield name


def saved(width: int, height: int, options: dict[str, int], mode: str = "RGB") -> bytes:
    """A picture with detail, noise and a flat corner."""
    y, x = np.mgrid[0:height, 0:width]
    rng = np.random.default_rng(width)
    waves = [127 + 80 * np.sin(x * a + y * b) for a, b in ((0.11, 0.05), (0.31, 0.4), (0.9, 1.7))]
    pixels = np.stack(waves, -1) + rng.normal(0, 12, (height, width, 3))
    pixels[: height // 3, : width // 3] = 90
    out = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def assert_equal_levels(data: bytes, level: str, index: bytes = b"") -> None:
    """Samples of several rectangles at every scale."""
    for rect in RECTANGLES:
        for scale in range(4):
            planes = []
            for name in (level, "scalar"):
                set_simd_level(name)
                planes.append([p.samples.tobytes() for p in decode_planes(data, rect, index=index, scale=scale)])
            assert planes[0] == planes[1], (rect, scale)


@pytest.mark.parametrize("name", SAVED)
def test_forms(level: str, name: str) -> None:
    """Jobs, pieces of long scans, short scans left to the scalar decoder, several scans; rows of odd length."""
    for width, height in ((357, 203), (250, 180), (272, 176)):
        assert_equal_levels(saved(width, height, SAVED[name]), level)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_rewritten_and_indexed(level: str, subsampling: int) -> None:
    """Restart markers of our own, and a seek index in their place."""
    data = saved(357, 203, {"subsampling": subsampling, "quality": 90})
    assert_equal_levels(bytes(rewrite(data)), level)
    assert_equal_levels(data, level, bytes(build_index(data)))


def test_grey(level: str) -> None:
    """One component: pairs of blocks are pairs of MCUs."""
    assert_equal_levels(saved(357, 203, {"quality": 90}, "L"), level)
