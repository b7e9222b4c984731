"""Sizes of images, fixed or growing from epoch to epoch, and which part of them is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ffprep.errors import MixedSizesError, OptionError

Size: TypeAlias = "int | Sequence[int] | Callable[[int], int | Sequence[int]]"
"""Height and width, the side of a square, or a function that returns either for an epoch."""


class Crop(NamedTuple):
    """The part of each image that is shown and its numbers.

    It is ``whole``, ``random``, ``center`` or ``resize_center``, or on a canvas: ``letterbox``, ``scale_jitter`` or
    ``random_resize``.
    """

    kind: str
    numbers: tuple[float, ...] = ()


def size_pair(size: int | Sequence[int]) -> tuple[int, int]:
    """Return (height, width) from a pair or from the side of a square.

    Raises
    ------
    OptionError
        The size is not one or two whole numbers from 1 to 16,384.
    """
    pair = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(pair) != 2 or any(int(side) != side or not 1 <= side <= 16384 for side in pair):
        raise OptionError(f"output_size is {size!r}; give (height, width), each from 1 to 16384")
    return int(pair[0]), int(pair[1])


def size_at(size: Size, epoch: int) -> tuple[int, int]:
    """Return (height, width) of an epoch.

    Raises
    ------
    OptionError
        As for `size_pair`.
    """
    return size_pair(size(epoch) if callable(size) else size)


def common_size(column: npt.NDArray[Any], where: str) -> tuple[int, int]:
    """Return the (height, width) that all images of a metadata column have.

    Raises
    ------
    MixedSizesError
        They differ; the message begins with `where`.
    """
    if len(column) == 0:
        return 1, 1
    heights, widths = column["height"], column["width"]
    low, high = (int(heights.min()), int(widths.min())), (int(heights.max()), int(widths.max()))
    if low != high:
        raise MixedSizesError(
            f"{where}: the images differ in size, from {low[0]}x{low[1]} to {high[0]}x{high[1]} (height x width); use "
            "RandomResizedCropRGBImageDecoder, CenterCropRGBImageDecoder or ResizeRGBImageDecoder"
        )
    return high


class ProgressiveSize:
    """A size that grows linearly from epoch to epoch, in steps, to be given to a decoder or a preset.

    In the first epochs, training learns as much from small images, at a lower cost. ffcv's ImageNet recipe is
    ``ProgressiveSize(160, 192, 65, 76)`` for 88 epochs.

    Parameters
    ----------
    start, end : int
        Side up to epoch `first`, and from epoch `last` on.
    first, last : int
        Epochs, counted from 0.
    multiple : int
        Sides in between are rounded to a multiple of this.
    """

    def __init__(self, start: int, end: int, first: int, last: int, multiple: int = 32) -> None:
        self.start, self.end = size_pair(start)[0], size_pair(end)[0]
        if not 0 <= first <= last or multiple < 1:
            raise OptionError(
                f"first is {first}, last {last}, multiple {multiple}; give 0 <= first <= last, multiple >= 1"
            )
        self.first, self.last, self.multiple = first, last, multiple

    def __call__(self, epoch: int) -> int:
        """Return the side of an epoch's images."""
        if epoch <= self.first:
            return self.start
        if epoch >= self.last:
            return self.end
        share = (epoch - self.first) / (self.last - self.first)
        return max(1, round((self.start + share * (self.end - self.start)) / self.multiple)) * self.multiple

    def __repr__(self) -> str:
        return f"ProgressiveSize({self.start}, {self.end}, {self.first}, {self.last}, {self.multiple})"


def crop_range(pair: Sequence[float], name: str, top: float) -> tuple[float, float]:
    """Return (low, high) as floats.

    Raises
    ------
    OptionError
        They are not 0 < low <= high <= top, and finite.
    """
    try:
        numbers = tuple(float(x) for x in pair)
    except (TypeError, ValueError):
        raise OptionError(f"{name} is {pair!r}; give two numbers, (low, high)") from None
    if len(numbers) != 2 or not 0 < numbers[0] <= numbers[1] <= top or not np.isfinite(numbers[1]):
        limit = f", up to {top:g}" if np.isfinite(top) else ""
        raise OptionError(f"{name} is {tuple(pair)!r}; give (low, high) with 0 < low <= high{limit}")
    return numbers[0], numbers[1]
