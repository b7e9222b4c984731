"""An epoch under way: batches published to the workers ahead of time, and collected in order."""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import DecodeError
from ffprep.kernels import layout
from ffprep.loader.engine import rows
from ffprep.loader.engine.buffers import BufferPool
from ffprep.loader.engine.device import Side
from ffprep.loader.engine.pool import WorkerPool
from ffprep.loader.engine.program import Program
from ffprep.loader.engine.readahead import ReadAhead
from ffprep.loader.files import Files
from ffprep.loader.order.order import Order, Share
from ffprep.loader.plan.outputs import Output
from ffprep.loader.plan.stages import Step
from ffprep.pipeline.form import BatchInfo

OWN_CODES = {
    layout.BAD_MODE: ("the image is stored in a mode that is neither JPEG nor raw pixels", "verify the file"),
    layout.RAW_SIZE: ("the raw pixels are not as many as width and height say", "verify the file"),
    layout.BAD_OPTION: ("the kernel refused the options of the decoder", "report this as a bug"),
    rows.OUTSIDE: ("the value does not lie inside the file", "verify the file"),
    rows.WRONG_SIZE: ("the value has another size than its field says", "verify the file"),
}


class Parking:
    """Keeps the worker threads of a finished epoch for the next one; belongs to a loader and outlives it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: WorkerPool | None = None
        self._closed = False

    def take(self, threads: int, slots: int, operations: int, batch_size: int, grain: int, files: int) -> WorkerPool:
        """Return the parked pool if it fits, else a new one."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            if pool.shape == (threads, slots, operations, batch_size, grain, files) and pool.usable:
                pool.drain()
                return pool
            pool.stop(wait=False)
        return WorkerPool(threads, slots, operations, batch_size, grain, files)

    def give(self, pool: WorkerPool) -> None:
        """Park a pool; of two the later one ends."""
        pool.cancel()
        # The garbage collector may come through here while take() holds the lock in the same thread.
        if pool.usable and not self._closed and self._lock.acquire(blocking=False):
            try:
                if self._pool is None:
                    self._pool = pool
                    return
            finally:
                self._lock.release()
        pool.stop(wait=False)

    def close(self, wait: bool = False) -> None:
        """End the parked pool, and every pool that is given back later."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop(wait)


@dataclass
class EpochSetup:
    """Everything an epoch is a function of, and the means to run it."""

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
    masked: bool = False
    side: Side | None = None
    readahead: ReadAhead | None = None

    @property
    def batches(self) -> int:
        """Batches of this rank."""
        return self.share.batches(len(self.order), self.drop_last, self.first)

    def info(self, batch: int) -> BatchInfo:
        """What one batch of this rank is: its samples, what their random draws are keyed by, and, if padding is masked,
        which rows are none.
        """
        total = len(self.order)
        positions = self.share.positions(batch, total, self.first)
        mask = positions < total if self.share.padded and self.masked else None
        if self.share.padded:
            positions %= total
        ids = self.order.ids(self.epoch, positions)
        return BatchInfo(ids, self.epoch, self.seed, 0, mask, self.order.keys(self.epoch, positions, ids))


class Feed:
    """Hands out an epoch's batches in order. Used by one thread at a time."""

    def __init__(self, setup: EpochSetup, pool: WorkerPool, parking: Parking) -> None:
        self._setup = setup
        self._pool: WorkerPool | None = pool
        self._parking = parking
        self._pending: deque[tuple[int, BatchInfo, list[list[npt.NDArray[Any]]]]] = deque()
        self._next = 0
        self._batches = setup.batches
        self.outputs = setup.outputs
        self.side = setup.side

    def _publish(self, pool: WorkerPool) -> None:
        setup = self._setup
        while self._next < self._batches and pool.has_room and len(self._pending) <= setup.ahead:
            info = setup.info(self._next)
            if setup.readahead is not None:
                setup.readahead.published(setup.share.consumed(self._next + 1, len(setup.order), setup.first))
            arrays = setup.program.arrays(setup.buffers, setup.share.batch_size)
            pool.publish(info.ids, info.keys, setup.program, arrays)
            self._pending.append((self._next, info, arrays))
            self._next += 1

    def take(self) -> tuple[int, BatchInfo, list[Any]] | None:
        """Return the number of the next batch, what it is, and the outputs as the kernels left them; None at the end.

        Raises
        ------
        DecodeError
            A sample cannot be decoded and ``on_error`` is ``raise``.
        """
        while True:
            pool = self._pool
            if pool is None:
                return None
            self._publish(pool)
            if not self._pending:
                self.close()
                return None
            status = pool.collect()
            number, info, arrays = self._pending.popleft()
            self._publish(pool)
            if self._setup.readahead is not None:
                self._setup.readahead.finished(
                    self._setup.share.consumed(number + 1, len(self._setup.order), self._setup.first)
                )
            arrays = [[array[: len(info.ids)] for array in group] for group in arrays]
            if status is not None:
                info, arrays = self._without_failures(info, arrays, status)
                if len(info.ids) == 0:
                    continue
            groups = iter(arrays)
            values = [
                output.wrap([array for _ in output.natives for array in next(groups)], info) for output in self.outputs
            ]
            return number, info, values

    def _without_failures(
        self, info: BatchInfo, arrays: list[list[npt.NDArray[Any]]], status: npt.NDArray[np.int64]
    ) -> tuple[BatchInfo, list[list[npt.NDArray[Any]]]]:
        ids = info.ids
        bad = np.flatnonzero((status != 0).any(axis=0))
        row = int(bad[0])
        o = int(np.flatnonzero(status[:, row])[0])
        message = self._complaint(int(ids[row]), self._setup.program.ops[o].field, int(status[o, row]))
        if self._setup.on_error == "raise":
            raise DecodeError(f"{message}; or leave such samples out with Loader(on_error='skip')")
        more = f" (and {len(bad) - 1} more of this batch)" if len(bad) > 1 else ""
        warnings.warn(f"left out: {message}{more}", RuntimeWarning, stacklevel=4)
        if info.mask is not None:  # batches stay full, and as many, on all ranks
            for group, codes in zip(arrays, status, strict=False):
                for array in group:
                    array[codes != 0] = 0
            return replace(info, mask=info.mask & ~(status != 0).any(axis=0)), arrays
        good = np.delete(np.arange(len(ids)), bad)
        info = replace(info, ids=ids[good], draws=info.keys[good])
        return info, [[array[good] for array in group] for group in arrays]

    def _complaint(self, sample: int, field: str, code: int) -> str:
        from ffprep.jpeg import status

        if code == status.Status.BAD_RECTANGLE:  # the crop lies inside the stored size, so the stream is smaller
            code = status.Status.SIZE_MISMATCH
        what, remedy = OWN_CODES.get(code) or (status.sentence(code), status.remedy(code))
        return f"{self._setup.files.where(sample)}, field {field!r}: {what}; {remedy}"

    def close(self) -> None:
        """Give the workers back; what they are still doing is thrown away."""
        pool, self._pool = self._pool, None
        self._pending.clear()
        if pool is not None:
            self._parking.give(pool)
        if self._setup.readahead is not None:
            self._setup.readahead.close()


def run_heavy(outputs: Sequence[Output], values: list[Any], info: BatchInfo, side: Side | None) -> list[Any]:
    """Apply the heavy beginning of every output's steps; from its move to a device on, in the order of `side`."""
    done = []
    for output, x in zip(outputs, values, strict=True):
        steps, place = output.steps[: output.heavy], output.transfer
        if side is None or place is None:
            done.append(_apply(steps, x, info))
            continue
        rest = partial(_apply, steps[place + 1 :], info=info)
        done.append(side.submit(_apply(steps[:place], x, info), rest))
    return done


def run_light(outputs: Sequence[Output], values: list[Any], info: BatchInfo) -> list[Any]:
    """Apply the light rest of every output's steps."""
    return [_apply(output.steps[output.heavy :], x, info) for output, x in zip(outputs, values, strict=True)]


def _apply(steps: Sequence[Step], x: Any, info: BatchInfo) -> Any:
    for step in steps:
        x = step(x, info)
    return x
