"""What becomes of image files at conversion: every kind of file, every option, everything refused with a reason."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from ffprep.errors import ConversionError, OptionError
from ffprep.jpeg import Prepared, coefficients, prepare, read_header
from ffprep.jpeg.pillow import sniff, without_metadata
from ffprep.jpeg.prepare import scaled_size


def picture(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    """A smooth picture in colours: a few waves, whatever its size."""
    rng = np.random.default_rng(seed)
    y, x, c = np.mgrid[:height, :width, :3]
    values = 128 + 100 * np.sin(x / width * rng.uniform(5, 9) + y / height * rng.uniform(5, 9) + c)
    return Image.fromarray(values.astype(np.uint8))


def save(image: Image.Image, format_name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_name, **options)
    return out.getvalue()


def as_imagefolder(data: bytes) -> NDArray[np.uint8]:
    """What torchvision's default loader gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))


def distance(data: bytes, pixels: NDArray[np.uint8]) -> float:
    """Mean difference in levels."""
    return float(np.abs(as_imagefolder(data).astype(int) - pixels).mean())


def check(prepared: Prepared, action: str) -> None:
    header = read_header(prepared.data)
    assert (header.width, header.height) == (prepared.width, prepared.height)
    assert header.color in ("gray", "ycc") and prepared.action == action and prepared.reason


JPEG = save(picture(), "JPEG", quality=92, subsampling="4:2:0")
GRAY = save(picture().convert("L"), "JPEG", quality=92)
PROGRESSIVE = save(picture(), "JPEG", quality=92, progressive=True)


