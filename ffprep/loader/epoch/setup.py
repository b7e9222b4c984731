"""Everything that the batches of an epoch are a function of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ffprep.common.seeds import signed
from ffprep.kernels.random import uniforms
from ffprep.loader.engine.buffers import BufferPool
from ffprep.loader.engine.device import DeviceStream
from ffprep.loader.engine.extents import ExtentsAhead
from ffprep.loader.engine.fetching import Fetching
from ffprep.loader.engine.program import Program
from ffprep.loader.engine.readahead import ReadAhead
from ffprep.loader.epoch.failures import ErrorBudget, LoaderErrors
from ffprep.loader.files import Files, Ids
from ffprep.loader.order.order import Order
from ffprep.loader.order.share import Share
from ffprep.loader.plan.outputs import Output
from ffprep.pipeline.form import BatchInfo

OP_REPLACE = 0xFFFF0001
"""Operation number of the draw of a replacement; `kernels.random.OP_SHUFFLE` is the one before."""


RUN = 8192
"""Samples that are described at a time where batches are smaller."""


@dataclass(frozen=True)
class _Run:
    """Batches from `first` up to `end`: their samples, the keys of the random draws if they are others, the mask."""

    first: int
    end: int
    ids: Ids
    keys: Ids | None
    mask: npt.NDArray[np.bool_] | None


@dataclass
class EpochSetup:
    """Everything that an epoch's batches are a function of, and what is needed to run it.

    Attributes
    ----------
    files : Files
    order : Order
    share : Share
        What this rank takes of the order.
    drop_last : bool
    epoch, seed : int
    first : int
        Position at which the epoch begins.
    outputs : list of Output
        The plan.
    program : Program
        The program: the plan as the worker threads read it.
    buffers : sequence of BufferPool
        For each operation of the program, where the memory of its arrays comes from.
    ahead : int
        Finished batches to keep in store.
    on_error : str
        ``raise``, ``skip`` or ``replace``.
    errors : LoaderErrors
        What the loader met so far; the epoch counts on in it, ahead of what is handed out.
    budget : ErrorBudget
    masked : bool
        Whether the loader gives a mask of the rows that are padding.
    device_stream : DeviceStream or None
        Takes batches to the device that the outputs go to.
    readahead : ReadAhead, ExtentsAhead or None
        Reads the file's pages ahead of the workers.
    fetching : Fetching or None
        Fetches the pages of remote files.
    """

    files: Files
    order: Order
    share: Share
    drop_last: bool
    epoch: int
    seed: int
    first: int
    outputs: list[Output]
    program: Program
    buffers: Sequence[BufferPool]
    ahead: int
    on_error: str
    errors: LoaderErrors
    budget: ErrorBudget
    masked: bool = False
    device_stream: DeviceStream | None = None
    readahead: ReadAhead | ExtentsAhead | None = None
    fetching: Fetching | None = None
    _run: _Run | None = field(default=None, init=False, repr=False)

    @property
    def batches(self) -> int:
        """Batches of this rank, from `first` to the epoch's end."""
        return self.share.batches(len(self.order), self.drop_last, self.first)

    def info(self, batch: int) -> BatchInfo:
        """Describe one batch of this rank: its samples, the keys of their random draws, and the mask of its padding.

        What describes small batches is computed for those that follow as well: a call costs as much as many samples.
        """
        run = self._run
        if run is None or not run.first <= batch < run.end:
            count = max(1, min(RUN // self.share.batch_size, self.batches - batch))
            run = self._run = self._described(batch, count)
        size = self.share.batch_size
        rows = slice((batch - run.first) * size, (batch - run.first + 1) * size)
        mask = None if run.mask is None else run.mask[rows]
        return BatchInfo(run.ids[rows], self.epoch, self.seed, 0, mask, None if run.keys is None else run.keys[rows])

    def _described(self, batch: int, count: int) -> _Run:
        total = len(self.order)
        positions = self.share.positions(batch, total, self.first, count)
        mask = positions < total if self.share.padded and self.masked else None
        if self.share.padded:
            positions %= total
        ids = self.order.ids(self.epoch, positions)
        keys = self.order.keys(self.epoch, positions, ids)
        return _Run(batch, batch + count, ids, None if keys is ids else keys, mask)

    def ids(self, batch: int) -> Ids:
        """Return the samples of one batch of this rank."""
        return self.order.ids(self.epoch, self.positions(batch))

    def positions(self, batch: int) -> Ids:
        """Return the positions in the epoch of one batch of this rank; padding goes on at the epoch's beginning."""
        total = len(self.order)
        positions = self.share.positions(batch, total, self.first)
        return positions % total if self.share.padded else positions

    def replacements(self, positions: Ids, attempt: int) -> tuple[Ids, Ids]:
        """Return the samples that take the place of bad ones at some positions, and the keys of their random draws.

        They are drawn from the whole epoch and depend on nothing but the seed, the epoch, the position and the attempt.
        """
        each = max(1, self.share.frames)  # a clip is replaced by another one
        count, frame = len(self.order) // each, positions % each
        draws = uniforms(signed(self.seed), self.epoch, positions - frame, OP_REPLACE, attempt)
        others = np.minimum((draws * count).astype(np.int64), count - 1) * each + frame
        ids = self.order.ids(self.epoch, others)
        return ids, self.order.keys(self.epoch, others, ids)
