"""Many files read in one call: the same bytes as one by one, and None for what is to be read by itself."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ffprep.jpeg.reading import read_parts, read_whole_files

MOST = 1 << 24


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(3)
    paths = []
    for number, size in enumerate((0, 1, 4095, 4096, 100_000, 3)):
        path = tmp_path / f"n{number}é.bin"
        path.write_bytes(rng.bytes(size))
        paths.append(path)
    return paths


def test_whole_files(files: list[Path]) -> None:
    for path, read in zip(files, read_whole_files([str(path) for path in files], MOST), strict=True):
        assert read is not None and read.data.readonly
        assert bytes(read.data) == path.read_bytes()
        assert read.time == path.stat().st_mtime_ns


def test_what_is_no_readable_file_is_left(files: list[Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    odd = [tmp_path / "absent", tmp_path, tmp_path / "pipe"]
    found = read_whole_files([str(path) for path in [files[3], *odd, files[4]]] + ["a\0b"], MOST)
    assert [read is None for read in found] == [False, True, True, True, False, True]
    assert found[4] is not None and bytes(found[4].data) == files[4].read_bytes()


def test_no_more_than_asked_for_and_more_than_the_usual_room(files: list[Path], tmp_path: Path) -> None:
    found = read_whole_files([str(path) for path in files], 50_000)
    assert [read is None for read in found] == [False, False, False, False, True, False]
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * (5 << 12))
    for most, left in ((MOST, False), (5 << 20, True), ((5 << 20) + 1, False)):
        (read,) = read_whole_files([str(large)], most)
        assert (read is None) == left
        assert read is None or bytes(read.data) == large.read_bytes()
    assert read_whole_files([], MOST) == [] == read_parts([], [], [], MOST)


def test_parts_of_an_open_file(files: list[Path]) -> None:
    whole = files[4].read_bytes()
    fd = os.open(files[4], os.O_RDONLY)
    try:
        parts = [(0, 10), (99_990, 10), (99_991, 10), (200_000, 1), (5, 0), (7, -1)]
        found = read_parts([fd] * 6, [offset for offset, _ in parts], [size for _, size in parts], MOST)
    finally:
        os.close(fd)
    assert [None if read is None else bytes(read.data) for read in found] == [
        *(whole[:10], whole[99_990:], None, None, b"", None)
    ]
    assert read_parts([fd], [0], [10], MOST) == [None]  # it is closed


def test_memory_is_used_again_only_when_nobody_looks(files: list[Path]) -> None:
    paths = [str(files[4])]
    kept = [read_whole_files(paths, MOST)[0] for _ in range(3)]
    files[4].write_bytes(bytes(100_000))
    again = [read_whole_files(paths, MOST)[0] for _ in range(3)]
    assert all(read is not None and any(read.data) for read in kept)
    assert all(read is not None and not any(read.data) for read in again)
