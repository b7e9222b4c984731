"""What becomes of images given as pixels, Pillow images and files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ffprep.errors import ConversionError, OptionError
from ffprep.fields import RGBImageField
from ffprep.fields.rgb_image import MODE_JPEG, MODE_RAW


def photo(height: int = 40, width: int = 60) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return (np.stack([np.sin(y / 7 + c) + np.cos(x / 9) for c in range(3)], -1) * 60 + 128).astype(np.uint8)


def file(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pixels_of(data: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_raw_pixels_are_stored_as_they_are() -> None:
    encoded = RGBImageField().encode(photo()[:, ::-1])
    assert encoded.metadata == (MODE_RAW, 60, 40, 0)
    assert encoded.payload == photo()[:, ::-1].tobytes()


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pillow_images_of_every_mode(mode: str) -> None:
    image = Image.fromarray(photo())
    image = Image.fromarray(photo()[..., 0].astype(np.uint16) * 200) if mode == "I;16" else image.convert(mode)
    encoded = RGBImageField().encode(image)
    assert encoded.metadata == (MODE_RAW, 60, 40, 0)
    assert encoded.payload == image.convert("RGB").tobytes()


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 1)])
def test_grey_arrays_become_rgb(shape: tuple[int, ...]) -> None:
    grey = photo()[..., 0].reshape(shape)
    assert RGBImageField().encode(grey).payload == np.repeat(grey.reshape(40, 60, 1), 3, 2).tobytes()


@pytest.mark.parametrize("jpeg", ["seekable", "keep"])
def test_pixels_as_jpeg(jpeg: str) -> None:
    encoded = RGBImageField("jpg", jpeg_quality=95, jpeg=jpeg).encode(photo())
    assert encoded.metadata == (MODE_JPEG, 60, 40, 0)
    assert isinstance(encoded.payload, bytes)
    assert abs(pixels_of(encoded.payload).astype(int) - photo()).mean() < 2
    assert (b"\xff\xdd" in encoded.payload) == (jpeg == "seekable")


def test_smart_compresses_what_is_large() -> None:
    limit = photo().nbytes
    assert RGBImageField("smart").encode(photo()).metadata[0] == MODE_RAW
    assert RGBImageField("smart", smart_threshold=limit).encode(photo()).metadata[0] == MODE_RAW
    assert RGBImageField("smart", smart_threshold=limit - 1).encode(photo()).metadata[0] == MODE_JPEG


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_proportion_is_a_function_of_the_pixels(share: float) -> None:
    field = RGBImageField("proportion", compress_probability=share)
    images = [np.full((2, 2, 3), n, np.uint8) for n in range(200)]
    modes = [field.encode(image).metadata[0] for image in images]
    assert modes == [field.encode(image).metadata[0] for image in images]
    assert abs(modes.count(MODE_JPEG) / 200 - share) < 0.12
    assert share or MODE_JPEG not in modes


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        ((60, 40), {"max_resolution": 30}, (30, 20)),
        ((60, 40), {"max_resolution": 60}, (60, 40)),
        ((60, 40), {"max_resolution": 600}, (60, 40)),
        ((60, 40), {"min_resolution": 20}, (30, 20)),
        ((60, 40), {"min_resolution": 41}, (60, 40)),
        ((60, 40), {"max_resolution": 15, "min_resolution": 20}, (15, 10)),
        ((3000, 1), {"max_resolution": 100}, (100, 1)),
    ],
)
def test_shrinking(size: tuple[int, int], options: dict[str, int], expected: tuple[int, int]) -> None:
    encoded = RGBImageField(**options).encode(photo(size[1], size[0]))
    assert encoded.metadata[1:3] == expected


def test_shrinking_averages() -> None:
    checkers = (np.indices((40, 40)).sum(0) % 2 * 255).astype(np.uint8)
    encoded = RGBImageField(max_resolution=20).encode(checkers)
    assert encoded.payload is not None
    assert abs(np.frombuffer(encoded.payload, np.uint8).astype(int) - 127).max() <= 4


def test_orientation_is_applied_on_request_only() -> None:
    image = Image.fromarray(photo())
    exif = Image.Exif()
    exif[0x0112] = 6
    data = file(image, "PNG", exif=exif)
    assert RGBImageField().encode(data).metadata[1:3] == (60, 40)
    turned = RGBImageField(apply_orientation=True)
    assert turned.encode(data).metadata[1:3] == (40, 60)
    assert turned.encode(Image.open(io.BytesIO(data))).payload == np.rot90(photo(), -1).tobytes()


def test_files_as_raw_pixels() -> None:
    data = file(Image.fromarray(photo()), "PNG")
    for value in (data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8)):
        assert RGBImageField().encode(value).payload == photo().tobytes()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "dtype uint8, not float32"),
        (np.zeros((4, 4, 4), np.uint8), r"\(height, width, 3\), not \(4, 4, 4\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), "not"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (np.zeros((65536, 1, 3), np.uint8), "1x65536.*max_resolution"),
        ("photo.jpg", "not str"),
        (b"", "the file is empty"),
        (b"no image", "no image format"),
        (b"\xff\xd8\xff\xe0 not a JPEG", "the data ends before the first scan"),
    ],
)
def test_refused(value: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        RGBImageField().encode(value)


def test_a_side_too_long_for_jpeg_only() -> None:
    pixels = np.zeros((1, 65_520, 3), np.uint8)
    assert RGBImageField().encode(pixels).metadata[1:3] == (65_520, 1)
    with pytest.raises(ConversionError, match="do not fit into a JPEG"):
        RGBImageField("jpg").encode(pixels)


def test_a_large_image_is_shrunk_before_it_is_refused() -> None:
    assert RGBImageField(max_resolution=100).encode(np.zeros((65536, 1, 3), np.uint8)).metadata[1:3] == (1, 100)


@pytest.mark.parametrize(
    "options",
    [
        {"write_mode": "png"},
        {"jpeg": "lossy"},
        {"max_resolution": 0},
        {"max_resolution": (3, 4)},
        {"min_resolution": -1},
        {"jpeg_quality": 0},
        {"jpeg_quality": 101},
        {"compress_probability": 1.5},
    ],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        RGBImageField(**options)


def jpeg(**options: Any) -> bytes:
    return file(Image.fromarray(photo()), "JPEG", **options)


@pytest.mark.parametrize("jpeg_mode", ["seekable", "keep", "reencode"])
def test_jpeg_files(jpeg_mode: str) -> None:
    data = jpeg(quality=80, subsampling=0)
    encoded = RGBImageField(jpeg=jpeg_mode).encode(data)
    assert encoded.metadata == (MODE_JPEG, 60, 40, 0)
    assert isinstance(encoded.payload, bytes)
    assert encoded.note is not None
    assert encoded.note[0] == {"seekable": "rewritten", "keep": "kept", "reencode": "reencoded"}[jpeg_mode]
    assert (encoded.payload == data) == (jpeg_mode == "keep")
    assert np.array_equal(pixels_of(encoded.payload), pixels_of(data)) == (jpeg_mode != "reencode")


def test_other_files_become_jpegs() -> None:
    encoded = RGBImageField(jpeg="seekable").encode(file(Image.fromarray(photo()), "PNG"))
    assert encoded.metadata == (MODE_JPEG, 60, 40, 0)
    assert encoded.note == ("reencoded", "PNG")
    assert abs(pixels_of(encoded.payload).astype(int) - photo()).mean() < 2


@pytest.mark.parametrize("mode", ["jpg", "raw"])
def test_options_hold_for_files_as_for_pixels(mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    field = RGBImageField(mode, max_resolution=30, apply_orientation=True)
    assert field.encode(jpeg(exif=exif)).metadata[1:3] == (20, 30)
    assert RGBImageField(mode, min_resolution=20).encode(jpeg(exif=exif)).metadata[1:3] == (30, 20)


def test_damaged_files_are_refused() -> None:
    for mode in ("jpg", "raw"):
        with pytest.raises(ConversionError):
            RGBImageField(mode).encode(jpeg()[:-200])


def test_default_write_mode() -> None:
    assert RGBImageField().write_mode == "raw"
    assert RGBImageField(jpeg="keep").write_mode == "jpg"
    assert RGBImageField("raw", jpeg="keep").write_mode == "raw"
