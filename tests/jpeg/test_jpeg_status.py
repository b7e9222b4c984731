"""Every way a stream can be bad has its status, and leniency ends where it is meant to."""

from __future__ import annotations

import ctypes
import io
import re
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from jpeg_outcomes import both, status_of
from PIL import Image

import ffprep.jpeg
from ffprep.abi import IMAGE
from ffprep.errors import OptionError
from ffprep.jpeg import Status, decode_planes, decode_rgb, native, read_header
from ffprep.jpeg.rewrite import Note
from ffprep.jpeg.status import remedy, sentence

NATIVE = Path(ffprep.jpeg.__file__).parent / "native"


@pytest.fixture(scope="module")
def plain(jpegmaker: ModuleType) -> bytes:
    """A 4:2:0 image of 3 x 3 MCUs, one long stream."""
    frame = jpegmaker.random_frame(np.random.default_rng(1), 40, 40, [(2, 2), (1, 1), (1, 1)])
    result: bytes = jpegmaker.write(frame)
    return result


@pytest.fixture(scope="module")
def restarts(jpegmaker: ModuleType) -> bytes:
    """The same size with a restart marker after every MCU."""
    frame = jpegmaker.random_frame(np.random.default_rng(1), 40, 40, [(2, 2), (1, 1), (1, 1)], interval=1)
    result: bytes = jpegmaker.write(frame)
    return result


@pytest.fixture(scope="module")
def progressive() -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(2).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "JPEG", progressive=True)
    return out.getvalue()


def scan_start(data: bytes) -> int:
    return read_header(data).scan_offset


def test_header_file_and_python_agree() -> None:
    text = (NATIVE / "jpeg.h").read_text()
    enum = text[text.index("FFP_OK = 0") : text.index("FFP_STATUS_COUNT")]
    names = {name: int(value) for name, value in re.findall(r"FFP_(\w+) = (\d+)", enum)}
    assert names == {status.name: int(status) for status in Status}
    for status in Status:
        assert sentence(status) and remedy(status)
    assert "99" in sentence(99) and remedy(99)
    assert f"FFP_INFO_SIZE {native.INFO_SIZE}" in text and f"FFP_FACTS {native.FACTS}" in text
    notes = {name: int(value) for name, value in re.findall(r"FFP_NOTE_(\w+) = (\d+)", text)}
    assert notes == {note.name: int(note) for note in Note} and all(note.text for note in Note)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(1000), b"\xd8\xff" * 9])
def test_not_jpeg(data: bytes) -> None:
    assert status_of(lambda: read_header(data)) == Status.NOT_JPEG
    assert both(data) == Status.NOT_JPEG


def test_every_cut_of_the_header(plain: bytes) -> None:
    for length in range(2, scan_start(plain) + 1):
        assert both(plain[:length]) == Status.TRUNCATED_HEADER
    assert both(b"\xff\xd8\xff\xd9") == Status.TRUNCATED_HEADER


def test_every_cut_of_the_scan(plain: bytes, restarts: bytes) -> None:
    for data in (plain, restarts):
        for length in range(scan_start(data) + 1, len(data) - 3):
            assert both(data[:length]) in (Status.TRUNCATED_SCAN, Status.CORRUPT_SCAN)
            assert both(data[:length] + b"\xff\xd9") in (Status.TRUNCATED_SCAN, Status.CORRUPT_SCAN)
        assert both(data[:-2]) == Status.OK  # only the EOI is missing


def test_every_cut_of_a_progressive_stream(progressive: bytes) -> None:
    last = progressive.rindex(b"\xff\xda") + 10
    for length in range(scan_start(progressive) + 1, last, 7):
        assert both(progressive[:length]) in (Status.TRUNCATED_SCAN, Status.CORRUPT_SCAN)
        assert both(progressive[:length] + b"\xff\xd9") != Status.OK


def test_what_follows_the_scan_does_not_matter(plain: bytes, restarts: bytes, progressive: bytes) -> None:
    for data in (plain, restarts, progressive):
        expected = decode_rgb(data)
        for tail in (b"", b"\xff\xd9" + bytes(5000), b"\xff\xd9" + data, b"\xff\xff\xd9", b"\xff\xe5\x00"):
            np.testing.assert_array_equal(decode_rgb(data[:-2] + tail), expected)


