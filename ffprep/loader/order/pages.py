"""Which page of its file each sample lies in; what QUASI_RANDOM shuffles and what is read ahead follows from it.

Nothing here keeps a number for each sample of a file whose samples lie in it in order, as files usually have them: of
twelve million samples it would take a hundred megabytes in every process.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.loader.engine.readahead import first_pages
from ffprep.loader.files import Files, Ids

SAMPLES_PER_PAGE_BITS = 12
"""Samples without payloads have no page: 2 to the power of this many consecutive ones count as a page."""

_CHUNK = 1 << 18


@dataclass(frozen=True)
class PageRuns:
    """The pages of all samples where these lie in order: each page holds a run of them.

    Attributes
    ----------
    starts : ndarray of int64, shape (pages + 1,)
        First sample of each page that has any, and the number of all samples.
    """

    starts: Ids

    def __len__(self) -> int:
        return int(self.starts[-1])

    def each(self) -> Ids:
        """Return a number for the page of each sample; they ascend as the pages do."""
        return np.repeat(np.arange(len(self.starts) - 1, dtype=np.int64), np.diff(self.starts))


def has_payload(reader: Reader, name: str) -> bool:
    """Return whether a file keeps the values of a field in its pages."""
    return name in reader.fields and reader.fields[name].pointer is not None


def payload_fields(sources: Collection[str], files: Files) -> list[str]:
    """Return those of the fields that at least one file keeps in its pages."""
    return [
        name for name in files.fields if name in sources and any(has_payload(reader, name) for reader in files.readers)
    ]


def pages_of(reader: Reader, name: str) -> Ids:
    """Return the page of one file in which each payload begins: int64, shape (samples of the file,)."""
    shift = np.uint64(reader.page_size.bit_length() - 1)
    pages: Ids = (reader.extents(name)[0] >> shift).astype(np.int64)
    return pages


def payload_pages(files: Files, name: str) -> Ids:
    """Return the page of each sample's payload: int64, shape (samples of all files,).

    Pages are numbered over all files, see `first_pages`; samples of files without such a payload have -1.
    """
    return np.concatenate(
        [
            pages_of(reader, name) + first if has_payload(reader, name) else np.full(reader.num_samples, -1, np.int64)
            for reader, first in zip(files.readers, first_pages(files.readers)[:-1], strict=True)
        ]
    )


def pages_holding(files: Files, payloads: Sequence[str], samples: Ids) -> Ids:
    """Return the pages in which the payloads of some samples begin: int64, each once, see `payload_pages`."""
    found = []
    members = files.file_of(samples) if len(files) > 1 else np.zeros(len(samples), np.int64)
    firsts = first_pages(files.readers)
    for f in np.unique(members).tolist():
        reader = files.readers[f]
        own = samples[members == f] - int(files.starts[f])
        shift = np.uint64(reader.page_size.bit_length() - 1)
        for name in payloads:
            if has_payload(reader, name):
                found.append((reader.extents(name)[0][own] >> shift).astype(np.int64) + firsts[f])
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def sample_pages(files: Files, payloads: Sequence[str]) -> PageRuns | Ids:
    """Return what `main_pages` does, as runs if all samples lie in the files in order."""
    main = max(payloads, key=lambda name: _room(files, name), default=None) if len(payloads) > 1 else None
    name = payloads[0] if len(payloads) == 1 else main
    if name is None or not all(has_payload(reader, name) for reader in files.readers):
        return main_pages(files, payloads)
    starts: list[Ids] = []
    for reader, first in zip(files.readers, files.starts[:-1], strict=True):
        found = _page_starts(reader, name)
        if found is None:
            return main_pages(files, payloads)
        starts.append(found + first)
    return PageRuns(np.concatenate([*starts, files.starts[-1:]]))


def _page_starts(reader: Reader, name: str) -> Ids | None:
    """Return the first sample of each page of a file, or None if samples do not lie in it in order."""
    offset, _ = reader.extents(name)
    shift = np.uint64(reader.page_size.bit_length() - 1)
    found, last = [np.empty(0, np.int64)], -1
    for first in range(0, len(offset), _CHUNK):
        pages = (offset[first : first + _CHUNK] >> shift).astype(np.int64)
        steps = np.diff(pages, prepend=last)
        if (steps < 0).any():
            return None
        found.append(np.flatnonzero(steps) + first)
        last = int(pages[-1])
    return np.concatenate(found)


def _room(files: Files, name: str) -> float:
    """Return the bytes of a field's payloads in all files."""
    readers = [reader for reader in files.readers if has_payload(reader, name)]
    return sum(float(reader.extents(name)[1].sum(dtype=np.float64)) for reader in readers)


def main_pages(files: Files, payloads: Sequence[str]) -> Ids:
    """Return the page of each sample's payload in the field that takes most room: int64, shape (samples of all files,).

    A sample that lacks this field is placed by the next largest that it has. Samples without any payload are given
    made-up pages after all others.
    """
    main = np.full(files.num_samples, -1, np.int64)
    for name in sorted(payloads, key=lambda name: _room(files, name), reverse=True):
        main = np.where(main < 0, payload_pages(files, name), main)
    if (main < 0).any():
        last = int(first_pages(files.readers)[-1])
        main = np.where(main < 0, last + (np.arange(len(main)) >> SAMPLES_PER_PAGE_BITS), main)
    return main
