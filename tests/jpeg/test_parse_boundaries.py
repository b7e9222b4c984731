"""The header parser at its boundaries, by hand-made streams: the last value it takes and the first it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ffprep.errors import JpegError
from ffprep.jpeg import Status, coefficients, decode_planes, read_header
from ffprep.jpeg.header import JpegHeader

DC, AC = 0, 1
SOI = b"\xff\xd8"


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def dqt(number: int = 0, values: Sequence[int] = (1,) * 64, wide: int = 0, cut: int = 0) -> bytes:
    body = bytes([wide << 4 | number]) + b"".join(v.to_bytes(2 if wide else 1, "big") for v in values)
    return segment(0xDB, body[: len(body) - cut])


def table(kind: int, number: int, counts: dict[int, int]) -> bytes:
    """A Huffman table with the given number of codes of each length."""
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


# -- markers and segments ----------------------------------------------------------------------------------------------


def test_where_the_scan_begins() -> None:
    data = stream()
    found = facts(data)
    assert found.scan_offset == len(data) - 1
    assert (found.width, found.height, found.components, found.sof) == (8, 8, 1, 0xC0)
    assert status(data[:-1]) == Status.TRUNCATED_HEADER
    assert status(b"") == status(b"\xff") == status(b"\xff\xd7" + data[2:]) == Status.NOT_JPEG
    assert status(b"\xfe\xd8" + data[2:]) == Status.NOT_JPEG
    assert status(SOI) == status(SOI + b"\xff") == Status.TRUNCATED_HEADER


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\xff\xff", b"\0", b"\x01\x02", b"\xff\0", b"\xff\0\xff\0\x07"])
def test_what_lies_between_segments_is_skipped(filler: bytes) -> None:
    data = stream(filler + segment(0xFE, b"x") + filler)
    assert facts(data).scan_offset == len(data) - 1


def test_lengths_of_segments() -> None:
    assert status(stream(segment(0xFE, b""))) == Status.OK
    for length in (b"\0\0", b"\0\1"):
        assert status(SOI + b"\xff\xfe" + length) == Status.BAD_MARKER
        assert status(stream(b"\xff\xfe" + length)) == Status.BAD_MARKER
    assert status(SOI + b"\xff\xfe") == status(SOI + b"\xff\xfe\0") == Status.TRUNCATED_HEADER
    assert status(SOI + b"\xff\xfe\0\3") == status(SOI + b"\xff\xfe\0\2") == Status.TRUNCATED_HEADER
    # A segment that ends with the file is still looked at.
    assert status(SOI + segment(0xC4, b"")) == Status.TRUNCATED_HEADER
    assert status(SOI + segment(0xDD, b"")) == Status.BAD_MARKER
    assert status(SOI + segment(0xC4, b"\x40" + bytes(16))) == Status.BAD_HUFFMAN_TABLE


def test_markers_without_a_segment() -> None:
    for marker in (0x01, *range(0xD0, 0xD8)):
        data = stream(bytes([0xFF, marker]))
        assert facts(data).scan_offset == len(data) - 1
    assert status(stream(b"\xff\xd8")) == Status.BAD_MARKER
    assert status(stream(b"\xff\xd9")) == Status.TRUNCATED_HEADER


def test_markers_that_are_skipped_and_refused() -> None:
    expected = dict.fromkeys(range(2, 255), Status.BAD_MARKER)
    for marker in (0xCC, 0xDC, 0xFE, *range(0xE0, 0xF0)):
        expected[marker] = Status.OK
    for marker in (0xC3, *range(0xC5, 0xCC), *range(0xCD, 0xD0), 0xDE, 0xDF, 0xF7):
        expected[marker] = Status.UNSUPPORTED_PROCESS
    for marker in (0xC0, 0xC1, 0xC2, 0xC4, *range(0xD0, 0xDC), 0xDD):
        del expected[marker]
    assert {marker: status(stream(segment(marker, b"abcdef"))) for marker in expected} == expected


# -- Huffman tables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "good"),
    [
        ({}, True),
        ({1: 1}, True),
        ({1: 2}, True),  # every code of one bit
        ({1: 3}, False),
        ({1: 1, 2: 2}, True),
        ({1: 1, 2: 3}, False),
        ({**dict.fromkeys(range(1, 16), 1), 16: 2}, True),  # every code of sixteen bits
        ({**dict.fromkeys(range(1, 16), 1), 16: 3}, False),
        ({8: 255}, True),
        ({8: 255, 9: 1}, True),
        ({15: 1, 16: 255}, True),  # 256 symbols are all there are
        ({15: 2, 16: 255}, False),
        ({12: 200, 13: 200, 16: 255}, False),
    ],
)
def test_huffman_codes(counts: dict[int, int], good: bool) -> None:
    assert status(stream(dht(DC, 3, counts))) == (Status.OK if good else Status.BAD_HUFFMAN_TABLE)


def test_huffman_segments() -> None:
    assert status(stream(segment(0xC4, b""))) == Status.OK
    both = table(DC, 1, {1: 1}) + table(AC, 1, {3: 4})
    assert status(stream(segment(0xC4, both), scan=sos(tables=0x11))) == Status.OK
    assert status(stream(segment(0xC4, both[:-1]))) == Status.BAD_HUFFMAN_TABLE
    assert status(stream(segment(0xC4, both + b"\0" * 16))) == Status.BAD_HUFFMAN_TABLE
    assert status(stream(segment(0xC4, both + b"\0" * 17))) == Status.OK
    assert status(stream(dht(DC, 0, {1: 1}, cut=1))) == Status.BAD_HUFFMAN_TABLE
    for kind, number, good in ((0, 3, True), (1, 3, True), (0, 4, False), (1, 4, False), (2, 0, False)):
        assert (status(stream(dht(kind, number, {1: 1}))) == Status.OK) == good


@pytest.mark.parametrize(
    ("tables", "missing"), [(0x00, False), (0x03, True), (0x30, True), (0x21, False), (0x12, True)]
)
def test_a_scan_needs_its_huffman_tables(tables: int, missing: bool) -> None:
    extra = dht(DC, 2, {1: 1}) + dht(AC, 1, {1: 1})
    assert status(stream(extra, scan=sos(tables=tables))) == (Status.MISSING_TABLE if missing else Status.OK)
    progressive = stream(sof(marker=0xC2), scan=sos(tables=tables, band=(0, 0, 0)))
    assert status(progressive) == Status.OK


# -- quantisation tables -----------------------------------------------------------------------------------------------


def test_quantisation_tables() -> None:
    last_is_zero, first_is_zero = (1,) * 63 + (0,), (0,) + (1,) * 63
    for wide in (0, 1):
        assert status(stream(dqt(3, wide=wide), sof([(1, 0x11, 3)]))) == Status.OK
        assert status(stream(dqt(3, wide=wide, cut=1))) == Status.BAD_QUANT_TABLE
        assert status(stream(dqt(4, wide=wide))) == Status.BAD_QUANT_TABLE
        for values in (last_is_zero, first_is_zero):
            assert status(stream(dqt(0, values, wide))) == Status.BAD_QUANT_TABLE
    assert status(stream(dqt(0, (256,) * 64, 1))) == status(stream(dqt(0, (1,) * 63 + (512,), 1))) == Status.OK
    assert status(stream(dqt(0, wide=2))) == Status.BAD_QUANT_TABLE
    assert status(stream(segment(0xDB, dqt(1)[4:] + dqt(2, wide=1)[4:]), sof([(1, 0x11, 2)]))) == Status.OK
    assert status(stream(segment(0xDB, dqt(1)[4:] + b"\1"))) == Status.BAD_QUANT_TABLE
    assert status(stream(sof([(1, 0x11, 3)]))) == Status.MISSING_TABLE
    assert status(stream(segment(0xDB, b""))) == Status.OK


def test_restart_interval() -> None:
    assert facts(stream(segment(0xDD, b"\1\2"))).restart_interval == 0x102
    assert facts(stream()).restart_interval == 0
    for body in (b"", b"\1", b"\1\2\3"):
        assert status(stream(segment(0xDD, body))) == Status.BAD_MARKER


# -- frames ------------------------------------------------------------------------------------------------------------


def test_frames() -> None:
    assert status(stream(sof(), sof())) == Status.BAD_MARKER
    plain = sof()[4:]
    assert status(stream(segment(0xC0, plain[:5]))) == Status.BAD_MARKER
    assert status(stream(segment(0xC0, plain[:-1]))) == Status.BAD_MARKER
    assert status(stream(segment(0xC0, plain + b"\0"))) == Status.BAD_MARKER
    assert status(stream(segment(0xC0, plain[:5] + b"\0"))) == Status.BAD_MARKER
    assert status(stream(segment(0xC0, b"\x0c" + plain[1:]))) == Status.UNSUPPORTED_PROCESS
    assert status(stream(segment(0xC0, b"\x07" + plain[1:]))) == Status.UNSUPPORTED_PROCESS
    assert [facts(stream(sof(marker=m), scan=sos(band=(0, 0, 0)))).sof for m in (0xC0, 0xC1, 0xC2)] == [
        0xC0,
        0xC1,
        0xC2,
    ]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 1), Status.OK),
        ((258, 515), Status.OK),
        ((8, 0), Status.BAD_MARKER),
        ((0, 8), Status.UNSUPPORTED_PROCESS),
        ((1 << 14, 1 << 14), Status.OK),
        ((1 << 14, (1 << 14) + 1), Status.TOO_LARGE),
        ((65535, 65535), Status.TOO_LARGE),
    ],
)
def test_sizes(size: tuple[int, int], expected: Status) -> None:
    data = stream(sof(size=size))
    assert status(data) == expected
    if expected == Status.OK:
        assert (facts(data).height, facts(data).width) == size


def test_numbers_of_components() -> None:
    four = [(n, 0x11, 0) for n in range(1, 6)]
    expected = [Status.OK, Status.UNSUPPORTED_COLOR, Status.OK, Status.OK, Status.UNSUPPORTED_COLOR]
    found = [status(stream(sof(four[: n + 1]), scan=sos([*range(1, n + 2)]))) for n in range(5)]
    assert found == expected


@pytest.mark.parametrize(
    ("component", "good"),
    [
        ((1, 0x11, 3), True),
        ((1, 0x11, 4), False),
        ((1, 0x01, 0), False),
        ((1, 0x10, 0), False),
        ((1, 0x41, 0), True),
        ((1, 0x14, 0), True),
        ((1, 0x51, 0), False),
        ((1, 0x15, 0), False),
        ((2, 0x11, 0), False),  # two components of one name
        ((3, 0x11, 0), False),
    ],
)
def test_components(component: tuple[int, int, int], good: bool) -> None:
    data = stream(dqt(3), sof([component, CB, CR]), scan=sos([component[0], 2, 3]))
    assert status(data) == (Status.OK if good else Status.BAD_MARKER)
    swapped = stream(dqt(3), sof([(2, 0x11, 0), (3, 0x11, 0), component]), scan=sos([2, 3, component[0]]))
    assert status(swapped) == (Status.OK if good else Status.BAD_MARKER)


@pytest.mark.parametrize(
    ("factors", "size", "mcu", "mcus"),
    [
        ((0x22, 0x11, 0x11), (16, 16), (16, 16), (1, 1)),
        ((0x22, 0x11, 0x11), (17, 16), (16, 16), (1, 2)),
        ((0x21, 0x11, 0x11), (16, 17), (16, 8), (2, 2)),
        ((0x12, 0x11, 0x11), (33, 9), (8, 16), (2, 3)),
        ((0x11, 0x21, 0x11), (8, 8), (16, 8), (1, 1)),
        ((0x11, 0x11, 0x12), (8, 8), (8, 16), (1, 1)),
        ((0x41, 0x11, 0x21), (1, 1), (32, 8), (1, 1)),
        ((0x24, 0x11, 0x11), (1, 1), (16, 32), (1, 1)),
    ],
)
def test_sampling(factors: tuple[int, ...], size: tuple[int, int], mcu: tuple[int, int], mcus: tuple[int, int]) -> None:
    found = facts(stream(sof([(i + 1, f, 0) for i, f in enumerate(factors)], size), scan=sos([1, 2, 3])))
    assert (found.mcu, found.mcus) == (mcu, mcus)
    assert found.sampling == tuple((f >> 4, f & 15) for f in factors)


def test_sampling_that_is_refused() -> None:
    def of(*factors: int, scan: Sequence[int] = (1, 2, 3)) -> Status:
        return status(stream(sof([(i + 1, f, 0) for i, f in enumerate(factors)]), scan=sos(scan)))

    assert of(0x31, 0x21, 0x11) == of(0x13, 0x12, 0x11) == of(0x11, 0x21, 0x31) == Status.UNSUPPORTED_SAMPLING
    assert of(0x31, 0x11, 0x11) == of(0x13, 0x11, 0x11) == Status.OK
    assert of(0x42, 0x11, 0x11) == Status.OK  # ten blocks in an MCU
    assert of(0x41, 0x41, 0x21) == Status.OK
    assert of(0x42, 0x12, 0x11) == of(0x44, 0x11, 0x11) == Status.UNSUPPORTED_SAMPLING
    assert of(0x44, 0x11, 0x11, scan=[1]) == Status.OK  # a scan of one component has MCUs of one block


def test_a_single_component_has_no_sampling() -> None:
    found = facts(stream(sof([(1, 0x42, 0)], (17, 9))))
    assert (found.sampling, found.mcu, found.mcus) == (((1, 1),), (8, 8), (2, 3))


# -- scans -------------------------------------------------------------------------------------------------------------

THREE = sof([Y, CB, CR])


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        (sos([1, 2, 3]), Status.OK),
        (sos([1]), Status.OK),
        (sos([3]), Status.OK),
        (sos([1, 3]), Status.OK),
        (sos([2, 1, 3]), Status.BAD_MARKER),
        (sos([1, 1]), Status.BAD_MARKER),
        (sos([1, 2, 4]), Status.BAD_MARKER),
        (sos([]), Status.BAD_MARKER),
        (sos([1, 2, 3, 4]), Status.BAD_MARKER),
        (sos([1], tables=0x40), Status.BAD_MARKER),
        (sos([1], tables=0x04), Status.BAD_MARKER),
        (sos([1], tables=0x33), Status.MISSING_TABLE),
        (sos([1], band=(3, 5, 0x77)), Status.OK),  # a sequential scan's band is not looked at
        (segment(0xDA, b""), Status.BAD_MARKER),
        (segment(0xDA, sos([1])[4:] + b"\0"), Status.BAD_MARKER),
        (segment(0xDA, sos([1])[4:-1]), Status.BAD_MARKER),
    ],
)
def test_scans(scan: bytes, expected: Status) -> None:
    assert status(stream(THREE, scan=scan)) == expected


def test_a_scan_before_its_frame() -> None:
    assert status(SOI + TABLES + sos() + b"\x55") == Status.BAD_MARKER


def test_which_images_are_one_scan() -> None:
    assert facts(stream(THREE, scan=sos([1, 2, 3]))).single_scan
    assert facts(stream()).single_scan
    assert not facts(stream(THREE, scan=sos([1, 2]))).single_scan
    assert not facts(stream(sof(marker=0xC2), scan=sos(band=(0, 0, 0)))).single_scan


@pytest.mark.parametrize(
    ("scan", "good"),
    [
        (sos([1], band=(0, 0, 0x00)), True),
        (sos([1, 2, 3], band=(0, 0, 0x00)), True),
        (sos([1], band=(0, 1, 0x00)), False),
        (sos([1], band=(1, 0, 0x00)), False),
        (sos([1], band=(1, 1, 0x00)), True),
        (sos([1], band=(5, 4, 0x00)), False),
        (sos([1], band=(1, 63, 0x00)), True),
        (sos([1], band=(1, 64, 0x00)), False),
        (sos([1, 2], band=(1, 63, 0x00)), False),
        (sos([1], band=(0, 0, 0x0D)), True),
        (sos([1], band=(0, 0, 0x0E)), False),
        (sos([1], band=(0, 0, 0x10)), True),
        (sos([1], band=(0, 0, 0x21)), True),
        (sos([1], band=(0, 0, 0x31)), False),
        (sos([1], band=(0, 0, 0x11)), False),
        (sos([1], band=(0, 0, 0xED)), True),
    ],
)
def test_progressive_scans(scan: bytes, good: bool) -> None:
    assert status(stream(sof([Y, CB, CR], marker=0xC2), scan=scan)) == (Status.OK if good else Status.BAD_MARKER)


# -- orientation -------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("little", [True, False])
def test_orientation_is_found(little: bool) -> None:
    for value in range(1, 9):
        assert orientation(exif((0x112, 3, 1, value), little=little)) == value
        assert orientation(exif((0x112, 4, 1, value), little=little)) == value
    assert orientation(exif(OTHER, TURNED, little=little)) == 6
    assert orientation(exif(OTHER, OTHER, TURNED, OTHER, little=little, gap=5)) == 6
    assert orientation(exif(TURNED, (0x112, 3, 1, 3), little=little)) == 6
    assert orientation() == 1


def test_orientation_that_makes_no_sense_is_none() -> None:
    for wrong in (
        (0x112, 3, 1, 0),
        (0x112, 3, 1, 9),
        (0x112, 3, 2, 6),
        (0x112, 3, 0, 6),
        (0x112, 2, 1, 6),
        (0x112, 5, 1, 6),
    ):
        assert orientation(exif(wrong)) == 1
    assert orientation(exif((0x112, 4, 1, 0x10006))) == 1
    for tag in (0x111, 0x113, 0x1201, 0x12):
        assert orientation(exif((tag, 3, 1, 6))) == 1
    assert orientation(exif(TURNED, mark=b"IM")) == orientation(exif(TURNED, mark=b"MI")) == 1
    assert orientation(exif(TURNED, mark=b"MM")) == orientation(exif(TURNED, little=False, mark=b"II")) == 1
    for mark in (b"XM", b"MX", b"XI", b"IX"):
        assert orientation(exif(TURNED, mark=mark)) == orientation(exif(TURNED, little=False, mark=mark)) == 1
    assert orientation(exif(TURNED, magic=43)) == orientation(exif(TURNED, magic=0x2A2A)) == 1
    assert orientation(segment(0xE1, b"Exif\0\1" + exif(TURNED)[10:])) == 1
    assert orientation(segment(0xE1, b"http" + exif(TURNED)[8:])) == 1


def test_the_first_orientation_counts() -> None:
    third = exif((0x112, 3, 1, 3))
    assert orientation(exif(TURNED), third) == 6
    assert orientation(exif(OTHER), third) == 3
    assert orientation(segment(0xE1, b"Exif\0\0"), third) == 3


def test_directories_that_are_cut() -> None:
    assert orientation(exif(TURNED, claimed=9)) == 6
    assert orientation(exif(OTHER, claimed=9)) == 1
    assert orientation(exif(TURNED, claimed=0)) == 1
    assert orientation(exif(OTHER, TURNED, claimed=1)) == 1
    # The last entry lacks a byte; what follows the segment must not stand in for it.
    assert orientation(exif(TURNED, cut=1) + b"\0\0\0\0") == 1
    assert orientation(exif(TURNED, little=False, cut=3) + b"\6\0\0\0") == 1
    # Nothing but a header, then one that is a byte too short for it.
    header = exif()[4:-2]
    assert len(header) == 14
    for length in range(15):
        assert orientation(segment(0xE1, header[:length])) == 1


@pytest.mark.parametrize("past", range(-2, 3))
@pytest.mark.parametrize("little", [True, False])
def test_a_directory_outside_its_segment(past: int, little: bool) -> None:
    """The directory begins about where its segment ends: what follows the segment would make up the rest of it."""

    def order(value: int, size: int) -> bytes:
        return value.to_bytes(size, "little" if little else "big")

    # 16 bytes of TIFF; the directory is said to begin `past` bytes after them.
    tiff = (b"II" if little else b"MM") + order(42, 2) + order(16 + past, 4) + bytes(8)
    directory = order(1, 2) + entry(order, *TURNED)
    inside, outside = directory[: max(0, -past)], directory[max(0, -past) :]
    body = b"Exif\0\0" + tiff[: len(tiff) - len(inside)] + inside
    assert orientation(segment(0xE1, body) + bytes(max(0, past)) + outside) == 1
    far = b"Exif\0\0" + tiff[:4] + order(0xFFFFFFF0, 4) + tiff[8:]
    assert orientation(segment(0xE1, far)) == 1


# -- colour ------------------------------------------------------------------------------------------------------------


JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


def adobe(transform: int) -> bytes:
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def test_colours() -> None:
    def of(*parts: bytes, names: bytes = b"\1\2\3") -> str:
        return facts(stream(*parts, sof([(n, 0x11, 0) for n in names]), scan=sos(names))).color

    assert of(names=b"\1") == of(adobe(0), names=b"\1") == "gray"
    assert of() == of(JFIF) == of(adobe(1)) == of(adobe(2)) == of(JFIF, adobe(0)) == of(adobe(0), JFIF) == "ycc"
    assert of(adobe(0)) == of(names=b"RGB") == of(adobe(0), names=b"RGB") == "rgb"
    assert of(JFIF, names=b"RGB") == of(adobe(1), names=b"RGB") == "ycc"
    for names in (b"RGA", b"RAB", b"AGB", b"rgb"):
        assert of(names=names) == "ycc"
    assert of(names=b"\1\2\3\4") == of(adobe(0), names=b"\1\2\3\4") == "cmyk"
    assert of(adobe(1), names=b"\1\2\3\4") == of(adobe(2), names=b"\1\2\3\4") == "ycck"
    # Segments that only look like these.
    assert of(segment(0xE0, JFIF[4:-1]), names=b"RGB") == of(segment(0xE0, b"JFXX" + JFIF[8:]), names=b"RGB") == "rgb"
    assert of(segment(0xE0, b"JFIF\1" + JFIF[9:]), names=b"RGB") == "rgb"
    assert of(segment(0xEE, adobe(0)[4:-1])) == of(segment(0xEE, b"Adobf" + adobe(0)[9:])) == "ycc"
    assert of(segment(0xE0, JFIF[4:] + b"x"), names=b"RGB") == "ycc" and of(segment(0xEE, adobe(0)[4:] + b"x")) == "rgb"
    assert of(segment(0xED, adobe(0)[4:])) == of(segment(0xEF, adobe(0)[4:])) == "ycc"


def test_adobes_transform() -> None:
    three, scan = sof([Y, CB, CR]), sos([1, 2, 3])
    assert [facts(stream(adobe(n), three, scan=scan)).adobe_transform for n in (0, 1, 7)] == [0, 1, 7]
    assert facts(stream(three, scan=scan)).adobe_transform == -1


# -- sizes of components and of scans ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(40, 56), (17, 33), (1, 1)])
@pytest.mark.parametrize(
    "sampling",
    [
        [(1, 1)],
        [(1, 1), (1, 1), (1, 1)],
        [(2, 1), (1, 1), (1, 1)],
        [(1, 2), (1, 1), (1, 1)],
        [(2, 2), (1, 1), (2, 1)],
        [(4, 1), (1, 1), (2, 1)],
        [(1, 1), (1, 4), (1, 2)],
    ],
)
def test_blocks_of_components(jpegmaker: ModuleType, sampling: list[tuple[int, int]], size: tuple[int, int]) -> None:
    """Interleaved scans hold whole MCUs of each component, its own scan its own blocks."""
    frame = jpegmaker.random_frame(np.random.default_rng(3), *size, sampling)
    for found, component in zip(coefficients(jpegmaker.write(frame)), frame.components, strict=True):
        np.testing.assert_array_equal(found, component.blocks)
    frame.sof, frame.scans = 0xC1, [jpegmaker.Scan([i]) for i in range(len(sampling))]
    for index, found in enumerate(coefficients(jpegmaker.write(frame))):
        across, down = frame.unit_grid(index)
        np.testing.assert_array_equal(found[:down, :across], frame.components[index].blocks[:down, :across])


def tiny_scan(size: tuple[int, int], scan: bytes, *parts: bytes) -> Status:
    """Decodes a gray image whose codes are all one bit 0: two bits a block."""
    codes = dht(DC, 1, {1: 1}) + dht(AC, 1, {1: 1})
    data = stream(codes, *parts, sof(size=size), scan=sos(tables=0x11))[:-1] + scan
    try:
        coefficients(data)
    except JpegError as error:
        return Status(error.status)
    return Status.OK


def test_a_scan_may_be_as_short_as_its_blocks_allow() -> None:
    assert tiny_scan((8, 128), bytes(4)) == tiny_scan((8, 121), bytes(4)) == Status.OK
    assert tiny_scan((8, 128), bytes(3)) == tiny_scan((8, 136), bytes(4)) == Status.TRUNCATED_SCAN
    restarts = b"\0\xff\xd0\0\xff\xd1\0\xff\xd2\0"
    assert tiny_scan((8, 128), restarts, segment(0xDD, b"\0\4")) == Status.OK
    assert tiny_scan((32, 32), restarts, segment(0xDD, b"\0\4")) == Status.OK


def test_quantisation_values_are_used(jpegmaker: ModuleType) -> None:
    """Tables of one and of two bytes a value; each of 64 values counts."""
    frame = jpegmaker.random_frame(np.random.default_rng(4), 24, 16, [(1, 1)], density=1.0)
    data = jpegmaker.write(frame)
    at = data.index(b"\xff\xdb")
    body = data[at + 5 : at + 69]
    assert body == bytes(frame.quant[0].tolist())
    wide = data[:at] + dqt(0, list(body), wide=1) + data[at + 69 :]
    expected = decode_planes(data)[0].samples
    np.testing.assert_array_equal(decode_planes(wide)[0].samples, expected)
    large = data[:at] + dqt(0, [q + 256 for q in body], wide=1) + data[at + 69 :]
    assert (decode_planes(large)[0].samples != expected).any()


# -- memory ------------------------------------------------------------------------------------------------------------

GUARDED = """
import ctypes, mmap, sys
import numpy as np
from ffprep.errors import JpegError
from ffprep.jpeg import read_header

