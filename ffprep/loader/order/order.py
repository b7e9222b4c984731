"""The order of an epoch: a pure function of (seed, epoch, position), never a state.

A position counts samples of the whole job, over all ranks; :class:`Share` says which positions one rank takes. What a
batch holds therefore depends on nothing but the numbers above, and resuming means starting at another position.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError

Ids = npt.NDArray[np.int64]
MASK = (1 << 64) - 1


class OrderOption(enum.Enum):
    """How an epoch goes through the samples.

    SEQUENTIAL
        As they lie in the file, or as ``indices`` lists them.
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
    """What the loader needs of an order."""

    @abstractmethod
    def __len__(self) -> int:
        """Samples in an epoch, over all ranks."""

    @abstractmethod
    def ids(self, epoch: int, positions: Ids) -> Ids:
        """Sample numbers at int64 ``positions`` of the epoch."""

    def keys(self, epoch: int, positions: Ids, ids: Ids) -> Ids:
        """What random draws at ``positions`` are keyed by: ``ids``, or others where samples come more than once."""
        return ids

    def edges(self, epoch: int) -> Ids | None:
        """Positions at which the epoch moves on to other pages of the file, from 0 to the length; None: it has none."""
        return None


class SequentialOrder(Order):
    """``indices`` one after the other; ``pages`` gives the page each sample lies in, when it is known."""

    def __init__(self, indices: Ids, pages: Ids | None = None, window_pages: int = 64) -> None:
        self.indices = indices
        self._pages = pages
        self._window = window_pages

    def __len__(self) -> int:
        return len(self.indices)

    def ids(self, epoch: int, positions: Ids) -> Ids:
        chosen: Ids = self.indices[positions]
        return chosen

    def edges(self, epoch: int) -> Ids | None:
        if self._pages is None or len(self.indices) == 0:
            return None
        changes = np.flatnonzero(np.diff(self._pages[self.indices])) + 1
        return np.array([0, *changes[self._window - 1 :: self._window], len(self.indices)], np.int64)


class RandomOrder(Order):
    """A permutation of ``indices`` named by (seed, epoch); seeds and epochs never alias each other."""

    def __init__(self, indices: Ids, seed: int) -> None:
        self.indices = indices
        self._seed = np.uint64(seed & MASK)
        # Of numbers in a row, a place needs no lookup far away.
        self._first = int(indices[0]) if len(indices) else 0
        self._all = np.array_equal(indices, np.arange(self._first, self._first + len(indices)))

    def __len__(self) -> int:
        return len(self.indices)

    def ids(self, epoch: int, positions: Ids) -> Ids:
        from ffprep.loader.order.permute import permute

        if len(positions) == 0:
            return np.empty(0, np.int64)
        places = permute(positions, len(self.indices), self._seed, np.uint64(epoch & MASK), np.uint64(0))
        chosen: Ids = places + self._first if self._all else self.indices[places]
        return chosen


class QuasiRandomOrder(Order):
    """Pages in random order; the samples of each ``window_pages`` consecutive pages shuffled together.

    Parameters
    ----------
    indices : ndarray of int64
        The samples to visit.
    pages : ndarray of int64, one for each sample of the file
        Page each sample lies in.
    seed : int
    window_pages : int
        Pages shuffled together.
    """

    def __init__(self, indices: Ids, pages: Ids, seed: int, window_pages: int = 64) -> None:
        if window_pages < 1:
            raise OptionError(f"window_pages is {window_pages}; it must be at least 1")
        self.indices = indices
        self._seed = np.uint64(seed & MASK)
        self._window = window_pages
        mine = pages[indices]
        by_page = np.argsort(mine, kind="stable")
        self._sorted = indices[by_page]
        first = np.unique(mine[by_page], return_index=True)[1]
        self._bounds = np.append(first, len(indices)).astype(np.int64)
        self._cache: tuple[int, Ids, Ids] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def _layout(self, epoch: int) -> tuple[Ids, Ids]:
        """Of an epoch: the samples page after page, and the edges of the windows."""
        from ffprep.loader.order.permute import permute

        if self._cache is not None and self._cache[0] == epoch:
            return self._cache[1:]
        count = len(self._bounds) - 1
        shuffled = permute(np.arange(count, dtype=np.int64), count, self._seed, np.uint64(epoch & MASK), np.uint64(1))
        lengths = np.diff(self._bounds)[shuffled]
        ends = np.cumsum(lengths)
        places = np.arange(len(self.indices), dtype=np.int64)
        members = self._sorted[places + np.repeat(self._bounds[:-1][shuffled] - (ends - lengths), lengths)]
        starts = np.concatenate([[0], ends[self._window - 1 :: self._window]]).astype(np.int64)
        if starts[-1] != len(self.indices):
            starts = np.append(starts, len(self.indices))
        self._cache = (epoch, members, starts)
        return members, starts

    def ids(self, epoch: int, positions: Ids) -> Ids:
        from ffprep.loader.order.permute import permute_in_windows

        if len(positions) == 0:
            return np.empty(0, np.int64)
        members, starts = self._layout(epoch)
        ids: Ids = permute_in_windows(positions, starts, members, self._seed, np.uint64(epoch & MASK))
        return ids

    def edges(self, epoch: int) -> Ids | None:
        return self._layout(epoch)[1] if len(self.indices) else None


