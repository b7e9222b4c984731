"""Small files that stand for huge ones are refused, in a process that may have a gigabyte of memory."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ffprep.beton import Writer, layout
from ffprep.fields import BytesField, IntField, NDArrayField

SIDE = 60_000
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"


def run(script: str, folder: Path) -> dict[str, str]:
    """Run a script within a gigabyte over every file of a folder; what it prints, by name."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-c", script, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(line.split("\t", 1) for line in done.stdout.splitlines())


# -- images -----------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + b"".join(more)
        + chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + chunk(b"IEND", b"")
    )


def webp(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "WEBP", lossless=True)
    head = b"VP8X" + struct.pack("<II", 10, 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + head + out.getvalue()[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(width: int, height: int, compression: int) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, compression), (262, 1), (273, 8), (278, height), (279, 10)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 18) + bytes(10) + struct.pack("<H", len(tags)) + entries + bytes(4)


def gif(screen: int, frame: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HH", screen, screen) + b"\x80\0\0" + bytes(3) + b"\xff" * 3
    return head + b"," + struct.pack("<HHHH", 0, 0, frame, frame) + b"\0\2\2\x4c\1\0;"


def jpeg(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (16, 16)).save(out, "JPEG")
    data = bytearray(out.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


IMAGES = {
    "a.png": png(SIDE, SIDE),
    "text.png": png(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(800_000_000)))),
    "profile.png": png(8, 8, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(800_000_000)))),
    "a.webp": webp(16383, 16383),
    "b.webp": webp(1 << 24, 255),
    "raw.tiff": tiff(SIDE, SIDE, 1),
    "deflate.tiff": tiff(1 << 31, 1 << 31, 8),
    "screen.gif": gif(SIDE, 1),
    "frame.gif": gif(1, SIDE),
    "a.ppm": b"P6 60000 60000 255\n" + bytes(10),
    "a.bmp": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, SIDE, SIDE, 1, 24, 0, 0, 0, 0, 0, 0)
    + bytes(50),
    "a.jpg": jpeg(SIDE, SIDE),
    "b.jpg": jpeg(65535, 2000),
}
CONVERT = (
    LIMIT
    + """
import sys; from pathlib import Path
from ffprep.download.image_checks import Unusable, check_image
from ffprep.errors import ConversionError
from ffprep.jpeg.prepare import prepare
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        prepare(path.read_bytes(), where=path.name)
        print(path.name, "converted", sep="\\t")
    except ConversionError as error:
        print(path.name, error, sep="\\t")
    try:
        check_image(path.read_bytes(), 1 << 27)
    except Unusable:
        pass
"""
)


def test_images_of_billions_of_pixels(tmp_path: Path) -> None:
    """None is decoded. Each is refused by name; Pillow words some of the reasons."""
    for name, data in IMAGES.items():
        assert len(data) < 1_000_000
        (tmp_path / name).write_bytes(data)
    found = run(CONVERT, tmp_path)
    assert set(found) == set(IMAGES)
    for name, message in found.items():
        assert message.startswith(f"{name}: ") and message.endswith("leave it out or replace it"), message


# -- .beton files -----------------------------------------------------------------------------------------------------

OPEN = (
    LIMIT
    + """
import sys; from pathlib import Path
from ffprep.beton import Reader
from ffprep.beton.verify import verify
from ffprep.errors import BetonError
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        with Reader(path) as reader:
            reader.sample_names(); reader.manifest
        print(path.name, "opened", sep="\\t")
    except BetonError as error:
        print(path.name, error, sep="\\t")
    try:
        assert not verify(path, workers=1).ok
    except BetonError:
        pass
"""
)
HUGE = [(1 << 31) + 8, 1 << 40, 1 << 62, (1 << 64) - 1]


@pytest.mark.parametrize("place", ["samples", "fields", "table", "page", "shape", "pointer", "rows"])
def test_numbers_in_files(tmp_path: Path, place: str) -> None:
    """Whatever a file claims, no memory is taken for it."""
    source = tmp_path / "good.beton"
    fields = {"label": IntField(), "text": BytesField(), "array": NDArrayField("<i4", (3,))}
    with Writer(source, fields, 4) as writer:
        for n in range(4):
            values = (n, b"text", np.zeros(3, "<i4"))
            writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)], f"{n}")
    good = source.read_bytes()
    source.unlink()
    record = layout.records_start(3)
    table = layout.Header.unpack(good).alloc_table_ptr
    offset, size = {
        "fields": (2, 2),
        "page": (4, 4),
        "samples": (8, 8),
        "table": (16, 8),
        "shape": (layout.records_start(2) + 17, 8),
        "pointer": (record + 8, 8),
        "rows": (table + 16, 8),
    }[place]
    for number, value in enumerate(HUGE):
        content = bytearray(good)
        content[offset : offset + size] = (value % (1 << (8 * size)) or 65535).to_bytes(size, "little")
        (tmp_path / f"{number}.beton").write_bytes(content)
    for name, message in run(OPEN, tmp_path).items():
        assert name in message and message != "opened"