def test_filler_behind_a_segment(jpegmaker: ModuleType, plain: bytes, restarts: bytes) -> None:
    first = restarts.index(b"\xff\xd0")
    for filler in (b"\0", b"\xff\0", b"\0\xff\0\0", b"\xff", b"\xff\xff\xff"):
        np.testing.assert_array_equal(decode_rgb(plain[:-2] + filler + plain[-2:]), decode_rgb(plain))
        data = restarts[:first] + filler + restarts[first:]
        np.testing.assert_array_equal(decode_rgb(data), decode_rgb(restarts))
    for rest in (b"\x55", b"\0\0\x01", b"\xff\0\x20"):
        np.testing.assert_array_equal(decode_rgb(plain[:-2] + rest + plain[-2:]), decode_rgb(plain))
        assert both(restarts[:first] + rest + restarts[first:]) == Status.CORRUPT_SCAN


def test_restart_markers(restarts: bytes) -> None:
    first, third = restarts.index(b"\xff\xd0"), restarts.index(b"\xff\xd2")
    assert both(restarts[:third] + b"\xff\xd3" + restarts[third + 2 :]) == Status.BAD_RESTART
    assert both(restarts[:third] + b"\xff\xe0" + restarts[third + 2 :]) == Status.BAD_RESTART
    assert both(restarts[:third] + restarts[third + 2 :]) != Status.OK
    assert both(restarts[:first] + restarts[third:]) == Status.BAD_RESTART
    assert both(restarts[:third] + b"\xff\xd9" + restarts[third + 2 :]) == Status.TRUNCATED_SCAN
    assert status_of(lambda: decode_planes(restarts[:third] + b"\xff\xff\0" + restarts[third:])) != Status.OK


def test_damage_outside_the_rectangle_is_not_looked_at(restarts: bytes) -> None:
    """Early stop: what follows the last MCU needed is not decoded."""
    third = restarts.index(b"\xff\xd2")
    data = restarts[: third + 2]
    whole = decode_planes(restarts)
    for part, full in zip(decode_planes(data, (0, 0, 10, 10)), whole, strict=True):
        rows, columns = part.samples.shape
        np.testing.assert_array_equal(part.samples, full.samples[:rows, :columns])
    assert status_of(lambda: decode_planes(data, (0, 0, 40, 40))) == Status.TRUNCATED_SCAN


def test_invalid_codes(jpegmaker: ModuleType) -> None:
    """The all-ones code, which no table of the test encoder has."""
    for interval in (0, 2):
        frame = jpegmaker.random_frame(np.random.default_rng(3), 32, 32, [(1, 1)] * 3, interval=interval)
        data = jpegmaker.write(frame)
        at = scan_start(data)
        broken = data[:at] + b"\xff\0" * 20 + data[at + 40 :]
        assert both(broken) == Status.CORRUPT_SCAN


def symbol_stream(maker: ModuleType, dc: int, ac: list[int], tail: bytes = b"\0" * 4) -> bytes:
    """A grey 8 x 8 image whose only codes are a DC and AC symbols of one bit or two."""
    codes = maker.Huffman([(1 + i, symbol) for i, symbol in enumerate(ac)])
    frame = maker.random_frame(np.random.default_rng(0), 8, 8, [(1, 1)])
    data: bytes = maker.write(frame)
    start = data.index(b"\xff\xc4")
    head = data[:start] + maker.segment(0xC4, maker.Huffman([(1, dc)]).spec(0, 0))
    head += maker.segment(0xC4, codes.spec(1, 0)) + maker.scan_header(frame, maker.Scan([0]))
    result: bytes = head + tail + b"\xff\xd9"
    return result


@pytest.mark.parametrize("dc", [12, 15, 16, 255])
def test_dc_sizes_over_eleven(jpegmaker: ModuleType, dc: int) -> None:
    assert both(symbol_stream(jpegmaker, dc, [0])) == Status.CORRUPT_SCAN


@pytest.mark.parametrize("ac", [0x0B, 0x1F, 0x10, 0x70, 0xE0])
def test_ac_symbols_that_mean_nothing(jpegmaker: ModuleType, ac: int) -> None:
    assert both(symbol_stream(jpegmaker, 0, [ac])) == Status.CORRUPT_SCAN


