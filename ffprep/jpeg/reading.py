"""Reading many files in one call, without the interpreter's lock, into memory that is used again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ffprep.common.rooms import Rooms
from ffprep.jpeg.native import library

# As in native/files/files.h: what is in a row, and what became of a file.
_PATH, _FD, _OFFSET, _SIZE, _OUTCOME, _ROW = 0, 1, 2, 3, 5, 7
_READ, _NO_ROOM = 0, 1
_USUAL = 1 << 22
_rooms = Rooms()


class FileRead(NamedTuple):
    """A file that was read.

    Attributes
    ----------
    data : memoryview
        Its bytes, read-only.
    time : int
        When it was changed last, in nanoseconds; 0 for parts of an open file.
    """

    data: memoryview
    time: int


def read_whole_files(paths: Sequence[str], most: int) -> list[FileRead | None]:
    """Read regular files from the first to the last byte.

    Parameters
    ----------
    paths : sequence of str
    most : int
        Bytes of all together that are read at most.

    Returns
    -------
    list of FileRead or None
        None for files that are to be read one by one: beyond `most`, or because something is wrong with them, which is
        not said here. The results share memory, which is used again when none of them is left.
    """
    names = [os.fsencode(path) for path in paths]
    names = [b"" if b"\0" in name else name for name in names]
    text = np.frombuffer(b"\0".join(names) + b"\0", np.uint8)
    rows = np.zeros((len(names), _ROW), np.int64)
    lengths = np.fromiter(map(len, names), np.int64, len(names))
    rows[:, _PATH] = text.ctypes.data + np.cumsum(lengths + 1) - lengths - 1
    return _read(rows, most, _USUAL)


def read_parts(fds: Sequence[int], offsets: Sequence[int], sizes: Sequence[int], most: int) -> list[FileRead | None]:
    """Read parts of open files. For each a descriptor, its first byte and its bytes; see `read_whole_files`."""
    rows = np.zeros((len(fds), _ROW), np.int64)
    rows[:, _FD], rows[:, _OFFSET], rows[:, _SIZE] = fds, offsets, sizes
    needed = int(rows[:, _SIZE].sum()) if min(sizes, default=0) >= 0 else most
    return _read(rows, most, min(needed, most))


def _read(rows: NDArray[np.int64], most: int, room: int) -> list[FileRead | None]:
    found = _read_into(rows, min(room, most))
    waiting = np.flatnonzero(rows[:, _OUTCOME] == _NO_ROOM)
    if len(waiting):
        used = sum(len(read.data) for read in found if read is not None)
        ends = used + np.cumsum(rows[waiting, _SIZE] + 1)  # one byte more, by which a file's end is seen
        waiting = waiting[: int(np.searchsorted(ends, most, "right"))]
    if len(waiting):
        again = rows[waiting]
        for place, read in zip(
            waiting.tolist(), _read_into(again, int(again[:, _SIZE].sum()) + len(again)), strict=True
        ):
            found[place] = read
    return found


def _read_into(rows: NDArray[np.int64], size: int) -> list[FileRead | None]:
    out = _rooms.take(size)
    library().ffp_read_many(rows.ctypes.data, len(rows), out.ctypes.data, size)
    whole = out.data.toreadonly()
    return [
        FileRead(whole[begin : begin + length], time) if status == _READ else None
        for _, _, _, length, time, status, begin in rows.tolist()
    ]
