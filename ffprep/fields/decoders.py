"""Decoders, under ffcv's names: they declare how the stored values of a field become the rows of a batch.

Images are decoded only where the crop needs them, and resampled, flipped, normalised and laid out in the same pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ffprep.common.names import NamesKeywords
from ffprep.errors import OptionError
from ffprep.fields.ffcv_decoding import FfcvImageDecoding
from ffprep.fields.sizes import Crop, ProgressiveSize, Size, crop_range, size_at, size_pair

__all__ = [
    "BasicDecoder",
    "BytesDecoder",
    "CaptionDecoder",
    "CaptionLengthDecoder",
    "CaptionMaskDecoder",
    "CaptionTextDecoder",
    "CaptionTokensDecoder",
    "CenterCropRGBImageDecoder",
    "Decoder",
    "FileDecoder",
    "FloatDecoder",
    "ImageDecoder",
    "IntDecoder",
    "JSONDecoder",
    "NDArrayDecoder",
    "ProgressiveSize",
    "Ragged",
    "RandomResizedCropRGBImageDecoder",
    "ResizeCenterCropRGBImageDecoder",
    "ResizeRGBImageDecoder",
    "ResizedCropRGBImageDecoder",
    "SampleDecoder",
    "SimpleRGBImageDecoder",
    "Size",
    "TokensDecoder",
    "size_at",
    "size_pair",
]

INTERPOLATIONS = ("bilinear", "bicubic", "area")


class Ragged(NamedTuple):
    """Values of different lengths.

    Attributes
    ----------
    data : array or tensor of shape (batch, longest)
        The values, padded at their ends.
    lengths : int64 array or tensor of shape (batch,)
        Number of elements of each value.
    """

    data: Any
    lengths: Any


class Decoder(NamesKeywords):
    """Reads one kind of field.

    Class attributes
    ----------------
    type_ids : tuple of int
        Numbers of the field types it reads.
    seed : int or None, by which decoders of one class draw alike in all outputs
    """

    type_ids: ClassVar[tuple[int, ...]] = ()
    seed: int | None = None


class BasicDecoder(Decoder):
    """Numbers from the sample table, as rows of shape (1,), as in ffcv."""

    dtype: ClassVar[np.dtype[Any]]


class IntDecoder(BasicDecoder):
    """int64 of shape (batch, 1)."""

    type_ids: ClassVar[tuple[int, ...]] = (1,)
    dtype: ClassVar[np.dtype[Any]] = np.dtype("<i8")


class FloatDecoder(BasicDecoder):
    """float64 of shape (batch, 1)."""

    type_ids: ClassVar[tuple[int, ...]] = (0,)
    dtype: ClassVar[np.dtype[Any]] = np.dtype("<f8")


class NDArrayDecoder(Decoder):
    """Arrays of the field's dtype, (batch, *shape)."""

    type_ids: ClassVar[tuple[int, ...]] = (4, 6)


STORED_TOKENS = (np.dtype("<u2"), np.dtype("<i4"))
"""Types in which tokens are stored: int32 where a vocabulary has more than 65,536 ids."""


class TokensDecoder(Decoder):
    """Arrays of tokens, (batch, *shape), widened while they are copied.

    Parameters
    ----------
    dtype : numpy dtype
        int64, as torch's embeddings take them; int32; or uint16, for files that store 16-bit tokens.
    """

    type_ids: ClassVar[tuple[int, ...]] = (4, 6)

    def __init__(self, dtype: npt.DTypeLike = np.int64) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.uint16)):
            raise OptionError(f"TokensDecoder cannot give {self.dtype}; choose int64, int32 or uint16")


class CaptionDecoder(Decoder):
    """Base class of the decoders of captions, for files of pairs and for files of images with several captions each.

    Parameters
    ----------
    captions : {'random', 'first', 'all'}
        Which captions of an image to take. The random one is a function of (seed, epoch, sample) and the same for all
        decoders of captions, so that tokens, lengths and masks belong together; only captions that exist are drawn. In
        files of pairs each sample has just one.
    trim : bool
        Return only as many tokens as the longest caption of the batch has, as a view without a copy.
    """

    def __init__(self, captions: str = "random", *, trim: bool = False) -> None:
        if captions not in ("random", "first", "all"):
            raise OptionError(f"captions is {captions!r}; choose 'random', 'first' or 'all'")
        self.captions = captions
        self.trim = trim


