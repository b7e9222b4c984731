"""Memory that is used again once nobody looks at it any more, so that its pages need not be made anew."""

from __future__ import annotations

import weakref

import numpy as np
from numpy.typing import NDArray

LARGEST_KEPT = 1 << 24
_KEPT = 32
_UNIT = 1 << 20


class Rooms:
    """Memory for what is read or written at a time."""

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint8]] = []

    def take(self, size: int) -> NDArray[np.uint8]:
        """Return an array of at least so many bytes. When it and all views of it are gone, its memory is free again."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(0, np.uint8)
        if memory.size < size:
            memory = np.empty(-(-size // _UNIT) * _UNIT, np.uint8)
        room = memory[:]
        weakref.finalize(room, self._give_back, memory).atexit = False
        return room

    def _give_back(self, memory: NDArray[np.uint8]) -> None:
        if len(self._free) < _KEPT and memory.size <= LARGEST_KEPT:
            self._free.append(memory)
