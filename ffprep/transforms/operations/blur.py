"""Blurring images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ffprep.errors import OptionError
from ffprep.transforms.bases.transform import probability
from ffprep.transforms.image import ImageOp, Numbers


class GaussianBlur(ImageOp):
    """``torchvision.transforms.GaussianBlur``: a Gaussian sampled at whole pixels, edges mirrored.

    Parameters
    ----------
    kernel_size : int or (height, width)
        Odd numbers of pixels. SimCLR uses a tenth of the image's side: 23 for 224.
    sigma : float or (low, high)
        Standard deviation in pixels; with two numbers it is drawn uniformly between them.
    p : float
        Probability that an image is changed.
    seed : int, optional
        Operations of this class with the same seed draw alike in all outputs of a loader.
    blur_prob : float, optional
        FFCV-SSL's name for `p`. There it comes first and the side of the kernel is 5; here both have to be named.
    """

    function: ClassVar[tuple[str, str]] = ("blur", "gaussian_blur")

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        sigma: float | Sequence[float] = (0.1, 2.0),
        p: float = 1.0,
        seed: int | None = None,
        *,
        blur_prob: float | None = None,
    ) -> None:
        if isinstance(kernel_size, float):
            raise OptionError(
                f"kernel_size is {kernel_size!r}; give one or two odd numbers of pixels, and a probability as p="
            )
        sides = (kernel_size, kernel_size) if isinstance(kernel_size, (int, np.integer)) else tuple(kernel_size)
        if len(sides) != 2 or any(int(side) != side or side < 1 or side % 2 == 0 for side in sides):
            raise OptionError(f"kernel_size is {kernel_size!r}; give one or two odd numbers of pixels")
        if max(sides) > 1023:
            raise OptionError(f"kernel_size is {kernel_size!r}; the largest is 1023")
        self.kernel_size = int(sides[0]), int(sides[1])
        pair = (sigma, sigma) if isinstance(sigma, (int, float, np.number)) else tuple(sigma)
        if len(pair) != 2 or not 0 < pair[0] <= pair[1] < np.inf:
            raise OptionError(f"sigma is {sigma!r}; give a number of pixels above 0, or (low, high)")
        self.sigma = float(pair[0]), float(pair[1])
        self.p = probability(p if blur_prob is None else blur_prob, "p")
        self.seed = seed

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([self.p, *self.kernel_size, *self.sigma])

    def work(self, height: int, width: int) -> int:
        from ffprep.transforms.compiled.blur import FARTHEST

        down, across = self.kernel_size[0] // 2, self.kernel_size[1] // 2
        row = 3 * width + 16
        tables, ends, rows = 16 * (down + 1) + 16 + 4 * (down + across + 2), 24 * across, min(height, 2 * down + 1)
        wide = tables + ends + 4 * row * (1 + rows)
        # In 16 bits, a ring of rows is a power of two.
        few = min(height, 2 * min(down, FARTHEST) + 1)
        narrow = 20 * (FARTHEST + 1) + 16 + 12 * FARTHEST + 2 * row * (1 + 2 ** (few - 1).bit_length())
        return int(max(wide, narrow)) + 64

    def __repr__(self) -> str:
        return f"GaussianBlur({self.kernel_size}, {self.sigma}, p={self.p:g})"
