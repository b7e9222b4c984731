"""Coefficients, planes and RGB of streams of every sampling and scan structure, written by the test encoder.

Amplitudes stay within what an encoder can make of pixels: beyond, libjpeg's own variants differ among themselves.
"""

from __future__ import annotations

import io
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ffprep.jpeg import coefficients, decode_planes, decode_rgb, read_header

SAMPLINGS = [
    [(1, 1)],
    [(2, 2)],
    [(1, 1), (1, 1), (1, 1)],
    [(2, 1), (1, 1), (1, 1)],
    [(2, 2), (1, 1), (1, 1)],
    [(1, 2), (1, 1), (1, 1)],
    [(4, 1), (1, 1), (1, 1)],
    [(4, 2), (1, 1), (1, 1)],
    [(3, 1), (1, 1), (1, 1)],
    [(1, 4), (1, 1), (1, 2)],
    [(2, 2), (2, 1), (1, 2)],
    [(2, 2), (1, 2), (1, 2)],
    [(2, 2), (2, 1), (2, 1)],
    [(1, 1), (2, 2), (1, 1)],
    [(2, 1), (2, 1), (2, 1)],
]


def scans(kind: str, components: int, maker: ModuleType) -> tuple[int, list[Any]]:
    """SOF marker and scan script of a kind."""
    every, scan = range(components), maker.Scan
    if kind == "separate":
        return 0xC1, [scan([i]) for i in every]
    if kind == "luma first":
        return 0xC0, [scan([0]), scan([1, 2])] if components == 3 else [scan([0])]
    if kind == "bands":
        return 0xC2, [scan(every, 0, 0)] + [scan([i], a, b) for a, b in ((1, 2), (3, 63)) for i in every]
    if kind == "approximation":
        script = [scan(every, 0, 0, 0, 3)]
        script += [scan([i], 1, 5, 0, 2) for i in every] + [scan([i], 6, 63, 0, 1) for i in every]
        script += [scan([i], 1, 5, 2, 1) for i in every] + [scan(every, 0, 0, 3, 2)]
        script += [scan([i], 0, 0, 2, 1) for i in every] + [scan([i], 1, 63, 1, 0) for i in every]
        return 0xC2, [*script, scan(every, 0, 0, 1, 0)]
    return 0xC0, []


KINDS = ["one", "separate", "luma first", "bands", "approximation"]


@given(
    sampling=st.sampled_from(SAMPLINGS),
    kind=st.sampled_from(KINDS),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    interval=st.sampled_from([0, 0, 1, 3, 7, 200]),
    density=st.sampled_from([0.02, 0.2, 0.7]),
    amplitude=st.sampled_from([3, 40, 100]),
    seed=st.integers(0, 10_000),
)
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_coefficients_and_pixels(
    jpegmaker: ModuleType,
    sampling: list[tuple[int, int]],
    kind: str,
    size: tuple[int, int],
    interval: int,
    density: float,
    amplitude: int,
    seed: int,
) -> None:
    sof, script = scans(kind, len(sampling), jpegmaker)
    rng = np.random.default_rng(seed)
    options = {"density": density, "amplitude": amplitude, "sof": sof, "interval": interval, "scans": script}
    if len(sampling) == 1:
        frame = jpegmaker.random_frame(rng, *size, [(1, 1)], **options)
        data = write_gray(jpegmaker, frame, sampling[0])
    else:
        frame = jpegmaker.random_frame(rng, *size, sampling, **options)
        data = jpegmaker.write(frame)
    for index, (got, component) in enumerate(zip(coefficients(data), frame.components, strict=True)):
        across, down = frame.unit_grid(index)
        if kind == "one":
            np.testing.assert_array_equal(got, component.blocks)
        np.testing.assert_array_equal(got[:down, :across], component.blocks[:down, :across])
    image: NDArray[np.uint8] = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_rgb(data), image)
    check_rectangle(data, rng)


def write_gray(maker: ModuleType, frame: Any, factors: tuple[int, int]) -> bytes:
    """A single component with sampling factors: they must make no difference (T.81 A.2.2)."""
    data: bytes = maker.write(frame)
    at = data.index(b"\xff" + bytes([frame.sof, 0, 11]))
    return data[: at + 11] + bytes([factors[0] << 4 | factors[1]]) + data[at + 12 :]


def check_rectangle(data: bytes, rng: np.random.Generator) -> None:
    """A random rectangle holds what the whole image holds there."""
    header = read_header(data)
    x, y = int(rng.integers(header.width)), int(rng.integers(header.height))
    w, h = int(rng.integers(header.width - x)) + 1, int(rng.integers(header.height - y)) + 1
    for part, whole in zip(decode_planes(data, (x, y, w, h)), decode_planes(data), strict=True):
        rows, columns = part.samples.shape
        assert part.x0 <= x // part.hs and part.y0 <= y // part.vs
        assert part.x0 + columns > (x + w - 1) // part.hs and part.y0 + rows > (y + h - 1) // part.vs
        expected = whole.samples[part.y0 : part.y0 + rows, part.x0 : part.x0 + columns]
        np.testing.assert_array_equal(part.samples, expected)


