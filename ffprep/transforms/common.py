"""Changing the shape of batches."""

from __future__ import annotations

from typing import Any, ClassVar

from ffprep.errors import OptionError
from ffprep.pipeline.form import BatchInfo
from ffprep.transforms.bases.transform import Transform


class Squeeze(Transform):
    """Remove dimensions of size 1.

    Parameters
    ----------
    *dims : int
        Which dimensions; 0 is the batch dimension, as in ffcv. By default all others, so that a batch of one sample
        keeps its batch dimension.
    """

    light: ClassVar[bool] = True

    def __init__(self, *dims: int) -> None:
        self.dims = dims

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        rank = len(x.shape)
        if any(not -rank <= d < rank for d in self.dims):
            raise OptionError(f"Squeeze{self.dims} does not fit a batch of shape {tuple(x.shape)}")
        chosen = {d % rank for d in self.dims} or set(range(1, rank))
        kept = [size for axis, size in enumerate(x.shape) if axis not in chosen or size != 1]
        return x.reshape(kept)

    def __repr__(self) -> str:
        return f"Squeeze{self.dims}"
