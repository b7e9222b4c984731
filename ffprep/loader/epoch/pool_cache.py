"""Keeps the worker pool of a finished epoch, so that the next epoch need not start threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ffprep.loader.engine.pool import WorkerPool


class PoolCache:
    """Room for one idle worker pool. A loader has one; the schedulers of its epochs take pools from it and return them.

    Iterators that outlive their loader still return their pools here, so a closed cache ends whatever it is given.

    Parameters
    ----------
    processors : sequence of int
        What its pools keep their threads on; see `WorkerPool`.
    """

    def __init__(self, processors: Sequence[int] = ()) -> None:
        self._processors = processors
        self._lock = threading.Lock()
        self._pool: WorkerPool | None = None
        self._closed = False

    def take(self, threads: int, slots: int, operations: int, batch_size: int, grain: int, files: int) -> WorkerPool:
        """Return the idle pool if it was made for the same numbers, else a new pool; parameters as of `WorkerPool`."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            if pool.shape == (threads, slots, operations, batch_size, grain, files) and pool.usable:
                pool.drain()
                return pool
            pool.stop(wait=False)
        return WorkerPool(threads, slots, operations, batch_size, grain, files, self._processors)

    def give_back(self, pool: WorkerPool) -> None:
        """Keep a pool for the next epoch, or end its threads if another idle pool is kept already."""
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
        """End the threads of the idle pool now, and of every pool that is given back later."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop(wait)
