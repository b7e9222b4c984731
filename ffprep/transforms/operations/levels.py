"""Operations on the levels of pixels, 0 to 255, that draw nothing but whether an image is changed."""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np

from ffprep.errors import OptionError
from ffprep.transforms.bases.transform import probability
from ffprep.transforms.image import ChanceOp, ImageOp, Numbers


class RandomGrayscale(ChanceOp):
    """Make all three channels the grey level ``0.2989 R + 0.587 G + 0.114 B``, as torchvision does.

    Parameters
    ----------
    p : float
        Probability that an image is changed.
    seed : int, optional
        Operations of this class with the same seed draw alike in all outputs of a loader.
    gray_prob : float, optional
        FFCV-SSL's name for `p`.
    """

    function: ClassVar[tuple[str, str]] = ("colour", "grayscale")
    pixelwise: ClassVar[bool] = True

    def __init__(self, p: float = 0.1, seed: int | None = None, *, gray_prob: float | None = None) -> None:
        super().__init__(p if gray_prob is None else gray_prob)
        self.seed = seed

    def work(self, height: int, width: int) -> int:
        from ffprep.transforms.compiled.pixels import STEPS_BYTES

        return STEPS_BYTES


class RandomAutocontrast(ChanceOp):
    """Stretch each channel to the levels 0 to 255, as torchvision does.

    Parameters
    ----------
    p : float
        Probability that an image is changed.
    """

    function: ClassVar[tuple[str, str]] = ("colour", "autocontrast")
    pixelwise: ClassVar[bool] = True


class RandomEqualize(ChanceOp):
    """Equalise the histogram of each channel, as torchvision and Pillow do.

    Parameters
    ----------
    p : float
        Probability that an image is changed.
    """

    function: ClassVar[tuple[str, str]] = ("colour", "equalize")
    pixelwise: ClassVar[bool] = True

    def work(self, height: int, width: int) -> int:
        return 256 * 8


class RandomSolarize(ImageOp):
    """Invert all levels that reach a threshold.

    Parameters
    ----------
    threshold : float
        Levels of at least this become ``255 - level``.
    p : float
        Probability that an image is changed.
    """

    function: ClassVar[tuple[str, str]] = ("colour", "solarize")
    pixelwise: ClassVar[bool] = True

    def __init__(self, threshold: float = 128.0, p: float = 0.5) -> None:
        if not 0 <= threshold <= 256:
            raise OptionError(f"threshold is {threshold}; it is a level, 0 to 255, or 256 for none")
        self.threshold = float(threshold)
        self.p = probability(p, "p")

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([self.p, np.ceil(self.threshold)])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.threshold:g}, p={self.p:g})"


class RandomSolarization(RandomSolarize):
    """`RandomSolarize` with the name and the arguments that it has in FFCV-SSL.

    Parameters
    ----------
    solarization_prob : float
        Probability that an image is changed.
    threshold : float
        Levels of at least this become ``255 - level``.
    seed : int, optional
        Operations of this class with the same seed draw alike in all outputs of a loader.
    p : float, optional
        Another name for `solarization_prob`.
    """

    def __init__(
        self,
        solarization_prob: float = 0.5,
        threshold: float = 128.0,
        seed: int | None = None,
        *,
        p: float | None = None,
    ) -> None:
        if solarization_prob > 1:
            warnings.warn(
                f"RandomSolarization({solarization_prob:g}, ...) begins with a threshold; the probability comes first "
                "now, as in FFCV-SSL. Write RandomSolarize(threshold, p).",
                FutureWarning,
                stacklevel=2,
            )
            solarization_prob, threshold = (0.5 if threshold == 128.0 else threshold), solarization_prob
        super().__init__(threshold, solarization_prob if p is None else p)
        self.seed = seed


class RandomInvert(RandomSolarize):
    """Invert all levels.

    Parameters
    ----------
    p : float
        Probability that an image is changed.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(0.0, p)


class RandomPosterize(ImageOp):
    """Keep the highest bits of each level.

    Parameters
    ----------
    bits : int
        How many bits to keep, 0 to 8.
    p : float
        Probability that an image is changed.
    """

    function: ClassVar[tuple[str, str]] = ("colour", "posterize")
    pixelwise: ClassVar[bool] = True

    def __init__(self, bits: int, p: float = 0.5) -> None:
        if int(bits) != bits or not 0 <= bits <= 8:
            raise OptionError(f"bits is {bits}; a level has 8, so keep 0 to 8")
        self.bits = int(bits)
        self.p = probability(p, "p")

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([self.p, 256 - (1 << (8 - self.bits))])

    def __repr__(self) -> str:
        return f"RandomPosterize({self.bits}, p={self.p:g})"
