"""Memory for batches: taken back when nobody looks at a batch any more, and never before.

A batch is handed over as an array over pooled memory. The memory returns to the pool when the last array, tensor or
view of it is gone, however late that is: batches never alias, and a training loop that drops its batches still runs
without a page fault, because the same few buffers go round.
"""

from __future__ import annotations

import contextlib
import mmap
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64
POOLED_FROM = 1 << 16
HUGE_PAGE = 1 << 21


class BufferPool:
    """Buffers of a few sizes, kept for reuse.

    Parameters
    ----------
    keep : int
        Free buffers kept of each size; more are given back to the system.
    allocate : callable
        Returns fresh memory of a size in bytes, as an object that numpy can look into.
    smallest : int
        Arrays of fewer bytes are plain ones, not pooled.
    """

    def __init__(self, keep: int, allocate: Callable[[int], Any] | None = None, smallest: int = POOLED_FROM) -> None:
        self._each = self._keep = keep
        self._allocate = allocate or _map
        self._smallest = smallest
        self._free: dict[int, deque[Any]] = {}

    def serve(self, arrays: int) -> None:
        """Keep as many for each of that many arrays of a batch: they may all be of one size."""
        self._keep = self._each * max(1, arrays)

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return a C-contiguous array, 64-byte aligned, contents undefined."""
        count = 1
        for side in shape:
            count *= side
        size = count * dtype.itemsize
        if size < self._smallest:
            return np.empty(shape, dtype)
        free = self._free.setdefault(size, deque())
        try:
            memory = free.pop()
        except IndexError:
            memory = self._allocate(size)
        # Every view of `whole` keeps it alive: numpy follows bases through arrays, and no further than a memoryview.
        whole: npt.NDArray[np.uint8] = np.frombuffer(memoryview(memory), np.uint8, size)
        weakref.finalize(whole, _give_back, free, memory, self._keep).atexit = False
        return whole.view(dtype).reshape(shape)

    def held(self) -> int:
        """Bytes of the free buffers."""
        return sum(size * len(free) for size, free in self._free.items())

    def clear(self) -> None:
        """Give all free buffers back to the system."""
        for free in self._free.values():
            free.clear()


def _give_back(free: deque[Any], memory: Any, keep: int) -> None:
    # Runs wherever the last reference is dropped, also inside the garbage collector: deque needs no lock.
    if len(free) < keep:
        free.append(memory)


def _map(size: int) -> mmap.mmap:
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
