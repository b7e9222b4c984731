"""Several streams rewritten by one call, and long ones, through which many lanes go at once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import xxhash
from numpy.typing import NDArray
from PIL import Image

from ffprep.errors import JpegError, OptionError
from ffprep.jpeg import read_header, rewrite
from ffprep.jpeg.native import set_simd_level, simd_level
from ffprep.jpeg.rewrite import rewrite_noting, rewrite_plain

LEVELS = ["scalar", "avx2", "avx512"]


def photo_like(rng: np.random.Generator, width: int, height: int, channels: int) -> NDArray[np.uint8]:
    """Smooth shapes and some noise."""
    y, x, c = np.mgrid[:height, :width, :channels]
    waves = np.sin(x / rng.uniform(2, 60) + y / rng.uniform(2, 60) + rng.uniform(0, 2) * c)
    image = 128 + 90 * waves + rng.normal(0, 15, y.shape)
    return image.clip(0, 255).astype(np.uint8)[..., 0 if channels == 1 else slice(None)]


def encode(image: NDArray[np.uint8], **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", **options)
    return out.getvalue()


def judged(data: bytes) -> bytes | int:
    try:
        return rewrite(data)
    except JpegError as error:
        return error.status


@pytest.fixture
def same_level() -> Iterator[None]:
    before = simd_level()
    yield
    set_simd_level(before)


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("height", [60, 110, 700])
def test_levels_agree_on_long_streams(same_level: None, subsampling: int, height: int) -> None:
    """Of some 10 kB, 20 kB and 130 kB, in which places of one or of two vectors begin, sound and damaged."""
    rng = np.random.default_rng(height + subsampling)
    data = encode(photo_like(rng, 400, height, 3), quality=95, subsampling=subsampling)
    begin = read_header(data).scan_offset
    streams = [data, data[: len(data) * 2 // 3]]
    for _ in range(40):
        damaged = bytearray(data)
        for at in rng.integers(begin, len(data), rng.integers(1, 4)):
            damaged[at] = rng.integers(0, 256)
        streams.append(bytes(damaged))
    found = []
    for level in LEVELS:
        try:
            set_simd_level(level)
        except OptionError:
            continue
        found.append([judged(stream) for stream in streams])
    assert isinstance(found[0][0], bytes) and any(isinstance(one, int) for one in found[0])
    assert all(one == found[0] for one in found)


def several() -> dict[str, bytes]:
    rng = np.random.default_rng(11)
    photo = photo_like(rng, 150, 100, 3)
    cmyk = io.BytesIO()
    Image.new("CMYK", (30, 20), (1, 2, 3, 4)).save(cmyk, "JPEG")
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = encode(photo, quality=92)
    return {
        "plain": plain,
        "nothing": b"",
        "no image": b"text",
        "grey": encode(photo_like(rng, 90, 200, 1)),
        "progressive": encode(photo, progressive=True),
        "cmyk": cmyk.getvalue(),
        "cut": plain[: len(plain) // 2],
        "turned": encode(photo, exif=exif),
        "more after the end": plain + b"appended",
    }


def plain_names(**options: Any) -> set[str]:
    limits: dict[str, Any] = {"max_pixels": 1 << 28, "longest": 65500, "shortest": 65500, **options}
    files = several()
    found = rewrite_plain(list(files.values()), **limits)
    return {name for name, plain in zip(files, found, strict=True) if plain is not None}


def test_several_streams_are_rewritten_as_each_alone() -> None:
    files = several()
    every: list[dict[str, Any]] = [{}, {"interval": 3, "keep_metadata": True}, {"interval": 0}]
    for options in every:
        found = rewrite_plain(list(files.values()), max_pixels=1 << 28, longest=65500, shortest=65500, **options)
        for data, plain in zip(files.values(), found, strict=True):
            if plain is None:
                continue
            alone = rewrite_noting(data, **options)
            header = read_header(data)
            assert bytes(plain.data) == alone.data and plain.data.readonly
            assert (plain.width, plain.height, plain.notes) == (header.width, header.height, alone.notes)
            assert plain.checksum == xxhash.xxh3_64_intdigest(alone.data)
    assert rewrite_plain([], max_pixels=1, longest=1, shortest=1) == []


def test_what_needs_a_decision_is_left_out() -> None:
    every = {"plain", "grey", "turned", "more after the end"}
    assert plain_names() == every
    assert plain_names(upright=True) == every - {"turned"}
    assert plain_names(max_pixels=15_000) == every - {"grey"} and plain_names(max_pixels=14_999) == set()
    assert plain_names(longest=150) == every - {"grey"} and plain_names(longest=149) == set()
    assert plain_names(shortest=90) == {"grey"} and plain_names(shortest=89) == set()


def test_memory_of_several_is_not_used_again_while_one_is_looked_at() -> None:
    files = [encode(photo_like(np.random.default_rng(seed), 200, 150, 3)) for seed in range(3)]
    limits: dict[str, Any] = {"max_pixels": 1 << 28, "longest": 65500, "shortest": 65500}
    kept = [rewrite_plain([data, data], **limits)[1] for data in files for _ in range(20)]
    for plain, data in zip(kept, (data for data in files for _ in range(20)), strict=True):
        assert plain is not None and bytes(plain.data) == rewrite(data)
