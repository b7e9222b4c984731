"""The order of an epoch: which sample is shown at each position, as a pure function of (seed, epoch, position).

Positions count the samples of the whole job, over all ranks; `ffprep.loader.order.share.Share` says which of them one
rank takes. No order keeps any state, so a batch depends on nothing but these numbers, and resuming an epoch means
starting it at another position.
"""

from __future__ import annotations

import copy
import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ffprep.common.seeds import unsigned
from ffprep.errors import OptionError
from ffprep.loader.files import Ids
from ffprep.loader.order.pages import PageRuns
from ffprep.loader.order.permute import permute, permute_in_windows
from ffprep.loader.order.share import Share

Samples = Ids | range
"""Numbers of samples. A range stands for all of them, so that no process keeps an array that says nothing."""


class OrderOption(enum.Enum):
    """How an epoch goes through the samples.

    SEQUENTIAL
        In the file's order, or in that of ``indices``.
    RANDOM
        A fresh random permutation each epoch.
    QUASI_RANDOM
        Pages of the file in random order, the samples of ``window_pages`` pages shuffled together: nearly as random,
        and only those pages need to be in memory. For files larger than memory, with ``os_cache=False``.
    """

    SEQUENTIAL = 1
    RANDOM = 2
    QUASI_RANDOM = 3


class Order(ABC):
    """What the loader needs of an order.

    Sample numbers, positions and keys are int64 arrays of shape (positions,); those returned may be views of memory
    that the order keeps, and must not be written to.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples in an epoch, over all ranks."""

    @abstractmethod
    def ids(self, epoch: int, positions: Ids) -> Ids:
        """Return the numbers of the samples at these positions of the epoch."""

    def keys(self, epoch: int, positions: Ids, ids: Ids) -> Ids:
        """Return the keys of the random draws at these positions.

        They are the sample numbers, unless an epoch shows a sample more than once: then each time has another key.
        """
        return ids

    def edges(self, epoch: int) -> Ids | None:
        """Return the positions at which the epoch moves on to other pages of the file, from 0 up to its length.

        None means that the order does not go through the file page by page.
        """
        return None

    def share(self, share: Share) -> Share:
        """Return the share that a rank takes of this order, when `share` says which of how many ranks it is."""
        return share

    def apart(self) -> Order:
        """Return the same order for another thread: what it notes of an epoch is its own."""
        return copy.copy(self)


class SequentialOrder(Order):
    """``indices`` one after the other.

    Parameters
    ----------
    indices : ndarray of int64
        The samples to visit.
    pages : ndarray of int64, shape (samples of the file,), optional
        Page that each sample lies in; needed for `edges` only.
    window_pages : int
        Pages between two edges.
    """

    def __init__(self, indices: Samples, pages: PageRuns | Ids | None = None, window_pages: int = 64) -> None:
        self.indices = indices
        self._pages = pages
        self._window = window_pages

    def __len__(self) -> int:
        return len(self.indices)

    def ids(self, epoch: int, positions: Ids) -> Ids:
        return taken(self.indices, positions)

    def edges(self, epoch: int) -> Ids | None:
        if self._pages is None or len(self.indices) == 0:
            return None
        if isinstance(self._pages, PageRuns) and isinstance(self.indices, range):
            changes = self._pages.starts[1:-1]
        else:
            changes = np.flatnonzero(np.diff(each_page(self._pages)[as_array(self.indices)])) + 1
        return np.array([0, *changes[self._window - 1 :: self._window], len(self.indices)], np.int64)


class RandomOrder(Order):
    """A random permutation of ``indices``, another for each pair of seed and epoch."""

    def __init__(self, indices: Samples, seed: int) -> None:
        self._seed = unsigned(seed)
        # Consecutive sample numbers are computed: looking them up would miss the CPU's cache.
        first = int(indices[0]) if len(indices) else 0
        consecutive = isinstance(indices, range) or np.array_equal(indices, np.arange(first, first + len(indices)))
        self.indices: Samples = range(first, first + len(indices)) if consecutive else indices

    def __len__(self) -> int:
        return len(self.indices)

    def ids(self, epoch: int, positions: Ids) -> Ids:
        if len(positions) == 0:
            return np.empty(0, np.int64)
        return taken(self.indices, permute(positions, len(self.indices), self._seed, unsigned(epoch), np.uint64(0)))


class QuasiRandomOrder(Order):
    """Pages in random order, with the samples of each ``window_pages`` consecutive pages shuffled together.

    Parameters
    ----------
    indices : ndarray of int64
        The samples to visit.
    pages : PageRuns, or ndarray of int64, shape (samples of the file,)
        Page that each sample lies in.
    seed : int
    window_pages : int
        Pages shuffled together.
    """

    def __init__(self, indices: Samples, pages: PageRuns | Ids, seed: int, window_pages: int = 64) -> None:
        if window_pages < 1:
            raise OptionError(f"window_pages is {window_pages}; it must be at least 1")
        self._seed = unsigned(seed)
        self._window = window_pages
        self._paged = Paged(indices, pages)
        self._cache: tuple[int, Ids] | None = None

    def __len__(self) -> int:
        return len(self._paged)

    def _starts(self, epoch: int) -> Ids:
        """Return the edges of an epoch's windows."""
        if self._cache is None or self._cache[0] != epoch:
            ends, _ = self._paged.layout(self._seed, epoch)
            starts = np.concatenate([[0], ends[self._window - 1 :: self._window]]).astype(np.int64)
            if starts[-1] != len(self):
                starts = np.append(starts, len(self))
            self._cache = epoch, starts
        return self._cache[1]

    def ids(self, epoch: int, positions: Ids) -> Ids:
        if len(positions) == 0:
            return np.empty(0, np.int64)
        places = permute_in_windows(positions, self._starts(epoch), self._seed, unsigned(epoch))
        ends, moves = self._paged.layout(self._seed, epoch)
        return self._paged.samples(places + moves[np.searchsorted(ends, places, side="right")])

    def edges(self, epoch: int) -> Ids | None:
        return self._starts(epoch) if len(self) else None

    def apart(self) -> Order:
        other = copy.copy(self)
        other._paged = copy.copy(self._paged)
        return other


