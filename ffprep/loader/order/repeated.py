"""Repeated augmentation: an order that shows each sample several times in a row, augmented anew each time."""

from __future__ import annotations

import numpy as np

from ffprep.common.names import NamesKeywords
from ffprep.errors import OptionError
from ffprep.loader.files import Ids
from ffprep.loader.order.order import Order, RandomOrder


class RepeatedOrder(NamesKeywords):
    """Repeated augmentation, as DeiT's ``RASampler``: ``Loader(order=RepeatedOrder(3))``.

    Hoffer et al., "Augment your batch: better training with larger batches", 2019; Touvron et al., "Training
    data-efficient image transformers", 2020.

    A random permutation in which each sample comes `repeats` times in succession. An epoch keeps its length, so it
    shows ``1 / repeats`` of the samples. Ranks take positions in turn, so that the copies of a sample are on different
    ranks. Each copy has random draws of its own.

    Parameters
    ----------
    repeats : int
    num_samples : int, optional
        Length of an epoch over all ranks, copies counted; by default the number of samples.

    Raises
    ------
    OptionError
        A number is below 1.
    """

    def __init__(self, repeats: int = 3, num_samples: int | None = None) -> None:
        if repeats < 1 or (num_samples is not None and num_samples < 1):
            raise OptionError(f"RepeatedOrder({repeats}, {num_samples}): both must be at least 1")
        self.repeats = int(repeats)
        self.num_samples = num_samples

    @property
    def name(self) -> str:
        """What a saved state says of the order."""
        return f"REPEATED {self.repeats} times"

    def bind(self, indices: Ids, seed: int) -> Order:
        """Return the order over `indices`.

        Raises
        ------
        OptionError
            An epoch would be longer than all copies.
        """
        length = len(indices) if self.num_samples is None else self.num_samples
        if length > len(indices) * self.repeats:
            raise OptionError(f"{self!r}: {len(indices)} samples have only {len(indices) * self.repeats} copies")
        return _Repeated(indices, seed, self.repeats, length)

    def __repr__(self) -> str:
        return f"RepeatedOrder({self.repeats}, num_samples={self.num_samples})"


class _Repeated(Order):
    def __init__(self, indices: Ids, seed: int, repeats: int, length: int) -> None:
        self._once = RandomOrder(indices, seed)
        self._repeats = repeats
        self._length = length

    def __len__(self) -> int:
        return self._length

    def ids(self, epoch: int, positions: Ids) -> Ids:
        return self._once.ids(epoch, np.ascontiguousarray(positions) // self._repeats)

    def keys(self, epoch: int, positions: Ids, ids: Ids) -> Ids:
        keys: Ids = ids * self._repeats + positions % self._repeats
        return keys
