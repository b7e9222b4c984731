"""The ``.beton`` format, version 2: where every byte lies.

::

    0               header, 24 bytes
    24              F field descriptors, 1041 bytes each
    24 + 1041 F     N sample records (structure of all fields' metadata, aligned as in C)
    ...             gap: ffprep's superblock (`Superblock`) and those of its sections that fit
    ...             payloads, none of which crosses a page boundary of the file
    ...             ffprep's sections that did not fit the gap, and a copy of the superblock
    alloc_table_ptr allocation table, 24 bytes for each payload, to the end of the file

All integers are little-endian, and all offsets count from the start of the file. Stock ffcv does not look at the places
where ffprep keeps its additions, so each reads the other's files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

VERSION = 2
HEADER = struct.Struct("<HHIQQ")
DESCRIPTOR = struct.Struct("<B16s1024s")
NAME_SIZE = 16
MAX_FIELDS = 65535
MIN_PAGE_SIZE = 1 << 21
MAX_PAGE_SIZE = 1 << 31
DEFAULT_PAGE_SIZE = 1 << 23
ALLOCATION = np.dtype([("sample_id", "<u8"), ("ptr", "<u8"), ("size", "<u8")])
ALLOCATION_MEMBERS = 3

BLOCK_SIZE = 1 << 23
"""Each checksum of the payload region covers a block of this many bytes of the file."""

DATA_ALIGNMENT = 4096
MIN_GAP = 4096
SUPERBLOCK_ALIGNMENT = 64
SUPERBLOCK_MAGIC = b"FFPREP\r\n"
SUPERBLOCK_VERSION = 1
_SUPERBLOCK = struct.Struct("<8sHHIQQQQQQ")
_SUPERBLOCK_START = SUPERBLOCK_MAGIC + SUPERBLOCK_VERSION.to_bytes(2, "little")
_SECTION = struct.Struct("<16sQQQ")
MAX_SECTIONS = 64


@dataclass(frozen=True)
class Header:
    """The first 24 bytes."""

    version: int
    num_fields: int
    page_size: int
    num_samples: int
    alloc_table_ptr: int

    def pack(self) -> bytes:
        return HEADER.pack(self.version, self.num_fields, self.page_size, self.num_samples, self.alloc_table_ptr)

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        return cls(*HEADER.unpack(data[: HEADER.size]))


@dataclass(frozen=True)
class Section:
    """A part of a file that ffprep adds to the format.

    Attributes
    ----------
    name : str
        At most 16 ASCII characters.
    offset, size : int
        Bytes of the file.
    checksum : int
        xxh3-64 of the content.
    """

    name: str
    offset: int
    size: int
    checksum: int


@dataclass(frozen=True)
class Superblock:
    """What ffprep records about a file beyond the format: its length, checksums and sections.

    It is stored at `superblock_offset`, in the gap between the sample records and the payloads.

    Attributes
    ----------
    file_size : int
        Bytes of the whole file; a file that is shorter was truncated.
    num_allocations : int
        Rows of the allocation table.
    data_start, data_end : int
        The payload region, whose blocks of `BLOCK_SIZE` have checksums in section ``page_xxh3``.
    head_checksum : int
        xxh3-64 of everything before the superblock.
    table_checksum : int
        xxh3-64 of the allocation table.
    sections : tuple of Section
    """

    file_size: int
    num_allocations: int
    data_start: int
    data_end: int
    head_checksum: int
    table_checksum: int
    sections: tuple[Section, ...]

    def pack(self) -> bytes:
        body = _SUPERBLOCK.pack(
            SUPERBLOCK_MAGIC,
            SUPERBLOCK_VERSION,
            len(self.sections),
            0,
            self.file_size,
            self.num_allocations,
            self.data_start,
            self.data_end,
            self.head_checksum,
            self.table_checksum,
        )
        for section in self.sections:
            body += _SECTION.pack(section.name.encode("ascii"), section.offset, section.size, section.checksum)
        return body + xxhash.xxh3_64_intdigest(body).to_bytes(8, "little")

    @classmethod
    def unpack(cls, data: bytes) -> Superblock | None:
        """Parse a superblock.

        Returns
        -------
        Superblock or None
            None when there is no superblock of this version.

        Raises
        ------
        ValueError
            There is one, but its checksum is wrong, or it would be right if the first bytes were those of a superblock.
        """
        if len(data) < _SUPERBLOCK.size:
            return None
        magic, version, count, _, *numbers = _SUPERBLOCK.unpack_from(data)
        if (magic, version) != (SUPERBLOCK_MAGIC, SUPERBLOCK_VERSION):
            restored = _SUPERBLOCK_START + data[len(_SUPERBLOCK_START) :]
            end = _SUPERBLOCK.size + count * _SECTION.size
            if count <= MAX_SECTIONS and _sealed(restored, end):
                raise ValueError("the first bytes of the superblock are damaged")
            return None
        end = _SUPERBLOCK.size + count * _SECTION.size
        if count > MAX_SECTIONS or len(data) < end + 8:
            raise ValueError("the superblock is cut")
        if not _sealed(data, end):
            raise ValueError("the superblock's checksum is wrong")
        sections = []
        for index in range(count):
            name, offset, size, checksum = _SECTION.unpack_from(data, _SUPERBLOCK.size + index * _SECTION.size)
            sections.append(Section(name.rstrip(b"\0").decode("ascii"), offset, size, checksum))
        size, rows, start, stop, head, table = numbers
        return cls(size, rows, start, stop, head, table, tuple(sections))


def _sealed(data: bytes, end: int) -> bool:
    """Whether the first bytes of a superblock are followed by their checksum."""
    return xxhash.xxh3_64_intdigest(data[:end]) == int.from_bytes(data[end : end + 8], "little")


def superblock_size(num_sections: int) -> int:
    """Bytes of a superblock with this many sections."""
    return _SUPERBLOCK.size + num_sections * _SECTION.size + 8


LARGEST_SUPERBLOCK = superblock_size(MAX_SECTIONS)


def align_up(offset: int, alignment: int) -> int:
    """Return the next multiple of `alignment`, a power of two."""
    return (offset + alignment - 1) & -alignment


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def records_start(num_fields: int) -> int:
    """Offset of the first sample record."""
    return HEADER.size + DESCRIPTOR.size * num_fields


def record_type(metadata_types: Iterable[np.dtype[Any]]) -> np.dtype[Any]:
    """Return the dtype of a sample record: members ``f0``, ``f1``, ... aligned as in C."""
    return np.dtype([("", kind) for kind in metadata_types], align=True)


def superblock_offset(records_end: int) -> int:
    """Offset at which the superblock is stored, if there is one."""
    return align_up(records_end, SUPERBLOCK_ALIGNMENT)


def copied_superblock(before_table: bytes) -> tuple[Superblock, int] | None:
    """Find the copy of the superblock in the bytes right before the allocation table.

    Returns
    -------
    (Superblock, int) or None
        The copy, and its distance in bytes from the table.
    """
    place = before_table.rfind(SUPERBLOCK_MAGIC)
    while place >= 0:
        try:
            found = Superblock.unpack(before_table[place:])
        except (ValueError, UnicodeDecodeError):
            found = None
        if found is not None:
            return found, len(before_table) - place
        place = before_table.rfind(SUPERBLOCK_MAGIC, 0, place + len(SUPERBLOCK_MAGIC) - 1)
    return None


def data_start(records_end: int) -> int:
    """Offset of the first payload in files that ffprep writes.

    Pages are counted from the start of the file, so payloads need not start on a page boundary, and a small data set
    makes a small file.
    """
    return align_up(records_end + MIN_GAP, DATA_ALIGNMENT)


def num_blocks(start: int, end: int) -> int:
    """How many checksums cover the payload region."""
    if end <= start:
        return 0
    return (end - 1) // BLOCK_SIZE - start // BLOCK_SIZE + 1


def name_problem(name: str) -> str | None:
    """Say what is wrong with a field's name, or None."""
    if not name:
        return "is empty"
    if not name.isascii():
        return "is not ASCII"
    if len(name) > NAME_SIZE:
        return f"has {len(name)} characters; a .beton file holds {NAME_SIZE}, and stock ffcv cuts the rest"
    if "\0" in name:
        return "holds a NUL"
    return None
