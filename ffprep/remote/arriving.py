"""What the pages of a remote file are compared with when they arrive, and what of them is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.common.files.writing_back import write_fully
from ffprep.remote.states import PAGE, PART, Flags, page_bytes, runs

Piece = tuple[int, int]
"""First byte and end."""


class PageSums:
    """The checksums of a file's pages.

    Parameters
    ----------
    count : int
        Pages.
    pieces : sequence of (int, int)
        First byte and end of what each checksum is of, at most one piece in a page.
    sums : sequence of int
        The xxh3-64 of each.

    Attributes
    ----------
    covered : ndarray of bool, shape (pages,)
        Which pages have one.
    """

    def __init__(self, count: int, pieces: Sequence[tuple[int, int]] = (), sums: Sequence[int] = ()) -> None:
        self._known = {
            start // PAGE: (start, end, number)
            for (start, end), number in zip(pieces, sums, strict=True)
            if end > start
        }
        self.covered: npt.NDArray[np.bool_] = np.zeros(count, np.bool_)
        self.covered[list(self._known)] = True

    def fit(self, page: int, data: bytes) -> bool | None:
        """Whether the bytes of a page are right; None for one without a checksum."""
        if page not in self._known:
            return None
        start, end, number = self._known[page]
        return xxhash.xxh3_64_intdigest(memoryview(data)[start - page * PAGE : end - page * PAGE]) == number

    def right_on_disk(self, path: Path, page: int, size: int) -> bool:
        """Whether a page of a sparse file of `size` bytes has a checksum and fits it."""
        with path.open("rb") as file:
            return self.fit(page, os.pread(file.fileno(), page_bytes(page, size), page * PAGE)) is True

    def pieces(self, page: int, parts: Flags, right: bool) -> list[Piece]:
        """Return what of a page that came is to be written, as first byte and end in the page.

        Parts that are here were compared with the checksums of the tables, which those of pages do not cover. They are
        not written again, unless it is what the page's own checksum is of.

        Parameters
        ----------
        page : int
        parts : ndarray of bool
            Which parts are here.
        right : bool
            Whether the page fits its checksum.
        """
        found = spans(~parts)
        if right and parts.any() and page in self._known:
            start, end, _ = self._known[page]
            found.append((start - page * PAGE, end - page * PAGE))
        return found


def spans(parts: Flags) -> list[Piece]:
    """Return the rows of some parts of a page, as first byte and end in the page."""
    return [(first * PART, last * PART) for first, last in runs(parts)]


def write_pieces(path: Path, start: int, data: bytes, pieces: Iterable[Piece]) -> None:
    """Write pieces of what came to a sparse file.

    Parameters
    ----------
    path : Path
    start : int
        Byte of the file at which `data` begin.
    data : bytes
    pieces : iterable of (int, int)
        First byte and end of each in `data`; what is beyond their end is left out.

    Raises
    ------
    OSError
        The disk is full or fails.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for first, end in pieces:
            write_fully(descriptor, memoryview(data)[first:end], start + first)
    finally:
        os.close(descriptor)
