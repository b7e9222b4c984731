"""Frame and scan headers at their boundaries, and the sizes that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pytest
from jpegsegments import AC, CB, CR, DC, SOI, TABLES, THREE, Y, dht, dqt, facts, segment, sof, sos, status, stream

from ffprep.errors import JpegError
from ffprep.jpeg import Status, coefficients, decode_planes

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
        ((2, 0x11, 0), True),  # two components of one name: a scan has them in the frame's order
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
