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
        loan = _Loan(whole, free, memory, self._keep)
        _loans[id(loan)] = loan
        return whole.view(dtype).reshape(shape)

    def held(self) -> int:
        """Return the bytes of all free buffers."""
        return sum(size * len(free) for size, free in self._free.items())

    def clear(self) -> None:
        """Return all free buffers to the system."""
        for free in self._free.values():
            free.clear()


class _Loan(weakref.ref[Any]):
    """Memory in use by an array: what ``weakref.finalize`` is, at a third of its cost for each batch."""

    __slots__ = ("free", "keep", "memory")

    def __new__(cls, array: npt.NDArray[Any], free: deque[Any], memory: Any, keep: int) -> _Loan:
        return super().__new__(cls, array, _give_back)

    def __init__(self, array: npt.NDArray[Any], free: deque[Any], memory: Any, keep: int) -> None:
        super().__init__(array, _give_back)
        self.free, self.memory, self.keep = free, memory, keep


_loans: dict[int, _Loan] = {}
"""All memory in use, by the loans' identity: a weak reference calls back only while it is referred to itself."""


def _give_back(loan: _Loan) -> None:
    # This runs wherever the last reference is dropped, even inside the garbage collector. A deque needs no lock.
    _loans.pop(id(loan), None)
    if len(loan.free) < loan.keep:
        loan.free.append(loan.memory)


def _map(size: int) -> mmap.mmap:
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