@pytest.mark.parametrize("data", [JPEG, GRAY, PROGRESSIVE], ids=["colour", "grey", "progressive"])
def test_lossless_ways(data: bytes) -> None:
    kept, seekable = prepare(data, jpeg="keep"), prepare(data)
    check(kept, "kept")
    assert kept.data == data
    check(seekable, "transcoded" if data is PROGRESSIVE else "rewritten")
    assert read_header(seekable.data).restart_interval in (8, 16)
    for a, b in zip(coefficients(data), coefficients(seekable.data), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(as_imagefolder(seekable.data), as_imagefolder(data))


def test_multi_scan_is_transcoded(jpegmaker: ModuleType) -> None:
    frame = jpegmaker.random_frame(np.random.default_rng(0), 50, 40, [(2, 2), (1, 1), (1, 1)], sof=0xC1)
    frame.scans = [jpegmaker.Scan([i]) for i in range(3)]
    check(prepare(jpegmaker.write(frame)), "transcoded")
    assert prepare(jpegmaker.write(frame)).reason == "JPEG of several scans"


def test_interval_and_metadata_are_handed_on() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    data = save(picture(), "JPEG", exif=exif)
    assert read_header(prepare(data, interval=3).data).restart_interval == 3
    assert read_header(prepare(data, keep_metadata=True).data).orientation == 3
    assert read_header(prepare(data).data).orientation == 1


def test_no_end_marker() -> None:
    """All of the image is there: the marker is added."""
    check(prepare(JPEG[:-2]), "rewritten")
    kept = prepare(JPEG[:-2], jpeg="keep")
    check(kept, "kept")
    assert kept.data == JPEG and "end marker" in kept.reason


def inverted(image: Image.Image) -> Image.Image:
    return ImageOps.invert(image)


def palette_with_alpha() -> bytes:
    return save(picture().quantize(32), "PNG", transparency=bytes(range(32)))


OTHERS: dict[str, tuple[bytes, str]] = {
    "png": (save(picture(), "PNG"), "PNG"),
    "png with alpha": (save(picture().convert("RGBA"), "PNG"), "PNG"),
    "png grey": (save(picture().convert("L"), "PNG"), "PNG"),
    "png grey with alpha": (save(picture().convert("LA"), "PNG"), "PNG"),
    "png of one bit": (save(picture().convert("1"), "PNG"), "PNG"),
    "png palette": (save(picture().quantize(40), "PNG"), "PNG"),
    "png palette with alpha": (palette_with_alpha(), "PNG"),
    "png of 16 bits grey": (save(Image.fromarray(np.arange(5000, dtype=np.uint16).reshape(50, 100)), "PNG"), "PNG"),
    "gif": (save(picture().quantize(64), "GIF"), "GIF"),
    "gif transparent": (save(picture().quantize(64), "GIF", transparency=3), "GIF"),
    "gif animated": (save(picture(), "GIF", save_all=True, append_images=[picture(seed=1)]), "GIF"),
    "bmp": (save(picture(), "BMP"), "BMP"),
    "webp": (save(picture(), "WEBP", lossless=True), "WEBP"),
    "webp with alpha": (save(picture().convert("RGBA"), "WEBP", lossless=True), "WEBP"),
    "tiff": (save(picture(), "TIFF"), "TIFF"),
    "tiff cmyk": (save(picture().convert("CMYK"), "TIFF"), "TIFF"),
    "ppm": (save(picture(), "PPM"), "PPM"),
    "pgm": (save(picture().convert("L"), "PPM"), "PPM"),
    "cmyk jpeg": (save(picture().convert("CMYK"), "JPEG", quality=95), "CMYK JPEG"),
    "cmyk progressive": (save(picture().convert("CMYK"), "JPEG", quality=95, progressive=True), "CMYK JPEG"),
    "rgb jpeg": (save(picture(), "JPEG", quality=95, keep_rgb=True), "RGB JPEG"),
}


@pytest.mark.parametrize("mode", ["seekable", "keep", "reencode"])
@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_are_reencoded(name: str, mode: str) -> None:
    """Close to what torchvision's ImageFolder shows of the file, alpha dropped as it drops it."""
    data, reason = OTHERS[name]
    prepared = prepare(data, jpeg=mode)
    check(prepared, "reencoded")
    assert prepared.reason == reason + (", asked for" if mode == "reencode" else "")
    header, pixels = read_header(prepared.data), as_imagefolder(data)
    grey = all((pixels[..., 0] == pixels[..., i]).all() for i in (1, 2)) and "16" not in name and "alpha" not in name
    assert header.components == (1 if grey else 3)
    assert header.restart_interval == 0 if mode == "keep" else header.restart_interval > 0
    if header.components == 3:
        assert header.sampling[0] == ((2, 2) if mode == "reencode" else (1, 1))
    limit = 9 if "bit" in name or "gif" in name or "palette" in name else 3
    assert distance(prepared.data, pixels) < (limit if mode != "reencode" else 2 * limit)


def test_pixels_are_those_of_imagefolder_exactly() -> None:
    """At quality 100 in grey nothing but rounding is lost: the pixels encoded were the right ones."""
    for name in ("png grey", "pgm"):
        data, _ = OTHERS[name]
        assert distance(prepare(data, quality=100).data, as_imagefolder(data)) < 0.5


def test_reencode_mode() -> None:
    prepared = prepare(JPEG, jpeg="reencode", quality=60)
    check(prepared, "reencoded")
    assert prepared.reason == "asked for" and len(prepared.data) < len(JPEG)
    assert read_header(prepared.data).sampling[0] == (2, 2)
    check(prepare(GRAY, jpeg="reencode"), "reencoded")
    assert read_header(prepare(GRAY, jpeg="reencode").data).components == 1


@given(
    width=st.integers(1, 70_000),
    height=st.integers(1, 70_000),
    max_side=st.none() | st.integers(1, 65_535),
    min_side=st.none() | st.integers(1, 65_535),
)
def test_scaled_size(width: int, height: int, max_side: int | None, min_side: int | None) -> None:
    w, h = scaled_size(width, height, max_side, min_side)
    assert 1 <= w <= width and 1 <= h <= height
    if max_side is not None:
        assert max(w, h) <= max_side
    if min_side is not None:
        assert min(w, h) <= min_side
    exact = [s for s, side in ((max_side, max(w, h)), (min_side, min(w, h))) if s == side]
    assert (w, h) == (width, height) or exact
    assert abs(w * height - h * width) <= max(width, height)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"max_side": 48}, (48, 32)),
        ({"min_side": 48}, (72, 48)),
        ({"max_side": 60, "min_side": 48}, (60, 40)),
        ({"max_side": 96, "min_side": 64}, (96, 64)),
        ({"max_side": 500}, (96, 64)),
        ({"max_side": 5}, (5, 3)),
    ],
)
@pytest.mark.parametrize("data", [JPEG, PROGRESSIVE, GRAY, OTHERS["png"][0], OTHERS["cmyk jpeg"][0]])
def test_resizing(data: bytes, options: dict[str, int], size: tuple[int, int]) -> None:
    prepared = prepare(data, **options)  # type: ignore[arg-type]
    assert (prepared.width, prepared.height) == size
    resized = size != (96, 64)
    assert ("resized" in prepared.reason) == resized
    if resized:
        check(prepared, "reencoded")
        expected = Image.fromarray(as_imagefolder(data)).resize(size, Image.Resampling.BICUBIC)
        assert distance(prepared.data, np.asarray(expected)) < (40 if size == (5, 3) else 6)


