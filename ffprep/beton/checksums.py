"""Checksums of single payloads, and which of them were compared already: what a loader checks on first touch."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton import layout, sections
from ffprep.beton.reader import Reader
from ffprep.beton.seek_index import find_index
from ffprep.beton.sets import SetFile
from ffprep.errors import CorruptError, DecodeError

GOOD = 2
"""State of a payload that was compared and is as it was written; 0 is one that nobody has read yet."""

CHANGED = "the value changed since the file was written: its checksum is wrong"
REMEDY = "take a good copy, or leave out what is damaged with `ffprep repair`"

Sums = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class PayloadSums:
    """The checksums of a field's payloads.

    Attributes
    ----------
    offset, size : ndarray of uint64, shape (num_samples,)
        Where each payload lies in the file.
    sums : ndarray of uint64, shape (num_samples,)
        The xxh3-64 of each.
    states : ndarray of uint8, shape (num_samples,)
        What became of comparing each: shared by all threads of a loader, which write it without a lock.
    """

    offset: Sums
    size: Sums
    sums: Sums
    states: npt.NDArray[np.uint8]


def row_sums(file: Reader) -> Sums | None:
    """Return the xxh3-64 of each row of the allocation table, from the file or else from its index; None: no such.

    Raises
    ------
    CorruptError
        The section is damaged.
    """
    content = file.section_view(sections.PAYLOAD_SUMS)
    if content is None:
        return None if file.seek_index is None or not len(file.seek_index.sums) else file.seek_index.sums
    if len(content) != 8 * len(file.table):
        raise CorruptError(f"{file.path}: section {sections.PAYLOAD_SUMS!r} has another length than the table")
    # Pages of a remote file may go again; its tables are kept, other sections are not.
    return (content if file.source is None else content.copy()).view("<u8")


def payload_sums(file: Reader, name: str, rows: Sums) -> PayloadSums:
    """Return the checksums of a field's payloads, from those of the rows of the allocation table."""
    offset, size = file.extents(name)
    pointed = [other for other, field in file.fields.items() if field.pointer is not None]
    mine = file.table[pointed.index(name) :: len(pointed)]
    if len(file.table) == len(offset) * len(pointed) and np.array_equal(mine["ptr"], offset):
        sums = rows[pointed.index(name) :: len(pointed)]
    else:  # in any order, and with one row for payloads that samples share
        filled = np.flatnonzero(file.table["size"])
        order = filled[np.argsort(file.table["ptr"][filled], kind="stable")]
        pointers = file.table["ptr"][order]
        place = np.minimum(np.searchsorted(pointers, offset), max(0, len(order) - 1))
        known = pointers[place] == offset if len(order) else np.zeros(len(offset), np.bool_)
        sums = np.where(known, rows[order][place], 0) if len(order) else np.zeros(len(offset), np.uint64)
    return PayloadSums(offset, size, sums, (size == 0).astype(np.uint8) * np.uint8(GOOD))


def changed_payloads(data: npt.NDArray[np.uint8], sums: PayloadSums, samples: Any) -> list[int]:
    """Return those of `samples` whose payload is not what was written."""
    offset, size, wanted = (part[samples].tolist() for part in (sums.offset, sums.size, sums.sums))
    content = data.data
    return [
        sample
        for sample, start, count, expected in zip(np.asarray(samples).tolist(), offset, size, wanted, strict=True)
        if count and xxhash.xxh3_64_intdigest(content[start : start + count]) != expected
    ]


def check_tables(file: Reader) -> None:
    """Compare header, descriptors, sample records and allocation table with their checksums, if there are any.

    Raises
    ------
    CorruptError
        One of them changed since the file was written.
    """
    block, bounds = file.superblock, file.head.bounds
    if block is None:
        return
    parts = (
        ("header, fields or sample records", 0, layout.superblock_offset(bounds.start), block.head_checksum),
        ("allocation table", bounds.end, file.head.size, block.table_checksum),
    )
    for what, start, end, checksum in parts:
        if xxhash.xxh3_64_intdigest(file.data[start:end].data) != checksum:
            raise CorruptError(
                f"{file.path}: bytes {start} to {end - 1}: the {what} changed since the file was written: the checksum "
                "is wrong; take a copy that `ffprep verify` finds whole, or let `ffprep repair` restore what it can"
            )


def open_checked(path: str | os.PathLike[str], custom_fields: Mapping[str, type[Any]] | None = None) -> Reader:
    """Open a file whose tables are compared with their checksums now, and each payload when it is first read.

    What copies or shows values opens files so, since a copy of a damaged value would have a good checksum. Files of
    stock ffcv have no checksums but those of their index, if there is one.

    Parameters
    ----------
    path, custom_fields
        As in `Reader`. Its ``payload`` and what calls it then raise `DecodeError` for a payload that changed.

    Raises
    ------
    BetonError
        The file cannot be used.
    """
    reader = Reader(path, custom_fields)
    try:
        check_tables(reader)
        if isinstance(path, SetFile):
            path.check_tables(reader.head)
        guard(reader)
    except BaseException:
        reader.close()
        raise
    return reader


def guard(reader: Reader) -> None:
    """Let an open file compare each payload with its checksum when `payload` first returns it."""
    index = find_index(reader, None) if reader.superblock is None else None
    if index is not None:
        reader.seek_index = index
    rows = row_sums(reader)
    if rows is None:
        return
    known: dict[str, PayloadSums] = {}
    owner = weakref.ref(reader)  # so that a file is let go of with its last reference

    def compare(name: str, sample: int) -> None:
        file = owner()
        assert file is not None
        if name not in known:
            known[name] = payload_sums(file, name, rows)
        sums = known[name]
        if sums.states[sample] == GOOD:
            return
        if changed_payloads(file.data, sums, [sample]):
            raise DecodeError(f"{file.path}: {file.sample_label(sample)}, field {name!r}: {CHANGED}; {REMEDY}")
        sums.states[sample] = GOOD

    reader.guard = compare
