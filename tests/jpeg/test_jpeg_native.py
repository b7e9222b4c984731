"""The bindings: several threads at once, every kind of bytes."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import pytest

import ffprep.jpeg
from ffprep.errors import FfprepError
from ffprep.jpeg import decode_planes, native, read_header


@pytest.fixture(scope="module")
def stream(jpegmaker: ModuleType) -> bytes:
    frame = jpegmaker.random_frame(np.random.default_rng(0), 70, 50, [(2, 2), (1, 1), (1, 1)], interval=2)
    result: bytes = jpegmaker.write(frame)
    return result


def test_public_names() -> None:
    for name in ffprep.jpeg.__all__:
        assert getattr(ffprep.jpeg, name).__doc__


def test_import_is_light() -> None:
    code = "import sys, ffprep.jpeg; sys.exit(any(m in sys.modules for m in ('torch', 'numba', 'llvmlite', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_threads_do_not_disturb_each_other(jpegmaker: ModuleType) -> None:
    rng = np.random.default_rng(1)
    kinds = [[(1, 1)], [(1, 1)] * 3, [(2, 2), (1, 1), (1, 1)]]
    streams = [jpegmaker.write(jpegmaker.random_frame(rng, 90, 60, kind, interval=i)) for kind in kinds for i in (0, 3)]
    expected = [decode_planes(data) for data in streams]
    with ThreadPoolExecutor(8) as pool:
        for at, planes in enumerate(pool.map(decode_planes, streams * 40)):
            for got, want in zip(planes, expected[at % len(streams)], strict=True):
                np.testing.assert_array_equal(got.samples, want.samples)


def test_every_kind_of_bytes(stream: bytes) -> None:
    expected = read_header(stream)
    array = np.frombuffer(stream, dtype=np.uint8)
    apart = np.repeat(array, 2)[::2]
    for data in (bytearray(stream), memoryview(stream), array, apart, array.reshape(1, -1)):
        assert read_header(data) == expected
        np.testing.assert_array_equal(decode_planes(data)[0].samples, decode_planes(stream)[0].samples)


def test_missing_library_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    native.library.cache_clear()
    monkeypatch.setattr(native, "LIBRARY_PATH", native.LIBRARY_PATH.with_name("absent.so"))
    try:
        with pytest.raises(FfprepError, match=r"absent\.so.*compiler"):
            native.library()
    finally:
        monkeypatch.undo()
        native.library.cache_clear()
        native.library()