class GivenOrder(Order):
    """An order someone else makes: any object with ``sample_order(epoch) -> sequence of sample numbers``."""

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
        """Sample numbers of the epoch in order."""


@dataclass(frozen=True)
class Share:
    """What one rank of a job takes of the global order.

    Global step ``s`` of an epoch that begins at position ``first`` covers the positions
    ``[first + s * batch_size * world_size, ...)`` up to the next step; rank ``r`` takes every ``world_size``-th of
    them from the ``r``-th on, so that the union over ranks is the same for any number of ranks, and the last, shorter
    step is shared out evenly: every sample exactly once.

    With ``padded`` the last step is filled up with positions from `total` on, which stand for the epoch's first samples
    again: every rank then has the same number of full batches.
    """

    batch_size: int
    rank: int = 0
    world_size: int = 1
    padded: bool = False

    @property
    def step(self) -> int:
        """Positions that all ranks together take in one step."""
        return self.batch_size * self.world_size

    def batches(self, total: int, drop_last: bool, first: int = 0) -> int:
        """Batches this rank sees of the positions ``[first, total)``."""
        full, rest = divmod(max(0, total - first), self.step)
        more = rest > 0 if self.padded else rest > self.rank
        return full if drop_last or not more else full + 1

    def positions(self, batch: int, total: int, first: int = 0) -> Ids:
        """Positions of this rank's batch number ``batch``, int64, at most ``batch_size`` of them.

        Those from `total` on, which only a padded share has, are padding.
        """
        start = first + batch * self.step
        stop = start + self.step if self.padded else min(start + self.step, total)
        return np.arange(start + self.rank, stop, self.world_size, dtype=np.int64)

    def consumed(self, batches: int, total: int, first: int = 0) -> int:
        """Global position after ``batches`` steps."""
        return min(total, first + batches * self.step)


def as_indices(indices: Sequence[int] | npt.NDArray[np.integer] | None, num_samples: int) -> Ids:
    """``indices`` as an int64 array, each checked against the file; all samples when None.

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


def distributed_share(
    batch_size: int,
    distributed: bool,
    rank: int | None,
    world_size: int | None,
    env: Mapping[str, str],
    padded: bool = False,
) -> Share:
    """Rank and world size: from the arguments, else from ``torch.distributed``, else from the launcher's variables.

    The variables are those of torchrun (``RANK``, ``WORLD_SIZE``), Slurm (``SLURM_PROCID``, ``SLURM_NTASKS``) and
    Open MPI (``OMPI_COMM_WORLD_RANK``, ``OMPI_COMM_WORLD_SIZE``).

    Raises
    ------
    OptionError
        Only one of the two is known, they contradict each other, or neither can be found.
    """
    if (rank is None) != (world_size is None):
        raise OptionError("rank and world_size belong together: give both or neither")
    if rank is None or world_size is None:
        if not distributed:
            return Share(batch_size, padded=padded)
        rank, world_size = _launched(env)
    if world_size < 1 or not 0 <= rank < world_size:
        raise OptionError(f"rank {rank} of world_size {world_size}: rank must lie in 0 to world_size - 1")
    return Share(batch_size, rank, world_size, padded)


def _launched(env: Mapping[str, str]) -> tuple[int, int]:
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    names = (
        ("RANK", "WORLD_SIZE"),
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("SLURM_PROCID", "SLURM_NTASKS"),
    )
    for rank_name, size_name in names:
        if rank_name in env and size_name in env:
            try:
                return int(env[rank_name]), int(env[size_name])
            except ValueError:
                raise OptionError(f"{rank_name} and {size_name} are not whole numbers") from None
    raise OptionError(
        "distributed=True, but torch.distributed is not initialised and the launcher set no RANK and WORLD_SIZE; "
        "call torch.distributed.init_process_group first or pass rank and world_size"
    )
