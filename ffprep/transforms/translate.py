"""Random shifts, and crops of images that may get a border first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from ffprep.errors import OptionError
from ffprep.fields.decoders import CenterCropRGBImageDecoder, size_pair
from ffprep.transforms.bases.two_forms import TwoForms
from ffprep.transforms.image import ImageOp, Numbers, pixel_bytes, with_pixel

MODES = {"constant": 0, "reflect": 1, "edge": 2}


class _Window(ImageOp):
    moves: ClassVar[bool] = True
    levels: ClassVar[bool] = False
    function: ClassVar[tuple[str, str]] = ("space", "crop_padded")
    followed: ClassVar[Mapping[str, tuple[str, str]]] = {
        "labels": ("space", "crop_padded"),
        "points": ("follow", "crop_points"),
    }
    fill: Sequence[float] | float

    def follower(self, what: str, fill: int = 0) -> ImageOp | None:
        other: Any = super().follower(what, fill)
        other.fill = fill  # a label has one channel
        return cast(ImageOp, other)


class RandomTranslate(_Window):
    """Shift each image by up to `padding` pixels, down or up, right or left.

    Parameters
    ----------
    padding : int
        Largest shift; all whole numbers up to it are equally likely.
    fill : three numbers
        Colour of what lies outside the image.
    seed : int, optional
        Operations of this class with the same seed draw alike in all outputs of a loader.
    """

    def __init__(self, padding: int, fill: Sequence[float] | float = (0, 0, 0), seed: int | None = None) -> None:
        if int(padding) != padding or padding < 0:
            raise OptionError(f"padding is {padding}; give a whole number of pixels")
        self.padding = int(padding)
        self.fill = fill
        self.seed = seed

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        places = 2 * self.padding + 1
        pixel = pixel_bytes(self.fill, dtype, channels)
        return with_pixel([self.padding, self.padding, places, places, MODES["constant"]], pixel)

    def __repr__(self) -> str:
        return f"RandomTranslate({self.padding}, fill={self.fill})"


class RandomCrop(_Window):
    """``torchvision.transforms.RandomCrop``: a window of the image, which may get a border first.

    Parameters
    ----------
    size : int or (height, width)
        Of the window.
    padding : int, (across, down) or (left, top, right, bottom)
        Width of the border; 4 is usual for CIFAR.
    fill : number or three numbers
        Colour of the border, for ``padding_mode='constant'``.
    padding_mode : {'constant', 'reflect', 'edge'}
        ``reflect`` mirrors the image without repeating its outermost pixels.
    pad_if_needed : bool
        Widen the border where the image is still smaller than the window.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] = 0,
        fill: Sequence[float] | float = 0,
        padding_mode: str = "constant",
        pad_if_needed: bool = False,
    ) -> None:
        self.window = size_pair(size)
        sides = [padding] if isinstance(padding, int) else list(padding)
        sides = {1: sides * 4, 2: sides * 2, 4: sides}.get(len(sides), [-1])
        if any(int(side) != side or side < 0 for side in sides):
            raise OptionError(f"padding is {padding!r}; give one, two or four whole numbers of pixels")
        self.padding = sides[0], sides[1], sides[2], sides[3]
        if padding_mode not in MODES:
            raise OptionError(f"padding_mode {padding_mode!r}; choose from {', '.join(MODES)}")
        self.fill, self.padding_mode, self.pad_if_needed = fill, padding_mode, bool(pad_if_needed)

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.window

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        left, top, right, bottom = self.padding
        if self.pad_if_needed:
            lacking_rows = max(0, self.window[0] - height - top - bottom)
            lacking_columns = max(0, self.window[1] - width - left - right)
            top, bottom = top + lacking_rows, bottom + lacking_rows
            left, right = left + lacking_columns, right + lacking_columns
        rows = height + top + bottom - self.window[0] + 1
        columns = width + left + right - self.window[1] + 1
        if rows < 1 or columns < 1:
            raise OptionError(
                f"{self!r} does not fit images of {height}x{width} (height x width); use more padding, or "
                "pad_if_needed=True"
            )
        pixel = pixel_bytes(self.fill, dtype, channels)
        return with_pixel([top, left, rows, columns, MODES[self.padding_mode]], pixel)

    def __repr__(self) -> str:
        return f"RandomCrop({self.window}, padding={self.padding}, padding_mode={self.padding_mode!r})"


class CenterCrop(TwoForms, _Window):
    """``torchvision.transforms.CenterCrop``: the middle of the image, with a border if the image is smaller.

    With FFCV-SSL's arguments, ``CenterCrop(output_size, ratio)`` with a ratio that is a float from 0 to 1, it is the
    decoder `ffprep.fields.decoders.CenterCropRGBImageDecoder`.

    Parameters
    ----------
    size : int or (height, width)
    fill : number or three numbers
        Colour of the border.

    Notes
    -----
    For a centre crop after a resize, `ffprep.fields.decoders.ResizeCenterCropRGBImageDecoder` does both and decodes
    only what is shown.
    """

    @classmethod
    def _of_ffcv_ssl(cls, *arguments: Any, **named: Any) -> Any:
        share = len(arguments) == 2 and isinstance(arguments[1], float) and 0 < arguments[1] <= 1
        if share or "ratio" in named:
            return CenterCropRGBImageDecoder(*arguments, **named)
        return None

    def __init__(self, size: int | Sequence[int], fill: Sequence[float] | float = 0) -> None:
        self.window = size_pair(size)
        self.fill = fill

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.window

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        begin = []
        for window, side in zip(self.window, (height, width), strict=True):
            border = (window - side) // 2 if window > side else 0
            padded = max(side, window)
            begin.append(border - round((padded - window) / 2.0))
        return with_pixel([*begin, 1, 1, MODES["constant"]], pixel_bytes(self.fill, dtype, channels))

    def __repr__(self) -> str:
        return f"CenterCrop({self.window})"
