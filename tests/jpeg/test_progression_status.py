"""Progressive scans: which the standard allows, which decoders take, and which are refused."""

from __future__ import annotations

import struct
from types import ModuleType

import numpy as np
import pytest
from jpeg_outcomes import both, status_of

from ffprep.jpeg import Status, coefficients

SOF, DHT, DQT, SOS = 0xC0, 0xC4, 0xDB, 0xDA


def progression(maker: ModuleType, *scans: tuple[int, int, int, int]) -> bytes:
    frame = maker.random_frame(np.random.default_rng(7), 16, 16, [(1, 1)], sof=0xC2)
    frame.scans = [maker.Scan([0], *scan) for scan in scans]
    result: bytes = maker.write(frame)
    return result


@pytest.mark.parametrize(
    ("scans", "status"),
    [
        (((0, 0, 0, 0), (1, 63, 0, 0)), Status.OK),
        (((0, 0, 0, 1), (1, 63, 0, 0)), Status.TRUNCATED_SCAN),  # the last DC bit was never sent
        (((0, 0, 0, 0), (1, 62, 0, 0)), Status.TRUNCATED_SCAN),
        (((1, 63, 0, 0), (0, 0, 0, 0)), Status.BAD_MARKER),  # AC before DC
        (((0, 0, 0, 1), (0, 0, 0, 1)), Status.BAD_MARKER),  # sent twice
        (((0, 0, 0, 2), (0, 0, 1, 0)), Status.BAD_MARKER),  # a bit left out
        (((0, 0, 0, 0), (1, 63, 1, 0)), Status.BAD_MARKER),  # refined before sent
        (((0, 5, 0, 0),), Status.BAD_MARKER),  # DC and AC together
        (((0, 0, 0, 14),), Status.BAD_MARKER),
        (((0, 0, 3, 1),), Status.BAD_MARKER),
        (((0, 0, 0, 0), (5, 4, 0, 0)), Status.BAD_MARKER),
        (((0, 0, 0, 0), (1, 64, 0, 0)), Status.BAD_MARKER),
    ],
)
def test_progression(jpegmaker: ModuleType, scans: tuple[tuple[int, ...], ...], status: Status) -> None:
    if status == Status.BAD_MARKER:  # the encoder cannot write what makes no sense: patch a sound stream's last scan
        data = (
            progression(jpegmaker, (0, 0, 0, 0), (1, 63, 0, 0))
            if len(scans) == 2
            else progression(jpegmaker, (0, 0, 0, 0))
        )
        for scan in scans[:-1]:
            data = patch_scan(data, 0, scan)
        data = patch_scan(data, len(scans) - 1, scans[-1])
    else:
        data = progression(jpegmaker, *scans)  # type: ignore[arg-type]
    assert both(data) == status


def patch_scan(data: bytes, number: int, scan: tuple[int, ...]) -> bytes:
    """Band and bits of the n-th scan header of a one-component stream exchanged."""
    at = -1
    for _ in range(number + 1):
        at = data.index(b"\xff\xda", at + 1)
    ss, se, ah, al = scan
    return data[: at + 7] + bytes([ss, se, ah << 4 | al]) + data[at + 10 :]


def test_too_many_blocks_to_visit(jpegmaker: ModuleType) -> None:
    """Scans of a few bytes that each make the decoder walk over a large image are stopped."""
    size = 8192  # 2^20 blocks: a DC scan, then end-of-band runs over all of them, again and again
    rows = jpegmaker.segment(0xDB, b"\0" + b"\1" * 64) + jpegmaker.segment(
        0xC2, struct.pack(">BHHB", 8, size, size, 1) + b"\1\x11\0"
    )
    dc = jpegmaker.segment(0xC4, jpegmaker.Huffman([(1, 0)]).spec(0, 0))
    ac = jpegmaker.segment(0xC4, jpegmaker.Huffman([(1, 0xE0)]).spec(1, 0))
    data = b"\xff\xd8" + rows + dc + ac
    data += jpegmaker.segment(SOS, b"\1\1\0\0\0\0") + bytes(size * size // 64 // 8)
    run = jpegmaker.Bits()
    for _ in range(size * size // 64 // 16384):
        run.put(0, 15)
    run.flush()
    for k in range(1, 64):
        data += jpegmaker.segment(SOS, b"\1\1\0" + bytes([k, k, 10])) + bytes(run.out)
        for al in range(9, -1, -1):
            data += jpegmaker.segment(SOS, b"\1\1\0" + bytes([k, k, (al + 1) << 4 | al])) + bytes(run.out)
    assert status_of(lambda: coefficients(data + b"\xff\xd9")) == Status.TOO_LARGE


@pytest.mark.parametrize(("scans", "status"), [(1000, Status.TRUNCATED_SCAN), (1001, Status.TOO_LARGE)])
def test_too_many_scans(jpegmaker: ModuleType, scans: int, status: Status) -> None:
    """Bit after bit of band after band of a tiny image; the last bits were never sent."""
    three = b"".join(bytes([n, 0x11, 0]) for n in (1, 2, 3))
    frame = jpegmaker.segment(0xC2, struct.pack(">BHHB", 8, 8, 8, 3) + three)
    tables = jpegmaker.segment(0xDB, b"\0" + b"\1" * 64)
    tables += b"".join(jpegmaker.segment(0xC4, jpegmaker.Huffman([(1, 0)]).spec(kind, 0)) for kind in (0, 1))
    data = [b"\xff\xd8" + tables + frame + jpegmaker.segment(SOS, b"\3\1\0\2\0\3\0\0\0\0") + b"\x1f"]
    for component in (1, 2, 3):
        for k in range(1, 64):
            for bits in (10, *(n + 1 << 4 | n for n in range(9, -1, -1))):
                data.append(jpegmaker.segment(SOS, bytes([1, component, 0, k, k, bits])) + b"\x7f")
    assert status_of(lambda: coefficients(b"".join(data[:scans]) + b"\xff\xd9")) == status


def test_one_component_sent_twice(jpegmaker: ModuleType) -> None:
    frame = jpegmaker.random_frame(np.random.default_rng(8), 16, 16, [(1, 1)] * 3)
    frame.scans = [jpegmaker.Scan([0]), jpegmaker.Scan([0]), jpegmaker.Scan([1, 2])]
    assert both(jpegmaker.write(frame)) == Status.BAD_MARKER
    frame.scans = [jpegmaker.Scan([0]), jpegmaker.Scan([2])]
    assert both(jpegmaker.write(frame)) == Status.TRUNCATED_SCAN
