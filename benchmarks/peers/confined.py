"""A page cache too small for a data set: a memory control group of Linux, in which a contestant runs.

Its limit is the most that the contestant has taken itself and room for a share of the set, so that the system has to
drop pages of files that the next pass wants again. Whether it does is measured: how much of the set a pass reads from
the disk, and how much of it is in memory afterwards. Only root can make such groups, and not in every container;
`groups` makes none where it cannot be done.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from peers.common import Epoch

from ffprep.inspect.timing.page_cache import resident_share
from ffprep.inspect.timing.process_tree import PROC, descendants

ROOT = Path("/sys/fs/cgroup")
KINDS = {
    "memory.limit_in_bytes": ("memory.usage_in_bytes", "total_cache", "total_shmem"),
    "memory.max": ("memory.current", "file", "shmem"),
}
"""The file of a group's limit, in control groups of version 1 and 2; that of what it takes; and the lines of
``memory.stat`` of the pages of files therein, and of memory shared by processes, which these pages include."""


def _parents() -> Iterator[Path]:
    """Where groups may be made: below this process's own of version 1, or below the root of version 2."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                yield ROOT / "memory" / path.lstrip("/")
    yield ROOT


def limit_file(group: Path) -> Path | None:
    """Return the file of a group's limit, if memory can be limited there."""
    return next((group / name for name in KINDS if (group / name).exists()), None)


@contextmanager
def groups(count: int) -> Iterator[list[Path]]:
    """Make control groups, which are removed in the end; none where that cannot be done."""
    made: list[Path] = []
    for parent in _parents():
        try:
            made = [Path(tempfile.mkdtemp(prefix="ffprep-bench-", dir=parent)) for _ in range(count)]
        except OSError:
            continue
        if all(limit_file(group) for group in made):
            break
        _remove(made)
        made = []
    try:
        yield made
    finally:
        _remove(made)


def _remove(made: list[Path]) -> None:
    for group in made:
        with contextlib.suppress(OSError):
            group.rmdir()


def forget(place: str) -> None:
    """Have the system drop the pages of a file, or of all files in a folder."""
    for one in files_of(place):
        descriptor = os.open(one, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # pages that are not written cannot be dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def files_of(place: str) -> list[Path]:
    """Return a file, or all files in a folder."""
    path = Path(place)
    return [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]


def own(group: Path, kind: str) -> int:
    """Return the bytes that a group takes besides pages of files."""
    taken, pages, shared = KINDS[kind]
    lines = [line.split() for line in (group / "memory.stat").read_text().splitlines()]
    held = {name: int(size) for name, size in lines}
    return int((group / taken).read_text()) - held[pages] + held[shared]


def bytes_read(process: int) -> int:
    """Return what a process and all that it started had read from a disk: ``read_bytes`` of proc_pid_io(5).

    A page that is in memory is not read, one that a map of a file touches is.
    """
    total = 0
    for one in descendants(process):
        with contextlib.suppress(OSError):  # it has ended, and is counted with whoever waited for it
            lines = dict(line.split(": ") for line in (PROC / str(one) / "io").read_text().splitlines())
            total += int(lines["read_bytes"])
    return total


class Confined:
    """A runner's epoch in a group whose limit is set after a pass whose memory was watched.

    It is watched in all passes: a loader that takes more itself than ever before keeps its room for pages.

    Parameters
    ----------
    epoch : Epoch
    group : Path
        The control group.
    room : int
        Bytes for pages of files.
    files : list of Path
        What it reads.
    """

    def __init__(self, epoch: Epoch, group: Path, room: int, files: list[Path]) -> None:
        file = limit_file(group)
        assert file is not None
        self.epoch, self.group, self.file, self.room, self.files = epoch, group, file, room, files
        self.size = sum(one.stat().st_size for one in files)
        self.summary: dict[str, Any] = {}
        self.most = self.before = 0

    @property
    def first(self) -> float | None:
        """The moment of its first batch."""
        return self.epoch.first

    def __call__(self) -> int:
        if self.summary:
            return self.epoch()
        self.epoch()
        threading.Thread(target=self._watch, daemon=True).start()
        self.epoch()
        self.file.write_text(str(self.most + self.room))  # pages of files have to go, which fails if nothing else can
        self.summary = dict(self.epoch.summary)
        return self.epoch()  # until the pages are those that are left

    def prepare(self) -> None:
        """Begin to count what a pass reads."""
        if self.epoch.prepare is not None:
            self.epoch.prepare()
        self.before = bytes_read(os.getpid())

    @property
    def facts(self) -> dict[str, float]:
        """Of the pass that has ended: what was read from the disk, and what is in memory now, as shares of the set."""
        shares = [(resident_share(one) or 0.0) * one.stat().st_size for one in self.files]
        return {
            "read": round((bytes_read(os.getpid()) - self.before) / self.size, 4),
            "resident": round(sum(shares) / self.size, 4),
        }

    def _watch(self) -> None:
        while True:
            if (now := own(self.group, self.file.name)) > self.most:
                self.most = now
                if self.summary:
                    self.file.write_text(str(now + self.room))
            time.sleep(0.03)


def confined(runner: str, place: str, group: str, room: int, **options: Any) -> Confined:
    """Run a loader in a control group.

    Parameters
    ----------
    runner : str
        ``"module:function"`` of the loader.
    place : str
        What it reads, which is not in memory when it begins.
    group : str
        The folder of the control group.
    room : int
        Bytes for pages of files, besides what the loader holds.
    **options
        Of the loader.
    """
    forget(place)
    (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    module, function = runner.split(":")
    return Confined(getattr(import_module(module), function)(**options), Path(group), room, files_of(place))
