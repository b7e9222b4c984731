"""Writing samples of files that exist already: their payloads are copied in long runs, their records in one piece.

The result is that of `Writer.write` for the same samples, byte for byte; only the way there is another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton import sections
from ffprep.beton.checksums import CHANGED, REMEDY, PayloadSums, changed_payloads
from ffprep.beton.reader import Reader
from ffprep.beton.writing.placement import Placement
from ffprep.beton.writing.writer import Writer
from ffprep.errors import ConversionError, DecodeError

PIECE_SAMPLES = 4096
PIECE_BYTES = 1 << 23
"""So much is compared with its checksums and then copied: it is still in the cache when it is copied."""

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
            A payload changed since the file was written; nothing from its piece on is copied.
        """
        pointed = [index for index, column in enumerate(self._columns) if column.pointer is not None]
        fields = [self._columns[index].name for index in pointed]
        places = [reader.extents(name) for name in fields]
        every = (
            [np.stack([part[k][start:stop].astype(np.int64) for part in places], 1) for k in (0, 1)] if places else []
        )
        for begin, stopped in _pieces(stop - start, every[1] if every else None):
            first, end = start + begin, start + stopped
            self._await_commit(block=False)
            if self._commit_due():
                self._start_commit()
            if self.num_written + end - first > self.num_samples:
                raise ConversionError(f"more than the {self.num_samples} promised for {self.path}")
            for name, compared in (sums or {}).items():
                _compare(reader, name, compared, np.arange(first, end))
            offsets = sizes = np.empty((end - first, 0), np.int64)
            cursor = self._placement.cursor
            if every:
                sizes = every[1][begin:stopped]
                alignments = [self._columns[index].alignment for index in pointed]
                offsets, cursor = place_all(self._placement, sizes, alignments)
            self._consistent = False
            self._placement.cursor = cursor
            if every:
                for target, source, size in runs(offsets, every[0][begin:stopped], sizes):
                    self._sink.append_run(target, reader.data[source : source + size].data)
                self._note_payloads(offsets, every[0][begin:stopped], sizes, reader, first, fields, sums)
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

    def _note_payloads(
        self,
        offsets: Numbers,
        sources: Numbers,
        sizes: Numbers,
        reader: Reader,
        first: int,
        fields: Sequence[str],
        sums: dict[str, PayloadSums] | None,
    ) -> None:
        numbers = np.repeat(np.arange(self.num_written, self.num_written + len(offsets)), offsets.shape[1])
        rows = np.stack([numbers, offsets.reshape(-1), sizes.reshape(-1)], 1)
        self._allocations.frombytes(np.ascontiguousarray(rows, np.uint64).tobytes())
        if sums is not None:
            found = np.stack([sums[name].sums[first : first + len(offsets)] for name in fields], 1)
            self._sums.frombytes(np.ascontiguousarray(found, np.uint64).tobytes())
            return
        for start, size in zip(sources.reshape(-1).tolist(), sizes.reshape(-1).tolist(), strict=True):
            self._sums.append(xxhash.xxh3_64_intdigest(reader.data[start : start + size].data))

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


def _compare(reader: Reader, name: str, sums: PayloadSums, samples: Numbers) -> None:
    changed = changed_payloads(reader.data, sums, samples)
    if changed:
        raise DecodeError(f"{reader.path}: {reader.sample_label(changed[0])}, field {name!r}: {CHANGED}; {REMEDY}")


def _pieces(stop: int, sizes: Numbers | None) -> Iterator[tuple[int, int]]:
    start = 0
    while start < stop:
        end = min(start + PIECE_SAMPLES, stop)
        if sizes is not None:
            total = np.cumsum(sizes[start:end].sum(1))
            end = start + max(1, int(np.searchsorted(total, PIECE_BYTES)))
            end = min(end, stop)
        yield start, end
        start = end


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


def runs(targets: Numbers, sources: Numbers, sizes: Numbers) -> Iterator[tuple[int, int, int]]:
    """Yield (offset in the new file, offset in the old file, bytes) of payloads that lie together in both.

    Parameters
    ----------
    targets, sources, sizes : ndarray of int64
        In the order of the payloads in the new file.
    """
    target, source, size = targets.reshape(-1), sources.reshape(-1), sizes.reshape(-1)
    together = (target[1:] == target[:-1] + size[:-1]) & (source[1:] == source[:-1] + size[:-1])
    begins = np.concatenate([[0], np.flatnonzero(~together) + 1]) if len(size) else np.empty(0, np.int64)
    totals = np.add.reduceat(size, begins) if len(size) else size
    yield from zip(target[begins].tolist(), source[begins].tolist(), totals.tolist(), strict=True)
