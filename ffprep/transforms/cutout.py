"""Covering parts of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ffprep.errors import OptionError
from ffprep.transforms.bases.transform import probability
from ffprep.transforms.image import ImageOp, Numbers, pixel_bytes, with_pixel


class Cutout(ImageOp):
    """Cover a square at a random place of each image; as in ffcv, the square lies inside the image.

    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.

    Parameters
    ----------
    crop_size : int
        Side of the square in pixels.
    fill : three numbers
        Colour of the square. Placed before `NormalizeImage`, the mean colour becomes zero. Integer images drop
        fractions.
    """

    function: ClassVar[tuple[str, str]] = ("space", "cutout")
    levels: ClassVar[bool] = False

    def __init__(self, crop_size: int, fill: Sequence[float] | float = (0, 0, 0)) -> None:
        if int(crop_size) != crop_size or crop_size < 1:
            raise OptionError(f"crop_size is {crop_size}; give a whole number of pixels")
        self.crop_size = int(crop_size)
        self.fill = fill

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        if self.crop_size > min(height, width):
            raise OptionError(f"{self!r} does not fit images of {height}x{width} (height x width)")
        return with_pixel([self.crop_size], pixel_bytes(self.fill, dtype, channels))

    def __repr__(self) -> str:
        return f"Cutout({self.crop_size}, fill={self.fill})"


class RandomErasing(ImageOp):
    """``torchvision.transforms.RandomErasing``: cover a rectangle of random area, shape and place.

    Zhong et al., "Random Erasing Data Augmentation", 2017.

    Parameters
    ----------
    p : float
        Probability that an image is changed.
    scale : (low, high)
        Share of the image's area.
    ratio : (low, high)
        Height over width.
    value : number, three numbers, or 'random'
        Colour of the rectangle. Placed before `NormalizeImage`, the mean colour becomes zero. ``'random'`` is noise
        over all levels and needs uint8 images.
    seed : int, optional
        Operations of this class with the same seed draw alike in all outputs of a loader.
    erase_prob, mean : optional
        FFCV-SSL's names for `p` and `value`.
    """

    function: ClassVar[tuple[str, str]] = ("space", "erase")
    levels: ClassVar[bool] = False

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | Sequence[float] | str = 0,
        seed: int | None = None,
        *,
        erase_prob: float | None = None,
        mean: Sequence[float] | None = None,
    ) -> None:
        self.p = probability(p if erase_prob is None else erase_prob, "p")
        value = value if mean is None else mean
        self.seed = seed
        if len(scale) != 2 or not 0 <= scale[0] <= scale[1] <= 1:
            raise OptionError(f"scale is {scale!r}; give (low, high) in 0 to 1")
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1] < np.inf:
            raise OptionError(f"ratio is {ratio!r}; give (low, high) above 0")
        if isinstance(value, str) and value != "random":
            raise OptionError(f"value is {value!r}; give a number, three numbers, or 'random'")
        self.scale, self.ratio = (float(scale[0]), float(scale[1])), (float(ratio[0]), float(ratio[1]))
        self.value = value

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        noise = isinstance(self.value, str)
        if noise and dtype != "uint8":
            raise OptionError(f"{self!r} works on uint8 images; put it before NormalizeImage and Convert")
        fill = 0.0 if isinstance(self.value, str) else self.value
        pixel = pixel_bytes(fill, dtype, channels)
        return with_pixel([self.p, *self.scale, *self.ratio, float(noise)], pixel)

    def __repr__(self) -> str:
        return f"RandomErasing({self.p:g}, {self.scale}, {self.ratio}, {self.value!r})"