def test_coefficients_behind_the_last(jpegmaker: ModuleType) -> None:
    assert both(symbol_stream(jpegmaker, 0, [0xF0])) == Status.CORRUPT_SCAN  # 1 + 16 * 4 > 64
    assert both(symbol_stream(jpegmaker, 0, [0xF1], b"\x55" * 4)) == Status.CORRUPT_SCAN
    # 15 zeros and a value, three times, then sixteen zeros more are 64 coefficients with DC less one; EOB ends it
    assert both(symbol_stream(jpegmaker, 0, [0x00], b"\0")) == Status.OK


def replace(data: bytes, marker: int, body: bytes | None) -> bytes:
    """The stream with its first segment of a kind exchanged, or without it."""
    at = data.index(bytes([0xFF, marker]))
    length = struct.unpack(">H", data[at + 2 : at + 4])[0]
    new = b"" if body is None else struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
    return data[:at] + new + data[at + 2 + length :]


def body_of(data: bytes, marker: int) -> bytearray:
    at = data.index(bytes([0xFF, marker]))
    length = struct.unpack(">H", data[at + 2 : at + 4])[0]
    return bytearray(data[at + 4 : at + 2 + length])


def patched(data: bytes, marker: int, changes: dict[int, int]) -> bytes:
    body = body_of(data, marker)
    for at, value in changes.items():
        body[at] = value
    return replace(data, marker, bytes(body))


SOF, DHT, DQT, SOS = 0xC0, 0xC4, 0xDB, 0xDA


@pytest.mark.parametrize(
    ("marker", "changes", "status"),
    [
        (SOF, {0: 12}, Status.UNSUPPORTED_PROCESS),  # bits
        (SOF, {1: 0, 2: 0}, Status.UNSUPPORTED_PROCESS),  # height comes later (DNL)
        (SOF, {3: 0, 4: 0}, Status.BAD_MARKER),
        (SOF, {1: 0xFF, 3: 0xFF}, Status.TOO_LARGE),
        (SOF, {5: 2}, Status.BAD_MARKER),
        (SOF, {5: 0}, Status.BAD_MARKER),
        (SOF, {7: 0x02}, Status.BAD_MARKER),
        (SOF, {7: 0x52}, Status.BAD_MARKER),
        (SOF, {7: 0x32, 10: 0x21}, Status.UNSUPPORTED_SAMPLING),
        (SOF, {7: 0x44}, Status.UNSUPPORTED_SAMPLING),
        (SOF, {8: 4}, Status.BAD_MARKER),
        (SOF, {9: 1}, Status.BAD_MARKER),
        (SOF, {8: 3}, Status.MISSING_TABLE),
        (DHT, {0: 0x20}, Status.BAD_HUFFMAN_TABLE),
        (DHT, {0: 0x04}, Status.BAD_HUFFMAN_TABLE),
        (DHT, {1: 3}, Status.BAD_HUFFMAN_TABLE),
        (DHT, {16: 255}, Status.BAD_HUFFMAN_TABLE),
        (DQT, {0: 0x20}, Status.BAD_QUANT_TABLE),
        (DQT, {0: 0x04}, Status.BAD_QUANT_TABLE),
        (DQT, {0: 0x10}, Status.BAD_QUANT_TABLE),
        (DQT, {0: 0x03}, Status.MISSING_TABLE),
        (SOS, {0: 0}, Status.BAD_MARKER),
        (SOS, {0: 4}, Status.BAD_MARKER),
        (SOS, {1: 9}, Status.BAD_MARKER),
        (SOS, {1: 2, 3: 1}, Status.BAD_MARKER),
        (SOS, {2: 0x50}, Status.BAD_MARKER),
        (SOS, {2: 0x33}, Status.MISSING_TABLE),
    ],
)
def test_segments(plain: bytes, marker: int, changes: dict[int, int], status: Status) -> None:
    data = patched(plain, marker, changes)
    assert both(data) == status
    assert status_of(lambda: read_header(data)) == status


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC7, 0xC8, 0xCB, 0xCD, 0xCF, 0xDE, 0xDF, 0xF7])
def test_other_processes(plain: bytes, marker: int) -> None:
    at = plain.index(b"\xff\xc0")
    assert both(plain[:at] + bytes([0xFF, marker]) + plain[at + 2 :]) == Status.UNSUPPORTED_PROCESS


