"""What each user of a remote file needs of it, and when, so that others remove nothing that is needed sooner.

A user is a reader of a process. It keeps a file that all processes map::

    0    magic "FFPPLAN3"   u8 the batch it is at   u8 pages of the file
    24   who it is (`ffprep.common.files.locking.Holder`), ended by a zero
    512  for each page: u4 the batch that needs it next, `NEVER` where that is not known
    ...  for each page: u2 how often it is held, by batches under way
    ...  for each page: u2 how often it is held ahead: by batches to come, until somebody waits for another page
    ...  for each page: u2 whether its parts are kept, which are of a table

The file of a user that has ended is removed by whoever meets it.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ffprep.common.files.holes import take_room
from ffprep.common.files.locking import Holder
from ffprep.common.files.mapping import map_file
from ffprep.common.files.replacing import naming
from ffprep.common.files.source_files import open_binary, read_file
from ffprep.errors import SourceError

NEVER = 0xFFFFFFFF
FURTHEST = 1 << 40
"""Distance of a page whose next use nobody knows."""

_MAGIC = b"FFPPLAN3"
_HEAD = struct.Struct("<8sQQ")
_START = 512
_EACH = 10
_SUFFIX = ".plan"

Counts = npt.NDArray[np.uint16]
Flags = npt.NDArray[np.bool_]


class Plan:
    """A user's own plan.

    Parameters
    ----------
    place : Path
        Folder of the file.
    count : int
        Pages.

    Attributes
    ----------
    number : int
        Names the user.
    next : ndarray of uint32, shape (pages,)
    held, ahead, kept : ndarray of uint16, shape (pages,)
    """

    def __init__(self, place: Path, count: int) -> None:
        self.number = int.from_bytes(os.urandom(8), "little") | 1
        self._pid = os.getpid()
        self.path = path_of(place, self.number)
        self.path.parent.mkdir(exist_ok=True, mode=0o700)
        head = _HEAD.pack(_MAGIC, 0, count) + Holder.this_process().text().encode()[: _START - _HEAD.size - 1]
        with naming(self.path), self.path.open("x+b") as file:
            file.write(head.ljust(_START, b"\0") + b"\xff" * (4 * count))
            file.flush()
            try:
                take_room(file.fileno(), _START + _EACH * count)
            except OSError:
                self.end()
                raise
            self._data = map_file(file, writable=True)
        self._now = self._data[8:16].view("<u8")
        self.next, self.held, self.ahead, self.kept = _columns(self._data, count)

    def go_to(self, batch: int) -> None:
        """Say which batch the user is at."""
        self._now[0] = batch

    def end(self) -> None:
        """Need nothing any more. A process that was forked from the user's leaves it alone."""
        if self._pid == os.getpid():
            self.path.unlink(missing_ok=True)


def path_of(place: Path, number: int) -> Path:
    """Return where a user's plan is."""
    return place / "users" / f"{number:016x}{_SUFFIX}"


def _columns(data: npt.NDArray[np.uint8], count: int) -> tuple[npt.NDArray[np.uint32], Counts, Counts, Counts]:
    held, ahead, kept = data[_START + 4 * count :].view("<u2").reshape(3, count)
    return data[_START : _START + 4 * count].view("<u4"), held, ahead, kept


class Plans:
    """The plans of all users of a file.

    Parameters
    ----------
    place : Path
        Folder of the file.
    """

    def __init__(self, place: Path) -> None:
        self._folder = place / "users"

    def live(self) -> list[Path]:
        """Return the plans of users that have not ended; those of others are removed."""
        found = []
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX):
                    path = self._folder / entry.name
                    if is_live(path):
                        found.append(path)
                    else:
                        with contextlib.suppress(OSError):  # a folder, which is nobody's plan
                            path.unlink(missing_ok=True)
        return found

    def needs(self, count: int, *, waiting: bool = False) -> tuple[Flags, Flags, npt.NDArray[np.int64]]:
        """Return which pages somebody holds, of which the parts are kept, and in how many batches each is needed next.

        Parameters
        ----------
        count : int
            Pages of the file.
        waiting : bool
            Whether somebody waits for the room: then pages that are only held ahead are not held.
        """
        held, kept, away = np.zeros(count, np.bool_), np.zeros(count, np.bool_), np.full(count, FURTHEST, np.int64)
        for path in self.live():
            try:
                data = np.frombuffer(read_file(path, _START + _EACH * count), np.uint8)
            except (OSError, SourceError):
                continue
            if len(data) != _START + _EACH * count or data[:8].tobytes() != _MAGIC:
                continue
            batches, counts, ahead, tables = _columns(data, count)
            held |= counts > 0
            kept |= tables > 0
            if not waiting:
                held |= ahead > 0
            known = batches != NEVER
            distance = batches[known].astype(np.int64) - min(int(data[8:16].view("<u8")[0]), FURTHEST)
            away[known] = np.minimum(away[known], np.maximum(distance, 0))
        return held, kept, away


def is_live(path: Path) -> bool:
    """Whether the user of a plan has not ended, as far as this machine can tell."""
    try:
        with open_binary(path) as file:
            text = file.read(_START)[_HEAD.size :].partition(b"\0")[0].decode("utf-8", "replace")
    except (OSError, SourceError):
        return False
    holder = Holder.parse(text)
    return holder is not None and not holder.ended()
