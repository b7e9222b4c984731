"""ffcv's memory managers, for scripts that read payloads by their address or ask which samples lie in which page.

The loader itself uses none: caching is the operating system's, and reading ahead is `ffprep.loader.engine.readahead`'s.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.pipeline.compiler import Compiler

BATCHES_TYPE: TypeAlias = Sequence[Sequence[int]]


class MemoryContext(AbstractContextManager["MemoryContext"], ABC):
    """The time during which an epoch's payloads may be read."""

    @property
    @abstractmethod
    def state(self) -> Any:
        """What the compiled reader needs."""

    def start_batch(self, batch: int) -> None:
        """Do nothing; accepted for ffcv's sake."""

    def __exit__(self, *unused: object) -> None:
        return None


class MemoryManager(ABC):
    """Where the payloads of a file lie.

    Parameters
    ----------
    reader : Reader

    Attributes
    ----------
    ptrs, sizes : ndarray of uint64
        Bytes of the allocation table, by ascending address.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        order = np.argsort(reader.table["ptr"], kind="stable")
        self.ptrs: npt.NDArray[np.uint64] = reader.table["ptr"][order]
        self.sizes: npt.NDArray[np.uint64] = reader.table["size"][order]

    @cached_property
    def ptr_to_size(self) -> dict[int, int]:
        """Size of the payload at each address."""
        return dict(zip(self.ptrs.tolist(), self.sizes.tolist(), strict=True))

    @cached_property
    def page_to_samples(self) -> dict[int, set[int]]:
        """Samples that have payloads in each page."""
        return self._collected("page", "sample")

    @cached_property
    def sample_to_pages(self) -> dict[int, set[int]]:
        """Pages that each sample has payloads in."""
        return self._collected("sample", "page")

    def _collected(self, key: str, value: str) -> dict[int, set[int]]:
        table = self.reader.table
        columns = {
            "sample": table["sample_id"].tolist(),
            "page": (table["ptr"] // np.uint64(self.reader.page_size)).tolist(),
        }
        found: dict[int, set[int]] = defaultdict(set)
        for one, other in zip(columns[key], columns[value], strict=True):
            found[one].add(other)
        return found

    @abstractmethod
    def schedule_epoch(self, batches: BATCHES_TYPE) -> MemoryContext:
        """Return the context in which the payloads of these batches may be read."""

    @abstractmethod
    def compile_reader(self) -> Callable[..., Any]:
        """Return ``read(address, state)``, which gives a payload's bytes and which compiled code may call."""


class OSCacheContext(MemoryContext):
    """The memory-mapped file of an `OSCacheManager`."""

    def __init__(self, manager: OSCacheManager) -> None:
        self.manager = manager

    @property
    def state(self) -> Any:
        return self.manager.reader.data, self.manager.ptrs, self.manager.sizes


class OSCacheManager(MemoryManager):
    """Reads payloads from the memory-mapped file."""

    def schedule_epoch(self, batches: BATCHES_TYPE) -> MemoryContext:
        return OSCacheContext(self)

    def compile_reader(self) -> Callable[..., Any]:
        def read(address: Any, state: Any) -> Any:
            size = state[2][np.searchsorted(state[1], address)]
            return state[0][address : address + size]

        return Compiler.compile(read)


class ProcessCacheManager(OSCacheManager):
    """The same: this process keeps no pages of its own."""
