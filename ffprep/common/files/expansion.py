"""Bounds on what compressed data may grow to: a few bytes can stand for any number of others."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import IO, cast

from ffprep.common.formatting import size_text
from ffprep.errors import SourceError

FREE = 1 << 28
"""Bytes that any compressed file may unpack to."""

DENSEST = 250
"""How many times as large as the compressed file its content may be, beyond `FREE`. Text shrinks 3 to 10 times."""

_allowed = [DENSEST]

STEP = 4096
"""Bytes of a member of a zip archive to ask for at a time: zipfile unpacks LZMA without a bound, but takes in no more
than it is asked for, or this."""


@contextlib.contextmanager
def allowing(times: int) -> Iterator[None]:
    """Let files unpack to so many times their size, in this process, rather than to `DENSEST` times."""
    _allowed.append(times)
    try:
        yield
    finally:
        _allowed.pop()


def too_dense(unpacked: int, packed: int, free: int | None = None) -> bool:
    """Whether so many bytes are more than so many compressed ones may stand for, beyond `free` (by default `FREE`)."""
    return unpacked > (FREE if free is None else free) and unpacked > _allowed[-1] * packed


class Counted(io.RawIOBase):
    """A raw file, and how many bytes were read of it: `count`."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        got = self._raw.readinto(cast(bytearray, buffer)) or 0
        self.count += got
        return got


class Expanding(io.RawIOBase):
    """What a decompressor gives, as long as it is not much more than what it takes in.

    Parameters
    ----------
    opened : binary file
        Gives the content; it is closed with this file.
    taken : callable
        Returns how many compressed bytes were read.
    label : str
        Name of the file in error messages.
    """

    def __init__(self, opened: IO[bytes], taken: Callable[[], int], label: str) -> None:
        self._opened = opened
        self._taken = taken
        self._label = label
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer)).cast("B")
        try:
            data = self._opened.read(len(view))
        except MemoryError:
            raise SourceError(f"{self._label}: unpacking it needs more memory than there is; is it damaged?") from None
        view[: len(data)] = data
        self._given += len(data)
        if too_dense(self._given, self._taken()):
            raise SourceError(
                f"{self._label}: the first {size_text(self._taken())} unpack to more than {size_text(self._given)}, as "
                "no data set does; if that is right, unpack the file and give what comes out, or allow it with "
                "--max-expansion"
            )
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._opened.close()
        super().close()


def expanding(opened: IO[bytes], taken: Callable[[], int], label: str) -> io.BufferedReader:
    """Return a decompressor's content as a buffered file that refuses to grow out of proportion; see `Expanding`."""
    return io.BufferedReader(Expanding(opened, taken, label), 1 << 18)


def read_member(file: IO[bytes], most: int) -> bytes:
    """Read a member of a zip archive, up to `most` bytes, in small steps; see `STEP`."""
    pieces, size = [], 0
    while size < most and (piece := file.read(min(STEP, most - size))):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
