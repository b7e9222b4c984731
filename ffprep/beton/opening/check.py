"""Vectorised checks of a file's two tables, in constant memory and without a Python object for each row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.layout import ALLOCATION_MEMBERS
from ffprep.fields.base import UNKNOWN_SIZE, Field
from ffprep.jpeg import native

CHUNK_ROWS = 1 << 15
"""Rows checked at a time: a few hundred kilobytes, so that the temporaries stay in the cache."""

OUTSIDE = "outside the payload region or across a page"


@dataclass(frozen=True)
class Bounds:
    """The part of a file in which payloads may lie.

    Attributes
    ----------
    start, end : int
        First byte after the sample records, and first byte of the allocation table.
    page_size : int
    num_samples : int
    """

    start: int
    end: int
    page_size: int
    num_samples: int


def bad_extents(offset: npt.NDArray[np.uint64], size: npt.NDArray[np.uint64], bounds: Bounds) -> npt.NDArray[np.bool_]:
    """Flag the extents that leave the payload region or cross a page. An overflow of the sums is noticed."""
    end = np.uint64(bounds.end)
    last = offset + size
    bad = (offset > end) | (size > np.uint64(bounds.page_size)) | (last > end)
    shift = np.uint64(bounds.page_size.bit_length() - 1)
    filled = size > 0
    crossing = (offset >> shift) != ((last - filled) >> shift)
    outside: npt.NDArray[np.bool_] = bad | (filled & ((offset < np.uint64(bounds.start)) | crossing))
    return outside


def bad_allocations(table: npt.NDArray[Any], bounds: Bounds) -> Iterator[tuple[int, str]]:
    """Yield (row, complaint) for the rows of an allocation table that cannot be right.

    Extents of zero bytes may start anywhere in the file, since stock ffcv writes such rows for empty values.
    """
    for first in range(0, len(table), CHUNK_ROWS):
        rows = np.asarray(table[first : first + CHUNK_ROWS])
        columns = np.ascontiguousarray(rows).view("<u8").reshape(-1, ALLOCATION_MEMBERS).T.copy()
        sample, offset, size = columns
        strange = sample >= np.uint64(bounds.num_samples)
        bad = bad_extents(offset, size, bounds)
        for row in np.flatnonzero(bad | strange):
            where = f"{size[row]} bytes at byte {offset[row]}"
            if bad[row]:
                yield first + int(row), f"{where} leave the payload region or cross a page"
            else:
                yield first + int(row), f"{where} belong to sample {sample[row]}, which does not exist"


def bad_metadata(column: npt.NDArray[Any], field: Field, bounds: Bounds) -> Iterator[tuple[int, str]]:
    """Yield (sample, complaint) for the metadata records of a field that cannot be right."""
    pointer = getattr(field, "pointer", None)
    if pointer is None:
        return
    for first in range(0, len(column), CHUNK_ROWS):
        rows = np.ascontiguousarray(column[first : first + CHUNK_ROWS])
        offset = np.ascontiguousarray(rows[pointer] if pointer else rows)
        sizes = field.payload_sizes(rows)
        if sizes is None:
            sizes = np.full(len(rows), UNKNOWN_SIZE)
        known = sizes != UNKNOWN_SIZE
        size = np.where(known, sizes, np.uint64(1))
        bad = bad_extents(offset, size, bounds)
        judged = field.bad_records(rows)
        for row in np.flatnonzero(bad | judged[0]) if judged else np.flatnonzero(bad):
            if judged and judged[0][row]:
                yield first + int(row), judged[1]
            else:
                amount = f"{size[row]} bytes" if known[row] else "a payload"
                yield first + int(row), f"points at {amount} at byte {offset[row]}, {OUTSIDE}"


def is_plain(
    column: npt.NDArray[Any], field: Field, rows: npt.NDArray[Any], bounds: Bounds
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]] | None:
    """Return where the payloads of a field are, as views of the file's tables, if these say it plainly.

    They do if the allocation table has a row for each sample, in order, of the place that the sample's record names and
    of the size that it states, if it does; and nothing in either table is wrong.

    Parameters
    ----------
    column : ndarray
        The field's records.
    field : Field
    rows : ndarray of ``layout.ALLOCATION``
        The rows of the allocation table that would be this field's.
    bounds : Bounds
    """
    pointer = getattr(field, "pointer", None)
    if not isinstance(pointer, str) or len(rows) != len(column) or not len(rows):
        return None
    offset, size, least = (column[pointer] if pointer else column), rows["size"], 0
    if offset.dtype != size.dtype:
        return None
    for first in range(0, len(column), CHUNK_ROWS):
        some = column[first : first + CHUNK_ROWS]
        judged, stated = field.bad_records(some), field.payload_sizes(some)
        if judged and judged[0].any():
            return None
        if stated is None:
            least = 1  # only a size that the record states may be 0
        elif ((stated != size[first : first + CHUNK_ROWS]) & (stated != UNKNOWN_SIZE)).any():
            return None
        elif (stated == UNKNOWN_SIZE).any():
            least = 1
    limits = np.array([bounds.start, bounds.end, bounds.page_size], np.uint64)
    plain = native.library().ffp_plain_extents(
        offset.ctypes.data, offset.strides[0], rows.ctypes.data, rows.strides[0], len(rows), least, limits.ctypes.data
    )
    return (offset, size) if plain == len(rows) else None


class MissingAllocation(Exception):
    """The allocation table has no size, or two sizes, for the payload of a metadata record."""

    def __init__(self, sample: int, offset: int, ambiguous: bool) -> None:
        super().__init__(sample, offset, ambiguous)
        self.sample = sample
        self.offset = offset
        self.ambiguous = ambiguous


def table_sizes(
    table: npt.NDArray[Any], offsets: npt.NDArray[np.uint64], rank: int, per_sample: int
) -> npt.NDArray[np.uint64]:
    """Look up the sizes of payloads in the allocation table.

    Parameters
    ----------
    table : ndarray of ``layout.ALLOCATION``
    offsets : ndarray of uint64
        One payload offset a sample.
    rank, per_sample : int
        The field is number `rank` of the `per_sample` fields with payloads. A table in sample order, as in every file
        that ffprep wrote, is read straight through; any other table is sorted first.

    Raises
    ------
    MissingAllocation
        An offset is not in the table, or the table has two sizes for it. Zero and another size are no contradiction,
        because stock ffcv puts an empty value at the offset of the next payload; the other size is returned then.
    """
    count = len(offsets)
    if per_sample and len(table) == count * per_sample:
        mine = table[rank::per_sample]
        if np.array_equal(mine["ptr"], offsets) and np.array_equal(mine["sample_id"], np.arange(count)):
            return np.ascontiguousarray(mine["size"])
    pointers, largest, ambiguous = _sizes_by_pointer(table)
    place = np.searchsorted(pointers, offsets)
    place[place == len(pointers)] = 0
    missing = pointers[place] != offsets if len(pointers) else np.ones(count, np.bool_)
    for flags, is_ambiguous in ((missing, False), (ambiguous[place] if len(pointers) else missing, True)):
        if flags.any():
            sample = int(np.flatnonzero(flags)[0])
            raise MissingAllocation(sample, int(offsets[sample]), is_ambiguous)
    return largest[place]


def _sizes_by_pointer(
    table: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Return the distinct offsets of a table in order, the largest size of each, and whether its sizes differ."""
    pointers, sizes = np.ascontiguousarray(table["ptr"]), np.ascontiguousarray(table["size"])
    if not np.all(pointers[1:] > pointers[:-1]):
        order = np.argsort(pointers)
        pointers, sizes = pointers[order], sizes[order]
    first = np.flatnonzero(np.concatenate([np.ones(min(1, len(table)), np.bool_), pointers[1:] != pointers[:-1]]))
    if len(first) == len(table):
        return pointers, sizes, np.zeros(len(table), np.bool_)
    largest = np.maximum.reduceat(sizes, first)
    smallest = np.minimum.reduceat(np.where(sizes == 0, UNKNOWN_SIZE, sizes), first)
    return pointers[first], largest, (smallest != largest) & (largest > 0)
