"""Opening a file whose tables are damaged, with the copy that files of ffprep have of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton import layout, sections
from ffprep.beton.opening.head import fields_of, open_beton
from ffprep.beton.reader import Reader
from ffprep.common.files.mapping import map_file
from ffprep.errors import CorruptError
from ffprep.jpeg.watching import watch_memory


class RestoredReader(Reader):
    """A `Reader` of restored tables, whose payloads are those of the damaged file.

    Parameters
    ----------
    tables : Path
        A file like the damaged one, with whole tables and a hole for the payloads.
    path : Path
        The damaged file, for messages.
    payloads : ndarray of uint8
        Its bytes.
    custom_fields : dict of name to Field subclass
    """

    def __init__(
        self, tables: Path, path: Path, payloads: npt.NDArray[np.uint8], custom_fields: dict[str, type[Any]]
    ) -> None:
        super().__init__(tables, custom_fields, check=False)
        self.path = path
        self._whole, self.data = self.data, payloads
        watch_memory(self, payloads, path)

    def section(self, name: str) -> bytes | None:
        """Return one of ffprep's sections, from the restored file."""
        payloads, self.data = self.data, self._whole
        try:
            return super().section(name)
        finally:
            self.data = payloads


def opened(path: Path, custom_fields: dict[str, type[Any]], restored: list[str]) -> Reader:
    """Open a file whose tables may be damaged, with those that can be restored in their place.

    Parameters
    ----------
    path : Path
    custom_fields : dict of name to Field subclass
    restored : list of str
        Receives what was taken from its copy.

    Raises
    ------
    BetonError
        The tables are damaged and there is no whole copy, or the file was cut.
    """
    with open_beton(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            return Reader(path, custom_fields, check=False)  # which says so
        data = map_file(file)
    watch_memory(data, data, path)
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
    # The tables alone, with a hole for the payloads, which are read from the damaged file.
    with _file_for_tables() as (file, name):
        file.write(head)
        file.seek(block.data_end)
        file.write(data[block.data_end : table].tobytes() + rows)
        file.flush()
        return RestoredReader(name, path, data, custom_fields)


@contextmanager
def _file_for_tables() -> Iterator[tuple[IO[bytes], Path]]:
    """Open a file that nobody else sees, in memory where the system has such (Linux); it can be mapped by its name."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("ffprep-tables"), "w+b") as file:
            yield file, Path(f"/proc/self/fd/{file.fileno()}")
    else:
        with tempfile.NamedTemporaryFile(prefix="ffprep-tables-") as named:
            yield named, Path(named.name)


def _superblock(data: npt.NDArray[np.uint8]) -> layout.Superblock | None:
    """Find a whole superblock, the one before the payloads or its copy before the allocation table."""
    piece = 1 << 26
    for start in range(0, len(data), piece):
        text = data[start : start + piece + layout.LARGEST_SUPERBLOCK].tobytes()
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
