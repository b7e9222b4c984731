"""Opening a file whose tables are damaged, with the copy that files of ffprep have of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton import layout, sections
from ffprep.beton.head import fields_of
from ffprep.beton.reader import Reader
from ffprep.errors import CorruptError


def opened(path: Path, out: Path, custom_fields: dict[str, type[Any]], restored: list[str]) -> Reader:
    """Open a file whose tables may be damaged, with those that can be restored in their place.

    Parameters
    ----------
    path, out : Path
        The file, and the file to be made, beside which the tables are written for a moment.
    custom_fields : dict of name to Field subclass
    restored : list of str
        Receives what was taken from its copy.

    Raises
    ------
    BetonError
        The tables are damaged and there is no whole copy, or the file was cut.
    """
    data: npt.NDArray[np.uint8] = np.asarray(np.memmap(path, np.uint8, "r"))
    found = _superblock(data)
    if found is None:
        return Reader(path, custom_fields, check=False)
    block = found
    if block.file_size > len(data):
        raise CorruptError(f"{path}: was cut: it has {len(data)} of its {block.file_size} bytes; copy it again")
    table = block.file_size - block.num_allocations * layout.ALLOCATION.itemsize
    copy = _Copy(data, block)
    head = bytearray(data[: block.data_start].tobytes())
    rows = bytearray(data[table : block.file_size].tobytes())
    header = layout.Header.unpack(copy.read(0, layout.HEADER.size) or bytes(head[: layout.HEADER.size]))
    head[: layout.HEADER.size] = layout.Header(**{**vars(header), "alloc_table_ptr": table}).pack()
    end = _records_end(copy, header, head, custom_fields)
    place = layout.superblock_offset(end)
    if xxhash.xxh3_64_intdigest(bytes(data[:place])) != block.head_checksum:
        copy.overlay(head, layout.HEADER.size, end)
        restored.append("header, fields or sample records")
    if xxhash.xxh3_64_intdigest(bytes(rows)) != block.table_checksum:
        copy.overlay(rows, end, end + len(rows), -end)
        restored.append("allocation table")
    for what, content, checksum in (
        ("header, fields or sample records", bytes(head[:place]), block.head_checksum),
        ("allocation table", bytes(rows), block.table_checksum),
    ):
        if xxhash.xxh3_64_intdigest(content) != checksum:
            raise CorruptError(f"{path}: the {what} and their copy are both damaged; convert or copy the file again")
    packed = block.pack()
    head[place : place + len(packed)] = packed
    # The tables alone, in a file with a hole for the payloads, which are read from the damaged file.
    temporary = out.with_name(f"{out.name}.{os.getpid()}.tables")
    try:
        with temporary.open("wb") as file:
            file.write(head)
            file.seek(block.data_end)
            file.write(data[block.data_end : table].tobytes() + rows)
        reader = Reader(temporary, custom_fields, check=False)
    finally:
        temporary.unlink(missing_ok=True)
    reader.path = path
    merged = reader.data
    reader.section = _sections_of(merged, block, path)  # type: ignore[method-assign]
    reader.data = data
    return reader


def _sections_of(data: npt.NDArray[np.uint8], block: layout.Superblock, path: Path) -> Callable[[str], bytes | None]:
    def section(name: str) -> bytes | None:
        for entry in block.sections:
            if entry.name == name:
                content = data[entry.offset : entry.offset + entry.size].tobytes()
                if xxhash.xxh3_64_intdigest(content) != entry.checksum:
                    raise CorruptError(f"{path}: byte {entry.offset}: section {name!r} does not fit its checksum")
                return content
        return None

    return section


def _superblock(data: npt.NDArray[np.uint8]) -> layout.Superblock | None:
    """Find a whole superblock, the one before the payloads or its copy before the allocation table."""
    content, place = memoryview(data), -1
    piece = 1 << 26
    for start in range(0, len(data), piece):
        text = bytes(content[start : start + piece + layout.LARGEST_SUPERBLOCK])
        place = text.find(layout.SUPERBLOCK_MAGIC)
        while place >= 0:
            try:
                found = layout.Superblock.unpack(text[place : place + layout.LARGEST_SUPERBLOCK])
            except (ValueError, UnicodeDecodeError):
                found = None
            if found is not None:
                return found
            place = text.find(layout.SUPERBLOCK_MAGIC, place + 1)
    return None


class _Copy:
    """The copy of a file's tables, as far as it is whole."""

    def __init__(self, data: npt.NDArray[np.uint8], block: layout.Superblock) -> None:
        entry = next((entry for entry in block.sections if entry.name == sections.TABLES), None)
        content = b"" if entry is None else data[entry.offset : entry.offset + entry.size].tobytes()
        self._pieces = list(sections.unpack_tables(content))

    def overlay(self, target: bytearray, start: int, end: int, shift: int = 0) -> None:
        """Put the bytes from `start` to `end` of the tables where they belong in `target`, moved by `shift`."""
        for begin, piece in self._pieces:
            first, last = max(begin, start), min(begin + len(piece), end)
            if first < last:
                target[first + shift : last + shift] = piece[first - begin : last - begin]

    def read(self, start: int, end: int) -> bytes:
        """Return a part of the tables, or nothing if it is not in one whole piece."""
        for begin, piece in self._pieces:
            if begin <= start and end <= begin + len(piece):
                return piece[start - begin : end - begin]
        return b""


def _records_end(copy: _Copy, header: layout.Header, head: bytearray, custom: dict[str, type[Any]]) -> int:
    """Return the end of the sample records, by the descriptors in the copy or else in the file."""
    start, end = layout.HEADER.size, layout.records_start(header.num_fields)
    fields = fields_of(copy.read(start, end) or bytes(head[start:end]), Path("the copy of the tables"), custom)
    record = layout.record_type(kind.metadata_type for kind in fields.values())
    return end + header.num_samples * record.itemsize
