"""Pixels given as arrays or Pillow images: to RGB, to size, to JPEG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import ConversionError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE = 65535
RESTART_INTERVAL = 16
SUBSAMPLING_420 = 2


def is_pillow(value: Any) -> bool:
    """Tell a Pillow image without importing Pillow."""
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


def open_image(data: bytes, apply_orientation: bool) -> Image:
    """Decode an image file with Pillow.

    Raises
    ------
    ConversionError
        Pillow cannot decode it.
    """
    from PIL import Image, ImageOps

    try:
        image: Image.Image = Image.open(io.BytesIO(data))
        image.load()
        return ImageOps.exif_transpose(image) if apply_orientation else image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ConversionError(f"Pillow cannot read the image: {error}") from error


def fitting_size(width: int, height: int, longest: int | None, shortest: int | None) -> tuple[int, int]:
    """Return the size after shrinking so that the longer and the shorter side keep their limits.

    Images are never enlarged, and no side becomes smaller than one pixel.
    """
    scale = 1.0
    if longest is not None:
        scale = min(scale, longest / max(width, height))
    if shortest is not None:
        scale = min(scale, shortest / min(width, height))
    if scale == 1.0:
        return width, height
    return max(1, int(scale * width)), max(1, int(scale * height))


def shrink(pixels: npt.NDArray[np.uint8], longest: int | None, shortest: int | None) -> npt.NDArray[np.uint8]:
    """Shrink by area averaging (Pillow's BOX, what OpenCV calls INTER_AREA) to `fitting_size`."""
    height, width = pixels.shape[:2]
    size = fitting_size(width, height, longest, shortest)
    if size == (width, height):
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def jpeg_bytes(pixels: npt.NDArray[np.uint8], quality: int, restarts: bool) -> bytes:
    """Encode RGB pixels as a baseline 4:2:0 JPEG, optionally with restart markers every 16 MCUs."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(
        out,
        "JPEG",
        quality=quality,
        subsampling=SUBSAMPLING_420,
        optimize=True,
        restart_marker_blocks=RESTART_INTERVAL if restarts else 0,
    )
    return out.getvalue()
