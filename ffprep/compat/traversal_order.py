"""ffcv's traversal orders: what to derive an order of one's own from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.loader.files import Ids
from ffprep.loader.order.order import Order, RandomOrder, SequentialOrder

__all__ = ["Random", "Sequential", "TraversalOrder"]


class TraversalOrder(ABC):
    """An order of samples made by you: give the class, or an object of it, to ``Loader(order=...)``.

    The order is the whole job's: over several ranks the loader shares it out by itself.

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
        """Return the epoch's samples in order; as many in every epoch."""


class _Own(TraversalOrder):
    def _order(self) -> Order:
        raise NotImplementedError

    def sample_order(self, epoch: int) -> npt.NDArray[np.int64]:
        order = self._order()
        return order.ids(epoch, np.arange(len(order), dtype=np.int64))


class Sequential(_Own):
    """The loader's ``indices`` as they are."""

    def _order(self) -> Order:
        return SequentialOrder(self.indices)


class Random(_Own):
    """What ``OrderOption.RANDOM`` gives."""

    def _order(self) -> Order:
        return RandomOrder(self.indices, self.seed)
