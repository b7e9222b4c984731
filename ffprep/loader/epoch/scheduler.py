"""Runs an epoch: publishes batches to the worker pool ahead of time and collects them in order."""

from __future__ import annotations

import contextlib
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton import checksums
from ffprep.errors import DecodeError
from ffprep.fields.decoders import SimpleRGBImageDecoder
from ffprep.jpeg import status as jpeg_status
from ffprep.kernels import layout
from ffprep.loader.engine import rows
from ffprep.loader.engine.buffers import Lent
from ffprep.loader.engine.device import DeviceStream
from ffprep.loader.engine.pool import WorkerPool
from ffprep.loader.epoch.failures import ATTEMPTS, Failure
from ffprep.loader.epoch.pool_cache import PoolCache
from ffprep.loader.epoch.setup import EpochSetup
from ffprep.loader.files import Ids
from ffprep.loader.plan.outputs import NativeOp, Output
from ffprep.loader.plan.steps import Step
from ffprep.pipeline.form import BatchInfo

SMALL = 64 * 64
"""Pixels of pictures, stored in the size that they are loaded in, of which a worker takes several at a time."""

OWN_CODES = {
    108: ("its payload is no image of the field's type and size", "check the file with ffprep verify"),
    layout.BAD_MODE: ("the image is stored in a mode that is neither JPEG nor raw pixels", "verify the file"),
    layout.RAW_SIZE: ("the number of raw pixels does not fit width and height", "verify the file"),
    layout.BAD_OPTION: ("the kernel refused the options of the decoder", "report this as a bug"),
    rows.OUTSIDE: ("the value is not inside the file", "verify the file"),
    rows.WRONG_SIZE: ("the value has another size than its field says", "verify the file"),
    rows.BAD_MASK: ("the value is no label mask of the field's dtype", "verify the file"),
    rows.CHANGED: (checksums.CHANGED, checksums.REMEDY),
}


def _grain(ops: Sequence[NativeOp]) -> int:
    """Return how many samples a worker takes at a time: fewer the longer one may take."""
    images = [op for op in ops if op.image is not None]
    if not images:
        return 64
    small = all(
        op.image is not None and type(op.image[1]) is SimpleRGBImageDecoder and np.prod(op.rows[0][0]) <= 3 * SMALL
        for op in images
    )
    return 32 if small else 1


