"""Reading ``.beton`` files, one's own and stock ffcv's, without trusting a byte of them."""

from __future__ import annotations

import json
import operator
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton import layout
from ffprep.beton.check import (
    OUTSIDE,
    MissingAllocation,
    bad_allocations,
    bad_extents,
    bad_metadata,
    table_sizes,
)
from ffprep.beton.head import AGAIN, read_head
from ffprep.beton.sections import MAX_NAME
from ffprep.errors import (
    BetonError,
    CorruptError,
    DecodeError,
    NotABetonError,
    OptionError,
    TruncatedError,
)
from ffprep.fields.base import UNKNOWN_SIZE

if TYPE_CHECKING:
    from ffprep.beton.seek_index import SeekIndex


class Reader:
    """A ``.beton`` file, checked when it is opened.

    The file is memory-mapped. Opening looks at every row of its tables once, in constant memory, and makes
    no Python object a sample.

    Parameters
    ----------
    path : str or Path
    custom_fields : mapping of name to Field subclass, optional
        Classes of the fields whose type is not one of ffcv's seven.
    check : bool
        Whether to look at every row when opening. Without it only the header, the descriptors and the sizes
        are checked; `extents` still bounds what it returns.

    Attributes
    ----------
    path : Path
    page_size, num_samples : int
    fields : dict of str to Field
    head : Head
        What the file's head says.
    data : ndarray of uint8
        The whole file, read-only.
    table : ndarray of ``layout.ALLOCATION``
        The allocation table, read-only.
    records : ndarray
        The sample records, one member ``f0``, ``f1``, ... a field, read-only.
    superblock : Superblock or None
        None for files that ffprep did not write.
    seek_index : SeekIndex or None
        Where decoding of its JPEGs can begin, once a loader has set it.
    manifest : dict or None
        Where the data came from and how they were converted; None for files that ffprep did not write.

    Raises
    ------
    NotABetonError, UnfinishedError, TruncatedError, CorruptError
        The file cannot be used; the message names the byte.
    OSError
        The file cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        custom_fields: Mapping[str, type[Any]] | None = None,
        *,
        check: bool = True,
    ) -> None:
        self.path = Path(path)
        self._custom_fields = dict(custom_fields or {})
        self._extents: dict[str, tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]] = {}
        self._names: tuple[bytes, npt.NDArray[np.int64]] | None = None
        self._manifest: dict[str, Any] | None = None
        if self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
            raise NotABetonError(f"{self.path}: not a .beton file: it is a pipe or a device")
        with self.path.open("rb") as file:
            self.head = read_head(file, self.path, self._custom_fields)
            self.data: npt.NDArray[np.uint8] = np.asarray(np.memmap(file, np.uint8, "r"))
        self.seek_index: SeekIndex | None = None
        self.page_size = self.head.header.page_size
        self.num_samples = self.head.header.num_samples
        self.fields = self.head.fields
        self.superblock = self.head.superblock
        start, end = self.head.bounds.start, self.head.bounds.end
        self.table = self.data[end:].view(layout.ALLOCATION)
        self.records = self.data[layout.records_start(len(self.fields)) : start].view(self.head.record_type)
        if check:
            self._check_tables()

    def _check_tables(self) -> None:
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
        """Return the metadata of a field: one record a sample, memory-mapped, read-only.

        Integers and floats are their own metadata; images have members ``mode``, ``width``, ``height`` and
        ``data_ptr``.
        """
        column: npt.NDArray[Any] = self.records[f"f{self._index(name)}"]
        return column

    def extents(self, name: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Return where the payloads of a field lie.

        Sizes come from the metadata where they tell (bytes, JSON, arrays, raw images) and from the
        allocation table otherwise, so that files in which stock ffcv misreads empty values are read right.

        Returns
        -------
        offset, size : ndarray of uint64, shape (num_samples,)
            Absolute bytes of the file, checked against its bounds.

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
        """Return the bytes of one payload: a read-only view of the file."""
        offset, size = self.extents(name)
        sample = self._sample(index)
        start = int(offset[sample])
        return self.data[start : start + int(size[sample])]

    def value(self, name: str, index: int) -> Any:
        """Return one value: int, float, bytes, array, JSON object, JPEG bytes, or raw pixels (h, w, 3).

        Raises
        ------
        DecodeError
            The payload is not what the field says.
        """
        sample = self._sample(index)
        record = self.column(name)[sample]
        payload = self.payload(name, sample) if self._pointer(name) is not None else None
        try:
            return self.fields[name].decode(record, payload)
        except (DecodeError, ValueError) as error:
            raise DecodeError(f"{self.path}: {self.sample_label(sample)}, field {name!r}: {error}") from error

    def sample(self, index: int) -> dict[str, Any]:
        """Return all values of one sample."""
        return {name: self.value(name, index) for name in self.fields}

    # -- ffprep's own sections -------------------------------------------------------------------------

    def section(self, name: str) -> bytes | None:
        """Return one of ffprep's sections, or None.

        Raises
        ------
        CorruptError
            Its checksum is wrong.
        """
        for entry in self.superblock.sections if self.superblock else ():
            if entry.name == name:
                content = self.data[entry.offset : entry.offset + entry.size].tobytes()
                if xxhash.xxh3_64_intdigest(content) != entry.checksum:
                    raise CorruptError(f"{self.path}: byte {entry.offset}: section {name!r} does not fit its checksum")
                return content
        return None

    @property
    def manifest(self) -> dict[str, Any] | None:
        if self._manifest is None:
            content = self.section("manifest")
            if content is None:
                return None
            try:
                parsed = json.loads(content.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                raise CorruptError(f"{self.path}: the manifest is not JSON: {error}") from error
            if not isinstance(parsed, dict):
                raise CorruptError(f"{self.path}: the manifest is not a JSON object")
            self._manifest = parsed
        return self._manifest

    def _name_lines(self) -> tuple[bytes, npt.NDArray[np.int64]] | None:
        """Return all names, one a line, and where each line ends: 30 bytes a sample, not 100."""
        if self._names is None:
            content = self.section("names")
            if content is None:
                return None
            try:
                expand = zlib.decompressobj()
                text = expand.decompress(content, self.num_samples * (MAX_NAME + 1) + 1)
                text.decode("utf-8")
            except (zlib.error, UnicodeDecodeError) as error:
                raise CorruptError(f"{self.path}: the list of sample names is damaged: {error}") from error
            ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
            if len(ends) != self.num_samples or not expand.eof or (len(text) and text[-1:] != b"\n"):
                raise CorruptError(f"{self.path}: the list of sample names has another length than the file")
            self._names = text, ends
        return self._names

    def sample_names(self) -> list[str] | None:
        """Return the samples' names in their source, or None where the file does not hold them."""
        names = self._name_lines()
        return None if names is None else names[0].decode("utf-8").split("\n")[:-1]

    def sample_name(self, index: int) -> str:
        """Return a sample's name in its source, or an empty string where the file does not hold it."""
        sample = self._sample(index)
        names = self._name_lines()
        if names is None:
            return ""
        start = int(names[1][sample - 1]) + 1 if sample else 0
        return names[0][start : int(names[1][sample])].decode("utf-8")

    def sample_label(self, index: int) -> str:
        """Return ``sample 7 (n01440764_18.JPEG)``, or ``sample 7`` where there are no names."""
        name = self.sample_name(index)
        return f"sample {index} ({name})" if name else f"sample {index}"

    def close(self) -> None:
        """Let go of the file. Arrays handed out before stay valid."""
        self.seek_index = None
        empty: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
        self.data = empty
        self.table = empty.view(layout.ALLOCATION)
        self.records = empty.view(self.head.record_type)
        self._extents.clear()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self._custom_fields)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {type(field).__name__}" for name, field in self.fields.items())
        return f"<{self.path}: {self.num_samples} samples of {fields}>"
