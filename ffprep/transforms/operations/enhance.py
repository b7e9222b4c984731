"""Operations of Pillow's ``ImageEnhance`` and ``ImageOps``, of a fixed magnitude: what policies are made of."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ffprep.errors import OptionError
from ffprep.transforms.image import ImageOp, Numbers


class _Enhance(ImageOp):
    """A blend of the image with what lacks some quality."""

    pixelwise: ClassVar[bool] = True

    def __init__(self, factor: float) -> None:
        if not 0 <= factor < np.inf:
            raise OptionError(f"the factor of {type(self).__name__} is {factor}; 1 changes nothing, 0 is the least")
        self.factor = float(factor)

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([self.factor])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.factor:g})"


class Brightness(_Enhance):
    """Blend with black, as Pillow's ``ImageEnhance.Brightness`` does.

    Parameters
    ----------
    factor : float
        Share of the image itself; 1 changes nothing.
    """

    function: ClassVar[tuple[str, str]] = ("points", "enhance_brightness")


class Contrast(_Enhance):
    """Blend with the mean grey level, as Pillow's ``ImageEnhance.Contrast`` does.

    Parameters
    ----------
    factor : float
        Share of the image itself; 1 changes nothing.
    """

    function: ClassVar[tuple[str, str]] = ("points", "enhance_contrast")


class Color(_Enhance):
    """Blend with the grey image, as Pillow's ``ImageEnhance.Color`` does.

    Parameters
    ----------
    factor : float
        Share of the image itself; 1 changes nothing.
    """

    function: ClassVar[tuple[str, str]] = ("points", "enhance_colour")


class Sharpness(_Enhance):
    """Blend with the smoothed image, as Pillow's ``ImageEnhance.Sharpness`` does.

    Parameters
    ----------
    factor : float
        Share of the image itself: below 1 blurs, above 1 sharpens.
    """

    function: ClassVar[tuple[str, str]] = ("points", "enhance_sharpness")

    def work(self, height: int, width: int) -> int:
        from ffprep.transforms.compiled.points import LEAST_ROW

        return 6 * max(3 * width, LEAST_ROW) + 64


class Posterize(ImageOp):
    """Keep the highest bits of each level.

    Parameters
    ----------
    bits : int
        How many, 0 to 8.
    """

    function: ClassVar[tuple[str, str]] = ("points", "posterize_bits")
    pixelwise: ClassVar[bool] = True

    def __init__(self, bits: int) -> None:
        if int(bits) != bits or not 0 <= bits <= 8:
            raise OptionError(f"bits is {bits}; a level has 8, so keep 0 to 8")
        self.bits = int(bits)

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([float(self.bits)])

    def __repr__(self) -> str:
        return f"Posterize({self.bits})"


class Solarize(ImageOp):
    """Invert all levels that reach a threshold.

    Parameters
    ----------
    threshold : float
        0 inverts all levels, 256 none.
    """

    function: ClassVar[tuple[str, str]] = ("points", "solarize_from")
    pixelwise: ClassVar[bool] = True

    def __init__(self, threshold: float = 128.0) -> None:
        if not 0 <= threshold <= 256:
            raise OptionError(f"threshold is {threshold}; it is a level, 0 to 255, or 256 for none")
        self.threshold = float(threshold)

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([self.threshold])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.threshold:g})"


class Invert(Solarize):
    """Invert all levels."""

    def __init__(self) -> None:
        super().__init__(0.0)


class SolarizeAdd(ImageOp):
    """Add to the levels below a threshold, as timm's ``SolarizeAdd`` does.

    Parameters
    ----------
    add : float
        0 to 255; no level becomes greater than 255.
    threshold : float
    """

    function: ClassVar[tuple[str, str]] = ("points", "solarize_add")
    pixelwise: ClassVar[bool] = True

    def __init__(self, add: float, threshold: float = 128.0) -> None:
        if not 0 <= add <= 255 or not 0 <= threshold <= 256:
            raise OptionError(f"SolarizeAdd({add}, {threshold}): add is 0 to 255, threshold 0 to 256")
        self.add, self.threshold = float(int(add)), float(threshold)

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([self.add, self.threshold])

    def __repr__(self) -> str:
        return f"SolarizeAdd({self.add:g}, {self.threshold:g})"


class AutoContrast(ImageOp):
    """Stretch each channel to the levels 0 to 255, as Pillow's ``ImageOps.autocontrast`` does."""

    function: ClassVar[tuple[str, str]] = ("points", "stretch_contrast")
    pixelwise: ClassVar[bool] = True

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.zeros(1)

    def work(self, height: int, width: int) -> int:
        return 1024

    def __repr__(self) -> str:
        return "AutoContrast()"


class Equalize(ImageOp):
    """Equalise the histogram of each channel, as Pillow's ``ImageOps.equalize`` does."""

    function: ClassVar[tuple[str, str]] = ("points", "equalize_levels")
    pixelwise: ClassVar[bool] = True

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.zeros(1)

    def work(self, height: int, width: int) -> int:
        return 768 + 6 * 256 * 4

    def __repr__(self) -> str:
        return "Equalize()"
