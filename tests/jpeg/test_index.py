"""Seek indexes: what they hold, what decodes with them, and what becomes of wrong ones."""

from __future__ import annotations

import io
import struct
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ffprep.errors import JpegError, OptionError
from ffprep.jpeg import build_index, coefficients, decode_planes, read_header, rewrite

SAMPLINGS = [
    [(1, 1)],
    [(1, 1)] * 3,
    [(2, 2), (1, 1), (1, 1)],
    [(1, 2), (1, 1), (1, 1)],
    [(4, 1), (1, 1), (1, 1)],
    [(2, 2), (2, 1), (1, 2)],
]


def numbers(payload: bytes) -> list[int]:
    """The groups of seven bits as numbers."""
    found, value, shift = [], 0, 0
    for byte in payload:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(value)
            value = shift = 0
    assert shift == 0
    return found


@given(
    st.integers(0, 2**31),
    st.sampled_from(SAMPLINGS),
    st.integers(1, 150),
    st.integers(1, 90),
    st.sampled_from([None, 1, 2, 7, 16, 10**12]),
    st.sampled_from([0.0, 0.1, 0.7]),
    st.data(),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rectangles_and_predictors(
    jpegmaker: ModuleType,
    seed: int,
    sampling: list[tuple[int, int]],
    width: int,
    height: int,
    interval: int | None,
    density: float,
    draw: st.DataObject,
) -> None:
    """A rectangle decodes to the same samples; the predictors are the DC values before each mark."""
    rng = np.random.default_rng(seed)
    data = jpegmaker.write(jpegmaker.random_frame(rng, width, height, sampling, density=density))
    index = build_index(data, interval)
    x, y = draw.draw(st.integers(0, width - 1)), draw.draw(st.integers(0, height - 1))
    rect = (x, y, draw.draw(st.integers(1, width - x)), draw.draw(st.integers(1, height - y)))
    for plane, twin in zip(decode_planes(data, rect, index=index), decode_planes(data, rect), strict=True):
        assert plane.x0 == twin.x0 and plane.y0 == twin.y0
        np.testing.assert_array_equal(plane.samples, twin.samples)

    header = read_header(data)
    across, down = header.mcus
    factors = [(1, 1)] if len(sampling) == 1 else sampling
    step = interval or (8 if sum(h * v for h, v in factors) > 3 else 16)
    marks = np.array(numbers(index[16:])).reshape(-1, 1 + len(sampling))
    assert len(marks) == -(-across * down // step)
    growth = np.where(marks[:, 1:] & 1, -(marks[:, 1:] + 1) // 2, marks[:, 1:] // 2)
    planes = coefficients(data)
    for k, predictors in enumerate(np.cumsum(growth, axis=0), 1):
        my, mx = divmod(min(k * step, across * down) - 1, across)
        last = [planes[c][my * v + v - 1, mx * h + h - 1, 0] for c, (h, v) in enumerate(factors)]
        assert predictors.tolist() == last
    end = header.scan_offset + -(-int(marks[:, 0].sum()) // 8)
    assert data[end:] in (b"\xff\xd9", b"\x00\xff\xd9")


def encoded(size: tuple[int, int], **options: object) -> bytes:
    rng = np.random.default_rng(3)
    pixels = np.kron(rng.integers(0, 256, (*(-(-n // 8) for n in size), 3)), np.ones((8, 8, 1)))[: size[0], : size[1]]
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, "JPEG", **options)
    return out.getvalue()


def test_what_has_no_index() -> None:
    """Streams with restart markers need none; progressive and damaged ones cannot have one."""
    plain = encoded((200, 300))
    assert build_index(rewrite(plain, 4)) == b""
    with pytest.raises(JpegError):
        build_index(encoded((64, 64), progressive=True))
    with pytest.raises(JpegError):
        build_index(plain[: len(plain) // 2])
    with pytest.raises(OptionError):
        build_index(plain, 0)
    assert len(build_index(plain, 10**6)) < 30


def refused(data: bytes, index: bytes) -> bool:
    try:
        decode_planes(data, (10, 10, 30, 30), index=index)
    except JpegError as error:
        return "seek index does not belong" in str(error)
    return False


def test_wrong_indexes_are_refused() -> None:
    """Any changed byte, a cut, another stream's index; with restart markers none is looked at."""
    data, other = encoded((120, 160)), encoded((120, 160), quality=80)
    index = build_index(data)
    for at in range(len(index)):
        changed = bytearray(index)
        changed[at] ^= 1 << at % 8
        assert refused(data, bytes(changed)), at
        assert refused(data, index[:at]) or at == 0
    assert refused(other, index) and refused(data + b"\0", index)
    start = read_header(data).scan_offset
    for at in (start, (start + len(data)) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[at] ^= 1
        assert refused(bytes(changed), index)
    assert len(decode_planes(rewrite(data, 4), index=b"anything")) == 3


def test_damage_in_the_rectangle_is_noticed(jpegmaker: ModuleType) -> None:
    """A piece that does not end where the next begins is corrupt, whatever the index says."""
    data = jpegmaker.write(jpegmaker.random_frame(np.random.default_rng(1), 400, 200, [(1, 1)], density=0.5))
    index, start = build_index(data), read_header(data).scan_offset
    (size,) = struct.unpack("<I", index[8:12])
    assert size == len(data)
    at = start + (size - start) // 3
    damaged = bytearray(data)
    damaged[at : at + 8] = bytes(8)
    with pytest.raises(JpegError) as caught:
        decode_planes(bytes(damaged), index=index)
    assert "image data" in str(caught.value)
