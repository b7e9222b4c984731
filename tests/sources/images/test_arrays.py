"""16-bit and floating-point images and .npy files become arrays without loss; what would lose something is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ffprep.beton.reader import Reader
from ffprep.cli import main
from ffprep.errors import ConversionError
from ffprep.fields import ArrayImageField
from ffprep.sources.images.arrays import read_array

COUNT = 5


def deep(i: int, dtype: str = "uint16", channels: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(i)
    shape = (9 + i, 7 + 2 * i, *([channels] if channels else []))
    return (rng.random(shape) * 60000).astype(dtype)


def saved(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def stored(path: Path, name: str = "image") -> list[NDArray[Any]]:
    reader = Reader(path)
    assert isinstance(reader.fields[name], ArrayImageField)
    return [reader.value(name, i) for i in range(len(reader))]


def convert(*arguments: Any) -> int:
    try:
        return int(main([str(argument) for argument in ("convert", "images", *arguments)]) or 0)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize(("kind", "dtype"), [("PNG", "uint16"), ("TIFF", "uint16"), ("TIFF", "float32")])
def test_folders_of_deep_images(tmp_path: Path, kind: str, dtype: str) -> None:
    for i in range(COUNT):
        folder = tmp_path / "images" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.{kind.lower()}").write_bytes(saved(Image.fromarray(deep(i, dtype)), kind))
    out = tmp_path / "out.beton"
    options = ["--source", tmp_path / "images", "--out", out, "--field", f"image=array-{dtype}", "--quiet"]
    assert convert(*options) == 0
    wanted = [deep(i, dtype) for i in (0, 2, 4, 1, 3)]
    found = stored(out)
    assert all(np.array_equal(a[:, :, 0], b) for a, b in zip(found, wanted, strict=True))
    assert Reader(out).column("label").tolist() == [0, 0, 0, 1, 1]


def test_a_table_of_paths_of_npy_files(tmp_path: Path) -> None:
    for i in range(COUNT):
        (tmp_path / f"{i}.npy").write_bytes(npy(deep(i, "float32", 13)))
        (tmp_path / f"{i}.png").write_bytes(saved(Image.fromarray(deep(i).astype(np.uint8)), "PNG"))
    lines = ["picture,bands,label", *(f"{i}.png,{i}.npy,{i % 2}" for i in range(COUNT))]
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "out.beton"
    base = ["--source", tmp_path / "list.csv", "--out", out, "--quiet"]
    assert convert(*base, "--image", "picture", "--field", "bands=array-float32x13") == 0
    assert all(np.array_equal(a, deep(i, "float32", 13)) for i, a in enumerate(stored(out, "bands")))
    out.unlink()
    assert convert(*base, "--image", "bands", "--field", "image=array-float32x13") == 0
    assert all(np.array_equal(a, deep(i, "float32", 13)) for i, a in enumerate(stored(out)))


def test_what_the_options_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").write_bytes(saved(Image.fromarray(deep(0)), "PNG"))
    base = ["--source", tmp_path / "images", "--out", tmp_path / "out.beton", "--quiet"]
    for more, message in (
        ([], "image=array-uint16"),
        (["--field", "image=array-uint8"], "uint8 holds exactly"),
        (["--field", "image=array-uint16x3"], "(height, width, 3)"),
        (["--field", "image=array-uint17"], "array-uint16"),
        (["--field", "image=array-uint16", "--max-side", 8], "leave out --max-side"),
    ):
        assert convert(*base, *more) in (1, 2)
        assert message in capsys.readouterr().err


PICTURE = Image.fromarray(np.zeros((4, 5, 3), np.uint8))


def colour_png_of_16_bits() -> bytes:
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(12)) * 2)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: saved(PICTURE, "JPEG"), "JPEG"),
        (lambda: saved(PICTURE.convert("P"), "PNG"), "mode P"),
        (colour_png_of_16_bits, "8 bits"),
        (lambda: b"text", "neither"),
        (lambda: npy(np.array([None, {}])), "holds no image"),
        (lambda: npy(np.zeros((3, 4)))[:-1], "does not hold 95 bytes"),
        (lambda: npy(np.zeros((3, 4)))[:40], "damaged .npy"),
        (lambda: npy(np.zeros((3, 4))).replace(b"(3, 4)", b"(9**9)"), "damaged .npy"),
        (lambda: saved(Image.fromarray(deep(0)), "PNG")[:60], "damaged PNG"),
    ],
)
def test_files_that_lose_something_or_are_damaged(data: Callable[[], bytes], message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        read_array(data())


def test_orders_and_types_of_npy_files() -> None:
    for array in (np.asfortranarray(deep(3)), deep(2, ">i4", 3), deep(1, "float64"), np.zeros((2, 3), bool)):
        found = read_array(npy(array))
        assert np.array_equal(found, array) and found.shape == array.shape
