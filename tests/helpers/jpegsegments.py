"""Marker segments of hand-made JPEG streams, for the tests of the header parser."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ffprep.errors import JpegError
from ffprep.jpeg import Status, read_header
from ffprep.jpeg.header import JpegHeader

DC, AC = 0, 1
SOI = b"\xff\xd8"


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def dqt(number: int = 0, values: Sequence[int] = (1,) * 64, wide: int = 0, cut: int = 0) -> bytes:
    body = bytes([wide << 4 | number]) + b"".join(v.to_bytes(2 if wide else 1, "big") for v in values)
    return segment(0xDB, body[: len(body) - cut])


def table(kind: int, number: int, counts: dict[int, int]) -> bytes:
    """A Huffman table with so many codes of each length."""
    total = sum(counts.values())
    return bytes([kind << 4 | number, *(counts.get(i, 0) for i in range(1, 17))]) + bytes(i % 256 for i in range(total))


def dht(kind: int, number: int, counts: dict[int, int], cut: int = 0) -> bytes:
    body = table(kind, number, counts)
    return segment(0xC4, body[: len(body) - cut])


Y, CB, CR = (1, 0x11, 0), (2, 0x11, 0), (3, 0x11, 0)
TABLES = dqt() + dht(DC, 0, {2: 2}) + dht(AC, 0, {2: 2})


def sof(components: Iterable[tuple[int, int, int]] = (Y,), size: tuple[int, int] = (8, 8), marker: int = 0xC0) -> bytes:
    """A frame of (identifier, sampling, quantisation table) and (height, width)."""
    parts = list(components)
    body = b"\x08" + size[0].to_bytes(2, "big") + size[1].to_bytes(2, "big") + bytes([len(parts)])
    return segment(marker, body + b"".join(map(bytes, parts)))


THREE = sof([Y, CB, CR])


def sos(identifiers: Sequence[int] = (1,), tables: int = 0, band: tuple[int, int, int] = (0, 63, 0)) -> bytes:
    return segment(0xDA, bytes([len(identifiers)]) + b"".join(bytes([i, tables]) for i in identifiers) + bytes(band))


def stream(*parts: bytes, scan: bytes | None = None) -> bytes:
    """Tables, then these segments, a frame unless they have one, and a scan."""
    body = b"".join(parts)
    if not any(part[1] in (0xC0, 0xC1, 0xC2) for part in parts):
        body += sof()
    return SOI + TABLES + body + (sos() if scan is None else scan) + b"\x55"


def facts(data: bytes) -> JpegHeader:
    return read_header(data)


def status(data: bytes) -> Status:
    try:
        read_header(data)
    except JpegError as error:
        return Status(error.status)
    return Status.OK


def entry(order: Any, tag: int, kind: int, count: int, value: int) -> bytes:
    size = 4 if kind == 4 else 2
    numbers = order(tag, 2) + order(kind, 2) + order(count, 4)
    return numbers + order(value, size) + bytes(4 - size)


def exif(
    *entries: tuple[int, int, int, int],
    little: bool = True,
    claimed: int | None = None,
    gap: int = 0,
    mark: bytes | None = None,
    magic: int = 42,
    cut: int = 0,
) -> bytes:
    """An APP1 segment whose first directory has these entries (tag, type, count, value)."""

    def order(value: int, size: int) -> bytes:
        return value.to_bytes(size, "little" if little else "big")

    body = b"Exif\0\0" + (mark or (b"II" if little else b"MM")) + order(magic, 2) + order(8 + gap, 4) + bytes(gap)
    body += order(len(entries) if claimed is None else claimed, 2) + b"".join(entry(order, *e) for e in entries)
    return segment(0xE1, body[: len(body) - cut])


def orientation(*parts: bytes) -> int:
    return facts(stream(*parts)).orientation


TURNED = (0x112, 3, 1, 6)
OTHER = (0x10F, 2, 9, 3)


JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


def adobe(transform: int) -> bytes:
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
