"""Writing samples of files that exist already: their payloads are copied in long runs, their records in one piece.

The result is that of `Writer.write` for the same samples, byte for byte; only the way there is another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton import sections
from ffprep.beton.checksums import CHANGED, REMEDY, PayloadSums
from ffprep.beton.reader import Reader
from ffprep.beton.writing.placement import Placement
from ffprep.beton.writing.unfinished import HOT_BYTES
from ffprep.beton.writing.writer import Writer
from ffprep.errors import ConversionError, DecodeError

PIECE_SAMPLES = 4096
PIECE_BYTES = 1 << 23
"""For so much at a time places are found and records made."""

SHARED_BYTES = 1 << 21
"""What is compared with its checksums, hashed and written before the next is touched, where a thread writes: that has
another core's cache, and each call of it costs something. Otherwise it is `HOT_BYTES`."""

Numbers = npt.NDArray[np.int64]


def can_copy(reader: Reader) -> bool:
    """Whether a file's samples can be copied in runs: no field is a user's own, and no payload is shared."""
    for name, field in reader.fields.items():
        if field.is_custom:
            return False
        if field.pointer is not None:
            offsets = np.sort(reader.extents(name)[0])
            if (offsets[1:] == offsets[:-1]).any():
                return False
    return True


class CopyingWriter(Writer):
    """A `Writer` that also takes samples of other files."""

    def copy(
        self,
        reader: Reader,
        start: int,
        stop: int,
        names: Sequence[str] | None,
        sums: dict[str, PayloadSums] | None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Add samples ``start`` to ``stop - 1`` of a file for which `can_copy` holds.

        Parameters
        ----------
        reader : Reader
        start, stop : int
        names : sequence of str, optional
            The names of all samples of the file.
        sums : dict of str to PayloadSums, optional
            What the payloads are compared with before they are copied, by field.
        progress : callable, optional
            Called with (samples written, samples to write) from time to time.

        Raises
        ------
        ConversionError
            As `write`.
        DecodeError
            A payload changed since the file was written; it and what follows are not copied.
        """
        pointed = [index for index, column in enumerate(self._columns) if column.pointer is not None]
        fields = [self._columns[index].name for index in pointed]
        alignments = [self._columns[index].alignment for index in pointed]
        extents = [reader.extents(name) for name in fields]
        every = [
            np.stack([part[k][start:stop].astype(np.int64) for part in extents], 1)
            if extents
            else np.empty((stop - start, 0), np.int64)
            for k in (0, 1)
        ]
        for begin, stopped in _pieces(every[1], PIECE_BYTES):
            first, end = start + begin, start + stopped
            self._await_commit(block=False)
            if self._commit_due():
                self._start_commit()
            if self.num_written + end - first > self.num_samples:
                raise ConversionError(f"more than the {self.num_samples} promised for {self.path}")
            sources, sizes = every[0][begin:stopped], every[1][begin:stopped]
            offsets, cursor, page_size = sizes, self._placement.cursor, self._placement.page_size
            if fields:
                offsets, cursor = place_all(self._placement, sizes, alignments)
            self._consistent = False
            expected = None if sums is None else [sums[name].sums[first:end].tolist() for name in fields]
            digests, changed = self._copy_payloads(reader, offsets, sources, sizes, expected)
            if changed is not None:  # those before its group are in the file, and stay
                end = first + len(digests) // len(fields)
                sizes, self._placement.page_size = sizes[: end - first], page_size
                offsets, cursor = place_all(self._placement, sizes, alignments)
            self._placement.cursor = cursor
            numbers = np.repeat(np.arange(self.num_written, self.num_written + end - first), len(fields))
            rows = np.stack([numbers, offsets.reshape(-1), sizes.reshape(-1)], 1)
            self._allocations.frombytes(np.ascontiguousarray(rows, np.uint64).tobytes())
            self._sums.extend(digests)
            self._records += self._copied_records(reader, first, end, pointed, offsets)
            self._names += (
                [sections.clean_name(name) if name else b"" for name in names[first:end]]
                if names
                else ([b""] * (end - first))
            )
            self._uncommitted_bytes += int(sizes.sum()) + sum(map(len, self._names[first - end :]))
            self.num_written += end - first
            self._consistent = True
            if progress is not None:
                progress(self.num_written, self.num_samples)
            if changed is not None:
                label = reader.sample_label(first + changed // len(fields))
                raise DecodeError(
                    f"{reader.path}: {label}, field {fields[changed % len(fields)]!r}: {CHANGED}; {REMEDY}"
                )

    def _copy_payloads(
        self, reader: Reader, offsets: Numbers, sources: Numbers, sizes: Numbers, expected: list[list[int]] | None
    ) -> tuple[list[int], int | None]:
        """Compare the payloads of some samples with their checksums, and write them.

        Returns
        -------
        digests : list of int
            The xxh3-64 of each payload that was written.
        changed : int or None
            The number, among all payloads, of the first that is not what it was; its group is not written.
        """
        content, width = reader.data.data, offsets.shape[1]
        groups = _groups(sizes, SHARED_BYTES if self._sink.threaded else HOT_BYTES) if width else []
        extents = list(zip(sources.reshape(-1).tolist(), sizes.reshape(-1).tolist(), strict=True))
        wanted = None if expected is None else [one for sample in zip(*expected, strict=True) for one in sample]
        waiting = deque(runs(offsets, sources, sizes, [begin * width for begin, _ in groups]))
        digests: list[int] = []
        for begin, end in groups:
            here = slice(begin * width, end * width)
            found = [xxhash.xxh3_64_intdigest(content[start : start + size]) for start, size in extents[here]]
            if wanted is not None and found != wanted[here]:
                for number in range(here.start, here.stop):
                    if extents[number][1] and found[number - here.start] != wanted[number]:
                        return digests, number
            while waiting and waiting[0][0] < here.stop:
                _, target, source, size = waiting.popleft()
                self._sink.append_run(target, content[source : source + size])
            self._sink.write_gathered()
            digests += found
        return digests, None

    def _copied_records(self, reader: Reader, first: int, end: int, pointed: Sequence[int], offsets: Numbers) -> bytes:
        records: npt.NDArray[Any] = np.zeros(end - first, reader.records.dtype)
        for index in range(len(self._columns)):
            records[f"f{index}"] = reader.records[f"f{index}"][first:end]
        for place, index in enumerate(pointed):
            pointer = reader.fields[self._columns[index].name].pointer
            if pointer:
                records[f"f{index}"][pointer] = offsets[:, place]
            else:
                records[f"f{index}"] = offsets[:, place]
        return records.tobytes()


def _pieces(sizes: Numbers, most: int) -> Iterator[tuple[int, int]]:
    """Yield the first sample and the end of groups of samples with at most so many bytes, or of one sample."""
    start = 0
    while start < len(sizes):
        total = np.cumsum(sizes[start : start + PIECE_SAMPLES].sum(1))
        end = start + max(1, int(np.searchsorted(total, most, side="right")))
        yield start, end
        start = end


def _groups(sizes: Numbers, most: int) -> list[tuple[int, int]]:
    """Return the first sample and the end of groups of samples with about so many bytes."""
    ends = np.cumsum(sizes.sum(1))
    cuts = (np.flatnonzero(np.diff((ends - 1) // most)) + 1).tolist()
    return list(zip([0, *cuts], [*cuts, len(sizes)], strict=True))


def place_all(placement: Placement, sizes: Numbers, alignments: Sequence[int]) -> tuple[Numbers, int]:
    """Find places for the payloads of many samples, as `Placement.plan` does for one.

    Parameters
    ----------
    placement : Placement
        Its page size may grow; its cursor stays.
    sizes : ndarray of int64, shape (samples, fields)
    alignments : sequence of int
        Of the fields.

    Returns
    -------
    offsets : ndarray of int64, shape (samples, fields)
    cursor : int
        First free byte after them.

    Raises
    ------
    ConversionError
        A payload is larger than a page can be.
    """
    begun = placement.cursor
    try:
        if max(alignments) > 1:
            return _one_after_another(placement, sizes, alignments)
        return _page_after_page(placement, sizes)
    finally:
        placement.cursor = begun


def _one_after_another(placement: Placement, sizes: Numbers, alignments: Sequence[int]) -> tuple[Numbers, int]:
    found = []
    for sample in sizes.tolist():
        offsets, placement.cursor = placement.plan(list(zip(sample, alignments, strict=True)))
        found.append(offsets)
    return np.array(found, np.int64).reshape(sizes.shape), placement.cursor


def _page_after_page(placement: Placement, sizes: Numbers) -> tuple[Numbers, int]:
    room = np.maximum(sizes, 1)
    inside = np.cumsum(room, 1) - room  # of each payload, from the start of its sample
    ends = np.cumsum(room.sum(1))
    starts = np.empty_like(ends)
    offsets: Numbers = np.empty_like(sizes)
    done, count = 0, len(sizes)
    before = 0
    while done < count:
        page = placement.page_size
        left = page - placement.cursor % page
        fit = int(np.searchsorted(ends, before + left, side="right"))
        if fit > done:
            starts[done:fit] = placement.cursor + np.concatenate([[0], ends[done : fit - 1] - before])
            offsets[done:fit] = starts[done:fit, None] + inside[done:fit]
            placement.cursor += int(ends[fit - 1]) - before
        else:
            fit = done + 1
            offsets[done], placement.cursor = placement.plan([(size, 1) for size in sizes[done].tolist()])
        done, before = fit, int(ends[fit - 1])
    return offsets, placement.cursor


def runs(
    targets: Numbers, sources: Numbers, sizes: Numbers, begins: Sequence[int] = ()
) -> Iterator[tuple[int, int, int, int]]:
    """Find payloads that lie together in the old file and in the new one.

    Parameters
    ----------
    targets, sources, sizes : ndarray of int64
        In the order of the payloads in the new file.
    begins : sequence of int
        Payloads with which a run begins in any case.

    Yields
    ------
    first, target, source, size : int
        The first payload of a run, where it lies in the new file and in the old one, and its bytes.
    """
    target, source, size = targets.reshape(-1), sources.reshape(-1), sizes.reshape(-1)
    if not len(size):
        return
    fresh = np.ones(len(size), np.bool_)
    fresh[1:] = (target[1:] != target[:-1] + size[:-1]) | (source[1:] != source[:-1] + size[:-1])
    fresh[list(begins)] = True
    first = np.flatnonzero(fresh)
    totals = np.add.reduceat(size, first)
    yield from zip(first.tolist(), target[first].tolist(), source[first].tolist(), totals.tolist(), strict=True)
