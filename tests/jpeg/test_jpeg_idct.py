"""The inverse DCT against a slow twin, at every CPU level and in the portable build, hostile coefficients included."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from simd_levels import forced_level

from ffprep.abi import IMAGE
from ffprep.jpeg import decode_planes, native
from ffprep.jpeg.planes import copy_planes

NATIVE = Path(native.__file__).with_name("native")

# Row i: output i as a sum of inputs 0..7, in units of 2^-13 (the accurate integer method of libjpeg, multiplied out).
EVEN = [(8192, 10703, 8192, 4433), (8192, 4433, -8192, -10704)]
ODD = [
    (11363, 9633, 6437, 2260),
    (9633, -2259, -11362, -6436),
    (6437, -11362, 2261, 9633),
    (2260, -6436, 9633, -11363),
]


def matrix() -> NDArray[np.int64]:
    m = np.zeros((8, 8), dtype=np.int64)
    for i in range(4):
        a, b, c, d = EVEN[0] if i in (0, 3) else EVEN[1]
        even = (a, b, c, d) if i < 2 else (a, -b, c, -d)
        m[i, 0::2], m[i, 1::2] = even, ODD[i]
        m[7 - i, 0::2], m[7 - i, 1::2] = even, [-v for v in ODD[i]]
    return m


def wrapped(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Values modulo 2^bits, signed."""
    half = 1 << (bits - 1)
    return (values + half) % (1 << bits) - half


def twin(blocks: NDArray[np.int64], quant: NDArray[np.int64], zigzag: NDArray[np.int64]) -> NDArray[np.int64]:
    """Samples (n, 8, 8) of blocks (n, 64) in zigzag order, as the head of idct.c defines them."""
    natural = np.zeros((len(blocks), 64), dtype=np.int64)
    natural[:, zigzag] = wrapped(blocks * quant, 16)
    m = matrix()
    columns = wrapped(m @ natural.reshape(-1, 8, 8), 32)
    columns = (wrapped(columns + 1024, 32) >> 11).clip(-32768, 32767)
    rows = wrapped(columns @ m.T, 32)
    return (wrapped(rows + 131072, 32) >> 18).clip(-128, 127) + 128


@pytest.fixture(scope="module", params=["scalar", "avx2", "avx512"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    with forced_level(request.param) as name:
        yield name


def test_matrix_is_the_cosine_transform() -> None:
    x, u = np.mgrid[0:8, 0:8]
    exact = np.cos((2 * x + 1) * u * np.pi / 16) * np.where(u == 0, np.sqrt(0.5), 1.0) * np.sqrt(2) * 8192
    assert np.abs(matrix() - exact).max() < 1.5


@given(
    seed=st.integers(0, 100_000),
    largest=st.sampled_from([1, 4, 100, 1023]),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    quantiser=st.sampled_from([1, 16, 255, 65535]),
    interval=st.sampled_from([0, 1, 4]),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_equals_slow_twin(
    jpegmaker: ModuleType, level: str, seed: int, largest: int, density: float, quantiser: int, interval: int
) -> None:
    rng = np.random.default_rng(seed)
    frame = jpegmaker.random_frame(rng, 40, 24, [(1, 1)], sof=0xC1, interval=interval)
    shape = frame.components[0].blocks.shape
    blocks = rng.integers(-largest, largest + 1, shape) * (rng.random(shape) < density)
    blocks[..., 0] = rng.integers(-largest, largest + 1, shape[:2])
    frame.components[0].blocks = blocks.astype(np.int16)
    frame.quant[0] = rng.integers(1, quantiser + 1, 64)
    expected = twin(blocks.reshape(-1, 64).astype(np.int64), frame.quant[0], jpegmaker.ZIGZAG)
    expected = expected.reshape(*shape[:2], 8, 8).swapaxes(1, 2).reshape(shape[0] * 8, shape[1] * 8)
    assert native.simd_level() == level
    np.testing.assert_array_equal(decode_planes(jpegmaker.write(frame))[0].samples, expected[:24, :40])


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The kernel built without any vector instruction written by hand, as on other machines."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    path = tmp_path_factory.mktemp("portable") / "portable.so"
    flags = [
        "-std=gnu11",
        "-O2",
        "-shared",
        "-fPIC",
        "-fvisibility=hidden",
        "-DFFP_PLAIN_C",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]
    command: list[str | Path] = [compiler, *flags, f"-I{NATIVE}", *sorted(NATIVE.rglob("*.c")), "-o", path]
    subprocess.run(command, check=True)
    lib = ctypes.CDLL(str(path))
    native.declare(lib)
    lib.ffp_set_simd_level(b"scalar")
    return lib


def test_portable_build_is_the_same(jpegmaker: ModuleType, portable: ctypes.CDLL) -> None:
    rng = np.random.default_rng(0)
    context = portable.ffp_context_new()
    image = np.zeros(1, IMAGE)
    try:
        for sampling in ([(1, 1)], [(1, 1)] * 3, [(2, 2), (1, 1), (1, 1)], [(2, 1), (1, 1), (1, 2)]):
            for interval in (0, 1, 6):
                for amplitude in (3, 40, 1000):
                    frame = jpegmaker.random_frame(
                        rng, 61, 43, sampling, interval=interval, density=0.3, amplitude=amplitude
                    )
                    view = native.as_bytes(jpegmaker.write(frame))
                    request = native.decode_request(context, view, (3, 5, 50, 31), image)
                    status = portable.ffp_decode_region(request.ctypes.data)
                    assert status == 0
                    for got, expected in zip(copy_planes(image), decode_planes(view, (3, 5, 50, 31)), strict=True):
                        np.testing.assert_array_equal(got.samples, expected.samples)
    finally:
        portable.ffp_context_free(context)
