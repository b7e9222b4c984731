"""An open ``.beton`` file as its tables: sample records, allocation table, and where every payload lies."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ffprep.beton import layout
from ffprep.beton.opening.check import (
    OUTSIDE,
    MissingAllocation,
    bad_allocations,
    bad_extents,
    bad_metadata,
    is_plain,
    table_sizes,
)
from ffprep.beton.opening.head import AGAIN, open_beton, read_head
from ffprep.beton.opening.remote_head import local_place, read_remote_head
from ffprep.common.files.mapping import map_file
from ffprep.errors import BetonError, CorruptError, DecodeError, OptionError, TruncatedError
from ffprep.fields.base import UNKNOWN_SIZE
from ffprep.fields.ffcv_style import offset_members
from ffprep.jpeg.watching import watch_memory
from ffprep.remote import PAGE, PageSource

Self = TypeVar("Self", bound="BetonTables")


class BetonTables:
    """A memory-mapped ``.beton`` file, checked when it is opened. `Reader` adds values, names and sections.

    Parameters and attributes are described there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        custom_fields: Mapping[str, type[Any]] | None = None,
        *,
        check: bool = True,
    ) -> None:
        self.path = Path(local_place(path))
        self.guard: Callable[[str, int], None] | None = None
        self._custom_fields = dict(custom_fields or {})
        self._extents: dict[str, tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]] = {}
        with open_beton(self.path) as file:
            self.source: PageSource | None = getattr(file, "source", None)
            if self.source is None:
                self.head = read_head(file, self.path, self._custom_fields)
            else:
                try:
                    self.head = read_remote_head(file, self.source, self.path, self._custom_fields)
                except BaseException:
                    self.source.close()
                    raise
            self.data = map_file(file)
        self._watch = watch_memory(self, self.data, self.path)
        self.page_size = self.head.header.page_size
        self.num_samples = self.head.header.num_samples
        self.fields = self.head.fields
        self.superblock = self.head.superblock
        start, end = self.head.bounds.start, self.head.bounds.end
        self.table = self.data[end:].view(layout.ALLOCATION)
        self.records = self.data[layout.records_start(len(self.fields)) : start].view(self.head.record_type)
        for name in self._custom_fields.keys() & self.fields.keys():
            if self._pointer(name) is None:
                setattr(self.fields[name], "pointer", self._found_pointer(name))  # noqa: B010 - of this object alone
        if check:
            self._check_tables()

    def _found_pointer(self, name: str) -> str | None:
        """Return the member of a field's records that points at its payloads, for fields whose class does not say it.

        It is the first one whose values are all in the allocation table.
        """
        column, table = self.column(name), np.asarray(self.table["ptr"])
        for member in offset_members(self.fields[name].metadata_type) if len(column) else ():
            if np.isin(column[member] if member else column, table).all():
                return member
        return None

    def _check_tables(self) -> None:
        if self._take_plain():
            return
        for row, complaint in bad_allocations(self.table, self.head.bounds):
            byte = self.head.bounds.end + row * layout.ALLOCATION.itemsize
            raise CorruptError(f"{self.path}: byte {byte}: row {row} of the allocation table: {complaint}")
        for name in self.fields:
            self._check_column(name)
        pointed = [name for name in self.fields if self._pointer(name) is not None]
        if len(self.table) < self.num_samples * len(pointed):
            # Fewer rows than payloads: shared ones may have one row in all, otherwise the table is cut.
            for name in pointed:
                offset, size = self.extents(name)
                filled = np.flatnonzero(size)
                try:
                    table_sizes(self.table, offset[filled], 0, 0)
                except MissingAllocation as error:
                    raise self._missing(name, int(filled[error.sample]), error) from None

    def _take_plain(self) -> bool:
        """Note where all payloads are if both tables say it plainly, and are thereby right; return whether they do."""
        pointed = [name for name in self.fields if getattr(self.fields[name], "pointer", None) is not None]
        if not pointed or len(self.table) != self.num_samples * len(pointed):
            return False
        found = {}
        for rank, name in enumerate(pointed):
            rows = self.table[rank :: len(pointed)]
            plain = is_plain(self.column(name), self.fields[name], rows, self.head.bounds)
            if plain is None:
                return False
            found[name] = plain
        self._extents.update(found)
        return True

    def _check_column(self, name: str) -> None:
        for sample, complaint in bad_metadata(self.column(name), self.fields[name], self.head.bounds):
            raise CorruptError(
                f"{self.path}: byte {self._record_byte(name, sample)}: sample {sample}, field {name!r} {complaint}"
            )

    def _record_byte(self, name: str, sample: int) -> int:
        start = layout.records_start(len(self.fields)) + sample * self.head.record_type.itemsize
        member = f"f{self._index(name)}"
        assert self.head.record_type.fields is not None
        return start + int(self.head.record_type.fields[member][1])

    # -- columns and payloads --------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.num_samples

    def _index(self, name: str) -> int:
        for index, known in enumerate(self.fields):
            if known == name:
                return index
        raise OptionError(f"{self.path} has no field {name!r}; it has {', '.join(self.fields)}")

    def _pointer(self, name: str) -> str | None:
        pointer = getattr(self.fields[name], "pointer", None)
        return pointer if isinstance(pointer, str) else None

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return the metadata of a field, one record for each sample: a read-only view of the file.

        Integers and floats are their own metadata; images have members ``mode``, ``width``, ``height`` and
        ``data_ptr``.
        """
        column: npt.NDArray[Any] = self.records[f"f{self._index(name)}"]
        return column

    def payload_sizes(self, name: str) -> npt.NDArray[np.uint64]:
        """Return how many bytes each payload of a field has, as `extents` does."""
        return self.extents(name)[1]

    def extents(self, name: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Return where the payloads of a field are.

        Sizes come from the metadata where these state them (bytes, JSON, arrays, raw images), otherwise from the
        allocation table. Files whose empty values stock ffcv misreads are therefore read correctly.

        Returns
        -------
        offset, size : ndarray of uint64, shape (num_samples,)
            Bytes, counted from the start of the file and checked against its bounds. Read-only; views of the file's
            tables if these are in the order of the samples.

        Raises
        ------
        OptionError
            The field has no payload.
        CorruptError
            A payload is not in the allocation table, or not in the file.
        """
        if name not in self._extents:
            pointer = self._pointer(name) if name in self.fields else None
            if pointer is None:
                self._index(name)
                raise OptionError(f"{self.path}: field {name!r} has no payloads")
            offset, size = self._find_extents(name, pointer)
            offset.setflags(write=False)
            size.setflags(write=False)
            self._extents[name] = offset, size
        return self._extents[name]

    def _find_extents(self, name: str, pointer: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        column = self.column(name)
        offset = np.array(column[pointer] if pointer else column, np.uint64)
        known = self.fields[name].payload_sizes(column)
        size = np.full(len(column), UNKNOWN_SIZE) if known is None else np.array(known, np.uint64)
        asked = size == UNKNOWN_SIZE
        if asked.any():
            ranks = [other for other in self.fields if self._pointer(other) is not None]
            everywhere = bool(asked.all())
            try:
                found = table_sizes(
                    self.table,
                    offset if everywhere else offset[asked],
                    ranks.index(name),
                    len(ranks) if everywhere else 0,
                )
            except MissingAllocation as error:
                sample = error.sample if everywhere else int(np.flatnonzero(asked)[error.sample])
                raise self._missing(name, sample, error) from None
            size[asked] = found
        bad = bad_extents(offset, size, self.head.bounds)
        if bad.any():
            sample = int(np.flatnonzero(bad)[0])
            raise CorruptError(
                f"{self.path}: byte {self._record_byte(name, sample)}: sample {sample}, field {name!r} "
                f"points at {size[sample]} bytes at byte {offset[sample]}, {OUTSIDE}"
            )
        return offset, size

    def _missing(self, name: str, sample: int, error: MissingAllocation) -> BetonError:
        where = (
            f"{self.path}: byte {self._record_byte(name, sample)}: sample {sample}, field {name!r} points at "
            f"byte {error.offset}, for which the allocation table has"
        )
        if error.ambiguous:
            return CorruptError(f"{where} two sizes")
        return TruncatedError(f"{where} no row: is the file cut? If so, {AGAIN}")

    def _sample(self, index: int) -> int:
        number = operator.index(index)
        if number < 0:
            number += self.num_samples
        if not 0 <= number < self.num_samples:
            raise IndexError(f"{self.path} has samples 0 to {self.num_samples - 1}, not {index}")
        return number

    def payload(self, name: str, index: int) -> npt.NDArray[np.uint8]:
        """Return the bytes of one payload as a read-only view of the file."""
        offset, size = self.extents(name)
        sample = self._sample(index)
        start, length = int(offset[sample]), int(size[sample])
        if self.source is not None:
            self.source.need(start, length)
        if self.guard is not None:
            try:
                self.guard(name, sample)
            except DecodeError:
                if self.source is None or not self.source.doubt(np.array(self.source.pages_of(start, length))):
                    raise
                self.source.need(start, length)  # where the page was right when it came, and has changed on the disk
                self.guard(name, sample)
        return self.data[start : start + length]

    def beside(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        """Return some bytes that are not of payloads as a read-only view; a remote file's stay as its tables do."""
        if self.source is not None and end - start <= PAGE:
            self.source.keep((start, end - start))
            return self.data[start:end]
        return self.stored(start, end)

    def stored(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        """Return some bytes of the file as a read-only view; those of a remote file are fetched in whole pages."""
        if self.source is not None:
            self.source.need(start, end - start)
        return self.data[start:end]

    def close(self) -> None:
        """Let go of the file. Arrays that were handed out stay valid."""
        empty: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
        self.data = empty
        self.table = empty.view(layout.ALLOCATION)
        self.records = empty.view(self.head.record_type)
        self._extents.clear()
        self.guard = None
        if self.source is not None:
            self.source.close()
        self._watch()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self._custom_fields)
