"""Writing a part's payloads to their places in the file of all parts, as far as no other part shares their edges."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ffprep.beton import layout, sections
from ffprep.beton.layout import BLOCK_SIZE
from ffprep.beton.writing.copying import place_all, runs
from ffprep.beton.writing.placement import Placement
from ffprep.beton.writing.unfinished import UNCOPIED, remedy, write_parts
from ffprep.common.files.writing_back import begin_writing
from ffprep.convert.clusters.records import PartRecord, Place
from ffprep.errors import ConversionError

EDGE = 1 << 16
"""Nodes write whole pieces of so many bytes; what a part has of others is in its record, and the command writes it.

So no two machines write to one page of memory, which not every shared file system puts together again.
"""

LOT = 1 << 21
"""Bytes that are gathered before they are written to their places: they are still in the processor's cache then."""

PIECE = 1 << 20
"""Bytes that are written and hashed at a time, of what was kept in memory or in a file."""

_ZEROS = memoryview(bytes(PIECE))

Numbers = npt.NDArray[np.int64]


@contextlib.contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Let errors of the system be a `ConversionError` that names a file."""
    try:
        yield
    except OSError as error:
        raise ConversionError(f"{path}: cannot write: {error.strerror}; {remedy(error)}") from error


def place_part(sizes: Numbers, alignments: Sequence[int], begin: Place, page_size: int | None) -> tuple[Numbers, Place]:
    """Find the places of a part's payloads.

    Parameters
    ----------
    sizes : ndarray of int64, shape (samples, fields)
    alignments : sequence of int
        Of the fields.
    begin : Place
    page_size : int, optional
        As in `Writer`.

    Returns
    -------
    offsets : ndarray of int64, shape (samples, fields)
    end : Place
    """
    if not sizes.size:
        return sizes, begin
    placement = _placement(begin, page_size)
    offsets, cursor = place_all(placement, sizes, alignments)
    return offsets, Place(cursor, placement.page_size)


def _placement(begin: Place, page_size: int | None) -> Placement:
    placement = Placement(begin.cursor, page_size)
    placement.page_size = begin.page_size
    return placement


class PlacedPayloads:
    """Writes a part's payloads to their places in the file of all parts, one lot after another.

    Parameters
    ----------
    path : Path
        The file of all parts.
    alignments, begin, page_size
        As for `place_part`.

    Attributes
    ----------
    gathered : int
        Bytes that wait to be written.

    Raises
    ------
    ConversionError
        The file is not there.
    """

    def __init__(self, path: Path, alignments: Sequence[int], begin: Place, page_size: int | None) -> None:
        self._path, self._alignments, self._page_size = path, alignments, page_size
        self._begin = begin
        self._placement = _placement(begin, page_size)
        self._first = layout.align_up(begin.cursor, EDGE)
        self._hasher = sections.BlockHasher(begin.cursor)  # its position is the end of what was written or kept
        self._parts: list[memoryview] = []
        self._small = bytearray()  # what follows the parts
        self.gathered = 0
        self._head, self._rest = bytearray(), b""
        with writing_to(path):
            self._file: int | None = os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    @property
    def end(self) -> Place:
        """Where the payloads so far end."""
        return Place(self._placement.cursor, self._placement.page_size)

    def end_with(self, sizes: Numbers) -> Place:
        """Where the payloads end if some of these sizes follow."""
        return place_part(sizes, self._alignments, self.end, self._page_size)[1]

    def append(self, payloads: Sequence[memoryview]) -> None:
        """Take the payloads of the next sample, to be written by `write_gathered`.

        Parameters
        ----------
        payloads : sequence of memoryview
            Each of at least a byte; those that may change are copied.

        Raises
        ------
        ConversionError
            A payload is larger than a page can be.
        """
        sizes = [(len(view), alignment) for view, alignment in zip(payloads, self._alignments, strict=True)]
        offsets, cursor = self._placement.plan(sizes)
        position = self._placement.cursor
        for offset, view in zip(offsets, payloads, strict=True):
            self._small += bytes(offset - position)
            if view.readonly and len(view) >= UNCOPIED:
                self._end_part()
                self._parts.append(view)
            else:
                self._small += view
            position = offset + len(view)
        self.gathered += cursor - self._placement.cursor
        self._placement.cursor = cursor

    def _end_part(self) -> None:
        if self._small:
            self._parts.append(memoryview(self._small))
            self._small = bytearray()

    def write_gathered(self) -> None:
        """Write what `append` took, but for the edges, which are kept for the record.

        Raises
        ------
        ConversionError
            The disk is full or fails, or the file has got its name or was removed.
        """
        self._end_part()
        self._write(self._parts, self.gathered)
        self._parts, self.gathered = [], 0

    def add(self, payloads: memoryview, sizes: Numbers) -> None:
        """Write the payloads of the next samples.

        Parameters
        ----------
        payloads : memoryview
            One after another, each of at least a byte.
        sizes : ndarray of int64, shape (samples, fields)

        Raises
        ------
        ConversionError
            As `write_gathered`.
        """
        self.write_gathered()
        if not sizes.size:
            return
        offsets, cursor = place_all(self._placement, sizes, self._alignments)
        for piece in _pieces(payloads, offsets, sizes, self._placement.cursor):
            self._write([piece], len(piece))
        self._placement.cursor = cursor

    def _write(self, parts: list[memoryview], size: int) -> None:
        if not size:
            return
        position = self._hasher.position
        head, rest = _split(parts, max(0, self._first - position))
        self._head += b"".join(head)
        begin = max(position, self._first) - len(self._rest)
        whole = max(0, position + size - begin) // EDGE * EDGE
        written, rest = _split([memoryview(self._rest), *rest], whole)
        with writing_to(self._path):
            assert self._file is not None
            if not os.path.samestat(self._path.stat(), os.fstat(self._file)):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if whole:
                write_parts(self._file, written, begin)
                begin_writing(self._file, begin, whole)
        self._rest = b"".join(rest)
        for part in parts:
            self._hasher.update(part)

    def finish(self, record: PartRecord) -> PartRecord:
        """Write what is left, and force what was written to the disk.

        Returns
        -------
        PartRecord
            With the place, the checksums of whole blocks, and the bytes at the edges, which are not written.

        Raises
        ------
        ConversionError
            As `write_gathered`.
        """
        self.write_gathered()
        begin = self._begin
        with writing_to(self._path):
            assert self._file is not None
            os.fsync(self._file)
        unfinished = begin.cursor // BLOCK_SIZE if begin.cursor % BLOCK_SIZE else -1  # what the part before has of it
        blocks = {begin.cursor // BLOCK_SIZE + number: digest for number, digest in enumerate(self._hasher.finished)}
        blocks.pop(unfinished, None)
        return replace(record, begin=begin, end=self.end, blocks=blocks, head=bytes(self._head), tail=self._rest)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _split(parts: Sequence[memoryview], size: int) -> tuple[list[memoryview], list[memoryview]]:
    """The first bytes of some parts, and the others."""
    first: list[memoryview] = []
    for number, part in enumerate(parts):
        if len(part) > size:
            return ([*first, part[:size]] if size else first), [part[size:], *parts[number + 1 :]]
        if len(part):
            first.append(part)
        size -= len(part)
    return first, []


def _pieces(payloads: memoryview, offsets: Numbers, sizes: Numbers, position: int) -> Iterator[memoryview]:
    """The bytes from `position` to the end of the last payload, in pieces: payloads, and zeros between them."""
    room = np.maximum(sizes, 1)
    sources = np.cumsum(room.reshape(-1)) - room.reshape(-1)
    for target, source, size in runs(offsets, sources, room):
        yield from _cut(_ZEROS, 0, target - position, repeated=True)
        yield from _cut(payloads, source, size)
        position = target + size


def _cut(data: memoryview, start: int, size: int, *, repeated: bool = False) -> Iterator[memoryview]:
    while size > 0:
        piece = data[start : start + min(size, PIECE)]
        yield piece
        size -= len(piece)
        start += 0 if repeated else len(piece)