class Paged:
    """Samples page after page, and the pages of an epoch in random order.

    Parameters
    ----------
    indices : range or ndarray of int64
        The samples to visit.
    pages : PageRuns, or ndarray of int64, shape (samples of the file,)
        Page that each sample lies in.

    Attributes
    ----------
    bounds : ndarray of int64, shape (pages + 1,)
        Where the samples of each page begin, and the number of all.
    """

    def __init__(self, indices: Samples, pages: PageRuns | Ids) -> None:
        self._sorted: Samples
        if isinstance(pages, PageRuns) and isinstance(indices, range) and len(pages) == len(indices):
            self.bounds, self._sorted = pages.starts, indices
        else:
            chosen = as_array(indices)
            mine = each_page(pages)[chosen]
            if (mine[1:] < mine[:-1]).any():
                order = np.argsort(mine, kind="stable")
                mine, chosen = mine[order], chosen[order]
            first = np.flatnonzero(np.diff(mine, prepend=-1))
            self.bounds = np.append(first, len(chosen)).astype(np.int64)
            first_sample = int(chosen[0]) if len(chosen) else 0
            consecutive = bool((np.diff(chosen) == 1).all())
            self._sorted = range(first_sample, first_sample + len(chosen)) if consecutive else chosen
        self._cache: tuple[int, Ids, Ids] | None = None

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def layout(self, seed: np.uint64, epoch: int) -> tuple[Ids, Ids]:
        """Return where each of an epoch's pages ends in it, and what to add to get its places in order of pages."""
        if self._cache is None or self._cache[0] != epoch:
            count = len(self.bounds) - 1
            shuffled = permute(np.arange(count, dtype=np.int64), count, seed, unsigned(epoch), np.uint64(1))
            lengths = np.diff(self.bounds)[shuffled]
            ends = np.cumsum(lengths)
            self._cache = epoch, ends, self.bounds[:-1][shuffled] - (ends - lengths)
        return self._cache[1:]

    def samples(self, places: Ids) -> Ids:
        """Return the samples at some places in the order of pages."""
        return taken(self._sorted, places)


def taken(indices: Samples, places: Ids) -> Ids:
    """Return the samples at some places among `indices`."""
    chosen: Ids = places + indices.start if isinstance(indices, range) else indices[places]
    return chosen


def as_array(indices: Samples) -> Ids:
    """Return sample numbers as an array."""
    return np.arange(indices.start, indices.stop, dtype=np.int64) if isinstance(indices, range) else indices


def each_page(pages: PageRuns | Ids) -> Ids:
    """Return the page of each sample, or a number that stands for it."""
    return pages.each() if isinstance(pages, PageRuns) else pages


class GivenOrder(Order):
    """The order of a user's object with ``sample_order(epoch) -> sequence of sample numbers``."""

    def __init__(self, source: HasSampleOrder, num_samples: int) -> None:
        self._source = source
        self._num_samples = num_samples
        self._cache: tuple[int, Ids] | None = None
        self._length = len(self._epoch(0))

    def _epoch(self, epoch: int) -> Ids:
        if self._cache is None or self._cache[0] != epoch:
            order = as_indices(self._source.sample_order(epoch), self._num_samples)
            self._cache = (epoch, order)
        return self._cache[1]

    def __len__(self) -> int:
        return self._length

    def ids(self, epoch: int, positions: Ids) -> Ids:
        order = self._epoch(epoch)
        if len(order) != self._length:
            raise OptionError(
                f"{type(self._source).__name__}.sample_order gave {len(order)} samples for epoch {epoch} "
                f"but {self._length} for epoch 0; every epoch needs the same number"
            )
        chosen: Ids = order[positions]
        return chosen


class HasSampleOrder(Protocol):
    """ffcv's ``TraversalOrder``."""

    def sample_order(self, epoch: int) -> Sequence[int]:
        """Return the numbers of the epoch's samples, in order."""


def as_indices(indices: Sequence[int] | npt.NDArray[np.integer] | None, num_samples: int) -> Ids:
    """Check sample numbers against the file and return them as a contiguous int64 array; None stands for all samples.

    Raises
    ------
    OptionError
        An index is no whole number or lies outside ``[0, num_samples)``.
    """
    if indices is None:
        return np.arange(num_samples, dtype=np.int64)
    array = np.asarray(indices)
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.dtype == np.bool_:
        raise OptionError("indices holds booleans; pass the sample numbers, for example np.flatnonzero(mask)")
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise OptionError(f"indices must be one row of whole numbers, not {array.dtype} of shape {array.shape}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= num_samples:
        bad = low if low < 0 else high
        raise OptionError(f"indices holds {bad}, but the file has samples 0 to {num_samples - 1}")
    return np.ascontiguousarray(array, dtype=np.int64)
