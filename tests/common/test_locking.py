"""Locks: the system's, and lock files where a file system has none."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffprep.common.files import locking
from ffprep.common.files.locking import lock
from ffprep.errors import OptionError


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def without_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_systems_lock(tmp_path: Path, descriptor: int) -> None:
    held = lock(descriptor, tmp_path / "x")
    other = os.open(tmp_path / "x", os.O_RDWR)
    with pytest.raises(OptionError, match="x: another process is writing"):
        lock(other, tmp_path / "x")
    os.close(other)
    held.release()
    assert names(tmp_path) == ["x"]


@pytest.mark.usefixtures("without_flock")
def test_a_lock_file_says_who_holds_it(tmp_path: Path, descriptor: int) -> None:
    held = lock(descriptor, tmp_path / "x")
    assert str(os.getpid()) in str((tmp_path / "x.lock").readlink()).split("|")
    with pytest.raises(OptionError, match=rf"process {os.getpid()} on .*delete .*x\.lock"):
        lock(descriptor, tmp_path / "x")
    held.release()
    assert names(tmp_path) == ["x"]
    lock(descriptor, tmp_path / "x").release()


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    return child.pid


@pytest.mark.parametrize("case", ["ended", "number used again", "before a restart"])
@pytest.mark.usefixtures("without_flock")
def test_locks_of_processes_that_ended_are_taken_over(tmp_path: Path, descriptor: int, case: str) -> None:
    own = locking.Holder.this_process()
    left = {
        "ended": locking.Holder(own.host, own.boot, ended_process(), own.started),
        "number used again": locking.Holder(own.host, own.boot, own.pid, "1"),
        "before a restart": locking.Holder(own.host, "another", own.pid, own.started),
    }[case]
    (tmp_path / "x.lock").symlink_to(left.text())
    held = lock(descriptor, tmp_path / "x")
    assert str((tmp_path / "x.lock").readlink()) == own.text()
    held.release()
    assert names(tmp_path) == ["x"]


@pytest.mark.usefixtures("without_flock")
def test_locks_of_others_are_left_alone(tmp_path: Path, descriptor: int) -> None:
    own = locking.Holder.this_process()
    for content in (locking.Holder("elsewhere", own.boot, 1, "1").text(), "something else"):
        (tmp_path / "x.lock").symlink_to(content)
        with pytest.raises(OptionError, match=r"another process.*x\.lock"):
            lock(descriptor, tmp_path / "x")
        assert str((tmp_path / "x.lock").readlink()) == content
        (tmp_path / "x.lock").unlink()
    (tmp_path / "x.lock").write_text("no link")
    with pytest.raises(OptionError, match=r"another process.*x\.lock"):
        lock(descriptor, tmp_path / "x")


@pytest.mark.usefixtures("without_flock")
def test_without_any_lock_it_goes_on_with_a_warning(
    tmp_path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: str) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.warns(RuntimeWarning, match=r"x: this file system has no locks .*no other process"):
        lock(descriptor, tmp_path / "x").release()
    assert names(tmp_path) == ["x"]
