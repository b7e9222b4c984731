"""A file written under a temporary name appears whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
import signal
from pathlib import Path

import pytest

from ffprep.common.files.replacing import TEMPORARY, replacing, sync_folder, write_file
from ffprep.errors import OptionError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("there", [None, b"old"])
def test_the_file_appears_when_it_is_complete(tmp_path: Path, there: bytes | None) -> None:
    path = tmp_path / "x"
    if there is not None:
        path.write_bytes(there)
    with replacing(path) as file:
        file.write(b"new")
        assert (path.read_bytes() if path.exists() else None) == there
        assert f"x{TEMPORARY}" in names(tmp_path)
    assert path.read_bytes() == b"new" and names(tmp_path) == ["x"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path, suffix=".other") as file:
        file.write(b"new")
        assert names(tmp_path) == ["x", "x.other"]
        raise error
    assert path.read_bytes() == b"old" and names(tmp_path) == ["x"]


def test_the_order_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contents are forced to the disk before the rename, the folder after it."""
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        calls.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        calls.append("rename")
        replace(self, target)
        return target

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    with replacing(tmp_path / "x") as file:
        file.write(b"new")
    assert calls == ["file", "rename", "folder"]


def test_a_disk_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), replacing(tmp_path / "x") as file:
        file.write(b"new")
    assert names(tmp_path) == []


def test_file_systems_that_cannot_sync_a_folder_are_let_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = errno.EINVAL

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    sync_folder(tmp_path)
    number = errno.EIO
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        sync_folder(tmp_path)


def test_what_a_kill_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / f"x{TEMPORARY}").write_bytes(b"left by a process that was killed, and longer")
    with replacing(tmp_path / "x") as file:
        file.write(b"new")
    assert (tmp_path / "x").read_bytes() == b"new" and names(tmp_path) == ["x"]


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "x") as file:
        with pytest.raises(OptionError, match=r"x: another process is writing"), replacing(tmp_path / "x"):
            raise AssertionError("not reached")
        file.write(b"first")
    assert (tmp_path / "x").read_bytes() == b"first" and names(tmp_path) == ["x"]


def test_a_full_disk_names_the_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    """The system's own refusal, by a limit of the size of files, at writing and at the last flush."""
    path = tmp_path / "x"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        for size in (2000, 1 << 20):
            with pytest.raises(OSError, match="File too large") as caught:
                write_file(path, bytes(size))
            assert caught.value.filename == str(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old" and names(tmp_path) == ["x"]


def test_an_error_after_the_renaming_leaves_the_finished_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def failing(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output error") as caught:
        write_file(tmp_path / "x", "whole")
    assert caught.value.filename == str(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "whole" and names(tmp_path) == ["x"]


def test_an_error_of_another_file_keeps_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="other") as caught, replacing(tmp_path / "x") as file:
        file.write(b"some")
        raise OSError(errno.EIO, "Input/output error", "other")
    assert caught.value.filename == "other" and names(tmp_path) == []


def test_devices_are_written_to_directly() -> None:
    write_file(Path(os.devnull), "gone")
    assert not Path(os.devnull).is_file()
