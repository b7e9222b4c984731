"""The head of a file, parsed without trusting it: header, descriptors, bounds, superblock."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ffprep.beton import layout
from ffprep.beton.opening.check import Bounds
from ffprep.common.files.replacing import naming
from ffprep.common.names import missing_file
from ffprep.errors import (
    CorruptError,
    CustomFieldError,
    NotABetonError,
    OptionError,
    TruncatedError,
    UnfinishedError,
)
from ffprep.fields import FIELD_TYPES, Field
from ffprep.fields.base import CUSTOM_TYPE_ID
from ffprep.remote import SourceFile, is_cached, pread

AGAIN = "convert or copy it again"


@dataclass(frozen=True)
class Head:
    """What the head of a file says, after it was checked against the file.

    Attributes
    ----------
    size : int
        Bytes of the file.
    header : layout.Header
    fields : dict of str to Field
    record_type : dtype
        A sample record.
    bounds : Bounds
        Where payloads may lie; the sample records end where they start.
    superblock : layout.Superblock or None
    num_allocations : int
        Rows of the allocation table.
    """

    size: int
    header: layout.Header
    fields: dict[str, Field]
    record_type: np.dtype[Any]
    bounds: Bounds
    superblock: layout.Superblock | None
    num_allocations: int


def check_kind(path: Path) -> None:
    """Refuse what opening would wait for, or act on.

    Raises
    ------
    NotABetonError
        There is a pipe, a socket or a device at `path`.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise NotABetonError(f"{path}: not a .beton file: it is a pipe or a device")