def test_large_jpegs_are_decoded_small() -> None:
    """By a factor that leaves at least twice the size wanted; the reason and the size do not show it."""
    image = picture(1600, 1200)
    prepared = prepare(save(image, "JPEG", quality=95), max_side=100)
    assert (prepared.width, prepared.height, prepared.reason) == (100, 75, "resized")
    expected = image.resize((100, 75), Image.Resampling.BICUBIC)
    assert distance(prepared.data, np.asarray(expected)) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation(orientation: int, format_name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if format_name == "WEBP" else {}
    data = save(picture(), format_name, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    prepared = prepare(data, apply_orientation=True, quality=95)
    assert (prepared.height, prepared.width) == upright.shape[:2]
    assert distance(prepared.data, upright) < 6
    assert distance(prepare(data, quality=95).data, as_imagefolder(data)) < 6
    if format_name == "JPEG":
        assert prepared.action == ("rewritten" if orientation == 1 else "reencoded")
        assert prepare(data).action == "rewritten"


def test_resizing_measures_the_image_as_stored_or_upright_alike() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    prepared = prepare(save(picture(), "JPEG", exif=exif), apply_orientation=True, max_side=48)
    assert (prepared.width, prepared.height) == (32, 48) and prepared.reason == "resized, turned upright"


def test_damaged_scans() -> None:
    """Never stored as they are where any code shows the damage; refused, or on request what Pillow makes of them."""
    scan = read_header(JPEG).scan_offset
    broken = JPEG[: scan + 200] + bytes(range(1, 60)) + JPEG[scan + 200 :]
    cut = JPEG[: scan + 300] + b"\xff\xd9"
    for data in (broken, cut):
        for options in ({}, {"jpeg": "keep"}, {"jpeg": "reencode"}, {"max_side": 20}):
            with pytest.raises(ConversionError, match=r"img7: the image data .*; leave it out"):
                prepare(data, where="img7", **options)  # type: ignore[arg-type]
            again = prepare(data, damaged="reencode", **options)  # type: ignore[arg-type]
            check(again, "reencoded")
            assert again.reason.startswith("damaged: the image data")
    with pytest.raises(ConversionError, match="Pillow does not decode it"):
        prepare(JPEG[: scan + 300], damaged="reencode")


def bomb_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def resized_header(data: bytes, width: int, height: int) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty"),
    "text": (b"<!DOCTYPE html><html>", "no image format"),
    "zeros": (bytes(1000), "no image format"),
    "start of image": (b"\xff\xd8", "no image format"),
    "start and end": (b"\xff\xd8\xff\xd9", "ends before the first scan"),
    "jpeg header alone": (JPEG[:300], "ends before the first scan"),
    "jpeg cut": (JPEG[:-200], "ends early"),
    "jpeg of 144 Mpixel": (resized_header(JPEG, 12000, 12000), "ends early"),
    "jpeg of 200 Mpixel": (resized_header(JPEG, 20000, 10000), "over the limit"),
    "jpeg of 4 Gpixel": (resized_header(JPEG, 65500, 65500), "pixels"),
    "two starts": (b"\xff\xd8" + JPEG, "malformed"),
    "twelve bits": (JPEG.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"), "not 8-bit"),
    "lossless": (JPEG.replace(b"\xff\xc0", b"\xff\xc3"), "lossless"),
    "png cut": (OTHERS["png"][0][:400], "damaged PNG"),
    "png header alone": (OTHERS["png"][0][:20], "no PNG file"),
    "png of 4 Gpixel": (bomb_png(65000, 65000), "over the limit"),
    "png of 200 Mpixel": (bomb_png(20000, 10000), "over the limit"),
    "gif cut": (OTHERS["gif"][0][:300], "GIF"),
    "bmp cut": (OTHERS["bmp"][0][:300], "BMP"),
    "tiff cut": (OTHERS["tiff"][0][:50], "TIFF"),
    "webp cut": (OTHERS["webp"][0][:60], "WEBP"),
}


@pytest.mark.parametrize("mode", ["seekable", "keep", "reencode"])
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, mode: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(ConversionError, match=f"(?s)^a/b.jpg: .*{reason}") as caught:
        prepare(data, jpeg=mode, where="a/b.jpg")
    assert "\n" not in str(caught.value)


def test_limit_on_pixels() -> None:
    for data in (JPEG, OTHERS["png"][0], OTHERS["cmyk jpeg"][0]):
        assert prepare(data, max_pixels=96 * 64)
        with pytest.raises(ConversionError, match="96 x 64 pixels are over the limit of 6143"):
            prepare(data, max_pixels=96 * 64 - 1)


@pytest.mark.parametrize(
    "options",
    [
        {"jpeg": "lossy"},
        {"damaged": "keep"},
        {"max_side": 0},
        {"min_side": 65536},
        {"quality": 0},
        {"quality": 101},
        {"interval": -1},
        {"max_pixels": 1 << 29},
    ],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        prepare(JPEG, **options)


def test_no_global_state_is_touched() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    for data, _ in [*OTHERS.values(), (JPEG, "")]:
        prepare(data, max_side=30)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before


def test_threads_give_the_same() -> None:
    files = [data for data, _ in OTHERS.values()] + [JPEG, GRAY, PROGRESSIVE]
    alone = [prepare(data, max_side=80) for data in files]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda data: prepare(data, max_side=80), files * 3)) == alone * 3


def test_metadata_does_not_reach_pillow(jpegmaker: ModuleType) -> None:
    """EXIF and MPO segments that make Pillow warn or stumble have no part in the pixels."""
    evil = jpegmaker.segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff") + jpegmaker.segment(0xE2, b"MPF\0II*\0\x08\0\0\0")
    data = JPEG[:2] + evil + JPEG[2:]
    assert without_metadata(data) == JPEG
    check(prepare(data, max_side=40), "reencoded")
    check(prepare(data), "rewritten")
    adobe = jpegmaker.segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")
    assert without_metadata(JPEG[:2] + adobe + JPEG[2:]) == JPEG[:2] + adobe + JPEG[2:]
    for n in range(len(data)):
        without_metadata(data[:n])


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_hostile_bytes(tail: bytes) -> None:
    """Any bytes after any signature: an outcome or a ConversionError."""
    for head in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBP", b"II*\0", b"P6 ", b""):
        with contextlib.suppress(ConversionError):
            check(prepare(head + tail, max_pixels=1 << 20), "reencoded")


def test_sniff() -> None:
    assert [sniff(data) for data in (JPEG, b"", b"P", b"P6\n", b"BM", b"....ftypavif")] == [
        "JPEG",
        None,
        None,
        "PPM",
        "BMP",
        "AVIF",
    ]


def test_demo_photographs(demo_data: Path) -> None:
    for file in sorted(demo_data.glob("**/*.JPEG")):
        data = file.read_bytes()
        for action, options in (("rewritten", {}), ("kept", {"jpeg": "keep"}), ("reencoded", {"max_side": 64})):
            check(prepare(data, **options), action)  # type: ignore[arg-type]
