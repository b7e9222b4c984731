"""Which pages of remote files samples and batches need, and when they need them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.loader.files import Files, Ids
from ffprep.remote import PAGE

NEVER = 0xFFFFFFFF
"""When a page is needed of which nobody knows it."""

_SPANS = "pages of remote files"


class Spans:
    """Which pages of remote files each sample's payloads lie in. Pages are numbered over all files.

    Parameters
    ----------
    files : Files
    payloads : sequence of str

    Attributes
    ----------
    starts : ndarray of int64, shape (files + 1,)
        Number of each file's first page; files on local disk have none.
    total : int
        All pages.
    """

    def __init__(self, files: Files, payloads: Sequence[str]) -> None:
        self._files = files
        counts = [0 if reader.source is None else reader.source.count for reader in files.readers]
        self.starts: Ids = np.cumsum([0, *counts], dtype=np.int64)
        self.total = int(self.starts[-1])
        self._columns = [
            (f, *self._extents(f, reader, name))
            for f, reader in enumerate(files.readers)
            for name in payloads
            if reader.source is not None and name in reader.fields and reader.fields[name].pointer is not None
        ]

    def _extents(self, f: int, reader: Reader, name: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Return where the payloads of a field lie; noted, since blocks of tokens have it computed by each call."""
        key = (_SPANS, f, name)
        if key not in self._files.tables:
            self._files.tables[key] = reader.extents(name)
        found: tuple[Any, Any] = self._files.tables[key]
        return found

    def pages(self, ids: Ids) -> Ids:
        """Return the pages that the payloads of some samples lie in: int64, each once."""
        found: list[Ids] = []
        files = None if len(self._files) == 1 else self._files.file_of(ids)
        for f, offset, size in self._columns:
            mine = ids if files is None else ids[files == f] - self._files.starts[f]
            if not len(mine):
                continue
            start = offset[mine].astype(np.int64)
            begin = start // PAGE
            found.append(begin + self.starts[f])
            length = (start + np.maximum(size[mine].astype(np.int64), 1) - 1) // PAGE - begin
            for step in range(1, int(length.max()) + 1):
                found.append(begin[length >= step] + (step + self.starts[f]))
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def _pairs(walked: Sequence[Ids]) -> tuple[Ids, Ids, Ids]:
    """Return batch and page of each use, by page and then by batch, and the places of these among all uses."""
    batch = np.repeat(np.arange(len(walked)), [len(pages) for pages in walked])
    page = np.concatenate(walked) if len(walked) else np.empty(0, np.int64)
    order = np.argsort(page, kind="stable")
    return batch[order], page[order], order


def next_uses(
    walked: Sequence[Ids], later: npt.NDArray[np.uint32]
) -> tuple[list[npt.NDArray[np.uint32]], npt.NDArray[np.uint32]]:
    """Find out when each page is needed next.

    Parameters
    ----------
    walked : sequence of ndarray of int64
        The pages of each batch, each once.
    later : ndarray of uint32, shape (pages,)
        When each page is needed after these batches.

    Returns
    -------
    after : list of ndarray of uint32
        For each page of each batch, when it is needed after that.
    first : ndarray of uint32, shape (pages,)
        When each page is needed first.
    """
    batch, page, order = _pairs(walked)
    following = later[page]
    again = np.flatnonzero(page[1:] == page[:-1])
    following[again] = batch[again + 1]
    flat = np.empty(len(order), np.uint32)
    flat[order] = following
    first = later.copy()
    fresh = np.flatnonzero(np.concatenate([[True], page[1:] != page[:-1]])) if len(page) else np.empty(0, np.int64)
    first[page[fresh]] = batch[fresh]
    return np.split(flat, np.cumsum([len(pages) for pages in walked])[:-1]) if len(walked) else [], first


def most_at_once(walked: Sequence[Ids], under_way: int, sizes: Ids) -> int:
    """Return the most bytes of different pages that so many batches in a row need.

    Parameters
    ----------
    walked : sequence of ndarray of int64
        The pages of each batch, each once.
    under_way : int
    sizes : ndarray of int64, shape (pages,)
        Bytes of each page there is.
    """
    counts, held, most = np.zeros(len(sizes), np.int32), 0, 0
    for number, pages in enumerate(walked):
        held += int(sizes[pages[counts[pages] == 0]].sum())
        counts[pages] += 1
        if number >= under_way:
            old = walked[number - under_way]
            counts[old] -= 1
            held -= int(sizes[old[counts[old] == 0]].sum())
        most = max(most, held)
    return most