page = mmap.PAGESIZE
memory = mmap.mmap(-1, 2 * page)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mprotect(ctypes.c_void_p(address + page), ctypes.c_size_t(page), 0) == 0
array = np.frombuffer(memory, np.uint8)
count = 0
for line in sys.stdin:
    whole = bytes.fromhex(line)
    for length in range(len(whole) + 1):
        place = array[page - length : page]
        place[:] = np.frombuffer(whole[:length], np.uint8)
        try:
            read_header(place)
        except JpegError:
            pass
        count += 1
print(count, flush=True)
import os
os._exit(0)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mprotect")
def test_no_byte_behind_the_stream_is_read() -> None:
    """Every cut of some streams, each against a page that may not be read."""
    streams = [
        stream(exif(OTHER, TURNED), JFIF, adobe(1), THREE, scan=sos([1, 2, 3])),
        SOI + exif(TURNED),
        SOI + segment(0xE1, exif()[4:-2]),
        SOI + segment(0xE1, b"Exif\0\0II*\0\x0e\0\0\0" + bytes(6)),
        SOI + segment(0xE1, b"Exif\0\0II*\0\x0f\0\0\0" + bytes(6)),
        SOI + segment(0xC4, table(DC, 0, {1: 1}) + b"\0" * 16),
        SOI + segment(0xC4, table(DC, 0, {1: 2})[:-1]),
        SOI + dqt(cut=1),
        SOI + dqt(wide=1, cut=1),
        SOI + segment(0xDD, b"\1"),
        SOI + segment(0xC0, sof()[4:9]),
        SOI + segment(0xC0, sof()[4:-1]),
        SOI + segment(0xE0, b"JFIF"),
        SOI + segment(0xEE, b"Adobe"),
        SOI + TABLES + sof() + segment(0xDA, b"\1"),
        SOI + TABLES + sof() + segment(0xDA, b""),
        SOI + b"\xff\xff",
    ]
    text = "\n".join(data.hex() for data in streams)
    done = subprocess.run([sys.executable, "-c", GUARDED], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, str(sum(len(data) + 1 for data in streams))), done.stderr
