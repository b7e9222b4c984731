"""How a loader samples its files: from its options to the order of its epochs and to the pages to read ahead."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.beton.shared import count_images
from ffprep.common.formatting import size_text
from ffprep.common.seeds import derived_seed
from ffprep.common.workers.cpus import available_memory
from ffprep.errors import OptionError
from ffprep.loader.engine.extents import ExtentsAhead
from ffprep.loader.engine.readahead import ReadAhead
from ffprep.loader.files import Files, Ids
from ffprep.loader.order.clips import ClipOrder
from ffprep.loader.order.mix import MixOrder, apportion
from ffprep.loader.order.nodes import NodeOrder
from ffprep.loader.order.order import (
    GivenOrder,
    HasSampleOrder,
    Order,
    OrderOption,
    QuasiRandomOrder,
    RandomOrder,
    Samples,
    SequentialOrder,
    as_array,
)
from ffprep.loader.order.pages import PageRuns, has_payload, main_pages, pages_holding, sample_pages
from ffprep.loader.order.repeated import RepeatedOrder
from ffprep.loader.order.share import Share
from ffprep.loader.order.weighted import WeightedOrder

AnyOrder = OrderOption | WeightedOrder | NodeOrder | RepeatedOrder | ClipOrder | HasSampleOrder


def order_name(option: AnyOrder) -> str:
    """Return what a saved state calls an order."""
    own = OrderOption, WeightedOrder, NodeOrder, RepeatedOrder, ClipOrder
    return option.name if isinstance(option, own) else "GIVEN"


@dataclass(frozen=True)
class Sampling:
    """How a loader samples its files.

    Attributes
    ----------
    files : Files
    payloads : sequence of str
        Fields that pipelines read from the files' pages, see `payload_fields`.
    indices : ndarray of int64, or range
        Samples to visit.
    window_pages : int
        Pages that QUASI_RANDOM shuffles together, or that are read ahead together.
    os_cache : bool
        Whether caching is left to the operating system.
    weights : sequence of float, 'balanced', 'equal' or None
        Share of each file in an epoch.
    epoch_samples : int or None
        Length of an epoch.
    """

    files: Files
    payloads: Sequence[str]
    indices: Samples
    window_pages: int
    os_cache: bool
    weights: Sequence[float] | str | None = None
    epoch_samples: int | None = None

    def order(self, option: AnyOrder, seed: int, loader: Any) -> Order:
        """Return the order that an option stands for.

        A class with the method ``sample_order``, as users of ffcv write, is called with `loader` to make an object.

        Raises
        ------
        OptionError
            The option is no order, or it does not go with the other options.
        """
        if self.weights is not None or self.epoch_samples is not None:
            return self._mix(option, seed)
        if option is OrderOption.SEQUENTIAL:
            return SequentialOrder(self.indices, None if self.os_cache else self._main_pages(), self.window_pages)
        if option is OrderOption.RANDOM:
            return RandomOrder(self.indices, seed)
        if option is OrderOption.QUASI_RANDOM:
            return QuasiRandomOrder(self.indices, self._main_pages(), seed, self.window_pages)
        if isinstance(option, NodeOrder):
            return option.bind(self.indices, self._main_pages(), seed)
        if isinstance(option, RepeatedOrder):
            return option.bind(as_array(self.indices), seed)
        if isinstance(option, ClipOrder):
            return option.bind(as_array(self.indices), self.files, seed)
        if isinstance(option, WeightedOrder):
            return option.bind(as_array(self.indices), seed, self.files.num_samples)
        if isinstance(option, type) and hasattr(option, "sample_order"):
            option = option(loader)
        if hasattr(option, "sample_order"):
            return GivenOrder(option, self.files.num_samples)
        raise OptionError(
            f"order is {option!r}; use an OrderOption, a WeightedOrder, a NodeOrder, a RepeatedOrder, a ClipOrder or "
            "an object that has sample_order(epoch)"
        )

    def _main_pages(self) -> PageRuns | Ids:
        return sample_pages(self.files, self.payloads)

    def _mix(self, option: AnyOrder, seed: int) -> MixOrder:
        if not isinstance(option, OrderOption):
            raise OptionError("weights and epoch_samples go with an OrderOption, not with another order")
        indices = as_array(self.indices)
        parts = [indices] if self.weights is None else self.files.split(indices)
        counts = self._counts(parts)
        windowed = option is OrderOption.QUASI_RANDOM or not self.os_cache
        pages = main_pages(self.files, self.payloads) if windowed else None
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
        """Return how many samples an epoch takes from each part of `indices`: with weights there is one a file."""
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
        """Return numbers by which a saved state recognises its files and their shares; none for a single whole file."""
        sizes = tuple(int(size) for size in np.diff(self.files.starts)) if len(self.files) > 1 else ()
        return sizes + (tuple(int(count) for count in order.counts) if isinstance(order, MixOrder) else ())

    def readahead(
        self, order: Order, epoch: int, first: int, share: Share | None = None, ahead: int = 0
    ) -> ReadAhead | ExtentsAhead | None:
        """Start reading what a rank needs ahead of an epoch that begins at position `first`.

        Pages are read window by window where the order goes through the file so. Of other orders, what the next batches
        need is asked for, if the files are larger than memory or `os_cache` is False.

        Returns None when that is left to the operating system's cache, or when there are no pages to read.

        Parameters
        ----------
        order : Order
        epoch, first : int
        share : Share, optional
        ahead : int
            Finished batches that are kept in store.

        Raises
        ------
        OptionError
            The pages of the windows that are in use at a time do not fit into memory.
        """
        if not self.payloads or first >= len(order):
            return None
        share = share or Share(1)

        def mine(start: int, stop: int) -> Ids:
            return order.ids(epoch, share.within(start, min(stop, len(order)), first))

        if self.os_cache and (isinstance(order, SequentialOrder) or self._fit):
            return None
        edges = order.edges(epoch) if not self.os_cache else None
        if edges is None:
            memory = available_memory() or sys.maxsize
            return ExtentsAhead(self.files, self.payloads, mine, first, len(order), share.step, memory)

        def pages(start: int, stop: int) -> Ids:
            return pages_holding(self.files, self.payloads, mine(start, stop))

        # Batches that are prepared may lie in several windows; the one after them is read meanwhile.
        reached = np.searchsorted(edges, [first, first + (ahead + 2) * share.step], side="right")
        within = edges[[reached[0] - 1, min(int(reached[1]) + 1, len(edges) - 1)]]
        self._check_memory(len(pages(int(within[0]), int(within[1]))))
        return ReadAhead(self.files.readers, edges, pages, first)

    def _check_memory(self, pages: int) -> None:
        need, memory = pages * max(reader.page_size for reader in self.files.readers), available_memory()
        if memory is not None and need > memory:
            raise OptionError(
                f"{self.files}: os_cache=False would keep {pages:,} pages ({size_text(need)}) in memory at a time, and "
                f"{size_text(memory)} are there; ask for a smaller window_pages, batch_size or batches_ahead, or, on "
                "many ranks, for order=NodeOrder()"
            )

    @cached_property
    def _fit(self) -> bool:
        """Whether the files fit into memory, as far as the system says how much there is."""
        memory = available_memory()
        return memory is None or sum(len(reader.data) for reader in self.files.readers) <= memory


def images_of(reader: Reader, samples: Ids) -> int:
    """Count the different images among the samples of a file.

    Raises
    ------
    OptionError
        The file has no images.
    """
    if "image" not in reader.fields or not has_payload(reader, "image"):
        raise OptionError(f"{reader.path}: has no field 'image' to balance by; give weights as numbers")
    return count_images(reader, samples)
