"""Placing payloads: in order, none across a page boundary, and those of a sample in one page where possible."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from ffprep.beton.layout import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, align_up
from ffprep.beton.writing.columns import Column
from ffprep.errors import ConversionError
from ffprep.fields.base import Encoded

SHARED_ROW = np.dtype([("field", "<u8"), ("digest", "V16"), ("ptr", "<u8"), ("size", "<u8"), ("check", "<u8")])


class Placement:
    """Hands out ascending file offsets.

    Stock ffcv's quasi-random order visits a sample once for each page in which it has payloads, so a sample is kept
    within one page if it fits. An empty value takes one byte of the file, so that no two payloads have the same offset.

    Parameters
    ----------
    cursor : int
        First free byte.
    page_size : int or None
        None starts at 8 MiB and grows to the next power of two when a sample needs it. Payloads that were placed before
        still cross no page boundary, since every boundary of large pages is one of small pages too.
    """

    def __init__(self, cursor: int, page_size: int | None) -> None:
        self.cursor = cursor
        self.page_size = page_size or DEFAULT_PAGE_SIZE
        self.grows = page_size is None

    def page_of(self, offset: int) -> int:
        return offset // self.page_size

    def plan(self, sizes: Sequence[tuple[int, int]]) -> tuple[list[int], int]:
        """Find places for the payloads of one sample. The caller takes them by setting `cursor`.

        Parameters
        ----------
        sizes : sequence of (size, alignment)

        Returns
        -------
        offsets : list of int
            One offset for each payload.
        cursor : int
            First free byte after them.

        Raises
        ------
        ConversionError
            A payload is larger than a page can be.
        """
        return self._together(sizes) or self._one_by_one(sizes)

    def _together(self, sizes: Sequence[tuple[int, int]]) -> tuple[list[int], int] | None:
        offsets, end = _in_a_row(self.cursor, sizes)
        if self.page_of(offsets[0]) == self.page_of(end - 1):
            return offsets, end
        start = align_up(self.cursor, self.page_size)
        offsets, end = _in_a_row(start, sizes)
        total = end - start
        if total <= self.page_size:
            return offsets, end
        if not self.grows or total > MAX_PAGE_SIZE:
            return None
        self.page_size = 1 << (total - 1).bit_length()
        return self._together(sizes)

    def _one_by_one(self, sizes: Sequence[tuple[int, int]]) -> tuple[list[int], int]:
        offsets, cursor = [], self.cursor
        most, largest = max(size for size, _ in sizes), MAX_PAGE_SIZE if self.grows else self.page_size
        if most > largest:
            raise ConversionError(
                f"a value takes {most} bytes and a page {largest}; "
                + ("store it in parts" if self.grows else "leave page_size out or make it larger")
            )
        self.page_size = max(self.page_size, 1 << (most - 1).bit_length())
        for size, alignment in sizes:
            start = align_up(cursor, alignment)
            if self.page_of(start) != self.page_of(start + max(size, 1) - 1):
                start = align_up(start, self.page_size)
            offsets.append(start)
            cursor = start + max(size, 1)
        return offsets, cursor


def _in_a_row(start: int, sizes: Sequence[tuple[int, int]]) -> tuple[list[int], int]:
    offsets = []
    for size, alignment in sizes:
        start = (start + alignment - 1) & -alignment
        offsets.append(start)
        start += size or 1
    return offsets, start


@dataclass
class Stored:
    """A payload in the file that further samples may point at.

    Attributes
    ----------
    ptr, size : int
        Its offset in the file, and its bytes.
    check : int
        Checksum of the value, by which another value with the same key is noticed.
    last : int
        Number of the last sample that used it.
    """

    ptr: int
    size: int
    check: int
    last: int


class SharedPayloads:
    """Remembers where payloads with a key are stored.

    When consecutive samples have the same key but a page boundary lies between them, the sample in the next page gets a
    copy of its own: with the captions of an image next to each other, that is one copy of the image for each page, and
    every sample stays within one page. Samples further apart point at the stored payload, wherever it is.
    """

    def __init__(self) -> None:
        self._stored: dict[tuple[int, bytes], Stored] = {}
        self._unsaved: list[tuple[int, bytes, int, int, int]] = []
        self._recent: list[tuple[int, bytes]] = []
        self._recent_sample = -1

    def find(self, field: int, value: Encoded) -> Stored | None:
        """Return the stored payload of a value with a key.

        Raises
        ------
        ConversionError
            The key was used for another payload.
        """
        stored = self._stored.get((field, _digest(value.key)))
        if stored is not None and stored.check != _checksum(value):
            raise ConversionError(f"the key {value.key!r} was used for another value before")
        return stored

    def used(self, field: int, value: Encoded, sample: int, ptr: int, size: int) -> None:
        """Record that a sample uses the payload at this offset."""
        identity = (field, _digest(value.key))
        stored = self._stored.get(identity)
        if stored is None or stored.ptr != ptr:
            check = _checksum(value)
            self._stored[identity] = Stored(ptr, size, check, sample)
            self._unsaved.append((field, identity[1], ptr, size, check))
        else:
            stored.last = sample
        if sample != self._recent_sample:
            self._recent, self._recent_sample = [], sample
        self._recent.append(identity)

    def unsaved(self) -> bytes:
        """Return the rows that are new since the last call of `take_unsaved`."""
        return np.array(self._unsaved, SHARED_ROW).tobytes()

    def take_unsaved(self) -> bytes:
        """Return the rows that are new since the last call."""
        rows = self.unsaved()
        self._unsaved.clear()
        return rows

    def recent(self, sample: int) -> list[list[object]]:
        """Return what `sample` used, as JSON values."""
        used = self._recent if self._recent_sample == sample else []
        return [[field, digest.hex()] for field, digest in used]

    def restore(self, rows: bytes, recent: list[list[object]], sample: int) -> None:
        """Restore what `take_unsaved` and `recent` returned."""
        for field, digest, ptr, size, check in np.frombuffer(rows, SHARED_ROW).tolist():
            self._stored[field, bytes(digest)] = Stored(ptr, size, check, -1)
        for field, text in recent:
            identity = (int(str(field)), bytes.fromhex(str(text)))
            self._stored[identity].last = sample
            self._recent.append(identity)
        self._recent_sample = sample


def _plain(key: Hashable) -> bool:
    return isinstance(key, (str, int, bytes)) or (isinstance(key, tuple) and all(map(_plain, key)))


def _digest(key: Hashable) -> bytes:
    if not _plain(key):
        raise ConversionError(
            f"a shared value's key is a str, int, bytes or a tuple of these, not {type(key).__name__}"
        )
    return xxhash.xxh3_128_digest(repr(key).encode("utf-8", "backslashreplace"))


def _checksum(value: Encoded) -> int:
    hasher = xxhash.xxh3_64(repr(value.metadata).encode())
    if value.payload is not None:
        hasher.update(memoryview(value.payload))
    return hasher.intdigest()


def payloads_of(columns: Sequence[Column], sample: Sequence[Encoded]) -> dict[int, memoryview]:
    """Return the payload of each field that has one, by the field's number.

    Raises
    ------
    ConversionError
        A value has a payload although its field has none, or the other way round, or the payload is not bytes.
    """
    payloads = {}
    for index, (column, value) in enumerate(zip(columns, sample, strict=True)):
        if column.pointer is None:
            column.pointer = value.pointer
        if (column.pointer is None) != (value.payload is None):
            has = "has no" if value.payload is None else "has a"
            raise ConversionError(f"field {column.name!r}: the value {has} payload, unlike the field")
        if value.payload is not None:
            try:
                payloads[index] = memoryview(value.payload).cast("B")
            except TypeError as error:
                raise ConversionError(f"field {column.name!r}: the payload is not bytes: {error}") from error
    return payloads


def plan_sample(
    placement: Placement,
    shared: SharedPayloads,
    columns: Sequence[Column],
    sample: Sequence[Encoded],
    payloads: Mapping[int, memoryview],
    number: int,
) -> tuple[dict[int, int], int, list[int]]:
    """Find places for a sample's payloads. Nothing but the page size changes.

    Returns
    -------
    offsets : dict of field number to offset
    cursor : int
        First free byte after them.
    fresh : list of int
        Numbers of the fields whose payloads are not in the file yet.

    Raises
    ------
    ConversionError
        A payload is too large, or a key was used for another value.
    """
    offsets: dict[int, int] = {}
    runs: list[int] = []
    for index in payloads:
        if sample[index].key is None:
            continue
        stored = shared.find(index, sample[index])
        if stored is not None:
            offsets[index] = stored.ptr
            if stored.last == number - 1:
                runs.append(index)
    fresh = [index for index in payloads if index not in offsets]
    if not fresh:
        return offsets, placement.cursor, fresh
    placed, cursor = _plan_fields(placement, columns, fresh, payloads)
    if runs:
        page = placement.page_of(placed[0])
        moved = [index for index in runs if placement.page_of(offsets[index]) != page]
        if moved:
            fresh = sorted(fresh + moved)
            placed, cursor = _plan_fields(placement, columns, fresh, payloads)
    offsets.update(zip(fresh, placed, strict=True))
    return offsets, cursor, fresh


def _plan_fields(
    placement: Placement, columns: Sequence[Column], indices: list[int], payloads: Mapping[int, memoryview]
) -> tuple[list[int], int]:
    sizes = [(len(payloads[index]), columns[index].alignment) for index in indices]
    try:
        return placement.plan(sizes)
    except ConversionError as error:
        names = ", ".join(repr(columns[index].name) for index in indices)
        raise ConversionError(f"field {names}: {error}") from error
