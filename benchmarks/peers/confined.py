"""A page cache too small for a data set: a memory control group of Linux, in which a contestant runs.

Its limit is set after the first pass to what the contestant holds itself and to room for a share of the set, so that
the system has to drop pages of files that the next pass wants again. Only root can make such groups, and not in every
container; `reason` says whether it can be done here.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from peers.common import Epoch

ROOT = Path("/sys/fs/cgroup")
HELD = {"memory.limit_in_bytes": ("total_rss", "total_mapped_file"), "memory.max": ("anon", "shmem")}
"""The file of a group's limit, in control groups of version 1 and 2, and the lines of ``memory.stat`` of what it holds
besides pages of files."""


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
    return next((group / name for name in HELD if (group / name).exists()), None)


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
    path = Path(place)
    for one in [path] if path.is_file() else path.rglob("*"):
        if one.is_file():
            descriptor = os.open(one, os.O_RDONLY)
            try:
                os.fsync(descriptor)  # pages that are not written cannot be dropped
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


class Confined:
    """A runner's epoch in a group whose limit is set when the first pass is over."""

    def __init__(self, epoch: Epoch, group: Path, room: int) -> None:
        self.epoch, self.group, self.room = epoch, group, room
        self.prepare: Callable[[], None] | None = epoch.prepare
        self.summary: dict[str, Any] = {}

    def __call__(self) -> int:
        samples = self.epoch()
        if not self.summary:
            self._limit()
            samples = self.epoch()  # until the pages are those that are left
            self.summary = dict(self.epoch.summary)
        return samples

    def _limit(self) -> None:
        file = limit_file(self.group)
        assert file is not None
        lines = [line.split() for line in (self.group / "memory.stat").read_text().splitlines()]
        held = {name: int(size) for name, size in lines}
        own = sum(held.get(name, 0) for name in HELD[file.name])
        file.write_text(str(own + self.room))


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
    return Confined(getattr(import_module(module), function)(**options), Path(group), room)