class CaptionTokensDecoder(CaptionDecoder):
    """Tokens of captions, padded with ``<pad>``: (batch, length), or (batch, captions, length) for all captions.

    If a loader's files differ in length or number of captions, all are padded to the largest.

    Parameters
    ----------
    captions, trim
        See `CaptionDecoder`.
    dtype : numpy dtype
        int64, as torch's embeddings take them; int32; or uint16, for files that store 16-bit tokens.
    """

    type_ids: ClassVar[tuple[int, ...]] = (4, 6)

    def __init__(self, captions: str = "random", dtype: npt.DTypeLike = np.int64, *, trim: bool = False) -> None:
        super().__init__(captions, trim=trim)
        self.dtype = TokensDecoder(dtype).dtype


class CaptionLengthDecoder(CaptionDecoder):
    """Number of tokens of captions: int64 (batch,), or (batch, captions) for all captions, 0 where there is none."""

    type_ids: ClassVar[tuple[int, ...]] = (1, 4, 6)

    def __init__(self, captions: str = "random") -> None:
        super().__init__(captions)


class CaptionMaskDecoder(CaptionDecoder):
    """Where captions have tokens: bool, of the tokens' shape. Reads the field of lengths."""

    type_ids: ClassVar[tuple[int, ...]] = (1, 4, 6)


class CaptionTextDecoder(CaptionDecoder):
    """Text of captions, from files that store it: a list of str, or a list of lists for all captions."""

    type_ids: ClassVar[tuple[int, ...]] = (3, 5)

    def __init__(self, captions: str = "random") -> None:
        super().__init__(captions)


class PlaceDecoder(Decoder):
    """Says where samples come from. Reads no field: ``pipelines={"file": [FileDecoder(), ToTensor()]}``."""


class FileDecoder(PlaceDecoder):
    """Which of a loader's files each sample comes from: int64 (batch,), 0 for the first."""


class SampleDecoder(PlaceDecoder):
    """Number of each sample, counted through all of a loader's files: int64 (batch,)."""


class BytesDecoder(Decoder):
    """Byte strings, padded to one length.

    Parameters
    ----------
    max_length : int, optional
        Elements of a row; by default as many as the longest value of the file has. Longer values are cut.
    dtype : numpy dtype
        What the bytes are, such as ``np.uint16`` for ragged tokens.
    fill : int
        Value of the elements after the end.
    lengths : bool
        Return a `Ragged` (data, lengths) instead of data alone.
    """

    type_ids: ClassVar[tuple[int, ...]] = (3, 5)

    def __init__(
        self, max_length: int | None = None, dtype: npt.DTypeLike = np.uint8, fill: int = 0, lengths: bool = False
    ) -> None:
        if max_length is not None and max_length < 1:
            raise OptionError(f"max_length is {max_length}; a row needs at least one element")
        self.max_length = max_length
        self.dtype = np.dtype(dtype)
        if self.dtype.itemsize not in (1, 2, 4, 8) or self.dtype.kind not in "iuf":
            raise OptionError(f"BytesDecoder cannot read elements of {self.dtype}; use whole or floating numbers")
        self.fill = fill
        self.lengths = lengths


class JSONDecoder(Decoder):
    """JSON documents as Python objects: each batch is a list."""

    type_ids: ClassVar[tuple[int, ...]] = (5,)


class ImageDecoder(FfcvImageDecoding, Decoder):
    """Images, uint8 of shape (batch, height, width, 3) unless the transforms that follow say otherwise.

    Attributes
    ----------
    output_size : (height, width), None, or a function of the epoch
        None keeps the size of the images. For progressive resizing give a function such as `ProgressiveSize`, or set
        this attribute between epochs.
    interpolation : str
        ``bilinear`` (antialiased, as torchvision), ``bicubic`` (antialiased) or ``area`` (as ffcv).
    exact : bool
        False: a JPEG whose crop is shrunk by a factor of 2.25 or more in both directions (2.75 with ``area``) is first
        decoded at a half, a quarter or an eighth of its resolution, which costs less; such images differ from exact
        ones by a PSNR of 42 dB or more on average. True: JPEGs are always decoded at their own resolution. Crops that
        are shrunk less are the same either way. By default False for random crops, True for evaluation.
    """

    type_ids: ClassVar[tuple[int, ...]] = (2,)
    output_size: Size | None
    interpolation: str
    exact: bool = False

    def crop(self) -> Crop:
        """Return which part of each image is shown."""
        return Crop("whole")


