"""What the downloader takes for a usable image is what conversion takes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ffprep.download.image_checks import Unusable, check_image
from ffprep.jpeg.prepare import prepare

MOST = 1 << 20


def jpeg(mode: str = "RGB") -> bytes:
    small = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def odd(data: bytes, kind: str) -> bytes:
    if kind == "without EOI":
        return data[:-2]
    if kind == "bytes left over":
        return data[:-2] + bytes(40) + data[-2:]
    return data


@pytest.mark.parametrize("resize", [None, 32])
@pytest.mark.parametrize("kind", ["plain", "without EOI", "bytes left over"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_whole_images_are_taken_as_conversion_takes_them(mode: str, kind: str, resize: int | None) -> None:
    plain, data = jpeg(mode), odd(jpeg(mode), kind)
    prepare(data)
    checked = check_image(data, MOST, resize_to=resize)
    expected = check_image(plain, MOST, resize_to=resize)
    assert (checked.width, checked.height) == (expected.width, expected.height)
    assert checked.data == (data if resize is None else expected.data)


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
@pytest.mark.parametrize("resize", [None, 32])
def test_damaged_images_are_not(mode: str, resize: int | None) -> None:
    data = jpeg(mode)
    with pytest.raises(Unusable, match="undecodable"):
        check_image(data[: len(data) * 3 // 4] + b"\xff\xd9", MOST, resize_to=resize)
    with pytest.raises(Unusable, match="too_many_pixels"):
        check_image(data, 100, resize_to=resize)
    with pytest.raises(Unusable, match="not_an_image"):
        check_image(b"and so on", MOST, resize_to=resize)
