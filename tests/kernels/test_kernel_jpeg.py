"""JPEG bytes through the decoder and the renderers, as a loader does it, against Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ffprep import abi
from ffprep.jpeg import native
from ffprep.jpeg.native import library
from ffprep.kernels.image import batch, job
from ffprep.kernels.resample.weights import FILTERS
from ffprep.kernels.simd import level as simd

RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@pytest.fixture(scope="module")
def context() -> Iterator[int]:
    handle = library().ffp_context_new()
    yield handle
    library().ffp_context_free(handle)


@pytest.fixture(scope="module")
def pictures(demo_data: Path) -> list[bytes]:
    """The demo photographs, and parts of odd sizes in every sampling that Pillow writes, and in grey."""
    found = sorted((demo_data / "imagenet").rglob("*.JPEG"))
    out = [path.read_bytes() for path in found]
    for k, path in enumerate(found):
        photo = Image.open(path).convert("L" if k == 0 else "RGB")
        for sampling in (0, 1, 2):
            buffer = io.BytesIO()
            part = photo.crop((k, 2 * k, min(photo.width, 201 - 7 * k), min(photo.height, 140 + 13 * k)))
            part.save(buffer, "JPEG", quality=85, **({} if k == 0 else {"subsampling": sampling}))
            out.append(buffer.getvalue())
    return out


def run(
    pictures: list[bytes], context: int, size: tuple[int, int], exact: bool, **options: object
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    entry = native.entry("ffp_decode_region")
    blobs = [np.frombuffer(p, np.uint8) for p in pictures]
    n = len(blobs)
    items = np.zeros(n, abi.ITEM)
    for i, blob in enumerate(blobs):
        width, height = Image.open(io.BytesIO(pictures[i])).size
        items[i] = blob.ctypes.data, blob.size, 0, 0, width, height, 0, i
    spec = job.image_spec(size, format="u8_hwc", **options)  # type: ignore[arg-type]
    out = np.full((n, *size, 3), 0xA5, np.uint8)
    status, boxes = np.full(n, -1), np.zeros(n, abi.BOX)
    counter = np.zeros(1, np.int64)
    thread = job.new_thread(context, entry, exact=exact)
    batch.process_images(counter.ctypes.data, items, spec, out.ctypes.data, status, boxes, thread)
    job.free_thread(thread)
    assert not status.any()
    return out, np.stack([boxes[name] for name in ("y", "x", "h", "w", "flip")], 1)


def pillow(data: bytes, used: NDArray[np.float64], size: tuple[int, int], mode: str) -> NDArray[np.uint8]:
    y, x, h, w, flip = (int(v) for v in used)
    part = Image.open(io.BytesIO(data)).convert("RGB").crop((x, y, x + w, y + h))
    out = np.asarray(part.resize((size[1], h), RESAMPLING[mode]).resize((size[1], size[0]), RESAMPLING[mode]))
    return out[:, ::-1] if flip else out


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_exact_is_pillow_in_every_bit_from_the_bytes_on(pictures: list[bytes], context: int, mode: str) -> None:
    for epoch in range(4):
        size = (40 + epoch, 61)
        out, used = run(pictures, context, size, True, crop="random", flip=0.5, filter=mode, epoch=epoch)
        for data, got, how in zip(pictures, out, used, strict=True):
            np.testing.assert_array_equal(got, pillow(data, how, size, mode))


@pytest.mark.parametrize("level", simd.available())
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_fused_levels_are_close_to_pillow(
    pictures: list[bytes], context: int, mode: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FFPREP_SIMD", level)
    for crop in ("random", "whole"):
        out, used = run(pictures, context, (96, 80), False, crop=crop, flip=0.5, filter=mode)
        for data, got, how in zip(pictures, out, used, strict=True):
            error = got.astype(float) - pillow(data, how, (96, 80), mode)
            assert 10 * np.log10(255**2 / (error**2).mean()) > 40


def shift(a: NDArray[np.float64], b: NDArray[np.float64], axis: int) -> tuple[float, float]:
    """How far b is shifted against a, in pixels (Lucas and Kanade), as a numerator and a denominator to be added up."""
    slope = np.gradient(a, axis=axis)
    return float((slope * (a - b)).sum()), float((slope * slope).sum())


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "area"])
@pytest.mark.parametrize("crop", ["random", "whole", "center", "resize_center"])
def test_reduced_decoding_shows_the_same(pictures: list[bytes], context: int, mode: str, crop: str) -> None:
    """Crops that are shrunk enough are decoded at a part of their resolution, in place; the others as ever."""
    scales, psnrs, moved = set(), [], np.zeros((2, 2))
    for size in ((9, 12), (24, 20), (40, 48), (96, 80)):
        options: dict[str, object] = {"crop": crop, "flip": 0.5, "filter": mode, "seed": size[0], "short": size[0] + 3}
        whole, used = run(pictures, context, size, False, **options)
        reduced, again = run(pictures, context, size, False, reduce=True, **options)
        np.testing.assert_array_equal(used, again)
        for a, b, how in zip(whole.astype(float), reduced.astype(float), used, strict=True):
            ratio = min(how[2] / size[0], how[3] / size[1])
            limits = job.LEAST_SHRINKING[3 * FILTERS[mode] :][:3]
            scales.add(sum(ratio >= limit for limit in limits))
            if ratio < limits[0]:
                np.testing.assert_array_equal(a, b)
                continue
            psnrs.append(10 * np.log10(255**2 / max(((a - b) ** 2).mean(), 1e-3)))
            moved += [shift(a, b, 0), shift(a, b, 1)]
    assert scales >= {0, 1, 2}
    assert np.mean(psnrs) > 38 and min(psnrs) > 28
    assert np.abs(moved[:, 0] / moved[:, 1]).max() < 0.02
