"""Files of sources are opened if they are regular files, and only then."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from ffprep.common.files import source_files
from ffprep.common.files.source_files import (
    check_regular,
    open_binary,
    open_regular,
    open_text,
    read_file,
    read_text_file,
)
from ffprep.errors import SourceError
from ffprep.text.documents.streams import FilePart

OPENERS = [check_regular, open_binary, open_regular, open_text, read_file, read_text_file]


@pytest.mark.skipif(sys.platform != "linux", reason="needs named pipes")
@pytest.mark.parametrize("opener", OPENERS)
def test_others_are_refused_without_being_opened(
    tmp_path: Path, opener: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        monkeypatch.chdir(tmp_path)  # a socket's path may have 107 bytes
        bound.bind("socket")
        for name, kind in [
            ("pipe", "named pipe"),
            ("link", "named pipe"),
            ("socket", "socket"),
            ("/dev/zero", "device"),
            (".", "folder"),
        ]:
            with pytest.raises(SourceError, match=f"is a {kind}"):
                opener(tmp_path / name)  # type: ignore[operator]
    # A writer would have been let through if anybody had opened the pipe.
    passed = threading.Event()

    def write() -> None:
        with open(tmp_path / "pipe", "wb"):  # noqa: PTH123
            passed.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(SourceError):
            opener(tmp_path / "pipe")  # type: ignore[operator]
        assert not passed.is_set()
    finally:
        os.close(os.open(tmp_path / "pipe", os.O_RDONLY))
        writer.join()


@pytest.mark.parametrize("opener", OPENERS)
def test_missing_files_are_missing(tmp_path: Path, opener: object) -> None:
    with pytest.raises(FileNotFoundError):
        opener(tmp_path / "nothing")  # type: ignore[operator]


def test_regular_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("a\r\nä".encode())
    assert read_file(path) == path.read_bytes()
    assert read_text_file(path) == "a\nä"
    with open_binary(path) as file:
        assert file.read() == path.read_bytes()
    assert check_regular(path).st_size == 5


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_errors_of_reading_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing disk says so when a file is read, not when it is opened."""
    path = tmp_path / "x.txt"
    path.write_text("text")

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "read", fail)
    monkeypatch.setattr(os, "pread", fail)
    for read in (read_file, lambda place: FilePart(place).read(4)):
        with pytest.raises(OSError, match="Input/output error: '.*x.txt'"):
            read(path)
    # Reading the memory of a process where it has none fails with EIO.
    monkeypatch.setattr(source_files, "open_regular", lambda _: os.open("/proc/self/mem", os.O_RDONLY))
    for opener in (open_binary, open_text):
        with opener(path) as file, pytest.raises(OSError, match="Input/output error: '.*x.txt'"):
            file.read()
