"""Weighted sampling. As in every order, the sample at a position is a function of (seed, epoch, position)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.beton.sets import files_of
from ffprep.common.names import NamesKeywords
from ffprep.common.seeds import signed
from ffprep.errors import OptionError
from ffprep.kernels.random import uniforms
from ffprep.loader.files import Ids
from ffprep.loader.order.order import Order

OP_WEIGHTED = 0xFFFF0010
"""Random stream of the draws. Streams of pipelines are hashes below 2**31, so they never meet this one."""

Weights = Sequence[float] | npt.NDArray[np.floating[Any]]


class WeightedOrder(NamesKeywords):
    """An order in which samples come as often as their weights say: ``Loader(order=WeightedOrder(weights))``.

    Parameters
    ----------
    weights : array of shape (samples of the file,)
        Finite and not negative; their sum does not matter. If the loader has ``indices``, only their weights count.
    num_samples : int, optional
        Samples in an epoch; by default as many as there are to draw from.
    replacement : bool
        Draw from all samples each time. Otherwise no sample comes twice in an epoch, and samples with large weights
        tend to come early (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).

    Raises
    ------
    OptionError
        The weights are not one-dimensional, or one of them or their sum is negative or not finite.
    """

    name = "WEIGHTED"

    def __init__(self, weights: Weights, num_samples: int | None = None, replacement: bool = True) -> None:
        self.weights: npt.NDArray[np.float64] = np.array(weights, np.float64)
        if self.weights.ndim != 1:
            raise OptionError(f"weights has shape {self.weights.shape}; give one number for each sample")
        if not np.isfinite(self.weights).all() or (self.weights < 0).any():
            bad = int(np.flatnonzero(~(np.isfinite(self.weights) & (self.weights >= 0)))[0])
            raise OptionError(f"weights[{bad}] is {self.weights[bad]}; weights are finite and not below 0")
        if self.weights.max(initial=0) > np.finfo(np.float64).max / max(1, len(self.weights)):
            raise OptionError("the weights add up to more than numbers can hold; divide them by the greatest")
        if num_samples is not None and num_samples < 1:
            raise OptionError(f"num_samples is {num_samples}; an epoch needs at least one")
        self.num_samples = num_samples
        self.replacement = replacement

    @classmethod
    def balanced(
        cls,
        source: str | os.PathLike[str] | npt.ArrayLike,
        field: str = "label",
        power: float = 1.0,
        num_samples: int | None = None,
        replacement: bool = True,
    ) -> WeightedOrder:
        """Draw classes evenly: the weight of a sample is the size of its class to the power of ``-power``.

        Parameters
        ----------
        source : path of a file or a set, or labels
            Labels are read from the file's metadata table, which is quick.
        field : str
            Field that holds the labels.
        power : float
            1 makes all classes equally likely, 0 all samples; 0.5 lies between.

        Raises
        ------
        OptionError
            The field or array holds no labels.
        """
        if isinstance(source, (str, os.PathLike)):
            parts = []
            for file in files_of(source):
                with Reader(file, check=False) as reader:
                    parts.append(np.array(reader.column(field)))
            labels = np.concatenate(parts)
        else:
            labels = np.asarray(source)
        if labels.ndim != 1 or labels.dtype.kind not in "iufb":
            raise OptionError(f"field {field!r} holds no numbers to balance; give the labels themselves")
        _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
        return cls(counts[place].astype(np.float64) ** -power, num_samples, replacement)

    def bind(self, indices: Ids, seed: int, total: int) -> Order:
        """Return the order over those of a file's `total` samples that `indices` names.

        Raises
        ------
        OptionError
            The weights do not fit the file, or too few samples have a weight above 0.
        """
        if len(self.weights) != total:
            raise OptionError(f"there are {len(self.weights)} weights for {total} samples; give one for each")
        chosen = self.weights[indices]
        positive = int(np.count_nonzero(chosen))
        if positive == 0:
            raise OptionError("all weights are 0, so there is nothing to draw")
        length = len(indices) if self.num_samples is None else self.num_samples
        if self.replacement:
            return _WithReplacement(indices, chosen, length, seed)
        if self.num_samples is None:
            length = positive
        if length > positive:
            raise OptionError(f"{length} samples cannot be drawn without replacement from {positive} of weight above 0")
        return _WithoutReplacement(indices, chosen, length, seed)

    def __repr__(self) -> str:
        return f"WeightedOrder({len(self.weights)} weights, num_samples={self.num_samples}, {self.replacement})"


class _WithReplacement(Order):
    def __init__(self, indices: Ids, weights: npt.NDArray[np.float64], length: int, seed: int) -> None:
        some = np.flatnonzero(weights)  # a draw at the very end could otherwise land on a sample of weight 0
        self._indices = indices[some]
        self._ends = np.cumsum(weights[some])
        self._length = length
        self._seed = signed(seed)

    def __len__(self) -> int:
        return self._length

    def ids(self, epoch: int, positions: Ids) -> Ids:
        draws = uniforms(self._seed, epoch, np.ascontiguousarray(positions), OP_WEIGHTED, 0) * self._ends[-1]
        places = np.searchsorted(self._ends, draws, side="right")
        chosen: Ids = self._indices[np.minimum(places, len(self._indices) - 1)]
        return chosen

    def keys(self, epoch: int, positions: Ids, ids: Ids) -> Ids:
        return positions  # so a sample that comes twice gets two different crops


class _WithoutReplacement(Order):
    def __init__(self, indices: Ids, weights: npt.NDArray[np.float64], length: int, seed: int) -> None:
        self._indices = indices
        self._weights = weights
        self._length = length
        self._seed = signed(seed)
        self._cache: tuple[int, Ids] | None = None

    def __len__(self) -> int:
        return self._length

    def _epoch(self, epoch: int) -> Ids:
        known = self._cache
        if known is None or known[0] != epoch:
            draws = uniforms(self._seed, epoch, self._indices, OP_WEIGHTED, 1)
            with np.errstate(divide="ignore"):
                keys = -np.log1p(-draws) / self._weights
            keys[self._weights == 0] = np.inf
            best = np.argpartition(keys, self._length - 1)[: self._length]
            known = self._cache = epoch, self._indices[best[np.argsort(keys[best], kind="stable")]]
        return known[1]

    def ids(self, epoch: int, positions: Ids) -> Ids:
        chosen: Ids = self._epoch(epoch)[positions]
        return chosen
