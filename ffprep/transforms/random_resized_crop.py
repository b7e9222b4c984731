"""Resizing images that are decoded already. Decoders do it better and faster: see ``ffprep.fields.decoders``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ffprep.abi import IMAGE, RENDER
from ffprep.errors import OptionError
from ffprep.fields.decoders import INTERPOLATIONS, RandomResizedCropRGBImageDecoder, size_pair
from ffprep.kernels.resample.weights import FILTERS
from ffprep.transforms.bases.two_forms import TwoForms
from ffprep.transforms.image import ImageOp, Numbers


class _Resized(ImageOp):
    moves: ClassVar[bool] = True
    function: ClassVar[tuple[str, str]] = ("space", "resize")
    followed: ClassVar[Mapping[str, tuple[str, str]]] = {
        "labels": ("follow", "resize_labels"),
        "points": ("follow", "resize_points"),
    }
    interpolation: str

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        from ffprep.kernels.resample.render import render_entry

        room = self._room(height, width)
        return np.array([render_entry(), render_entry("wide"), FILTERS[self.interpolation], room, *self._crop()])

    def _crop(self) -> Sequence[float]:
        return 0.0, 0.0, 0.0, 0.0

    def _room(self, height: int, width: int) -> int:
        from ffprep.kernels.resample.render import level_work_size, render_request

        kind, size = FILTERS[self.interpolation], self.size(height, width)
        parts = ((height, width), (1, 1), (height, 1), (1, width))
        return max(level_work_size(None, render_request((0, 0, h, w), (0, h, 0, w), size, kind)) for h, w in parts)

    def work(self, height: int, width: int) -> int:
        return IMAGE.itemsize + RENDER.itemsize + self._room(height, width)


class RandomResizedCrop(TwoForms, _Resized):
    """``torchvision.transforms.RandomResizedCrop`` on images already decoded: a random part, resized.

    With FFCV-SSL's arguments, ``RandomResizedCrop(output_size, scale=(0.08, 1), ratio=(3/4, 4/3), seed=None)``, it is
    the decoder `ffprep.fields.decoders.RandomResizedCropRGBImageDecoder`. Those with one seed crop alike in all outputs
    of a loader. Its ``second_seed``, for crops that keep clear of other crops, is refused.

    Parameters
    ----------
    scale : (low, high)
        Share of the image's area.
    ratio : (low, high)
        Width over height.
    size : int or (height, width)
        Of the result.
    interpolation : str
        ``bilinear`` (antialiased), ``bicubic`` (antialiased) or ``area``, which ffcv's transform uses.

    Notes
    -----
    `ffprep.fields.decoders.RandomResizedCropRGBImageDecoder` decodes only that part, and resizes only once.
    """

    @classmethod
    def _of_ffcv_ssl(cls, *arguments: Any, **named: Any) -> Any:
        sizes = "size" in named or len(arguments) > 2
        if "output_size" not in named and (sizes or not arguments):
            return None
        seed, second = named.pop("seed", None), named.pop("second_seed", None)
        if second is not None:
            raise OptionError(f"second_seed is {second}: crops that keep clear of other crops are not here")
        decoder = RandomResizedCropRGBImageDecoder(*arguments, **named)
        decoder.seed = seed
        return decoder

    def __init__(
        self,
        scale: Sequence[float],
        ratio: Sequence[float],
        size: int | Sequence[int],
        interpolation: str = "area",
    ) -> None:
        checked = RandomResizedCropRGBImageDecoder(size, scale, ratio, interpolation)
        self.scale, self.ratio = checked.scale, checked.ratio
        self.output_size = size_pair(size)
        self.interpolation = interpolation

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.output_size

    def _crop(self) -> Sequence[float]:
        return *self.scale, *self.ratio

    def __repr__(self) -> str:
        return f"RandomResizedCrop({self.scale}, {self.ratio}, {self.output_size})"


class Resize(_Resized):
    """``torchvision.transforms.Resize`` on images already decoded.

    Parameters
    ----------
    size : int or (height, width)
        A number is the length of the shorter side; the longer becomes ``int(size * longer / shorter)``.
    interpolation : str
        ``bilinear`` (antialiased), ``bicubic`` (antialiased) or ``area``.
    """

    def __init__(self, size: int | Sequence[int], interpolation: str = "bilinear") -> None:
        self.wanted = int(size) if isinstance(size, (int, np.integer)) else size_pair(size)
        size_pair(size)
        if interpolation not in INTERPOLATIONS:
            raise OptionError(f"interpolation {interpolation!r}; choose from {', '.join(INTERPOLATIONS)}")
        self.interpolation = interpolation

    def size(self, height: int, width: int) -> tuple[int, int]:
        if isinstance(self.wanted, tuple):
            return self.wanted
        longer = int(self.wanted * max(height, width) / min(height, width))
        return (self.wanted, longer) if height <= width else (longer, self.wanted)

    def __repr__(self) -> str:
        return f"Resize({self.wanted}, {self.interpolation!r})"
