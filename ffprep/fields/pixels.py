"""Converting pixels from arrays or Pillow images: to RGB, to a size, to JPEG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import ConversionError, JpegError
from ffprep.jpeg import pillow
from ffprep.jpeg.prepare import MAX_PIXELS, scaled_size
from ffprep.jpeg.rewrite import rewrite
from ffprep.jpeg.whole import checked_header, reason_to_decode, whole_stream

if TYPE_CHECKING:
    from PIL.Image import Image


def is_pillow(value: Any) -> bool:
    """Whether a value is a Pillow image, without importing Pillow."""
    return any(base.__module__ == "PIL.Image" and base.__name__ == "Image" for base in type(value).__mro__)


def rgb_array(value: Any) -> npt.NDArray[np.uint8]:
    """Return pixels as a C-ordered uint8 array of shape (height, width, 3).

    Grey arrays of shape (h, w) or (h, w, 1) and Pillow images of every mode are converted.

    Raises
    ------
    ConversionError
        The value is neither a Pillow image nor such an array.
    """
    if is_pillow(value):
        try:
            value = np.asarray(value.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise ConversionError(f"Pillow cannot read the image: {error}") from error
    if not isinstance(value, np.ndarray):
        raise ConversionError(f"an image is encoded bytes, a Pillow image or a uint8 array, not {type(value).__name__}")
    if value.dtype != np.uint8:
        raise ConversionError(f"an image array has dtype uint8, not {value.dtype}")
    if value.ndim == 2 or (value.ndim == 3 and value.shape[2] == 1):
        value = np.repeat(value.reshape(*value.shape[:2], 1), 3, axis=2)
    if value.ndim != 3 or value.shape[2] != 3:
        raise ConversionError(f"an image array has shape (height, width, 3), not {value.shape}")
    height, width = value.shape[:2]
    if height < 1 or width < 1:
        raise ConversionError(f"the image is empty: {width}x{height}")
    return np.ascontiguousarray(value)


def open_image(
    data: bytes, apply_orientation: bool, damaged: str = "refuse", max_pixels: int = MAX_PIXELS
) -> tuple[Image, str]:
    """Decode an image file with Pillow, as grey or RGB, turned upright if asked to.

    Parameters
    ----------
    data : bytes
        The file.
    apply_orientation : bool
        Whether to turn it as its EXIF orientation says.
    damaged : {'refuse', 'reencode'}
        Whether to decode JPEGs whose data is damaged as far as Pillow does.
    max_pixels : int
        Larger images are refused before they are decoded.

    Returns
    -------
    tuple of (PIL.Image.Image, str)
        The image, and what was odd about the file, usually nothing; it starts with ``damaged`` if the file is.

    Raises
    ------
    ConversionError
        The file is damaged, too large or no image.
    """
    kind = pillow.sniff(data)
    if kind is None:
        raise ConversionError("the file is empty" if not data else "no image format that ffprep reads")
    turned, notes = 1, ""
    if kind == "JPEG":
        try:
            header = checked_header(data, max_pixels)
            turned = header.orientation if apply_orientation else 1
            whole = whole_stream(data, header)
            data, notes = whole.data, whole.notes
        except JpegError as error:
            notes = reason_to_decode(error, data, damaged)
    loaded = pillow.load(data, kind, max_pixels=max_pixels, orientation=apply_orientation)
    return pillow.upright(loaded.image, turned if kind == "JPEG" else loaded.orientation), notes


def lossless_kind(data: bytes) -> str:
    """Return what a file of a format without loss is, for the report; an empty string for other formats.

    Raises
    ------
    ConversionError
        A PNG of one channel of 16 bits, of which 8 bits would be no picture.
    """
    kind = pillow.sniff(data)
    if kind not in ("PNG", "BMP", "TIFF", "GIF", "PPM"):
        return ""
    if kind != "PNG" or len(data) < 26:
        return f"{kind}, without loss"
    depth, colour = data[24], data[25]  # of the header, which comes first
    if depth == 16 and colour == 0:
        raise ConversionError(
            "a grey PNG of 16 bits does not fit an image of 8 bits; store it in an ArrayImageField or a "
            "MaskField('uint16'), in `ffprep convert images` with --field image=array-uint16 or NAME=mask-uint16"
        )
    if depth == 16:
        return "PNG of 16 bits, of which 8 are stored"
    return "PNG with alpha, which is dropped" if colour in (4, 6) else "PNG, without loss"


def shrink(pixels: npt.NDArray[np.uint8], longest: int | None, shortest: int | None) -> npt.NDArray[np.uint8]:
    """Shrink (antialiased bicubic) so that the longer and the shorter side are within their limits; never enlarge."""
    height, width = pixels.shape[:2]
    size = scaled_size(width, height, longest, shortest)
    if size == (width, height):
        return pixels
    from PIL import Image

    return np.asarray(pillow.resize(Image.fromarray(pixels), size))


def jpeg_bytes(pixels: npt.NDArray[np.uint8], quality: int, seekable: bool) -> bytes:
    """Encode RGB pixels as a baseline 4:2:0 JPEG; if `seekable`, with restart markers and tables made for it.

    Raises
    ------
    ConversionError
        A side is longer than JPEG allows.
    """
    from PIL import Image

    data = pillow.encode(Image.fromarray(pixels), quality, "4:2:0")
    return rewrite(data, optimise=True) if seekable else data
