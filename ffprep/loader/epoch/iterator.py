"""What ``iter(loader)`` returns, and the thread that runs a plan's heavy steps for it."""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ffprep.errors import FfprepError
from ffprep.loader.engine.device import DeviceStream, PendingCopies
from ffprep.loader.epoch.batch_type import Batch
from ffprep.loader.epoch.epoch_state import EpochProgress, StaysHere
from ffprep.loader.epoch.scheduler import Scheduler, run_heavy, run_light
from ffprep.loader.epoch.stats import Meter
from ffprep.loader.files import Ids
from ffprep.loader.plan.clips import clips_of
from ffprep.pipeline.form import BatchInfo

JOIN_SECONDS = 10.0


class EpochIterator(StaysHere, Iterator[Batch]):
    """One pass over the data. Batches are tuples, with one member for each output of the loader.

    When the iterator is exhausted, closed or dropped, its worker pool goes back to the loader's pool cache, and the
    batches that were prepared are discarded.

    Parameters
    ----------
    scheduler : Scheduler
    progress : EpochProgress
        Updated with every batch that is handed out.
    owner : object
        The loader, kept alive until the epoch ends.
    meter : Meter
        Told of every batch that is handed out, unless it is one of an epoch before the latest.
    ahead : int
        Batches whose heavy steps may be done in advance.
    """

    def __init__(self, scheduler: Scheduler, progress: EpochProgress, owner: Any, ahead: int, meter: Meter) -> None:
        self._progress = progress
        self._meter = meter
        self._answered = time.perf_counter()
        self._owner = owner
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._scheduler = scheduler
        self._stages: _StageThread | None = None
        if any(output.heavy for output in scheduler.outputs):
            self._stages = _StageThread(scheduler, ahead)
            self._finalizer = weakref.finalize(self, self._stages.stop)
            self._stages.start()
        else:
            self._finalizer = weakref.finalize(self, scheduler.close)
        self._finalizer.atexit = False
        self._ended = False

    def __iter__(self) -> EpochIterator[Batch]:
        return self

    def __next__(self) -> Batch:
        with self._lock:
            asked = time.perf_counter()
            self._progress.asked = True
            if self._ended:
                raise StopIteration
            if self._pid != os.getpid():
                raise FfprepError("this epoch was begun before a fork; begin one in this process with iter(loader)")
            try:
                ready = self._stages.take() if self._stages is not None else _without_steps(self._scheduler)
                if ready is not None:
                    if self._scheduler.device_stream is not None:
                        self._scheduler.device_stream.receive(ready.mark, ready.values)
                    out: Any = tuple(run_light(self._scheduler.outputs, ready.values, ready.info))
                    if self._scheduler.frames:
                        out = tuple(clips_of(value, self._scheduler.frames) for value in out)
                    self._progress.batches = ready.number + 1
                    self._report(ready.number)
                    self._count(ready.info.ids, asked)
                    return out  # type: ignore[no-any-return]
            except BaseException:
                self.close()
                raise
            self._progress.exhausted = True
            self._report(None)
            self._count(None, asked)
            self.close()
            raise StopIteration

    @property
    def ready(self) -> int:
        """Batches that can be handed out at once."""
        return self._scheduler.ready if self._stages is None else self._stages.ready

    def _count(self, ids: Ids | None, asked: float) -> None:
        if self._progress.latest:
            self._answered = self._meter.count(ids, self._answered, asked)

    def _report(self, number: int | None) -> None:
        """Add the bad samples of the batches up to this one, or of all, to those that the loader tells of."""
        failures, runs, errors = self._scheduler.failures, self._scheduler.runs, self._owner.errors
        while failures and (number is None or failures[0][0] <= number):
            errors.add(failures.popleft()[1])
        while runs and (number is None or runs[0][0] <= number):
            _, run = runs.popleft()
            if self._progress.latest:
                errors.in_a_row = run

    def close(self) -> None:
        """End the epoch now. The loader's position stays after the last batch that was handed out."""
        self._ended = True
        self._finalizer()
        self._owner = None


@dataclass(frozen=True)
class Ready:
    """A batch whose heavy steps are done, or submitted to a device.

    Attributes
    ----------
    number : int
    info : BatchInfo
    values : list
        One for each output.
    mark : object
        Of the device stream, set after everything that was submitted for this batch.
    """

    number: int
    info: BatchInfo
    values: list[Any]
    mark: Any = None


def _without_steps(scheduler: Scheduler) -> Ready | None:
    """Return the next batch of a plan that has no heavy steps."""
    taken = scheduler.take()
    return None if taken is None else Ready(*taken)


class _StageThread:
    """A thread that applies the heavy steps to batches, at most `ahead` of them in advance."""

    def __init__(self, scheduler: Scheduler, ahead: int) -> None:
        self._scheduler = scheduler
        self._room = threading.Semaphore(max(1, ahead))
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stopped = False
        self._prepared = self._taken = 0  # each is written by one thread
        self._thread = threading.Thread(target=self._run, name="ffprep-stages", daemon=True)
        _stage_threads.add(self)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        stream = self._scheduler.device_stream
        pending = None if stream is None else PendingCopies(stream)
        try:
            if stream is not None:
                stream.enter()
            while not self._stopped:
                self._room.acquire()
                if self._stopped or not self._prepare_next(stream, pending):
                    return
        except BaseException as error:
            self._results.put(error)
        finally:
            try:
                if pending is not None:
                    pending.wait_for_all()
            finally:
                self._scheduler.close()

    def _prepare_next(self, stream: DeviceStream | None, pending: PendingCopies | None) -> bool:
        """Prepare one batch; return False at the epoch's end.

        This is a function of its own so that no local name keeps the batch alive while the thread waits.
        """
        taken = self._scheduler.take()
        if taken is None:
            self._results.put(None)
            return False
        number, info, values = taken
        if stream is None or pending is None:
            self._results.put(Ready(number, info, run_heavy(self._scheduler.outputs, values, info, None)))
            self._prepared += 1
            return True
        try:
            done = run_heavy(self._scheduler.outputs, values, info, stream)
        except BaseException:
            pending.add(stream.mark(), values)  # some of the copies may have been submitted already
            raise
        mark = stream.mark()
        self._results.put(Ready(number, info, done, mark))
        self._prepared += 1
        pending.add(mark, values)
        return True

    @property
    def ready(self) -> int:
        """Batches that are prepared and not taken."""
        return 0 if self._stopped else self._prepared - self._taken

    def take(self) -> Ready | None:
        """Return the next prepared batch, or None at the epoch's end; raise what a step raised."""
        result = self._results.get()
        self._room.release()
        if isinstance(result, BaseException):
            try:
                raise result
            finally:
                del result  # the traceback refers to this frame, and would keep itself alive
        self._taken += result is not None
        return result  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Tell the thread to end after the batch that it is working on; returns at once."""
        self._stopped = True
        self._room.release()
        self._results.put(FfprepError("the loader was closed while an epoch was running"))

    def join(self) -> None:
        """Wait until the thread has ended, at most `JOIN_SECONDS`."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)


_stage_threads: weakref.WeakSet[_StageThread] = weakref.WeakSet()


@atexit.register
def end_stage_threads() -> None:
    """End all stage threads when the interpreter exits."""
    threads = list(_stage_threads)
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.join()