class Scheduler:
    """Keeps the workers busy with an epoch's batches and hands these out in order. Used by one thread at a time.

    Parameters
    ----------
    setup : EpochSetup
    pool_cache : PoolCache
        Lends the worker pool, which goes back when the epoch ends.
    threads : int
        Threads of the pool.

    Attributes
    ----------
    failures : deque of (int, Failure)
        The bad samples of batches, by the batch's number, until the iterator takes them.
    frames : int
        Samples of a clip, 0 where there are none.
    runs : deque of (int, int)
        After which batches the number of bad samples in a row changed, and what it is then.
    """

    def __init__(self, setup: EpochSetup, pool_cache: PoolCache, threads: int) -> None:
        self._setup = setup
        self._pool_cache = pool_cache
        ops = setup.program.ops
        self._shape = (max(1, len(ops)), setup.share.batch_size, _grain(ops), len(setup.files))
        self._pool: WorkerPool | None = pool_cache.take(threads, setup.ahead + 2, *self._shape)
        self._spare: WorkerPool | None = None
        self.failures: deque[tuple[int, Failure]] = deque()
        self.runs: deque[tuple[int, int]] = deque()
        self._pending: deque[tuple[int, BatchInfo, list[list[Lent]]]] = deque()
        self._next = 0
        self._batches = setup.batches
        self.outputs = setup.outputs
        self.frames = setup.share.frames
        self.device_stream = setup.device_stream

    @property
    def ready(self) -> int:
        """Batches that `take` would return at once."""
        pool = self._pool
        return 0 if pool is None else pool.ready

    def _publish(self, pool: WorkerPool) -> None:
        """Publish batches until enough of them are under way."""
        setup = self._setup
        while len(self._pending) <= setup.ahead and self._next < self._batches and pool.has_room:
            if setup.fetching is not None and not setup.fetching.ready(self._next):
                if self._pending:
                    return
                setup.fetching.wait(self._next)
            info = setup.info(self._next)
            members = setup.files.members(info.ids)
            setup.files.look_at(members)
            if setup.readahead is not None:
                setup.readahead.published(setup.share.consumed(self._next + 1, len(setup.order), setup.first))
            lent = setup.program.lend(setup.buffers, setup.share.batch_size)
            pool.publish(info.ids, info.keys, setup.program, lent, members)
            self._pending.append((self._next, info, lent))
            self._next += 1

    def take(self) -> tuple[int, BatchInfo, list[Any]] | None:
        """Wait for the next batch, and return its number, its description and its outputs; None at the epoch's end.

        The outputs are what the workers wrote, before any step of the plan: arrays and tensors over pooled memory,
        which goes back to its pool when the last view of it is dropped.

        Raises
        ------
        DecodeError
            A sample cannot be decoded and ``on_error`` is ``raise``.
        """
        setup, errors = self._setup, self._setup.errors
        while True:
            pool = self._pool
            if pool is None:
                return None
            self._publish(pool)
            if not self._pending:
                self.close()
                return None
            status = pool.collect()
            number, info, lent = self._pending.popleft()
            if setup.fetching is not None:
                setup.fetching.finished(number + 1)
            self._publish(pool)
            if setup.readahead is not None:
                setup.readahead.finished(setup.share.consumed(number + 1, len(setup.order), setup.first))
            count = len(info.ids)
            arrays = [[array if len(array) == count else array[:count] for array, _ in group] for group in lent]
            before = errors.in_a_row
            if status is None or (status := self._once_more(info, arrays, status)) is None:
                errors.in_a_row = 0
            else:
                info, arrays = self._without_failures(number, info, arrays, status)
            if errors.in_a_row != before:
                self.runs.append((number, errors.in_a_row))
            if len(info.ids) == 0:
                continue
            groups = iter(arrays)
            values = [
                output.wrap([array for _ in output.natives for array in next(groups)], info) for output in self.outputs
            ]
            return number, info, values

    def _without_failures(
        self, number: int, info: BatchInfo, arrays: list[list[npt.NDArray[Any]]], status: npt.NDArray[np.int64]
    ) -> tuple[BatchInfo, list[list[npt.NDArray[Any]]]]:
        """Raise for a row that failed, or warn and leave out or replace such rows; with a mask they stay, as zeros.

        Parameters
        ----------
        number : int
            The batch.
        info : BatchInfo
        arrays : for each operation, the arrays it filled
        status : ndarray of int64, shape (operations, rows)
            0 where an operation succeeded.
        """
        ids = info.ids
        bad = self._bad(status)
        failures = self._failures(ids, status)
        message, setup = failures[0].message, self._setup
        if setup.on_error == "raise":
            raise DecodeError(f"{message}; or leave such samples out with Loader(on_error='skip')")
        more = f" (and {len(bad) - 1} more of this batch)" if len(bad) > 1 else ""
        what = "replaced" if setup.on_error == "replace" else "left out"
        warnings.warn(f"{what}: {message}{more}", RuntimeWarning, stacklevel=4)
        self._count(number, failures, setup.errors.went(len(ids), bad.tolist()))
        if setup.on_error == "replace":
            return self._replace(number, info, arrays, bad)
        if info.mask is not None:  # all ranks must have the same number of full batches
            for group, codes in zip(arrays, status, strict=False):
                for array in group:
                    array[codes != 0] = 0
            return replace(info, mask=info.mask & ~np.isin(np.arange(len(ids)), bad)), arrays
        good = np.delete(np.arange(len(ids)), bad)
        info = replace(info, ids=ids[good], draws=info.keys[good])
        return info, [[array[good] for array in group] for group in arrays]

    def _bad(self, status: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
        """Return the rows that failed, of clips with all of their frames."""
        failed = (status != 0).any(axis=0)
        if frames := self._setup.share.frames:
            failed = failed.reshape(-1, frames).any(axis=1).repeat(frames)
        return np.flatnonzero(failed)

    def _failures(self, ids: Ids, status: npt.NDArray[np.int64]) -> list[Failure]:
        """Return what went wrong with each row that has a status other than 0, in order."""
        found = []
        for row in np.flatnonzero((status != 0).any(axis=0)).tolist():
            o = int(np.flatnonzero(status[:, row])[0])
            sample = int(ids[row])
            found.append(Failure(sample, self._message(sample, self._setup.program.ops[o].field, int(status[o, row]))))
        return found

    def _count(self, number: int, failures: Sequence[Failure], longest: int) -> None:
        """Count the bad samples of a batch; raise `DecodeError` where they are too many."""
        errors = self._setup.errors
        for failure in failures:
            errors.add(failure)
            self.failures.append((number, failure))
        if over := errors.over(self._setup.budget, len(self._setup.order), longest):
            raise DecodeError(f"{over}; the last of them: {failures[-1].message}")

    def _once_more(
        self, info: BatchInfo, arrays: list[list[npt.NDArray[Any]]], status: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64] | None:
        """Fill rows that failed again if pages in the cache may be at fault; return the status of all rows after that.

        A page of a remote file was right when it came, and may since have changed on the disk; then it is fetched anew.
        """
        fetching, bad = self._setup.fetching, self._bad(status)
        if fetching is None or not fetching.doubted(info.ids[bad]):
            return status
        found = self._fill(info.ids, info.keys, arrays, bad)
        if found is None:
            return None
        status = np.zeros_like(status)
        status[:, bad] = found
        return status

    def _fill(
        self, ids: Ids, keys: Any, arrays: list[list[npt.NDArray[Any]]], rows: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.int64] | None:
        """Fill some rows of a batch, which no worker is at, and return their status, None where all is well."""
        setup = self._setup
        if self._spare is None:
            self._spare = WorkerPool(1, 1, *self._shape)
        filled = setup.program.lend(setup.buffers, setup.share.batch_size)
        with contextlib.nullcontext() if setup.fetching is None else setup.fetching.held(ids[rows]):
            self._spare.publish(ids[rows], keys[rows], setup.program, filled)
            status = self._spare.collect()
        for group, others in zip(arrays, filled, strict=True):
            for array, (other, _) in zip(group, others, strict=True):
                array[rows] = other[: len(rows)]
        return status

    def _replace(
        self, number: int, info: BatchInfo, arrays: list[list[npt.NDArray[Any]]], bad: npt.NDArray[np.intp]
    ) -> tuple[BatchInfo, list[list[npt.NDArray[Any]]]]:
        """Fill rows that failed with other samples of the epoch."""
        setup, ids, keys = self._setup, info.ids.copy(), info.keys.copy()
        positions = setup.positions(number)
        for attempt in range(ATTEMPTS):
            ids[bad], keys[bad] = setup.replacements(positions[bad], attempt)
            status = self._fill(ids, keys, arrays, bad)
            if status is None:
                return replace(info, ids=ids, draws=keys), arrays
            failures = self._failures(ids[bad], status)
            self._count(number, failures, 0)
            bad = bad[self._bad(status)]
        raise DecodeError(f"{failures[-1].message}; {ATTEMPTS} samples in its place cannot be decoded either")

    def _message(self, sample: int, field: str, code: int) -> str:
        """Say which sample of which file could not be decoded, why, and what to do about it."""
        if code == jpeg_status.Status.BAD_RECTANGLE:  # crops lie inside the size in the table: the JPEG is smaller
            code = jpeg_status.Status.SIZE_MISMATCH
        what, remedy = OWN_CODES.get(code) or (jpeg_status.sentence(code), jpeg_status.remedy(code))
        return f"{self._setup.files.where(sample)}, field {field!r}: {what}; {remedy}"

    def close(self) -> None:
        """End the epoch: return the worker pool and discard the batches that were prepared."""
        pool, self._pool = self._pool, None
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.stop(wait=False)
        self._pending.clear()
        if pool is not None:
            self._pool_cache.give_back(pool)
        if self._setup.readahead is not None:
            self._setup.readahead.close()
        if self._setup.fetching is not None:
            self._setup.fetching.close()


def run_heavy(
    outputs: Sequence[Output], values: list[Any], info: BatchInfo, device_stream: DeviceStream | None
) -> list[Any]:
    """Apply the steps of each output up to the last heavy one.

    Where one of them moves the output to a device, that step and those after it are submitted to `device_stream`.
    """
    done = []
    for output, x in zip(outputs, values, strict=True):
        steps, transfer = output.steps[: output.heavy], output.transfer
        if device_stream is None or transfer is None:
            done.append(_apply(steps, x, info))
            continue
        on_device = partial(_apply, steps[transfer + 1 :], info=info)
        done.append(device_stream.submit(_apply(steps[:transfer], x, info), on_device))
    return done


def run_light(outputs: Sequence[Output], values: list[Any], info: BatchInfo) -> list[Any]:
    """Apply the remaining steps of each output, which are all light."""
    return [_apply(output.steps[output.heavy :], x, info) for output, x in zip(outputs, values, strict=True)]


def _apply(steps: Sequence[Step], x: Any, info: BatchInfo) -> Any:
    for step in steps:
        x = step(x, info)
    return x
