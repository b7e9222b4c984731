"""Several files mixed in one epoch, each with its share: which file comes next, and which of its samples.

Each file is an endless stream: its samples in the loader's order, then again in a fresh order once all have been seen.
An epoch takes the next `counts[f]` samples from the stream of file f, and the following epoch continues there. So no
sample is repeated before all others of its file have been shown.

The epoch is divided into slices. The k-th of the c samples that an epoch takes from a file is due at
``(k + 1/2) / c`` of the epoch; within a slice, the files of all samples due there are shuffled. All of this is a
function of (seed, epoch, position).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.common.seeds import derived_seed, signed, unsigned
from ffprep.errors import OptionError
from ffprep.kernels.random import permutation
from ffprep.loader.files import Ids
from ffprep.loader.order.order import Order

SLICE = 4096
"""Positions in a slice, on average."""

_SLICES = 0x5851F42D4C957F2D
"""Flipped in the seed, so that the shuffles of slices do not resemble those of files."""


class MixOrder(Order):
    """An epoch that takes samples from several files.

    Parameters
    ----------
    streams : sequence of Order
        One for each file. Epoch p of such an order is the p-th pass through the file.
    counts : sequence of int
        Samples that an epoch takes from each file.
    samples : int
        Number of samples in all files. When an epoch shows a sample for the n-th time, counted from 0, its random draws
        are keyed by its number plus n times this.
    seed : int
    shuffled : bool
        Shuffle the files within each slice; otherwise samples come in the order in which they are due.
    segments : int
        Parts into which the epoch is cut for reading ahead; 0 for none.
    """

    def __init__(
        self,
        streams: Sequence[Order],
        counts: Sequence[int],
        samples: int,
        seed: int,
        *,
        shuffled: bool = True,
        segments: int = 0,
    ) -> None:
        self.counts: Ids = np.array(counts, np.int64)
        self._streams = list(streams)
        self._sizes = [len(stream) for stream in streams]
        self._samples = samples
        self._seed = int(unsigned(seed))
        self._shuffled = shuffled
        self._segments = segments
        self._total = int(self.counts.sum())
        self._due = due_before(self.counts, self._total)
        self._slices: Ids = self._due.sum(axis=1)
        self._cache: tuple[tuple[int, int], tuple[Ids, Ids]] | None = None
        self._latest: tuple[int, Ids, Ids] | None = None

    def __len__(self) -> int:
        return self._total

    def apart(self) -> Order:
        twin = copy.copy(self)
        twin._streams = [stream.apart() for stream in self._streams]
        return twin

    def ids(self, epoch: int, positions: Ids) -> Ids:
        ids, rounds = self._look_up(epoch, positions)
        self._latest = epoch, positions, rounds  # the caller asks keys() for the same positions next
        return ids

    def keys(self, epoch: int, positions: Ids, ids: Ids) -> Ids:
        latest = self._latest
        if latest is None or latest[0] != epoch or latest[1] is not positions:
            rounds = self._look_up(epoch, positions)[1]
        else:
            rounds = latest[2]
        return ids + self._samples * rounds

    def edges(self, epoch: int) -> Ids | None:
        if not self._segments:
            return None
        return np.unique(np.linspace(0, self._total, self._segments + 1).astype(np.int64))

    def _look_up(self, epoch: int, positions: Ids) -> tuple[Ids, Ids]:
        """Return the samples, and how many full passes through their files this epoch has made before each."""
        files, ranks = self._places(epoch, positions)
        ids = np.empty(len(positions), np.int64)
        rounds = np.zeros(len(positions), np.int64)
        for f, size in enumerate(self._sizes):
            chosen = np.flatnonzero(files == f)
            if len(chosen) == 0:
                continue
            first_pass, offset = divmod(epoch * int(self.counts[f]), size)
            places = offset + ranks[chosen]
            low, high = int(places.min()) // size, int(places.max()) // size
            if low == high:
                ids[chosen] = self._streams[f].ids(first_pass + low, places - low * size)
                rounds[chosen] = low
                continue
            turns, places = np.divmod(places, size)
            for turn in range(low, high + 1):
                at = turns == turn
                ids[chosen[at]] = self._streams[f].ids(first_pass + turn, places[at])
            rounds[chosen] = turns
        return ids, rounds

    def _places(self, epoch: int, positions: Ids) -> tuple[Ids, Ids]:
        """Return the file shown at each position, and how many of its samples the epoch has shown before."""
        if len(positions) == 0:
            return positions, positions
        ends = np.array([positions.min(), positions.max()])
        low, high = (np.searchsorted(self._slices, ends, side="right") - 1).tolist()
        if low == high:
            all_files, all_ranks = self._slice(epoch, low)
            in_slice = positions - self._slices[low]
            return all_files[in_slice], all_ranks[in_slice]
        slices = np.searchsorted(self._slices, positions, side="right") - 1
        files, ranks = np.empty(len(positions), np.int64), np.empty(len(positions), np.int64)
        for s in np.unique(slices).tolist():
            at = slices == s
            all_files, all_ranks = self._slice(epoch, s)
            in_slice = positions[at] - self._slices[s]
            files[at], ranks[at] = all_files[in_slice], all_ranks[in_slice]
        return files, ranks

    def _slice(self, epoch: int, number: int) -> tuple[Ids, Ids]:
        """Return the same two as `_places`, for all positions of a slice."""
        cache = self._cache
        if cache is not None and cache[0] == (epoch, number):
            return cache[1]

        before, counts = self._due[number], self._due[number + 1] - self._due[number]
        files = np.repeat(np.arange(len(counts)), counts)
        starts = np.cumsum(counts) - counts
        ranks = before[files] + np.arange(len(files)) - starts[files]
        if self._shuffled:
            files = files[permutation(len(files), signed(derived_seed(self._seed ^ _SLICES, number)), epoch)]
        else:
            files = files[np.argsort((ranks + 0.5) / self.counts[files], kind="stable")]
        by_file = np.argsort(files, kind="stable")
        result = np.empty(len(files), np.int64)
        result[by_file] = ranks  # whatever the shuffle, earlier positions show a file's earlier samples
        self._cache = ((epoch, number), (files, result))
        return files, result


def due_before(counts: Ids, total: int) -> Ids:
    """Count the samples of each file that are due before each slice of an epoch of `total` samples.

    Returns
    -------
    ndarray of int64, shape (slices + 1, files)
        The last row holds the counts of the whole epoch.
    """
    times = np.append(np.arange(0, total, SLICE, dtype=np.int64), total)
    due: Ids
    if total < 1 << 30:
        due = (2 * times[:, None] * counts + total - 1) // (2 * total)
        return due
    exact: Any = (2 * times[:, None].astype(object) * counts.astype(object) + total - 1) // (2 * total)
    due = exact.astype(np.int64)
    return due


def apportion(weights: Sequence[float] | npt.NDArray[np.float64], total: int) -> Ids:
    """Divide `total` in proportion to `weights`; each part is rounded down or up, and their sum is `total`.

    Raises
    ------
    OptionError
        A weight is negative or no number, or all are 0.
    """
    shares = np.asarray(weights, np.float64)
    if shares.ndim != 1 or not np.isfinite(shares).all() or (shares < 0).any() or shares.sum() <= 0:
        raise OptionError(f"weights are {weights!r}; give a number for each file, none below 0 and one above")
    exact = shares / shares.sum() * total
    counts: Ids = np.floor(exact).astype(np.int64)
    missing = total - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return counts
