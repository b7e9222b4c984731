"""The header parser at its boundaries, by hand-made streams: the last value it takes and the first it refuses."""

from __future__ import annotations

import subprocess
import sys

import pytest
from jpegsegments import (
    AC,
    CB,
    CR,
    DC,
    JFIF,
    OTHER,
    SOI,
    TABLES,
    THREE,
    TURNED,
    Y,
    adobe,
    dht,
    dqt,
    entry,
    exif,
    facts,
    orientation,
    segment,
    sof,
    sos,
    status,
    stream,
    table,
)

from ffprep.jpeg import Status

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
        for marker in (0xDC, *range(0xE0, 0xF0), 0xFE):  # libjpeg steps over the length and searches on
            assert status(SOI + bytes([0xFF, marker]) + length) == Status.TRUNCATED_HEADER
            data = stream(bytes([0xFF, marker]) + length)
            assert facts(data).scan_offset == len(data) - 1
        for marker in (0xC0, 0xC4, 0xCC, 0xDA, 0xDB, 0xDD):
            assert status(SOI + bytes([0xFF, marker]) + length) == Status.BAD_MARKER
            assert status(stream(bytes([0xFF, marker]) + length)) == Status.BAD_MARKER
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
    for marker in (0xC3, *range(0xC5, 0xC9), 0xCB, *range(0xCD, 0xD0), 0xDE, 0xDF, 0xF7):
        expected[marker] = Status.UNSUPPORTED_PROCESS
    for marker in (0xC0, 0xC1, 0xC2, 0xC4, 0xC9, 0xCA, *range(0xD0, 0xDC), 0xDD):
        del expected[marker]
    assert {marker: status(stream(segment(marker, b"\x01\x43" * 3))) for marker in expected} == expected


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
            assert status(stream(dqt(0, values, wide))) == Status.OK
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


# -- orientation -------------------------------------------------------------------------------------------------------


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
    # The last entry lacks a byte; what lies after the segment must not stand in for it.
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
