"""Reading ``.beton`` files, one's own and stock ffcv's, without trusting a byte of them."""

from __future__ import annotations

import json
import operator
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton import layout
from ffprep.beton.check import (
    OUTSIDE,
    Bounds,
    MissingAllocation,
    bad_allocations,
    bad_extents,
    bad_metadata,
    table_sizes,
)
from ffprep.beton.sections import MAX_NAME
from ffprep.errors import (
    BetonError,
    CorruptError,
    DecodeError,
    NotABetonError,
    OptionError,
    TruncatedError,
    UnfinishedError,
)
from ffprep.fields import FIELD_TYPES, Field
from ffprep.fields.base import CUSTOM_TYPE_ID, UNKNOWN_SIZE


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
    data : ndarray of uint8
        The whole file, read-only.
    table : ndarray of ``layout.ALLOCATION``
        The allocation table, read-only.
    records : ndarray
        The sample records, one member ``f0``, ``f1``, ... a field, read-only.
    superblock : Superblock or None
        None for files that ffprep did not write.
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
        self._names: list[str] | None = None
        self._manifest: dict[str, Any] | None = None
        with self.path.open("rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            self.header = self._read_header(file.read(layout.HEADER.size))
            self.page_size = self.header.page_size
            self.num_samples = self.header.num_samples
            self.fields = self._read_descriptors(file.read(layout.DESCRIPTOR.size * self.header.num_fields))
            self.record_type = layout.record_type(field.metadata_type for field in self.fields.values())
            self.bounds = self._read_bounds()
            self.superblock = self._read_superblock(file.fileno())
            self.data: npt.NDArray[np.uint8] = np.asarray(np.memmap(file, np.uint8, "r"))
        rows = self._count_allocations()
        end = self.header.alloc_table_ptr
        self.table = self.data[end : end + rows * layout.ALLOCATION.itemsize].view(layout.ALLOCATION)
        start = layout.records_start(len(self.fields))
        self.records = self.data[start : self.bounds.start].view(self.record_type)
        if check:
            self._check_tables()

    # -- opening ---------------------------------------------------------------------------------------

    def _read_header(self, head: bytes) -> layout.Header:
        if len(head) < layout.HEADER.size:
            version = layout.VERSION.to_bytes(2, "little")
            if not version.startswith(head[:2]):
                raise NotABetonError(f"{self.path}: not a .beton file: {self.size} bytes of something else")
            raise TruncatedError(
                f"{self.path}: ends at byte {self.size}, inside its header; convert or copy it again"
            )
        header = layout.Header.unpack(head)
        if header.version != layout.VERSION:
            raise NotABetonError(
                f"{self.path}: byte 0: not a .beton file of version {layout.VERSION} (found {header.version})"
            )
        if header.alloc_table_ptr == 0:
            raise UnfinishedError(
                f"{self.path}: byte 16: the writer of this file did not finish; convert the data set again"
            )
        if header.num_fields == 0:
            raise CorruptError(f"{self.path}: byte 2: the file has no fields")
        size = header.page_size
        if not (layout.is_power_of_two(size) and size >= layout.MIN_PAGE_SIZE):
            raise CorruptError(
                f"{self.path}: byte 4: page size {size} is no power of two from 2^21 up to 2^31"
            )
        return header

    def _read_descriptors(self, data: bytes) -> dict[str, Field]:
        if len(data) < layout.DESCRIPTOR.size * self.header.num_fields:
            raise TruncatedError(
                f"{self.path}: ends at byte {self.size}, inside its field descriptors; "
                "convert or copy it again"
            )
        fields: dict[str, Field] = {}
        for index, (type_id, raw, arguments) in enumerate(layout.DESCRIPTOR.iter_unpack(data)):
            where = f"{self.path}: byte {layout.records_start(index)}: field {index}"
            try:
                name = raw.split(b"\0", 1)[0].decode("ascii")
            except UnicodeDecodeError:
                raise CorruptError(f"{where}: its name {raw!r} is not ASCII") from None
            if name in fields:
                raise CorruptError(
                    f"{where}: a second field is called {name!r}; stock ffcv cuts names to "
                    f"{layout.NAME_SIZE} characters, so write the file again with shorter ones"
                )
            fields[name] = self._make_field(name, type_id, arguments, f"{where} ({name})")
        return fields

    def _make_field(self, name: str, type_id: int, arguments: bytes, where: str) -> Field:
        kind: Any = self._custom_fields.get(name) or FIELD_TYPES.get(type_id)
        if kind is None and type_id == CUSTOM_TYPE_ID:
            raise BetonError(
                f"{where}: a custom field, whose layout is not in the file; "
                f"pass custom_fields={{{name!r}: ItsFieldClass}}"
            )
        if kind is None:
            raise CorruptError(f"{where}: type id {type_id} is none of the format's")
        try:
            field = kind.from_binary(np.frombuffer(arguments, np.uint8))
        except CorruptError as error:
            raise CorruptError(f"{where}: {error}") from error
        if field.metadata_type.hasobject:
            raise OptionError(f"{where}: {kind.__name__} has Python objects in its metadata")
        return field  # type: ignore[no-any-return]

    def _read_bounds(self) -> Bounds:
        header = self.header
        start = layout.records_start(len(self.fields))
        end = start + header.num_samples * self.record_type.itemsize
        promise = f"the header promises {header.num_samples} samples, up to byte {end}"
        table = f"the allocation table starts at byte {header.alloc_table_ptr}"
        if end > self.size and header.alloc_table_ptr >= end:
            raise TruncatedError(
                f"{self.path}: ends at byte {self.size}, but {promise}; convert or copy it again"
            )
        if header.alloc_table_ptr > self.size:
            raise TruncatedError(
                f"{self.path}: ends at byte {self.size}, but {table}; convert or copy it again"
            )
        if header.alloc_table_ptr < end:
            raise CorruptError(f"{self.path}: byte 8: {promise}, but {table}")
        return Bounds(end, header.alloc_table_ptr, header.page_size, header.num_samples)

    def _read_superblock(self, descriptor: int) -> layout.Superblock | None:
        offset = layout.superblock_offset(self.bounds.start)
        length = min(layout.LARGEST_SUPERBLOCK, self.bounds.end - offset)
        if length <= 0:
            return None
        try:
            block = layout.Superblock.unpack(os.pread(descriptor, length, offset))
        except ValueError as error:
            raise CorruptError(f"{self.path}: byte {offset}: {error}") from error
        if block is None:
            return None
        if self.size < block.file_size:
            raise TruncatedError(
                f"{self.path}: has {self.size} of its {block.file_size} bytes; convert or copy it again"
            )
        rows_end = self.bounds.end + block.num_allocations * layout.ALLOCATION.itemsize
        if self.size > block.file_size or rows_end != block.file_size:
            raise CorruptError(
                f"{self.path}: byte {offset}: was written with {block.file_size} bytes and has {self.size}"
            )
        inside = self.bounds.start <= block.data_start <= block.data_end <= self.bounds.end
        for section in block.sections:
            inside &= self.bounds.start <= section.offset <= self.bounds.end
            inside &= section.size <= self.bounds.end - section.offset
        if not inside:
            raise CorruptError(f"{self.path}: byte {offset}: the superblock points out of the file's parts")
        return block

    def _count_allocations(self) -> int:
        rows, rest = divmod(self.size - self.bounds.end, layout.ALLOCATION.itemsize)
        if rest:
            raise TruncatedError(
                f"{self.path}: ends at byte {self.size}, inside row {rows} of its allocation table; "
                "convert or copy it again"
            )
        return rows

    def _check_tables(self) -> None:
        for row, complaint in bad_allocations(self.table, self.bounds):
            byte = self.bounds.end + row * layout.ALLOCATION.itemsize
            raise CorruptError(f"{self.path}: byte {byte}: row {row} of the allocation table: {complaint}")
        for name in self.fields:
            self._check_column(name)
        payloads = sum(self._pointer(name) is not None for name in self.fields)
        if len(self.table) < self.num_samples * payloads:
            for name in self.fields:
                if self._pointer(name) is not None:
                    self.extents(name)

    def _check_column(self, name: str) -> None:
        for sample, complaint in bad_metadata(self.column(name), self.fields[name], self.bounds):
            raise CorruptError(
                f"{self.path}: byte {self._record_byte(name, sample)}: sample {sample}, "
                f"field {name!r} {complaint}"
            )

    def _record_byte(self, name: str, sample: int) -> int:
        start = layout.records_start(len(self.fields)) + sample * self.record_type.itemsize
        member = f"f{self._index(name)}"
        assert self.record_type.fields is not None
        return start + int(self.record_type.fields[member][1])

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
        bad = bad_extents(offset, size, self.bounds)
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
        return TruncatedError(f"{where} no row: is the file cut? Convert or copy it again")

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
                    raise CorruptError(
                        f"{self.path}: byte {entry.offset}: section {name!r} does not fit its checksum"
                    )
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

    def sample_names(self) -> list[str] | None:
        """Return the samples' names in their source, or None where the file does not hold them."""
        if self._names is None:
            content = self.section("names")
            if content is None:
                return None
            try:
                expand = zlib.decompressobj()
                text = expand.decompress(content, self.num_samples * (MAX_NAME + 1) + 1)
                names = text.decode("utf-8").split("\n")
            except (zlib.error, UnicodeDecodeError) as error:
                raise CorruptError(f"{self.path}: the list of sample names is damaged: {error}") from error
            if len(names) != self.num_samples + 1 or not expand.eof:
                raise CorruptError(f"{self.path}: the list of sample names has another length than the file")
            self._names = names[:-1]
        return self._names

    def sample_label(self, index: int) -> str:
        """Return ``sample 7 (n01440764_18.JPEG)``, or ``sample 7`` where there are no names."""
        names = self.sample_names()
        return f"sample {index} ({names[index]})" if names and names[index] else f"sample {index}"

    def close(self) -> None:
        """Let go of the file. Arrays handed out before stay valid."""
        empty: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
        self.data = empty
        self.table = empty.view(layout.ALLOCATION)
        self.records = empty.view(self.record_type)
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
