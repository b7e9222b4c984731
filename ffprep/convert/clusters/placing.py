"""A part of a conversion whose payloads a node writes to their places in the file that all parts make.

Where a payload lies follows from where the one before it ends, and from sizes. So a node keeps what it encoded in
memory until it is told where the part before ends, which is known as soon as that one is encoded, then writes it there,
and what it encodes after that as well: nobody has to copy it. If it is not told in time, the payloads go to a file of
their own, from which a further task takes them. What else there is to know of a part is in its record (`PartRecord`).
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import secrets
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton import layout, sections
from ffprep.beton.layout import BLOCK_SIZE
from ffprep.beton.writing.columns import RecordPacker
from ffprep.beton.writing.copying import place_all, runs
from ffprep.beton.writing.journal import write_fully
from ffprep.beton.writing.placement import Placement, payloads_of
from ffprep.beton.writing.unfinished import remedy
from ffprep.convert.clusters.records import PartRecord, Place
from ffprep.errors import ConversionError
from ffprep.fields.base import Encoded, Field

HELD_BYTES = 1 << 28
"""Payloads that are kept in memory; of a part with more, all go to a file of their own."""

EDGE = 1 << 16
"""Nodes write whole pieces of so many bytes; what a part has of others is in its record, and the command writes it.

So no two machines write to one page of memory, which not every shared file system puts together again.
"""

LOT = 1 << 22
"""Bytes that are gathered before they are written to their places."""

ASKED = 1 << 24
"""Bytes that are encoded between two times that it is asked where the part begins."""

PIECE = 1 << 20
"""Bytes that are hashed and then written: they are still in the processor's cache."""

_ZEROS = memoryview(bytes(PIECE))
_buffers: list[memoryview] = []  # of earlier parts: memory that was used before costs the system nothing

Numbers = npt.NDArray[np.int64]


class SharedValueError(Exception):
    """A value's payload is shared with other samples, so that its place does not follow from sizes."""