class SimpleRGBImageDecoder(ImageDecoder):
    """Whole images as they are, which must all have the same size."""

    def __init__(self) -> None:
        self.output_size = None
        self.interpolation = "bilinear"

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ResizedCropRGBImageDecoder(SimpleRGBImageDecoder):
    """Base class of the decoders that resize, and of your own whose crop is a function written for ffcv.

    Such a subclass has the property ``get_crop_generator``: a function ``f(height, width, scale, ratio) -> (top, left,
    height, width)`` that numba can compile, which is given the attributes ``scale`` and ``ratio``. Subclasses of the
    decoders below may have it, too. Whole images are decoded for it, and resized by area averaging, as in ffcv.

    Parameters
    ----------
    output_size : (height, width), int, or function of the epoch
        For a crop of your own, (height, width).
    interpolation, exact
        See `ImageDecoder`.
    """

    def __init__(self, output_size: Size, interpolation: str = "bilinear", exact: bool = False) -> None:
        self.exact = bool(exact)
        self.output_size = output_size if callable(output_size) else size_pair(output_size)
        if interpolation not in INTERPOLATIONS:
            raise OptionError(f"interpolation {interpolation!r}; choose from {', '.join(INTERPOLATIONS)}")
        self.interpolation = interpolation

    def crop(self) -> Crop:
        raise OptionError(f"{type(self).__name__} has no get_crop_generator, and no crop of ours")

    def __repr__(self) -> str:
        exact = ", exact=True" if self.exact else ""
        return f"{type(self).__name__}({self.output_size}, interpolation={self.interpolation!r}{exact})"


class RandomResizedCropRGBImageDecoder(ResizedCropRGBImageDecoder):
    """A random crop, resized: ``torchvision.transforms.RandomResizedCrop``.

    Parameters
    ----------
    output_size : (height, width), int, or function of the epoch
    scale : (low, high)
        Share of the image's area.
    ratio : (low, high)
        Width over height.
    interpolation, exact
        See `ImageDecoder`.
    """

    def __init__(
        self,
        output_size: Size,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (0.75, 4 / 3),
        interpolation: str = "bilinear",
        exact: bool = False,
    ) -> None:
        super().__init__(output_size, interpolation, exact)
        self.scale = crop_range(scale, "scale", 1.0)
        self.ratio = crop_range(ratio, "ratio", np.inf)

    crop_function = "get_random_crop"

    def crop(self) -> Crop:
        return Crop("random", (*crop_range(self.scale, "scale", 1.0), *crop_range(self.ratio, "ratio", np.inf)))


class CenterCropRGBImageDecoder(ResizedCropRGBImageDecoder):
    """The central square of side ``int(ratio * min(height, width))``, resized; ffcv's definition.

    Parameters
    ----------
    output_size : (height, width) or int
    ratio : float
        224/256 is the usual evaluation crop.
    interpolation, exact
        See `ImageDecoder`.
    """

    def __init__(self, output_size: Size, ratio: float, interpolation: str = "bilinear", exact: bool = True) -> None:
        super().__init__(output_size, interpolation, exact)
        if not 0 < ratio <= 1:
            raise OptionError(f"ratio is {ratio}; it is the share of the shorter side, above 0 and up to 1")
        self.ratio = float(ratio)

    crop_function = "get_center_crop"

    def crop(self) -> Crop:
        return Crop("center", (self.ratio,))


class ResizeRGBImageDecoder(ResizedCropRGBImageDecoder):
    """The whole image, resized to a given size whatever its shape.

    Parameters
    ----------
    output_size : (height, width) or int
    interpolation, exact
        See `ImageDecoder`.
    """

    def __init__(self, output_size: Size, interpolation: str = "bilinear", exact: bool = True) -> None:
        super().__init__(output_size, interpolation, exact)

    def crop(self) -> Crop:
        return Crop("whole")


class ResizeCenterCropRGBImageDecoder(ResizedCropRGBImageDecoder):
    """``torchvision.transforms.Resize(resize)`` followed by ``CenterCrop(output_size)``, in one step.

    Parameters
    ----------
    output_size : (height, width) or int
    resize : int
        Length of the shorter side before the crop.
    interpolation, exact
        See `ImageDecoder`.
    """

    def __init__(self, output_size: Size, resize: int, interpolation: str = "bilinear", exact: bool = True) -> None:
        super().__init__(output_size, interpolation, exact)
        if resize < 1:
            raise OptionError(f"resize is {resize}; the shorter side needs at least one pixel")
        self.resize = int(resize)

    def crop(self) -> Crop:
        return Crop("resize_center", (float(self.resize),))
