"""From the options of a loader to the order of its epochs, and to what has to be read ahead for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.errors import OptionError
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

if TYPE_CHECKING:
    from ffprep.loader.readahead import ReadAhead

SAMPLES_A_PAGE = 12
"""Without payloads, 2 to the power of this many samples count as a page."""


@dataclass(frozen=True)
class Traversal:
    """How a loader goes through a file.

    Attributes
    ----------
    reader : Reader
    payloads : sequence of str
        Fields that are read from the file's pages.
    indices : ndarray of int64
        Samples to visit.
    window_pages : int
        Pages that are in memory together.
    os_cache : bool
        Whether caching is left to the operating system.
    """

    reader: Reader
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
            return GivenOrder(option, self.reader.num_samples)
        raise OptionError(f"order is {option!r}; use an OrderOption or an object with sample_order(epoch)")

    def readahead(self, order: Order, epoch: int, first: int) -> ReadAhead | None:
        """Return what fetches pages in advance; None where the system's cache does, or no page is ahead."""
        from ffprep.loader.readahead import ReadAhead, mapping_of

        if self.os_cache:
            return None
        edges = order.edges(epoch)
        columns = [self._pages_of(name) for name in self.payloads]
        if edges is None or not columns or first >= len(order):
            return None

        def pages(start: int, stop: int) -> Ids:
            ids = order.ids(epoch, np.arange(start, stop, dtype=np.int64))
            return np.unique(np.concatenate([column[ids] for column in columns]))

        return ReadAhead(self.reader.path, mapping_of(self.reader.data), self.reader.page_size, edges, pages, first)

    def _pages_of(self, name: str) -> Ids:
        shift = np.uint64(self.reader.page_size.bit_length() - 1)
        pages: Ids = (self.reader.extents(name)[0] >> shift).astype(np.int64)
        return pages

    def _main_pages(self) -> Ids:
        """Page of each sample's largest field."""
        if not self.payloads:
            return np.arange(self.reader.num_samples, dtype=np.int64) >> SAMPLES_A_PAGE
        return self._pages_of(
            max(self.payloads, key=lambda name: float(self.reader.extents(name)[1].sum(dtype=np.float64)))
        )


def payload_fields(recipes: Sequence[Recipe], reader: Reader) -> list[str]:
    """Fields that recipes read from a file's pages."""
    used = {recipe.source for recipe in recipes}
    return [name for name, field in reader.fields.items() if name in used and field.pointer is not None]
