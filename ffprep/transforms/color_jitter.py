"""Brightness, contrast, saturation and hue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ffprep.errors import OptionError
from ffprep.transforms.bases.transform import probability
from ffprep.transforms.image import ImageOp, Numbers


class _Magnitude(ImageOp):
    pixelwise: ClassVar[bool] = True

    def __init__(self, magnitude: float, p: float = 0.5) -> None:
        if not 0 <= magnitude < np.inf:
            raise OptionError(f"magnitude is {magnitude}; the factor is drawn from 1 - magnitude to 1 + magnitude")
        self.magnitude = float(magnitude)
        self.p = probability(p, "p")

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([self.p, max(0.0, 1 - self.magnitude), 1 + self.magnitude])

    def work(self, height: int, width: int) -> int:
        from ffprep.transforms.compiled.pixels import STEPS_BYTES

        return STEPS_BYTES

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.magnitude:g}, p={self.p:g})"


class RandomBrightness(_Magnitude):
    """Multiply all levels by a random factor, as torchvision's ``adjust_brightness`` does.

    Parameters
    ----------
    magnitude : float
        The factor is drawn uniformly from ``max(0, 1 - magnitude)`` to ``1 + magnitude``.
    p : float
        Probability that an image is changed.
    """

    function: ClassVar[tuple[str, str]] = ("colour", "brightness")


class RandomContrast(_Magnitude):
    """Blend with the image's mean grey level, as torchvision's ``adjust_contrast`` does.

    Parameters
    ----------
    magnitude : float
        The share of the image itself is drawn uniformly from ``max(0, 1 - magnitude)`` to ``1 + magnitude``.
    p : float
        Probability that an image is changed.
    """

    function: ClassVar[tuple[str, str]] = ("colour", "contrast")


class RandomSaturation(_Magnitude):
    """Blend with the grey image, as torchvision's ``adjust_saturation`` does.

    Parameters
    ----------
    magnitude : float
        The share of the image itself is drawn uniformly from ``max(0, 1 - magnitude)`` to ``1 + magnitude``.
    p : float
        Probability that an image is changed.
    """

    function: ClassVar[tuple[str, str]] = ("colour", "saturation")


class ColorJitter(ImageOp):
    """``torchvision.transforms.ColorJitter``: brightness, contrast, saturation and hue, in random order.

    Parameters
    ----------
    brightness, contrast, saturation : float or (low, high)
        A number x stands for ``(max(0, 1 - x), 1 + x)``; the factor is drawn uniformly from these. 0 changes nothing.
    hue : float or (low, high)
        A number x, at most 0.5, stands for ``(-x, x)``: the hue is turned by this part of a full circle.
    p : float
        Probability that an image is changed. By default 1, as in torchvision, which has ``RandomApply`` for others.
    """

    function: ClassVar[tuple[str, str]] = ("colour", "colour_jitter")
    pixelwise: ClassVar[bool] = True

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
        p: float = 1.0,
    ) -> None:
        self.brightness = _range(brightness, "brightness", 1.0, 0.0, np.inf)
        self.contrast = _range(contrast, "contrast", 1.0, 0.0, np.inf)
        self.saturation = _range(saturation, "saturation", 1.0, 0.0, np.inf)
        self.hue = _range(hue, "hue", 0.0, -0.5, 0.5)
        self.p = probability(p, "p")

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        out = [self.p]
        for middle, pair in ((1.0, self.brightness), (1.0, self.contrast), (1.0, self.saturation), (0.0, self.hue)):
            out += [float(pair != (middle, middle)), *pair]
        return np.array(out)

    def work(self, height: int, width: int) -> int:
        from ffprep.transforms.compiled.pixels import STEPS_BYTES

        return 32 + STEPS_BYTES

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.brightness}, {self.contrast}, {self.saturation}, {self.hue}, p={self.p:g})"


class RandomColorJitter(ColorJitter):
    """`ColorJitter` with the arguments that it has in FFCV-SSL; the order of the four changes is random here.

    Parameters
    ----------
    jitter_prob : float
        Probability that an image is changed.
    brightness, contrast, saturation, hue
        See `ColorJitter`.
    seed : int, optional
        Operations of this class with the same seed draw alike in all outputs of a loader.
    """

    def __init__(
        self,
        jitter_prob: float = 0.5,
        brightness: float | Sequence[float] = 0.8,
        contrast: float | Sequence[float] = 0.4,
        saturation: float | Sequence[float] = 0.4,
        hue: float | Sequence[float] = 0.2,
        seed: int | None = None,
    ) -> None:
        super().__init__(brightness, contrast, saturation, hue, jitter_prob)
        self.seed = seed


def _range(value: float | Sequence[float], name: str, middle: float, low: float, high: float) -> tuple[float, float]:
    if isinstance(value, (int, float, np.number)):
        if value < 0:
            raise OptionError(f"{name} is {value}; give a number from 0, or a pair (low, high)")
        pair = (max(low, middle - float(value)) if middle else -float(value), middle + float(value))
    else:
        numbers = [float(number) for number in value]
        if len(numbers) != 2:
            raise OptionError(f"{name} is {value!r}; give a number or a pair (low, high)")
        pair = (numbers[0], numbers[1])
    if not (low <= pair[0] <= pair[1] <= high and np.isfinite(pair[1])):
        raise OptionError(f"{name} is {value!r}, from {pair[0]:g} to {pair[1]:g}; it must be in {low:g} to {high:g}")
    return pair
