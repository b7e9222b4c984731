"""Which positions of an epoch one rank takes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ffprep.errors import OptionError
from ffprep.loader.files import Ids
from ffprep.loader.plan.options import whole_number

LOST_SHARE = 0.05
MOST_LOST = 1000
"""From so large a share, and so many samples, on `drop_last` leaves out enough to warn of it."""


@dataclass(frozen=True)
class Share:
    """What one rank of a job takes of the global order.

    Global step ``s`` of an epoch that begins at position ``first`` covers the positions from
    ``first + s * batch_size * world_size`` up to the next step. Rank ``r`` takes every ``world_size``-th of them,
    beginning with the ``r``-th, so the union over all ranks is the same for any number of ranks. The last, shorter step
    is divided evenly as well, so that every sample is seen exactly once.

    `frames` is how many samples belong together in clips, see `ffprep.loader.order.clips`; 0 where there are none.

    With ``padded`` the last step is filled up with positions from `total` on, which stand for the epoch's first samples
    once more. Every rank then has the same number of full batches.
    """

    batch_size: int
    rank: int = 0
    world_size: int = 1
    padded: bool = False
    frames: int = 0

    @property
    def step(self) -> int:
        """Positions that all ranks together take in one step."""
        return self.batch_size * self.world_size

    def batches(self, total: int, drop_last: bool, first: int = 0) -> int:
        """Return how many batches this rank gets of the positions ``[first, total)``."""
        full, rest = divmod(max(0, total - first), self.step)
        more = rest > 0 if self.padded else rest > self.rank
        return full if drop_last or not more else full + 1

    def positions(self, batch: int, total: int, first: int = 0, count: int = 1) -> Ids:
        """Return the positions of this rank's batch number ``batch``: int64, at most ``batch_size`` of them.

        With `count` they are those of so many batches, one after the other. Only a padded share has positions from
        `total` on; these are padding.
        """
        start = first + batch * self.step
        stop = start + count * self.step
        stop = stop if self.padded else min(stop, total)
        return np.arange(start + self.rank, stop, self.world_size, dtype=np.int64)

    def within(self, start: int, stop: int, first: int = 0) -> Ids:
        """Return this rank's positions in ``[start, stop)`` of an epoch that began at ``first``."""
        return np.arange(start + (first + self.rank - start) % self.world_size, stop, self.world_size, dtype=np.int64)

    def consumed(self, batches: int, total: int, first: int = 0) -> int:
        """Return the global position after ``batches`` steps."""
        return min(total, first + batches * self.step)


def check_enough(total: int, share: Share, drop_last: bool, label: str) -> None:
    """Check that an epoch of `total` samples has at least one batch; warn if the last one that is dropped is large.

    Raises
    ------
    OptionError
        It has none.

    Warns
    -----
    UserWarning
        On the first of several ranks, if at least `MOST_LOST` samples and more than `LOST_SHARE` of them are dropped.
    """
    lost = total % share.step
    if total == 0:
        raise OptionError(f"{label}: no samples to load: the file or indices is empty")
    if drop_last and total < share.step:
        ranks = f" on each of {share.world_size} ranks" if share.world_size > 1 else ""
        raise OptionError(
            f"{label}: {total} samples do not fill one batch of {share.batch_size}{ranks}; "
            "use a smaller batch_size, or drop_last=False"
        )
    if drop_last and share.rank == 0 and share.world_size > 1 and lost >= max(MOST_LOST, LOST_SHARE * total):
        warnings.warn(
            f"{label}: drop_last leaves out {lost:,} of {total:,} samples ({lost / total:.0%}) in every epoch, since "
            f"{share.world_size:,} ranks take {share.step:,} a step; give drop_last=False or pad='repeat', or choose "
            "another batch_size",
            stacklevel=3,
        )


def distributed_share(
    batch_size: int,
    distributed: bool,
    rank: int | None,
    world_size: int | None,
    env: Mapping[str, str],
    padded: bool = False,
) -> Share:
    """Find rank and world size: in the arguments, else in ``torch.distributed``, else in the launcher's variables.

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
    rank, world_size = whole_number(rank, "rank"), whole_number(world_size, "world_size")
    if world_size < 1 or not 0 <= rank < world_size:
        raise OptionError(f"rank {rank} of world_size {world_size}: rank must be between 0 and world_size - 1")
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
