"""A cache for what several threads read from files."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class LoadCache(Generic[Value]):
    """The most recently used values by key. A value that several threads ask for at once is loaded by one of them.

    A copy in another process starts empty.

    Parameters
    ----------
    keep : int
        Number of values to keep.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._entries: OrderedDict[int, _Entry[Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: int, load: Callable[[int], Value]) -> Value:
        """The value of a key, for which `load` is called if the value is not there; other threads wait for it."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > self._keep:
                self._entries.popitem(last=False)
        with entry.lock:
            if not entry.value:
                entry.value.append(load(key))
            return entry.value[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return LoadCache, (self._keep,)


class _Entry(Generic[Value]):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value: list[Value] = []
        """Holds the value once it is loaded."""