class HeldPart:
    """Takes the samples of a part as a `Writer` does, and keeps them.

    Parameters
    ----------
    fields : mapping of name to Field
    page_size : int, optional
        As in `Writer`.
    overflow : Path
        The file of payloads for which there is no room in memory.
    told : callable, optional
        Returns what writes the payloads to their places, once it is known where the part begins, and None before.
    """

    def __init__(
        self,
        fields: Mapping[str, Field],
        page_size: int | None,
        overflow: Path,
        told: Callable[[], PlacedPayloads | None] = lambda: None,
    ) -> None:
        self.notes = bytearray()
        self.num_written = 0
        self.overflow = overflow
        self._packer = RecordPacker(fields)
        self._page_size = page_size
        self._sizes, self._sums = array("q"), array("Q")
        self._records = bytearray()
        self._names: list[bytes] = []
        self._buffer = _buffers.pop() if _buffers else np.empty(HELD_BYTES, np.uint8).data
        self._used = self._spilled = 0
        self._file: int | None = None
        self._told, self._next_lot = told, 0
        self.placed: PlacedPayloads | None = None
        self._num_placed = 0

    def write(self, sample: Sequence[Encoded], name: str = "") -> None:
        """Add a sample.

        Raises
        ------
        ConversionError
            It does not fit the fields or a page.
        SharedValueError
        """
        columns = self._packer.columns
        try:
            if len(sample) != len(columns):
                raise ConversionError(f"{len(sample)} values for {len(columns)} fields")
            payloads = payloads_of(columns, sample)
            if any(sample[index].key is not None for index in payloads):
                raise SharedValueError
            if sum(map(len, payloads.values())) > layout.MIN_PAGE_SIZE:  # only then it may not fit
                sizes = [(len(view), columns[index].alignment) for index, view in payloads.items()]
                Placement(0, self._page_size).plan(sizes)
            record = self._packer.pack(sample, {})
        except ConversionError as error:
            label = f"sample {self.num_written}" + (f" ({name})" if name else "")
            raise ConversionError(f"{label}: {error}") from error
        if self.placed is not None:
            self._make_room(sum(max(1, len(view)) for view in payloads.values()))
        for index, view in payloads.items():
            self._keep(view if len(view) else _ZEROS[:1])
            self._sizes.append(len(view))
            checksum = sample[index].checksum
            self._sums.append(xxhash.xxh3_64_intdigest(view) if checksum is None else checksum)
        self._records += record
        self._names.append(sections.clean_name(name) if name else b"")
        self.num_written += 1
        if self._used >= self._next_lot:
            self._place_lot()

    def _place_lot(self) -> None:
        if self._file is None and self.placed is None:
            self.placed = self._told()
        if self.placed is None:
            self._next_lot = self._used + ASKED
            return
        self.placed.add(self._buffer[: self._used], self._sizes_left())
        self._num_placed, self._used, self._next_lot = self.num_written, 0, LOT

    def _sizes_left(self) -> Numbers:
        pointed = self._pointed()
        sizes = np.array(self._sizes[self._num_placed * pointed :], np.int64)
        return sizes.reshape(self.num_written - self._num_placed, pointed)

    def _pointed(self) -> int:
        return sum(column.pointer is not None for column in self._packer.columns)

    def _make_room(self, size: int) -> None:
        """Let a sample have room in memory, since the places of its payloads are found together."""
        if self._used + size > len(self._buffer):
            self._place_lot()
        if size > len(self._buffer):
            self._buffer = np.empty(size, np.uint8).data

    def _keep(self, view: memoryview) -> None:
        if self._used + len(view) > len(self._buffer):
            self._spill()
        if len(view) > len(self._buffer):
            self._append(view)
            return
        self._buffer[self._used : self._used + len(view)] = view
        self._used += len(view)

    def _spill(self) -> None:
        self._append(self._buffer[: self._used])
        self._used = 0

    def _append(self, view: memoryview) -> None:
        with writing_to(self.overflow):
            if self._file is None:
                self._file = os.open(self.overflow, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            write_fully(self._file, view, self._spilled)
        self._spilled += len(view)

    @property
    def in_memory(self) -> bool:
        """Whether all payloads are in memory."""
        return self._file is None

    def payloads(self) -> memoryview:
        """The payloads one after another, each of at least a byte."""
        if self._file is None:
            return self._buffer[: self._used]
        self._spill()
        return mapped(self._file)

    def to_file(self) -> Path:
        """Force the payloads to a file of their own, and return it."""
        self._spill()
        assert self._file is not None
        with writing_to(self.overflow):
            os.fsync(self._file)
        return self.overflow

    def record(self, facts: Mapping[str, Any]) -> PartRecord:
        """What is to be known of the part, which has no place yet."""
        count, pointed = self.num_written, self._pointed()
        return PartRecord(
            facts=dict(facts),
            sizes=np.array(self._sizes, np.int64).reshape(count, pointed),
            sums=np.array(self._sums, np.uint64),
            records=bytes(self._records),
            names=b"".join(name + b"\n" for name in self._names),
            notes=bytes(self.notes),
        )

    def end(self) -> Place | None:
        """Where the part ends, if some of it is at its place."""
        return None if self.placed is None else self.placed.end_with(self._sizes_left())

    def finish(self, record: PartRecord) -> PartRecord:
        """Write what is left of a part of which some is at its place; see `PlacedPayloads.finish`."""
        assert self.placed is not None
        self._place_lot()
        return self.placed.finish(record)

    def close(self) -> None:
        """Let go of memory and files."""
        if self.placed is not None:
            self.placed.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None
        _buffers[:] = [self._buffer]


def mapped(descriptor: int) -> memoryview:
    """The content of an open file, in the system's memory."""
    size = os.fstat(descriptor).st_size
    return memoryview(mmap.mmap(descriptor, size, prot=mmap.PROT_READ) if size else b"")


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
    placement = Placement(begin.cursor, page_size)
    placement.page_size = begin.page_size
    offsets, cursor = place_all(placement, sizes, alignments)
    return offsets, Place(cursor, placement.page_size)


class PlacedPayloads:
    """Writes a part's payloads to their places in the file of all parts, one lot after another.

    Parameters
    ----------
    path : Path
        The file of all parts.
    alignments, begin, page_size
        As for `place_part`.

    Raises
    ------
    ConversionError
        The file is not there.
    """

    def __init__(self, path: Path, alignments: Sequence[int], begin: Place, page_size: int | None) -> None:
        self._path, self._alignments, self._page_size = path, alignments, page_size
        self._begin = self._end = begin
        self._first = layout.align_up(begin.cursor, EDGE)
        self._hasher = sections.BlockHasher(begin.cursor)
        self._head, self._rest = bytearray(), bytearray()
        with writing_to(path):
            self._file: int | None = os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def end_with(self, sizes: Numbers) -> Place:
        """Where the payloads end if some of these sizes follow."""
        return place_part(sizes, self._alignments, self._end, self._page_size)[1]

    def add(self, payloads: memoryview, sizes: Numbers) -> None:
        """Write the payloads of the next samples; those at the edges are kept for the record.

        Parameters
        ----------
        payloads : memoryview
            One after another, each of at least a byte.
        sizes : ndarray of int64, shape (samples, fields)

        Raises
        ------
        ConversionError
            The disk is full or fails, or the file has got its name or was removed.
        """
        if not sizes.size:
            return
        offsets, end = place_part(sizes, self._alignments, self._end, self._page_size)
        with writing_to(self._path):
            assert self._file is not None
            if not os.path.samestat(self._path.stat(), os.fstat(self._file)):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            position = self._end.cursor
            for piece in _pieces(payloads, offsets, sizes, position):
                self._hasher.update(piece)
                self._write(self._file, piece, position)
                position += len(piece)
        self._end = end

    def _write(self, file: int, piece: memoryview, position: int) -> None:
        inner = min(max(0, self._first - position), len(piece))
        self._head += piece[:inner]
        rest = self._rest
        if rest:
            begun = position - len(rest)
            taken = min(EDGE - len(rest), len(piece))
            rest += piece[:taken]
            inner = taken
            if len(rest) == EDGE:
                write_fully(file, memoryview(bytes(rest)), begun)
                rest.clear()
        whole = inner + (len(piece) - inner) // EDGE * EDGE
        write_fully(file, piece[inner:whole], position + inner)
        rest += piece[whole:]

    def finish(self, record: PartRecord) -> PartRecord:
        """Force what was written to the disk.

        Returns
        -------
        PartRecord
            With the place, the checksums of whole blocks, and the bytes at the edges, which are not written.

        Raises
        ------
        ConversionError
            The disk is full or fails.
        """
        begin = self._begin
        with writing_to(self._path):
            assert self._file is not None
            os.fsync(self._file)
        unfinished = begin.cursor // BLOCK_SIZE if begin.cursor % BLOCK_SIZE else -1  # what the part before has of it
        blocks = {begin.cursor // BLOCK_SIZE + number: digest for number, digest in enumerate(self._hasher.finished)}
        blocks.pop(unfinished, None)
        return replace(
            record, begin=begin, end=self._end, blocks=blocks, head=bytes(self._head), tail=bytes(self._rest)
        )

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _pieces(payloads: memoryview, offsets: Numbers, sizes: Numbers, position: int) -> Iterator[memoryview]:
    """The bytes from `position` to the end of the last payload, in pieces: payloads, and zeros between them."""
    room = np.maximum(sizes, 1)
    sources = np.cumsum(room.reshape(-1)) - room.reshape(-1)
    for _, target, source, size in runs(offsets, sources, room):
        yield from _cut(_ZEROS, 0, target - position, repeated=True)
        yield from _cut(payloads, source, size)
        position = target + size


def _cut(data: memoryview, start: int, size: int, *, repeated: bool = False) -> Iterator[memoryview]:
    while size > 0:
        piece = data[start : start + min(size, PIECE)]
        yield piece
        size -= len(piece)
        start += 0 if repeated else len(piece)


def own_name(folder: Path) -> Path:
    """A name in a folder that no other process uses."""
    return folder / f"{secrets.token_hex(8)}.tmp"
