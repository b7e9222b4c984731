"""Asking for a file to be written early changes nothing about it, whatever it is."""

from __future__ import annotations

import os
from pathlib import Path

from ffprep.common.files.writing_back import begin_writing


def test_contents_stay(tmp_path: Path) -> None:
    path = tmp_path / "file"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(descriptor, b"x" * 70_000, 0)
        begin_writing(descriptor, 0, 70_000)
        begin_writing(descriptor, 1 << 40, 5)
        assert os.pread(descriptor, 70_001, 0) == b"x" * 70_000
    finally:
        os.close(descriptor)


def test_what_cannot_be_asked_for_is_no_error() -> None:
    reads, writes = os.pipe()
    try:
        begin_writing(writes, 0, 10)
        begin_writing(-1, 0, 10)
    finally:
        os.close(reads)
        os.close(writes)
