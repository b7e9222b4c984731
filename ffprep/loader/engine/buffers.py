"""Memory for batches, reused as soon as nothing refers to a batch any more, and never before.

A batch is an array over memory of a pool. The memory returns to the pool when the last array, tensor or view of it is
gone, however late that is, so batches never share memory. A training loop that drops its batches causes no page faults,
because the same few buffers are used over and over.
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

POOLED_FROM = 1 << 16
"""Arrays of fewer bytes are not worth pooling."""

HUGE_PAGE = 1 << 21
"""Bytes of a huge page on x86-64 and most ARM systems."""


class BufferPool:
    """Buffers of a few sizes, kept for reuse.

    Parameters
    ----------
    keep : int
        Free buffers to keep of each size; further ones are returned to the system.
    allocate : callable, optional
        Returns new memory of a size in bytes, as an object with the buffer protocol. By default anonymous mappings.
    smallest : int
        Arrays of fewer bytes are ordinary numpy arrays, not pooled.
    """

    def __init__(self, keep: int, allocate: Callable[[int], Any] | None = None, smallest: int = POOLED_FROM) -> None:
        self._each = self._keep = keep
        self._allocate = allocate or _map
        self._smallest = smallest
        self._free: dict[int, deque[Any]] = {}

    def serve(self, arrays: int) -> None:
        """Keep `keep` free buffers for each of the arrays of a batch, since these may all have the same size."""
        self._keep = self._each * max(1, arrays)

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return a C-contiguous array of undefined contents; its memory returns to the pool when the array is gone."""
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
        # numpy shortens the chain of bases down to `whole`, but not past a memoryview: each view keeps `whole` alive.
        whole: npt.NDArray[np.uint8] = np.frombuffer(memoryview(memory), np.uint8, size)
        weakref.finalize(whole, _give_back, free, memory, self._keep).atexit = False
        return whole.view(dtype).reshape(shape)

    def held(self) -> int:
        """Return the bytes of all free buffers."""
        return sum(size * len(free) for size, free in self._free.items())

    def clear(self) -> None:
        """Return all free buffers to the system."""
        for free in self._free.values():
            free.clear()


def _give_back(free: deque[Any], memory: Any, keep: int) -> None:
    # This runs wherever the last reference is dropped, even inside the garbage collector. A deque needs no lock.
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
