"""From the options of a loader to the order of its epochs, and to what has to be read ahead for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.errors import OptionError
from ffprep.loader.files import Files
from ffprep.loader.order import (
    GivenOrder,
    HasSampleOrder,
    Ids,
    Order,
    OrderOption,
    QuasiRandomOrder,
    RandomOrder,
    SequentialOrder,
)
from ffprep.loader.plan import Recipe
from ffprep.loader.readahead import first_pages

if TYPE_CHECKING:
    from ffprep.loader.readahead import ReadAhead

SAMPLES_A_PAGE = 12
"""Without payloads, 2 to the power of this many samples count as a page."""


@dataclass(frozen=True)
class Traversal:
    """How a loader goes through its files.

    Attributes
    ----------
    files : Files
    payloads : sequence of str
        Fields that are read from the files' pages.
    indices : ndarray of int64
        Samples to visit.
    window_pages : int
        Pages that are in memory together.
    os_cache : bool
        Whether caching is left to the operating system.
    """

    files: Files
    payloads: Sequence[str]
    indices: Ids
    window_pages: int
    os_cache: bool

    def order(self, option: OrderOption | HasSampleOrder, seed: int, loader: Any) -> Order:
        """Return the order that an option stands for; classes of ffcv's kind are made with `loader`.

        Raises
        ------
        OptionError
            It is no order.
        """
        if option is OrderOption.SEQUENTIAL:
            return SequentialOrder(self.indices, None if self.os_cache else self._main_pages(), self.window_pages)
        if option is OrderOption.RANDOM:
            return RandomOrder(self.indices, seed)
        if option is OrderOption.QUASI_RANDOM:
            return QuasiRandomOrder(self.indices, self._main_pages(), seed, self.window_pages)
        if isinstance(option, type) and hasattr(option, "sample_order"):
            option = option(loader)
        if hasattr(option, "sample_order"):
            return GivenOrder(option, self.files.num_samples)
        raise OptionError(f"order is {option!r}; use an OrderOption or an object with sample_order(epoch)")

    def readahead(self, order: Order, epoch: int, first: int) -> ReadAhead | None:
        """Return what fetches pages in advance; None where the system's cache does, or no page is ahead."""
        from ffprep.loader.readahead import ReadAhead

        if self.os_cache:
            return None
        edges = order.edges(epoch)
        columns = [self._pages_of(name) for name in self.payloads]
        if edges is None or not columns or first >= len(order):
            return None

        def pages(start: int, stop: int) -> Ids:
            ids = order.ids(epoch, np.arange(start, stop, dtype=np.int64))
            found: Ids = np.unique(np.concatenate([column[ids] for column in columns]))
            return found[found >= 0]

        return ReadAhead(self.files.readers, edges, pages, first)

    def _pages_of(self, name: str) -> Ids:
        """Page of each sample's payload, pages numbered over all files; -1 for files that have no such payload."""
        return np.concatenate(
            [
                pages_of(reader, name) + first
                if has_payload(reader, name)
                else np.full(reader.num_samples, -1, np.int64)
                for reader, first in zip(self.files.readers, first_pages(self.files.readers)[:-1], strict=True)
            ]
        )

    def _main_pages(self) -> Ids:
        """Page of each sample's largest field; where samples have none, so many of them count as a page."""

        def size(name: str) -> float:
            readers = [reader for reader in self.files.readers if has_payload(reader, name)]
            return sum(float(reader.extents(name)[1].sum(dtype=np.float64)) for reader in readers)

        pages = [self._pages_of(name) for name in sorted(self.payloads, key=size, reverse=True)]
        main = np.full(self.files.num_samples, -1, np.int64)
        for column in pages:
            main = np.where(main < 0, column, main)
        if (main < 0).any():
            last = int(first_pages(self.files.readers)[-1])
            main = np.where(main < 0, last + (np.arange(len(main)) >> SAMPLES_A_PAGE), main)
        return main


def payload_fields(recipes: Sequence[Recipe], files: Files) -> list[str]:
    """Fields that recipes read from a file's pages."""
    used = {recipe.source for recipe in recipes}
    return [
        name for name in files.fields if name in used and any(has_payload(reader, name) for reader in files.readers)
    ]


def has_payload(reader: Reader, name: str) -> bool:
    """Whether a file keeps a field in its pages."""
    return name in reader.fields and reader.fields[name].pointer is not None


def pages_of(reader: Reader, name: str) -> Ids:
    """Page that each payload begins in."""
    shift = np.uint64(reader.page_size.bit_length() - 1)
    pages: Ids = (reader.extents(name)[0] >> shift).astype(np.int64)
    return pages
