"""Finishing a file: sections, allocation table, header and superblock, and then its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import xxhash

from ffprep.beton import layout, sections
from ffprep.beton.writing.unfinished import UnfinishedFile
from ffprep.common.files.replacing import sync_folder
from ffprep.errors import ConversionError


def finalise(
    sink: UnfinishedFile,
    path: Path,
    contents: Mapping[str, bytes],
    allocations: Iterable[bytes],
    header: Callable[[int], bytes],
    records_end: int,
    data_start: int,
) -> None:
    """Write everything that follows the last sample, force the file to the disk and rename it; then nothing can fail.

    Parameters
    ----------
    sink : UnfinishedFile
        The unfinished file, with all payloads and records written.
    path : Path
        The name of the finished file.
    contents : mapping of name to bytes
        Sections.
    allocations : iterable of bytes
        The allocation table in pieces.
    header : callable
        Makes the header from the offset of the allocation table.
    records_end, data_start : int
        First byte after the sample records, and first byte of the payloads.

    Raises
    ------
    ConversionError
        The disk is full, or fails.
    """
    data_end = sink.end
    superblock_at = layout.superblock_offset(records_end)
    allocations = list(allocations)
    head = header(0) + b"".join(sink.pieces(layout.HEADER.size, records_end))
    contents = {**contents, sections.TABLES: sections.pack_tables([head, *allocations])}
    placed, cursor = sections.place(contents, superblock_at, data_start, data_end)
    for entry in placed:
        sink.write_at(entry.offset, contents[entry.name])
    table = layout.align_up(cursor, 8) + layout.superblock_size(len(placed))
    end, table_checksum = _write_table(sink, table, allocations)
    sink.truncate(end)
    sink.write_at(0, header(table))
    block = layout.Superblock(
        file_size=end,
        num_allocations=(end - table) // layout.ALLOCATION.itemsize,
        data_start=data_start,
        data_end=data_end,
        head_checksum=sink.checksum(0, superblock_at),
        table_checksum=table_checksum,
        sections=tuple(placed),
    )
    for place in (superblock_at, table - layout.superblock_size(len(placed))):
        sink.write_at(place, block.pack())
    sink.sync()
    try:
        sink.path.replace(path)
    except OSError as error:
        raise sink.failure(error, end) from error


def sync_named(path: Path) -> None:
    """Force the name of a finished file to the disk.

    Raises
    ------
    ConversionError
        The disk fails. The file is finished all the same.
    """
    try:
        sync_folder(path.parent)
    except OSError as error:
        raise ConversionError(
            f"{path}: the file is finished, but its folder could not be forced to the disk: {error.strerror}; "
            "the same command tries that again"
        ) from error


def _write_table(sink: UnfinishedFile, offset: int, pieces: Iterable[bytes]) -> tuple[int, int]:
    """Write the allocation table and return its end and its checksum."""
    hasher = xxhash.xxh3_64()
    for rows in pieces:
        sink.write_at(offset, rows)
        hasher.update(rows)
        offset += len(rows)
    return offset, hasher.intdigest()
