"""Several files in one epoch, each with its share: which file is next, and which of its samples.

Each file is a stream without end: its samples in the loader's order, and again in a fresh order once all have been
seen. An epoch takes the next `counts[f]` samples of the stream of file f, so the next epoch goes on where this one
ended, and no sample comes again before all others of its file have come. Which file a position shows is decided in
slices: the k-th of the c samples of a file is due at ``(k + 1/2) / c`` of the epoch, and files of the samples that are
due in one slice are shuffled. All of this is a function of (seed, epoch, position).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.loader.order.order import MASK, Ids, Order
from ffprep.transforms.base import signed

SLICE = 4096
"""Positions of an epoch that are shuffled among each other, on average."""

_GOLDEN = 0x9E3779B97F4A7C15
_SLICES = 0x5851F42D4C957F2D


class MixOrder(Order):
    """An epoch that takes from several files.

    Parameters
    ----------
    streams : sequence of Order
        The samples of each file: pass number and place in the pass to sample.
    counts : sequence of int
        Samples that an epoch takes of each file.
    samples : int
        Samples of all files; draws for a sample's second time in an epoch are keyed by its number plus this.
    seed : int
    shuffled : bool
        Whether files come in random order; otherwise in that in which their samples are due.
    segments : int
        Of the epoch, for reading ahead; 0: nothing is read ahead.
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
        self._seed = seed & MASK
        self._shuffled = shuffled
        self._segments = segments
        self._total = int(self.counts.sum())
        self._due = due_before(self.counts, self._total)
        self._slices: Ids = self._due.sum(axis=1)
        self._cache: tuple[tuple[int, int], tuple[Ids, Ids]] | None = None
        self._latest: tuple[int, Ids, Ids] | None = None

    def __len__(self) -> int:
        return self._total

    def ids(self, epoch: int, positions: Ids) -> Ids:
        ids, rounds = self._look_up(epoch, positions)
        self._latest = epoch, positions, rounds  # keys() is asked for the same positions next
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
        """Return samples, and how often the epoch has been through their files before."""
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
        """Return the file that each position shows, and how many samples of it the epoch has shown before."""
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
        cache = self._cache
        if cache is not None and cache[0] == (epoch, number):
            return cache[1]
        from ffprep.kernels.random import permutation

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
        result[by_file] = ranks  # in a file's order, whatever the shuffle: earlier positions show earlier samples
        self._cache = ((epoch, number), (files, result))
        return files, result


def due_before(counts: Ids, total: int) -> Ids:
    """How many samples of each file are due before each slice of an epoch of `total`, and in all.

    Returns
    -------
    ndarray of int64, shape (slices + 1, files)
    """
    times = np.append(np.arange(0, total, SLICE, dtype=np.int64), total)
    due: Ids
    if total < 1 << 30:
        due = (2 * times[:, None] * counts + total - 1) // (2 * total)
        return due
    exact: Any = (2 * times[:, None].astype(object) * counts.astype(object) + total - 1) // (2 * total)
    due = exact.astype(np.int64)
    return due


def derived_seed(seed: int, number: int) -> int:
    """One of many seeds made from one: of a file's stream, so that files of one size are not shuffled alike."""
    return (seed + number * _GOLDEN) & MASK


def apportion(weights: Sequence[float] | npt.NDArray[np.float64], total: int) -> Ids:
    """Divide `total` in proportion to `weights`: each part is rounded down or up, and together they are `total`.

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