def test_end_of_band_runs_over_many_blocks(jpegmaker: ModuleType) -> None:
    """Runs of over 2^14 blocks in first and refinement scans."""
    sof, script = scans("approximation", 1, jpegmaker)
    rng = np.random.default_rng(1)
    frame = jpegmaker.random_frame(rng, 1600, 1600, [(1, 1)], density=0.0, sof=sof, scans=script)
    frame.components[0].blocks[0, 0, 20] = 5
    frame.components[0].blocks[-1, -1, 3] = -7
    np.testing.assert_array_equal(coefficients(jpegmaker.write(frame))[0], frame.components[0].blocks)


@pytest.mark.parametrize("wide", [False, True])
def test_sixteen_bit_quantisers(jpegmaker: ModuleType, wide: bool) -> None:
    frame = jpegmaker.random_frame(np.random.default_rng(2), 40, 24, [(1, 1)], sof=0xC1, amplitude=3)
    frame.components[0].blocks[..., 0] //= 100
    frame.quant[0] = np.full(64, 300 if wide else 30)
    data = jpegmaker.write(frame)
    np.testing.assert_array_equal(decode_rgb(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_colour_is_decided_as_libjpeg_does(jpegmaker: ModuleType) -> None:
    jfif = jpegmaker.segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    rng = np.random.default_rng(3)
    frame = jpegmaker.random_frame(rng, 16, 16, [(1, 1)] * 3)
    for head, ids, color in (
        (b"", (1, 2, 3), "ycc"),
        (b"", b"RGB", "rgb"),
        (b"", (7, 8, 9), "ycc"),
        (jfif, b"RGB", "ycc"),
        (adobe(jpegmaker, 0), (1, 2, 3), "rgb"),
        (adobe(jpegmaker, 1), b"RGB", "ycc"),
        (adobe(jpegmaker, 2), (1, 2, 3), "ycc"),
        (jfif + adobe(jpegmaker, 0), (1, 2, 3), "ycc"),
        (jpegmaker.segment(0xEE, b"Adobe\0\0"), (1, 2, 3), "ycc"),
    ):
        frame.head = head
        for component, identifier in zip(frame.components, ids, strict=True):
            component.identifier = identifier
        data = jpegmaker.write(frame)
        assert read_header(data).color == color
        image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(decode_rgb(data), image)


def test_four_components(jpegmaker: ModuleType) -> None:
    frame = jpegmaker.random_frame(np.random.default_rng(4), 20, 20, [(1, 1)] * 4)
    for head, color in ((b"", "cmyk"), (adobe(jpegmaker, 0), "cmyk"), (adobe(jpegmaker, 2), "ycck")):
        frame.head = head
        data = jpegmaker.write(frame)
        assert read_header(data).color == color
        for got, component in zip(coefficients(data), frame.components, strict=True):
            np.testing.assert_array_equal(got, component.blocks)


def adobe(maker: ModuleType, transform: int) -> bytes:
    result: bytes = maker.segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
    return result


def exif(maker: ModuleType, orientation: int, *, big: bool, kind: int = 3, offset: int = 8) -> bytes:
    """An APP1 segment whose first IFD has one other tag and the orientation."""
    order = "big" if big else "little"

    def number(value: int, count: int) -> bytes:
        return value.to_bytes(count, order)  # type: ignore[arg-type]

    value = number(orientation, 2) + b"\0\0" if kind == 3 else number(orientation, 4)
    entries = number(0x10F, 2) + number(2, 2) + number(4, 4) + b"abc\0"
    entries += number(0x112, 2) + number(kind, 2) + number(1, 4) + value
    tiff = (b"MM" if big else b"II") + number(42, 2) + number(offset, 4) + number(2, 2) + entries + number(0, 4)
    result: bytes = maker.segment(0xE1, b"Exif\0\0" + tiff)
    return result


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kind", [3, 4])
def test_orientation(jpegmaker: ModuleType, big: bool, kind: int) -> None:
    frame = jpegmaker.random_frame(np.random.default_rng(5), 8, 8, [(1, 1)])
    for value in range(12):
        frame.head = exif(jpegmaker, value, big=big, kind=kind)
        assert read_header(jpegmaker.write(frame)).orientation == (value if 1 <= value <= 8 else 1)
    for offset in (7, 30, 35, 36, 1000, 2**31, 2**32 - 1):
        frame.head = exif(jpegmaker, 6, big=big, kind=kind, offset=offset)
        assert read_header(jpegmaker.write(frame)).orientation == 1
    for length in range(4, len(exif(jpegmaker, 6, big=big)) - 4):
        frame.head = jpegmaker.segment(0xE1, exif(jpegmaker, 6, big=big, kind=kind)[4:length])
        assert 1 <= read_header(jpegmaker.write(frame)).orientation <= 6