def test_segments_out_of_place(jpegmaker: ModuleType, plain: bytes) -> None:
    sof = jpegmaker.segment(0xC0, bytes(body_of(plain, 0xC0)))
    for extra in (sof, b"\xff\xd8", b"\xff\x02\0\2", b"\xff\xf0\0\2", b"\xff\xdb\0\1", b"\xff\xdd\0\3\0"):
        at = plain.index(b"\xff\xda")
        assert both(plain[:at] + extra + plain[at:]) == Status.BAD_MARKER
    assert both(replace(plain, 0xC0, None)) == Status.BAD_MARKER


def test_lenient_where_decoders_are(plain: bytes) -> None:
    expected = decode_rgb(plain)
    for extra in (
        b"\xff\xff\xff",
        b"\0\0\x12\xff\0",
        b"\xff\x01",
        b"\xff\xd3",
        b"\xff\xfe\0\4hi",
        b"\xff\xfe\0\1",
        b"\xff\xe2\0\0ICC_PROFILE",
        b"\xff\xcc\0\4\0\x10",
    ):
        for at in (2, plain.index(b"\xff\xda")):
            np.testing.assert_array_equal(decode_rgb(plain[:at] + extra + plain[at:]), expected)


def test_colours_not_decoded(jpegmaker: ModuleType) -> None:
    four = jpegmaker.write(jpegmaker.random_frame(np.random.default_rng(6), 9, 9, [(1, 1)] * 4))
    assert status_of(lambda: decode_planes(four)) == Status.UNSUPPORTED_COLOR
    two = jpegmaker.write(jpegmaker.random_frame(np.random.default_rng(6), 9, 9, [(1, 1)] * 2))
    assert both(two) == Status.UNSUPPORTED_COLOR


def test_size_claims_without_data(plain: bytes, progressive: bytes) -> None:
    """Memory is asked for only when the data could hold the image."""
    assert both(patched(plain, SOF, {1: 0x30, 2: 0, 3: 0x30, 4: 0})) == Status.TRUNCATED_SCAN
    at = plain.index(b"\xff\xda")
    markers = plain[:at] + b"\xff\xdd\0\4\0\1" + plain[at:] + bytes(200_000)
    assert both(patched(markers, SOF, {1: 16, 2: 0, 3: 16, 4: 0})) == Status.TRUNCATED_SCAN
    assert both(patched(progressive, 0xC2, {1: 0x30, 2: 0, 3: 0x30, 4: 0})) == Status.TRUNCATED_SCAN


def test_caller_errors(plain: bytes) -> None:
    lib = native.library()
    view = native.as_bytes(plain)
    image, count = np.zeros(1, IMAGE), np.zeros(1, np.int64)
    out = np.zeros(64, np.int16)
    pointer = out.ctypes.data_as(ctypes.POINTER(ctypes.c_int16))
    small = lib.ffp_coefficients(view.ctypes.data, view.size, pointer, 64, native.int64s(count))
    assert small == Status.NO_SPACE and count[0] == 3 * 3 * 6 * 64
    context = lib.ffp_context_new()
    try:
        for scale in (4, -1, 1 << 40):
            request = native.decode_request(context, view, (0, 0, 8, 8), image, scale=scale)
            assert lib.ffp_decode_region(request.ctypes.data) == Status.BAD_RECTANGLE
    finally:
        lib.ffp_context_free(context)
        lib.ffp_context_free(None)


def test_simd_level_can_be_forced() -> None:
    try:
        native.set_simd_level("scalar")
        assert native.simd_level() == "scalar"
        with pytest.raises(OptionError, match="nonsense"):
            native.set_simd_level("nonsense")
        assert native.simd_level() == "scalar"
    finally:
        native.set_simd_level(None)


def test_context_survives_errors(plain: bytes, restarts: bytes) -> None:
    """One context for good and bad streams in turn: the good ones decode as in a new one."""
    from ffprep.jpeg import planes

    lib = native.library()
    context = lib.ffp_context_new()
    image = np.zeros(1, IMAGE)
    rng = np.random.default_rng(9)
    try:
        for source in (plain, restarts) * 30:
            damaged = bytearray(source)
            damaged[int(rng.integers(scan_start(source), len(source)))] ^= 1 << int(rng.integers(8))
            for data in (bytes(damaged), source):
                view = native.as_bytes(data)
                request = native.decode_request(context, view, (0, 0, 40, 40), image)
                lib.ffp_decode_region(request.ctypes.data)
            for got, expected in zip(planes.copy_planes(image), decode_planes(source), strict=True):
                np.testing.assert_array_equal(got.samples, expected.samples)
    finally:
        lib.ffp_context_free(context)
