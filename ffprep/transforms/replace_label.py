"""Changing the labels of chosen samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ffprep.pipeline.form import BatchInfo
from ffprep.transforms.bases.transform import Transform, is_tensor


class ReplaceLabel(Transform):
    """Give chosen samples another label.

    Parameters
    ----------
    indices : sequence of int
        Numbers of the samples.
    new_label : int
    """

    light: ClassVar[bool] = True

    def __init__(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]], new_label: int) -> None:
        self.indices = np.sort(np.asarray(indices, np.int64).reshape(-1))
        self.new_label = new_label

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        chosen = np.isin(batch.ids, self.indices)
        out = x.clone() if is_tensor(x) else x.copy()
        out[chosen] = self.new_label
        return out

    def __repr__(self) -> str:
        return f"ReplaceLabel({self.indices.size} samples, {self.new_label})"
