"""A file written under a temporary name appears whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ffprep.common.replacing import replacing, sync_folder


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
        assert "x.partial" in names(tmp_path)
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
