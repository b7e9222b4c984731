"""Decoders that keep an image's shape: it is resized, and what it does not fill of the output gets a colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ffprep.errors import OptionError
from ffprep.fields.decoders import ResizedCropRGBImageDecoder
from ffprep.fields.sizes import Crop, Size, crop_range
from ffprep.transforms.image import ImageOp, Numbers, pixel_bytes, with_pixel
from ffprep.transforms.operations.geometry import fill_colour

__all__ = [
    "CanvasDecoder",
    "LetterboxRGBImageDecoder",
    "PlaceOnCanvas",
    "RandomResizeRGBImageDecoder",
    "ScaleJitterRGBImageDecoder",
]


class PlaceOnCanvas(ImageOp):
    """Put an image that has just been rendered where its decoder says, and colour the rest.

    The loader makes it the first operation of a pipeline that begins with a `CanvasDecoder`. Masks and boxes are placed
    by what makes them.

    Parameters
    ----------
    fill : three numbers
    """

    function: ClassVar[tuple[str, str]] = ("space", "place_on_canvas")
    moves: ClassVar[bool] = True
    pixelwise: ClassVar[bool] = True

    def __init__(self, fill: Sequence[float]) -> None:
        self.fill = fill

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return with_pixel([], pixel_bytes(self.fill, dtype, channels))

    def work(self, height: int, width: int) -> int:
        return 32

    def __repr__(self) -> str:
        return f"PlaceOnCanvas({self.fill})"


class CanvasDecoder(ResizedCropRGBImageDecoder):
    """Base class of the decoders that keep an image's shape.

    Parameters
    ----------
    output_size : (height, width), int, or function of the epoch
    fill : number or three numbers
        Levels of what the image does not fill.
    interpolation, exact
        See `ffprep.fields.decoders.ImageDecoder`.
    """

    def __init__(self, output_size: Size, fill: Any = 0, interpolation: str = "bilinear", exact: bool = False) -> None:
        super().__init__(output_size, interpolation, exact)
        self.fill = fill_colour(fill)


class LetterboxRGBImageDecoder(CanvasDecoder):
    """The whole image, as large as it fits, in the middle of the output.

    The same as albumentations' ``LongestMaxSize`` followed by ``PadIfNeeded``.

    Parameters
    ----------
    output_size : (height, width), int, or function of the epoch
    fill : number or three numbers
        Levels of what the image does not fill; YOLO takes 114.
    interpolation, exact
        See `ffprep.fields.decoders.ImageDecoder`.
    """

    def __init__(self, output_size: Size, fill: Any = 0, interpolation: str = "bilinear", exact: bool = True) -> None:
        super().__init__(output_size, fill, interpolation, exact)

    def crop(self) -> Crop:
        return Crop("letterbox")


class ScaleJitterRGBImageDecoder(CanvasDecoder):
    """Large scale jitter: ``torchvision.transforms.v2.ScaleJitter``, then ``FixedSizeCrop`` of its references.

    The image is resized to a random multiple of the largest size that fits. If it is then larger than the output, a
    part of it is shown, whose place is drawn once for both sides; if it is smaller, it lies in the upper left corner.

    Parameters
    ----------
    output_size : (height, width), int, or function of the epoch
        torchvision's ``target_size``.
    scale_range : (low, high)
    fill : number or three numbers
        Levels of what the image does not fill.
    interpolation, exact
        See `ffprep.fields.decoders.ImageDecoder`.

    Notes
    -----
    For outputs that are not square, torchvision compares the image's height with the width of ``target_size`` and the
    reverse; here like is compared with like.
    """

    def __init__(
        self,
        output_size: Size,
        scale_range: Sequence[float] = (0.1, 2.0),
        fill: Any = 0,
        interpolation: str = "bilinear",
        exact: bool = False,
    ) -> None:
        super().__init__(output_size, fill, interpolation, exact)
        self.scale_range = crop_range(scale_range, "scale_range", np.inf)

    def crop(self) -> Crop:
        return Crop("scale_jitter", self.scale_range)


class RandomResizeRGBImageDecoder(CanvasDecoder):
    """``torchvision.transforms.v2.RandomResize``, then ``RandomCrop(output_size, pad_if_needed=True)``.

    Parameters
    ----------
    output_size : (height, width), int, or function of the epoch
        Of the crop.
    min_size, max_size : int
        The shorter side becomes a random whole number from `min_size` to ``max_size - 1``.
    fill : number or three numbers
        Levels of what the image does not fill.
    interpolation, exact
        See `ffprep.fields.decoders.ImageDecoder`.
    """

    def __init__(
        self,
        output_size: Size,
        min_size: int,
        max_size: int,
        fill: Any = 0,
        interpolation: str = "bilinear",
        exact: bool = False,
    ) -> None:
        super().__init__(output_size, fill, interpolation, exact)
        if not 1 <= min_size <= max_size <= 16384:
            raise OptionError(f"min_size is {min_size}, max_size {max_size}; give 1 <= min_size <= max_size <= 16384")
        self.sizes = int(min_size), int(max_size)

    def crop(self) -> Crop:
        return Crop("random_resize", (float(self.sizes[0]), float(self.sizes[1])))
