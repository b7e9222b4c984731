"""ffcv's traversal orders: base classes for custom orders of samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.loader.files import Ids
from ffprep.loader.order.order import Order, OrderOption, RandomOrder, SequentialOrder

__all__ = ["LoadersOrder", "QuasiRandom", "Random", "Sequential", "TraversalOrder"]


class TraversalOrder(ABC):
    """A custom order of samples. Give the class, or an object of it, to ``Loader(order=...)``.

    The order is that of the whole job; the loader divides it among several ranks by itself.

    Parameters
    ----------
    loader : Loader
        Has ``indices``, ``seed``, ``batch_size``, ``distributed`` and ``reader``.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.indices: Ids = loader.indices
        self.seed: int = loader.seed
        self.distributed: bool = loader.distributed
        self.sampler = None

    @abstractmethod
    def sample_order(self, epoch: int) -> Sequence[int] | npt.NDArray[np.int64]:
        """Return the epoch's samples in order. Every epoch must have the same number."""


class _BuiltIn(TraversalOrder):
    def _order(self) -> Order:
        raise NotImplementedError

    def sample_order(self, epoch: int) -> npt.NDArray[np.int64]:
        order = self._order()
        return order.ids(epoch, np.arange(len(order), dtype=np.int64))


class Sequential(_BuiltIn):
    """The loader's ``indices`` as they are."""

    def _order(self) -> Order:
        return SequentialOrder(self.indices)


class Random(_BuiltIn):
    """The order of ``OrderOption.RANDOM``."""

    def _order(self) -> Order:
        return RandomOrder(self.indices, self.seed)


class QuasiRandom(_BuiltIn):
    """The order of ``OrderOption.QUASI_RANDOM``."""

    def _order(self) -> Order:
        order: Order = self.loader.order_of(OrderOption.QUASI_RANDOM)
        return order


class LoadersOrder(TraversalOrder):
    """The order of a loader's epochs, as this rank sees them; what ``loader.traversal_order`` is."""

    def sample_order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the numbers of the samples that this rank sees in an epoch, in order, ``drop_last`` left aside."""
        order, share = self.loader.epoch_order
        parts = [share.positions(batch, len(order)) for batch in range(share.batches(len(order), drop_last=False))]
        positions = np.concatenate([*parts, np.empty(0, np.int64)]) % max(1, len(order))
        return np.array(order.ids(epoch, positions), np.int64)
