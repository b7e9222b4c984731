"""Marking chosen images, for research on poisoned data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.transforms.image import ImageOp, Numbers


class Poison(ImageOp):
    """Blend a mask into chosen images: ``image * (1 - alpha) + mask * alpha``, clamped and rounded down.

    Parameters
    ----------
    mask : ndarray of shape (height, width, 3)
        In levels, 0 to 255.
    alpha : ndarray of shape (height, width)
        Opacity, 0 to 1.
    indices : sequence of int
        Numbers of the samples to mark.
    clamp : (low, high)
        Range of the result.
    """

    function: ClassVar[tuple[str, str]] = ("colour", "poison")
    by_sample: ClassVar[bool] = True

    def __init__(
        self,
        mask: npt.NDArray[Any],
        alpha: npt.NDArray[Any],
        indices: Sequence[int] | npt.NDArray[np.integer[Any]],
        clamp: tuple[int, int] = (0, 255),
    ) -> None:
        mask, alpha = np.asarray(mask, np.float64), np.asarray(alpha, np.float64)
        if mask.ndim != 3 or mask.shape[2] != 3 or alpha.shape != mask.shape[:2]:
            raise OptionError(
                f"mask has the shape {mask.shape} and alpha {alpha.shape}; they must be (height, width, 3) and "
                "(height, width)"
            )
        if not 0 <= clamp[0] <= clamp[1] <= 255:
            raise OptionError(f"clamp is {clamp}; levels are 0 to 255")
        self.clamp = clamp
        self._opacity = np.ascontiguousarray(np.repeat(alpha[:, :, None], 3, axis=2))
        self._mask = np.ascontiguousarray(mask * self._opacity)
        self.indices = np.sort(np.asarray(indices, np.int64).reshape(-1))

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        if self._mask.shape[:2] != (height, width):
            raise OptionError(f"the mask of Poison is {self._mask.shape[:2]}, the images are {(height, width)}")
        arrays = (self._mask, self._opacity, self.indices)
        return np.array([*self.clamp, *(array.ctypes.data for array in arrays), self.indices.size], np.float64)

    def __repr__(self) -> str:
        return f"Poison({self.indices.size} samples)"
