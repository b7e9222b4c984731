"""What ``iter(loader)`` returns."""

from __future__ import annotations

import atexit
import os
import queue
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ffprep.errors import FfprepError
from ffprep.loader.engine.device import Flights
from ffprep.loader.epoch.scheduler import Feed, run_heavy, run_light
from ffprep.pipeline.form import BatchInfo

JOIN_SECONDS = 10.0


@dataclass
class Progress:
    """How far an epoch has been handed out: all that has to be remembered of it.

    Attributes
    ----------
    epoch : int
    first : int
        Position it began at.
    batches : int
        Batches this rank has taken.
    exhausted : bool
        The end has been reported.
    asked : bool
        A batch has been asked for. An iterator that is dropped before has begun nothing: trainers make one to look.
    """

    epoch: int
    first: int
    batches: int = 0
    exhausted: bool = False
    asked: bool = False


class EpochIterator(Iterator[tuple[Any, ...]]):
    """One pass over the data. Batches are tuples, one member for each output of the loader.

    Drop it, exhaust it or close it: its workers go back to the loader, and what was prepared is thrown away.
    """

    def __init__(self, feed: Feed, progress: Progress, owner: Any, ahead: int) -> None:
        self._progress = progress
        self._owner = owner
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._feed = feed
        self._stages: _StageThread | None = None
        if any(output.heavy for output in feed.outputs):
            self._stages = _StageThread(feed, ahead)
            self._finalizer = weakref.finalize(self, self._stages.stop)
            self._stages.start()
        else:
            self._finalizer = weakref.finalize(self, feed.close)
        self._finalizer.atexit = False
        self._ended = False

    def __iter__(self) -> EpochIterator:
        return self

    def __next__(self) -> tuple[Any, ...]:
        with self._lock:
            self._progress.asked = True
            if self._ended:
                raise StopIteration
            if self._pid != os.getpid():
                raise FfprepError("this epoch was begun before a fork; begin one in this process with iter(loader)")
            try:
                ready = self._stages.take() if self._stages is not None else _taken(self._feed)
                if ready is not None:
                    if self._feed.side is not None:
                        self._feed.side.receive(ready.mark, ready.values)
                    out = tuple(run_light(self._feed.outputs, ready.values, ready.info))
                    self._progress.batches = ready.number + 1
                    return out
            except BaseException:
                self.close()
                raise
            self._progress.exhausted = True
            self.close()
            raise StopIteration

    def close(self) -> None:
        """End the epoch here."""
        self._ended = True
        self._finalizer()
        self._owner = None


@dataclass(frozen=True)
class Ready:
    """A batch whose heavy steps are done, or queued on a device.

    Attributes
    ----------
    number : int
    info : BatchInfo
    values : list
    mark : object
        Of the device's side: behind all that was queued.
    """

    number: int
    info: BatchInfo
    values: list[Any]
    mark: Any = None


def _taken(feed: Feed) -> Ready | None:
    taken = feed.take()
    return None if taken is None else Ready(*taken)


class _StageThread:
    """Runs the steps that are not light, in a thread, at most `ahead` batches in advance."""

    def __init__(self, feed: Feed, ahead: int) -> None:
        self._feed = feed
        self._room = threading.Semaphore(max(1, ahead))
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="ffprep-stages", daemon=True)
        _stage_threads.add(self)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        side = self._feed.side
        flights = None if side is None else Flights(side)
        try:
            if side is not None:
                side.enter()
            while not self._stopped:
                self._room.acquire()
                if self._stopped or not self._next(flights):
                    return
        except BaseException as error:
            self._results.put(error)
        finally:
            try:
                if flights is not None:
                    flights.land()
            finally:
                self._feed.close()

    def _next(self, flights: Flights | None) -> bool:
        """Get one batch ready; False at the end. In a function of its own, so that no name keeps the batch alive."""
        taken = self._feed.take()
        if taken is None:
            self._results.put(None)
            return False
        number, info, values = taken
        side = self._feed.side
        if side is None or flights is None:
            self._results.put(Ready(number, info, run_heavy(self._feed.outputs, values, info, None)))
            return True
        try:
            done = run_heavy(self._feed.outputs, values, info, side)
        except BaseException:
            flights.add(side.mark(), values)  # some of them may be on their way
            raise
        mark = side.mark()
        self._results.put(Ready(number, info, done, mark))
        flights.add(mark, values)
        return True

    def take(self) -> Ready | None:
        """Return the next finished batch, None at the end; raise what a step raised."""
        result = self._results.get()
        self._room.release()
        if isinstance(result, BaseException):
            try:
                raise result
            finally:
                del result  # the traceback holds this frame
        return result  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Order the thread to end after the batch it is at."""
        self._stopped = True
        self._room.release()
        self._results.put(FfprepError("the loader was closed while an epoch was running"))

    def join(self) -> None:
        """Wait for the thread's end."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)


_stage_threads: weakref.WeakSet[_StageThread] = weakref.WeakSet()


@atexit.register
def end_stage_threads() -> None:
    """End all stage threads; for the interpreter's exit."""
    threads = list(_stage_threads)
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.join()
