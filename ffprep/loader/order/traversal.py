"""From the options of a loader to the order of its epochs, and to what has to be read ahead for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.beton.shared import count_images
from ffprep.errors import OptionError
from ffprep.loader.engine.readahead import first_pages
from ffprep.loader.files import Files
from ffprep.loader.order.mix import MixOrder, apportion, derived_seed
from ffprep.loader.order.order import (
    GivenOrder,
    HasSampleOrder,
    Ids,
    Order,
    OrderOption,
    QuasiRandomOrder,
    RandomOrder,
    SequentialOrder,
)
from ffprep.loader.order.weighted import WeightedOrder
from ffprep.loader.plan.pipelines import Recipe

if TYPE_CHECKING:
    from ffprep.loader.engine.readahead import ReadAhead

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
    weights : sequence of float, 'balanced', 'equal' or None
        Share of each file in an epoch.
    epoch_samples : int or None
        Length of an epoch.
    """

    files: Files
    payloads: Sequence[str]
    indices: Ids
    window_pages: int
    os_cache: bool
    weights: Sequence[float] | str | None = None
    epoch_samples: int | None = None

    def order(self, option: OrderOption | WeightedOrder | HasSampleOrder, seed: int, loader: Any) -> Order:
        """Return the order that an option stands for; classes of ffcv's kind are made with `loader`.

        Raises
        ------
        OptionError
            It is no order.
        """
        if self.weights is not None or self.epoch_samples is not None:
            return self._mix(option, seed)
        if option is OrderOption.SEQUENTIAL:
            return SequentialOrder(self.indices, None if self.os_cache else self._main_pages(), self.window_pages)
        if option is OrderOption.RANDOM:
            return RandomOrder(self.indices, seed)
        if option is OrderOption.QUASI_RANDOM:
            return QuasiRandomOrder(self.indices, self._main_pages(), seed, self.window_pages)
        if isinstance(option, WeightedOrder):
            return option.bind(self.indices, seed, self.files.num_samples)
        if isinstance(option, type) and hasattr(option, "sample_order"):
            option = option(loader)
        if hasattr(option, "sample_order"):
            return GivenOrder(option, self.files.num_samples)
        raise OptionError(
            f"order is {option!r}; use an OrderOption, a WeightedOrder or an object with sample_order(epoch)"
        )

    def _mix(self, option: OrderOption | WeightedOrder | HasSampleOrder, seed: int) -> MixOrder:
        if not isinstance(option, OrderOption):
            raise OptionError("weights and epoch_samples go with an OrderOption, not with another order")
        parts = [self.indices] if self.weights is None else self.files.split(self.indices)
        counts = self._counts(parts)
        pages = self._main_pages() if option is OrderOption.QUASI_RANDOM or not self.os_cache else None
        read = np.zeros(len(parts))
        streams: list[Order] = []
        for f, part in enumerate(parts):
            if counts[f] and not len(part):
                raise OptionError(f"{self.files.readers[f].path}: no sample of it is in indices; give it the weight 0")
            if pages is not None and counts[f]:
                read[f] = len(np.unique(pages[part])) * counts[f] / len(part)
        windows = np.maximum(1, np.rint(self.window_pages * read / max(1, read.sum()))).astype(int)
        for f, part in enumerate(parts):
            own = derived_seed(seed, f)
            if option is OrderOption.RANDOM:
                streams.append(RandomOrder(part, own))
            elif option is OrderOption.SEQUENTIAL or pages is None:
                streams.append(SequentialOrder(part))
            else:
                streams.append(QuasiRandomOrder(part, pages, own, int(windows[f])))
        ahead = not self.os_cache and option is not OrderOption.RANDOM
        segments = max(1, int(np.ceil(read.sum() / self.window_pages))) if ahead else 0
        shuffled = option is not OrderOption.SEQUENTIAL
        return MixOrder(streams, counts, self.files.num_samples, seed, shuffled=shuffled, segments=segments)

    def _counts(self, parts: Sequence[Ids]) -> Sequence[int]:
        """Samples that an epoch takes of each part."""
        weights: Sequence[float]
        total = self.epoch_samples
        if self.weights is None:
            assert total is not None
            return [total]
        if isinstance(self.weights, str):
            if self.weights == "balanced":
                weights = [
                    images_of(reader, part)
                    for reader, part in zip(self.files.readers, self.files.local(parts), strict=True)
                ]
                total = int(sum(weights)) if total is None else total
            elif self.weights == "equal":
                weights = [1.0] * len(parts)
            else:
                raise OptionError(f"weights is {self.weights!r}; give numbers, 'balanced' or 'equal'")
        else:
            weights = self.weights
        if len(weights) != len(parts):
            raise OptionError(f"there are {len(weights)} weights for {len(parts)} files; give one for each")
        counts: list[int] = apportion(weights, len(self.indices) if total is None else total).tolist()
        return counts

    def parts(self, order: Order) -> tuple[int, ...]:
        """What tells this traversal from one of other files or shares: empty for the whole of one file."""
        sizes = tuple(int(size) for size in np.diff(self.files.starts)) if len(self.files) > 1 else ()
        return sizes + (tuple(int(count) for count in order.counts) if isinstance(order, MixOrder) else ())

    def readahead(self, order: Order, epoch: int, first: int) -> ReadAhead | None:
        """Return what fetches pages in advance; None where the system's cache does, or no page is ahead."""
        from ffprep.loader.engine.readahead import ReadAhead

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


def images_of(reader: Reader, samples: Ids) -> int:
    """How many different images samples of a file have.

    Raises
    ------
    OptionError
        The file has no images.
    """
    if "image" not in reader.fields or not has_payload(reader, "image"):
        raise OptionError(f"{reader.path}: has no field 'image' to balance by; give weights as numbers")
    return count_images(reader, samples)
