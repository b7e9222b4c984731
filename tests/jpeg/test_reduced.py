"""Reduced decoding: planes of 4x4, 2x2 and 1x1 samples a block, against a slow twin; the place of any rectangle."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import product
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from simd_levels import forced_level

from ffprep.abi import IMAGE
from ffprep.errors import JpegError
from ffprep.jpeg import build_index, coefficients, decode_planes, native, rewrite
from ffprep.jpeg.planes import Plane, copy_planes

SAMPLINGS = [
    [(1, 1)],
    [(1, 1)] * 3,
    [(2, 2), (1, 1), (1, 1)],
    [(2, 1), (1, 1), (1, 1)],
    [(1, 2), (1, 1), (1, 1)],
    [(4, 1), (1, 1), (1, 1)],
    [(2, 2), (2, 1), (1, 2)],
    [(4, 2), (1, 1), (1, 1)],
]
C1, C3 = 10703, 4433
MATRICES = {
    0: np.array([[8192]]),
    1: np.array([[8192, 8192], [8192, -8192]]),
    2: np.array([[8192, C1, 8192, C3], [8192, C3, -8192, -C1], [8192, -C3, -8192, C1], [8192, -C1, 8192, -C3]]),
}
"""By log2 of the samples: output i as a sum of the lowest frequencies, in units of 2^-13."""


@pytest.fixture(params=["scalar", "avx2", "avx512"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """A CPU level; skips, visibly, where this CPU lacks it."""
    with forced_level(request.param) as name:
        yield name


def signed(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Values modulo 2^16, signed."""
    return (values + 32768) % 65536 - 32768


def twin(blocks: NDArray[np.int16], quant: NDArray[np.int64], zigzag: NDArray[np.int64], log: int) -> NDArray[np.uint8]:
    """The reduced plane of blocks (rows, columns, 64) in zigzag order, ``1 << log`` samples each way a block."""
    n, m = 1 << log, MATRICES[log]
    rows, columns = blocks.shape[:2]
    natural = np.zeros((rows, columns, 64), dtype=np.int64)
    natural[..., zigzag] = signed(blocks.astype(np.int64) * quant)
    corner = natural.reshape(rows, columns, 8, 8)[..., :n, :n]
    first = ((m @ corner + 1024) >> 11).clip(-32768, 32767)
    samples = ((first @ m.T + 131072) >> 18).clip(-128, 127) + 128
    return samples.transpose(0, 2, 1, 3).reshape(rows * n, columns * n).astype(np.uint8)


def own_scale(hs: int, vs: int, scale: int) -> int:
    """How often a component is halved of itself when the image is."""
    while scale and hs % 2 == 0 and vs % 2 == 0:
        hs, vs, scale = hs // 2, vs // 2, scale - 1
    return scale