@contextlib.contextmanager
def open_beton(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read its head; errors of the system, also those of reading, name it.

    One of a remote file fetches what is read, and has its `PageSource` as ``source``.

    Raises
    ------
    OSError
    BetonError
        What `check_kind` raises.
    """
    with naming(path), _opened(path) as file:
        yield file


def _opened(path: Path) -> BinaryIO:
    if is_cached(path):
        return SourceFile(path)  # type: ignore[return-value]
    check_kind(path)
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, missing_file(path), str(path)) from None


def head_of(path: Path) -> Head:
    """Read the head of a file; see `read_head`."""
    with open_beton(path) as file:
        return read_head(file, path, {})


def read_head(file: BinaryIO, path: Path, custom_fields: Mapping[str, type[Any]]) -> Head:
    """Read and check everything before the sample records, and the sizes of what follows them.

    Parameters
    ----------
    file : binary file, at its start
    path : Path
        For error messages.
    custom_fields : mapping of name to Field subclass

    Raises
    ------
    NotABetonError, UnfinishedError, TruncatedError, CorruptError
        The file cannot be used.
    """
    size = os.fstat(file.fileno()).st_size
    header = _header(file.read(layout.HEADER.size), size, path)
    descriptors = file.read(layout.DESCRIPTOR.size * header.num_fields)
    if len(descriptors) < layout.DESCRIPTOR.size * header.num_fields:
        raise TruncatedError(f"{path}: ends at byte {size}, inside its field descriptors; {AGAIN}")
    fields = fields_of(descriptors, path, custom_fields)
    record = layout.record_type(field.metadata_type for field in fields.values())
    bounds = _bounds(header, record.itemsize, size, path)
    superblock = _superblock(file, bounds, size, path)
    rows, rest = divmod(size - bounds.end, layout.ALLOCATION.itemsize)
    if rest:
        raise TruncatedError(f"{path}: ends at byte {size}, inside row {rows} of its allocation table; {AGAIN}")
    return Head(size, header, fields, record, bounds, superblock, rows)


def _header(head: bytes, size: int, path: Path) -> layout.Header:
    if len(head) < layout.HEADER.size:
        if not layout.VERSION.to_bytes(2, "little").startswith(head[:2]):
            raise NotABetonError(f"{path}: not a .beton file: {size} bytes of something else")
        raise TruncatedError(f"{path}: ends at byte {size}, inside its header; {AGAIN}")
    header = layout.Header.unpack(head)
    if header.version != layout.VERSION:
        raise NotABetonError(
            f"{path}: byte 0: not a .beton file of version {layout.VERSION} (found {header.version}); "
            "give one that ffprep or ffcv wrote"
        )
    if header.alloc_table_ptr == 0:
        raise UnfinishedError(f"{path}: byte 16: the writer of this file did not finish; convert the data set again")
    if header.num_fields == 0:
        raise CorruptError(f"{path}: byte 2: the file has no fields")
    page = header.page_size
    if not (layout.is_power_of_two(page) and page >= layout.MIN_PAGE_SIZE):
        raise CorruptError(f"{path}: byte 4: page size {page} is no power of two from 2^21 up to 2^31")
    return header


def fields_of(data: bytes, path: Path, custom_fields: Mapping[str, type[Any]]) -> dict[str, Field]:
    """Read the fields from their descriptors; raise `CorruptError` where these cannot be right."""
    fields: dict[str, Field] = {}
    for index, (type_id, raw, arguments) in enumerate(layout.DESCRIPTOR.iter_unpack(data)):
        where = f"{path}: byte {layout.records_start(index)}: field {index}"
        try:
            name = raw.split(b"\0", 1)[0].decode("ascii")
        except UnicodeDecodeError:
            raise CorruptError(f"{where}: its name {raw!r} is not ASCII") from None
        if name in fields:
            raise CorruptError(
                f"{where}: a second field is called {name!r}; stock ffcv cuts names to "
                f"{layout.NAME_SIZE} characters, so write the file again with shorter ones"
            )
        fields[name] = _field(name, type_id, arguments, custom_fields, f"{where} ({name})")
    return fields


def _field(name: str, type_id: int, arguments: bytes, custom_fields: Mapping[str, type[Any]], where: str) -> Field:
    kind: Any = custom_fields.get(name) or FIELD_TYPES.get(type_id)
    if kind is None and type_id == CUSTOM_TYPE_ID:
        raise CustomFieldError(
            f"{where}: a custom field, whose layout is not in the file; pass custom_fields={{{name!r}: ItsFieldClass}}"
        )
    if kind is None:
        raise CorruptError(f"{where}: type id {type_id} is none of the format's")
    try:
        field: Field = kind.from_binary(np.frombuffer(arguments, np.uint8))
    except CorruptError as error:
        raise CorruptError(f"{where}: {error}") from error
    if field.metadata_type.hasobject:
        raise OptionError(f"{where}: {kind.__name__} has Python objects in its metadata")
    return field


def _bounds(header: layout.Header, record_size: int, size: int, path: Path) -> Bounds:
    end = layout.records_start(header.num_fields) + header.num_samples * record_size
    promise = f"the header promises {header.num_samples} samples, up to byte {end}"
    table = f"the allocation table starts at byte {header.alloc_table_ptr}"
    if end > size and header.alloc_table_ptr >= end:
        raise TruncatedError(f"{path}: ends at byte {size}, but {promise}; {AGAIN}")
    if header.alloc_table_ptr > size:
        raise TruncatedError(f"{path}: ends at byte {size}, but {table}; {AGAIN}")
    if header.alloc_table_ptr < end:
        raise CorruptError(f"{path}: byte 8: {promise}, but {table}")
    return Bounds(end, header.alloc_table_ptr, header.page_size, header.num_samples)


def _superblock(file: BinaryIO, bounds: Bounds, size: int, path: Path) -> layout.Superblock | None:
    offset = layout.superblock_offset(bounds.start)
    length = max(0, min(layout.LARGEST_SUPERBLOCK, bounds.end - offset))
    try:
        block = layout.Superblock.unpack(pread(file, length, offset))
    except ValueError as error:
        raise CorruptError(f"{path}: byte {offset}: {error}") from error
    if block is None:
        before = pread(file, layout.LARGEST_SUPERBLOCK, max(0, bounds.end - layout.LARGEST_SUPERBLOCK))
        copy = layout.copied_superblock(before[: bounds.end])
        if copy is not None and copy[0].file_size == size:
            raise CorruptError(
                f"{path}: byte {offset}: the superblock is not there, but its copy at byte {bounds.end - copy[1]} is: "
                "the head of the file is damaged; `ffprep repair` restores it"
            )
        return None
    if size < block.file_size:
        raise TruncatedError(f"{path}: has {size} of its {block.file_size} bytes; {AGAIN}")
    rows_end = bounds.end + block.num_allocations * layout.ALLOCATION.itemsize
    if size > block.file_size or rows_end != block.file_size:
        raise CorruptError(f"{path}: byte {offset}: was written with {block.file_size} bytes and has {size}")
    inside = bounds.start <= block.data_start <= block.data_end <= bounds.end
    for section in block.sections:
        inside = inside and bounds.start <= section.offset <= bounds.end
        inside = inside and section.size <= bounds.end - section.offset
    if not inside:
        raise CorruptError(f"{path}: byte {offset}: the superblock points out of the file's parts")
    return block
