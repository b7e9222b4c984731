"""Memory for batches, reused as soon as nothing refers to a batch any more, and never before.

A batch is an array over memory of a pool. The memory returns to the pool when the last array, tensor or view of it is
gone, however late that is, so batches never share memory. A training loop that drops its batches causes no page faults,
because the same few buffers are used over and over.
"""

from __future__ import annotations

import contextlib
import math
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

Lent = tuple[npt.NDArray[Any], int]
"""An array, and the address of its first element."""


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
        self._free: dict[int, deque[tuple[memoryview, int]]] = {}

    def serve(self, arrays: int) -> None:
        """Keep `keep` free buffers for each of the arrays of a batch, since these may all have the same size."""
        self._keep = self._each * max(1, arrays)

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return a C-contiguous array of undefined contents; its memory returns to the pool when the array is gone."""
        return self.lend(shape, dtype)[0]

    def lend(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Lent:
        """Return what `take` returns, and its address, which costs as much as the rest to ask numpy for."""
        size = math.prod(shape) * dtype.itemsize
        if size < self._smallest:
            small = np.empty(shape, dtype)
            return small, small.ctypes.data
        free = self._free.get(size)
        if free is None:
            free = self._free[size] = deque()
        try:
            memory = free.pop()
        except IndexError:
            made = self._allocate(size)
            memory = memoryview(made), np.frombuffer(made, np.uint8, 1).ctypes.data
        # numpy shortens the chain of bases down to `whole`, but not past a memoryview: each view keeps `whole` alive.
        whole: npt.NDArray[Any] = np.frombuffer(memory[0], dtype, math.prod(shape))
        loan = _Loan(whole, _give_back)
        loan.free, loan.memory, loan.keep = free, memory, self._keep
        _loans[id(loan)] = loan
        return whole.reshape(shape), memory[1]

    def held(self) -> int:
        """Return the bytes of all free buffers."""
        return sum(size * len(free) for size, free in self._free.items())

    def clear(self) -> None:
        """Return all free buffers to the system."""
        for free in self._free.values():
            free.clear()


class _Loan(weakref.ref[Any]):
    """Refers to an array over memory of a pool, until it is gone: what `weakref.finalize` does, in a third of its time.

    Attributes
    ----------
    free, memory, keep
        Where the memory then goes, what it is, and how many free ones are kept.
    """

    __slots__ = ("free", "keep", "memory")
    free: deque[Any]
    memory: tuple[Any, int]
    keep: int


_loans: dict[int, _Loan] = {}
"""Those that have not ended, each by its own `id`: an array is not hashable, so neither is what refers to it."""


def _give_back(loan: Any, loans: dict[int, _Loan] = _loans) -> None:
    # This runs wherever the last reference is dropped, even inside the garbage collector, and as the interpreter ends.
    # Neither a deque nor a dictionary needs a lock.
    del loans[id(loan)]
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