@given(st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_planes_equal_the_twin(jpegmaker: ModuleType, level: str, data: st.DataObject) -> None:
    """Every sample of the planes, any coefficients, with restart markers and without."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    sampling = data.draw(st.sampled_from(SAMPLINGS))
    width, height, scale = data.draw(st.integers(1, 150)), data.draw(st.integers(1, 90)), data.draw(st.integers(1, 3))
    density, interval = data.draw(st.sampled_from([0.0, 0.1, 0.7])), data.draw(st.sampled_from([0, 1, 5]))
    frame = jpegmaker.random_frame(rng, width, height, sampling, density=density, interval=interval)
    stream = jpegmaker.write(frame)
    hmax, vmax = (max(c[axis] for c in sampling) for axis in (0, 1))
    planes = decode_planes(stream, scale=scale)
    for plane, component, blocks, (h, v) in zip(planes, frame.components, coefficients(stream), sampling, strict=True):
        own = own_scale(hmax // h, vmax // v, scale) if len(sampling) > 1 else scale
        if own == 0:
            continue  # an ordinary plane
        expected = twin(blocks, frame.quant[component.quant], jpegmaker.ZIGZAG, 3 - own)
        assert (plane.width, plane.height) == (plane.samples.shape[1], plane.samples.shape[0])
        assert (plane.samples == expected[: plane.height, : plane.width]).all()


def ceil(n: int, divisor: int) -> int:
    """The quotient, rounded up."""
    return -(-n // divisor)


def cut(plane: Plane, whole: Plane) -> NDArray[np.uint8]:
    """What `whole` holds at the place of `plane`."""
    rows, columns = plane.samples.shape
    return whole.samples[plane.y0 : plane.y0 + rows, plane.x0 : plane.x0 + columns]


@given(st.data())
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rectangles_lie_where_they_are(jpegmaker: ModuleType, level: str, data: st.DataObject) -> None:
    """The samples that a rectangle needs are those of the whole image at the same place; damage is found as ever."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    sampling = data.draw(st.sampled_from(SAMPLINGS))
    width, height, scale = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 120)), data.draw(st.integers(1, 3))
    frame = jpegmaker.random_frame(rng, width, height, sampling, interval=data.draw(st.sampled_from([0, 3, 16])))
    stream = jpegmaker.write(frame)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    step = 1 << scale
    for plane, whole in zip(
        decode_planes(stream, (x, y, w, h), scale=scale), decode_planes(stream, scale=scale), strict=True
    ):
        assert (plane.samples == cut(plane, whole)).all()
        assert plane.width == ceil(ceil(width, step), plane.hs) and plane.height == ceil(ceil(height, step), plane.vs)
        for low, high, at, size, ratio, total in (
            (x // step, (x + w - 1) // step, plane.x0, plane.samples.shape[1], plane.hs, plane.width),
            (y // step, (y + h - 1) // step, plane.y0, plane.samples.shape[0], plane.vs, plane.height),
        ):
            margin = ratio > 1
            assert at <= max(low // ratio - margin, 0)
            assert at + size > min(high // ratio + margin, total - 1)
    start = stream.rindex(b"\xff\xda")
    damaged = bytearray(stream)
    damaged[data.draw(st.integers(start, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    assert error_of(bytes(damaged), scale) == error_of(bytes(damaged), 0)


def error_of(stream: bytes, scale: int) -> str:
    try:
        decode_planes(stream, scale=scale)
    except JpegError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_samples_stand_for_squares_of_the_image(level: str, subsampling: int, scale: int) -> None:
    """Sample (i, j) is the mean of its square of whole pixels, within what detail inside it explains."""
    y, x = np.mgrid[:160, :208]
    slope = np.stack([x + 0.2 * y, 230 - x * 0.5 - y * 0.3, 20 + 0.9 * y + 0.3 * x], -1).clip(0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(slope).save(out, "JPEG", quality=100, subsampling=subsampling)
    step = 1 << scale
    for plane, whole in zip(decode_planes(out.getvalue(), scale=scale), decode_planes(out.getvalue()), strict=True):
        own = whole.width // plane.width
        means = whole.samples.reshape(plane.height, own, plane.width, own).mean((1, 3))
        assert own * whole.hs == step * plane.hs
        assert np.abs(means - plane.samples).max() < 1.5


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_every_way_to_the_coefficients_gives_the_same(level: str, subsampling: int, scale: int) -> None:
    """Progressive, one long scan, with an index, with restart markers."""
    rng = np.random.default_rng(scale)
    pixels = np.kron(rng.integers(0, 256, (25, 40, 3)), np.ones((12, 12, 1))).astype(np.uint8)
    outs = [io.BytesIO(), io.BytesIO()]
    for out, progressive in zip(outs, (True, False), strict=True):
        Image.fromarray(pixels).save(out, "JPEG", quality=93, subsampling=subsampling, progressive=progressive)
    first, second = (out.getvalue() for out in outs)
    for rect in (None, (37, 21, 300, 200)):
        expected = [plane.samples for plane in decode_planes(rewrite(second), rect, scale=scale)]
        for stream, index in ((first, b""), (second, b""), (second, build_index(second))):
            planes = decode_planes(stream, rect, scale=scale, index=index)
            assert all((a.samples == b).all() for a, b in zip(planes, expected, strict=True))


def test_scale_is_checked() -> None:
    """0 to 3, nothing else."""
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "JPEG")
    for scale in (-1, 4):
        with pytest.raises(JpegError):
            decode_planes(out.getvalue(), scale=scale)


def luma_of(data: bytes, rect: tuple[int, int, int, int], scale: int, index: bytes = b"") -> tuple[Plane, int]:
    """The only plane of a decode to luma, and the image's colour."""
    image, view, marks = np.zeros(1, IMAGE), native.as_bytes(data), native.as_bytes(index)
    context = native.library().ffp_context_new()
    try:
        request = native.decode_request(context, view, rect, image, (marks.ctypes.data, marks.size), scale)
        request["luma"] = 1
        assert native.library().ffp_decode_region(request.ctypes.data) == 0
        planes = copy_planes(image)
    finally:
        native.library().ffp_context_free(context)
    assert len(planes) == 1
    return planes[0], int(image["color"][0])


@pytest.mark.parametrize("scale", [0, 1, 3])
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_luma_alone_is_the_first_plane(
    jpegmaker: ModuleType, sampling: list[tuple[int, int]], scale: int, level: str
) -> None:
    rng = np.random.default_rng(len(sampling) + scale)
    streams: list[tuple[bytes, bytes]] = []
    for interval in (0, 3):
        frame = jpegmaker.random_frame(rng, 93, 71, sampling, interval=interval, density=0.3, amplitude=40)
        streams.append((jpegmaker.write(frame), b""))
    streams.append((streams[0][0], build_index(streams[0][0]) or b""))
    buffer = io.BytesIO()
    picture = Image.fromarray(rng.integers(0, 256, (71, 93, 3)).astype(np.uint8))
    picture.save(buffer, "JPEG", progressive=True, subsampling=2)
    streams.append((buffer.getvalue(), b""))
    for (data, index), rect in product(streams, [(0, 0, 93, 71), (17, 30, 20, 9), (64, 60, 29, 11)]):
        found, colour = luma_of(data, rect, scale, index)
        wanted = decode_planes(data, rect, scale=scale)[0]
        assert colour == 1
        assert (found.x0, found.y0, found.hs, found.vs) == (wanted.x0, wanted.y0, wanted.hs, wanted.vs)
        np.testing.assert_array_equal(found.samples, wanted.samples)
