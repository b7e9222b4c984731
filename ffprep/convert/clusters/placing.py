"""A part of a conversion whose payloads a node writes to their places in the file that all parts make.

Where a payload lies follows from where the one before it ends, and from sizes. So a node keeps what it encoded in
memory until it is told where the part before ends, which is known as soon as that one is encoded, then writes it there,
and from then on each payload from where it was encoded (`PlacedPayloads`): nobody has to copy it. If it is not told in
time, the payloads go to a file of their own, from which a further task takes them. What else there is to know of a part
is in its record (`PartRecord`).
"""

from __future__ import annotations

import mmap
import os
import secrets
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from ffprep.beton import layout, sections
from ffprep.beton.writing.columns import RecordPacker
from ffprep.beton.writing.placement import Placement, payloads_of
from ffprep.common.files.writing_back import write_fully
from ffprep.convert.clusters.records import PartRecord, Place
from ffprep.convert.clusters.streaming import LOT, Numbers, PlacedPayloads, writing_to
from ffprep.errors import ConversionError
from ffprep.fields.base import Encoded, Field

HELD_BYTES = 1 << 28
"""Payloads that are kept in memory; of a part with more, all go to a file of their own."""

ASKED = 1 << 24
"""Bytes that are encoded between two times that it is asked where the part begins."""

_EMPTY = memoryview(bytes(1))
"""What is written of an empty payload."""

_buffers: list[memoryview] = []  # of earlier parts: memory that was used before costs the system nothing


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
        self._told, self._asked_next = told, 0
        self.placed: PlacedPayloads | None = None

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
        if self.placed is None and self._file is None and self._used >= self._asked_next:
            self._ask()
        views = [view if len(view) else _EMPTY for view in payloads.values()]
        if self.placed is None:
            for view in views:
                self._keep(view)
        elif views:
            self.placed.append(views)
            if self.placed.gathered >= LOT:
                self.placed.write_gathered()
        for index, view in payloads.items():
            self._sizes.append(len(view))
            checksum = sample[index].checksum
            self._sums.append(xxhash.xxh3_64_intdigest(view) if checksum is None else checksum)
        self._records += record
        self._names.append(sections.clean_name(name) if name else b"")
        self.num_written += 1

    def _ask(self) -> None:
        """Write what there is to its place, if that is known by now."""
        self.placed = self._told()
        if self.placed is None:
            self._asked_next = self._used + ASKED
            return
        self.placed.add(self._buffer[: self._used], self._all_sizes())
        self._used = 0

    def _all_sizes(self) -> Numbers:
        return np.array(self._sizes, np.int64).reshape(self.num_written, self._pointed())

    def _pointed(self) -> int:
        return sum(column.pointer is not None for column in self._packer.columns)

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
        return PartRecord(
            facts=dict(facts),
            sizes=self._all_sizes(),
            sums=np.array(self._sums, np.uint64),
            records=bytes(self._records),
            names=b"".join(name + b"\n" for name in self._names),
            notes=bytes(self.notes),
        )

    def end(self) -> Place | None:
        """Where the part ends, if it is at its place."""
        return None if self.placed is None else self.placed.end

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


def own_name(folder: Path) -> Path:
    """A name in a folder that no other process uses."""
    return folder / f"{secrets.token_hex(8)}.tmp"
