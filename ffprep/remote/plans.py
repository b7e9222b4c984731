"""What each user of a remote file needs of it, and when, so that others remove nothing that is needed sooner.

A user is a reader of a process. It keeps a file that all processes map::

    0    magic "FFPPLAN2"   u8 the batch it is at   u8 pages of the file
    24   who it is (`ffprep.common.files.locking.Holder`), ended by a zero
    512  for each page: u4 the batch that needs it next, `NEVER` where that is not known
    ...  for each page: u2 how often it is held: by batches under way, or as a table
    ...  for each page: u2 how often it is kept ahead: by batches to come, until somebody waits for another page

The file of a user that has ended is removed by whoever meets it.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ffprep.common.files.locking import Holder
from ffprep.common.files.mapping import map_file
from ffprep.common.files.replacing import naming
from ffprep.common.files.source_files import open_binary, read_file
from ffprep.errors import SourceError
from ffprep.remote.holes import take_room

NEVER = 0xFFFFFFFF
FURTHEST = 1 << 40
"""Distance of a page whose next use nobody knows."""

_MAGIC = b"FFPPLAN2"
_HEAD = struct.Struct("<8sQQ")
_START = 512
_SUFFIX = ".plan"

Counts = npt.NDArray[np.uint16]


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
    held, ahead : ndarray of uint16, shape (pages,)
    """

    def __init__(self, place: Path, count: int) -> None:
        self.number = int.from_bytes(os.urandom(8), "little") | 1
        self.path = path_of(place, self.number)
        self.path.parent.mkdir(exist_ok=True, mode=0o700)
        head = _HEAD.pack(_MAGIC, 0, count) + Holder.this_process().text().encode()[: _START - _HEAD.size - 1]
        with naming(self.path), self.path.open("x+b") as file:
            file.write(head.ljust(_START, b"\0") + b"\xff" * (4 * count))
            file.flush()
            try:
                take_room(file.fileno(), _START + 8 * count)
            except OSError:
                self.end()
                raise
            self._data = map_file(file, writable=True)
        self._now = self._data[8:16].view("<u8")
        self.next, self.held, self.ahead = _parts(self._data, count)

    def go_to(self, batch: int) -> None:
        """Say which batch the user is at."""
        self._now[0] = batch

    def end(self) -> None:
        """Need nothing any more."""
        self.path.unlink(missing_ok=True)


def path_of(place: Path, number: int) -> Path:
    """Return where a user's plan is."""
    return place / "users" / f"{number:016x}{_SUFFIX}"


def _parts(data: npt.NDArray[np.uint8], count: int) -> tuple[npt.NDArray[np.uint32], Counts, Counts]:
    counts = data[_START + 4 * count :].view("<u2")
    return data[_START : _START + 4 * count].view("<u4"), counts[:count], counts[count:]


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

    def needs(self, count: int, *, waiting: bool = False) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """Return which pages somebody holds, and in how many batches each is needed next by anybody.

        Parameters
        ----------
        count : int
            Pages of the file.
        waiting : bool
            Whether somebody waits for the room: then pages that are only kept ahead are not held.
        """
        held, away = np.zeros(count, np.bool_), np.full(count, FURTHEST, np.int64)
        for path in self.live():
            try:
                data = np.frombuffer(read_file(path, _START + 8 * count), np.uint8)
            except (OSError, SourceError):
                continue
            if len(data) != _START + 8 * count or data[:8].tobytes() != _MAGIC:
                continue
            batches, counts, ahead = _parts(data, count)
            held |= counts > 0
            if not waiting:
                held |= ahead > 0
            known = batches != NEVER
            distance = batches[known].astype(np.int64) - min(int(data[8:16].view("<u8")[0]), FURTHEST)
            away[known] = np.minimum(away[known], np.maximum(distance, 0))
        return held, away


def is_live(path: Path) -> bool:
    """Whether the user of a plan has not ended, as far as this machine can tell."""
    try:
        with open_binary(path) as file:
            text = file.read(_START)[_HEAD.size :].partition(b"\0")[0].decode("utf-8", "replace")
    except (OSError, SourceError):
        return False
    holder = Holder.parse(text)
    return holder is not None and not holder.ended()
