"""Label masks in image files: their values as they are, and at the size that an image is stored with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import ConversionError
from ffprep.fields import RGBImageField
from ffprep.jpeg import pillow
from ffprep.jpeg.prepare import MAX_PIXELS, scaled_size

_MODES = {"1", "L", "P", "I", "I;16", "I;16B", "I;16L"}


def read_mask(data: bytes, max_pixels: int = MAX_PIXELS) -> npt.NDArray[Any]:
    """Read the values of a mask from an image file of one channel; those of a palette are its indices.

    Parameters
    ----------
    data : bytes
    max_pixels : int
        Larger ones are refused before anything is decoded.

    Returns
    -------
    ndarray of bool or integers, shape (height, width)

    Raises
    ------
    ConversionError
        The file is damaged, a JPEG, or has several channels.
    """
    return np.asarray(_decoded(data, max_pixels, _MODES, "one channel"))


def read_id_mask(data: bytes, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.int32]:
    """Read an image file of COCO's panoptic annotations, where R + 256 G + 65,536 B is a segment's id.

    Parameters
    ----------
    data, max_pixels
        As for `read_mask`.

    Returns
    -------
    ndarray of int32, shape (height, width)
    """
    image = _decoded(data, max_pixels, {"RGB", "RGBA"}, "the channels R, G and B")
    rgb = np.asarray(image)[:, :, :3].astype(np.int32)
    return np.asarray(rgb[:, :, 0] + 256 * rgb[:, :, 1] + 65536 * rgb[:, :, 2], np.int32)


def _decoded(data: bytes, max_pixels: int, modes: set[str], wanted: str) -> Any:
    kind = pillow.sniff(data)
    if kind is None:
        raise ConversionError("the mask is no image file that ffprep reads")
    if kind == "JPEG":
        raise ConversionError("the mask is a JPEG, whose values are not exact; masks are PNG files")
    image = pillow.load_plain(data, kind, max_pixels)
    if image.mode not in modes:
        raise ConversionError(f"the mask has the mode {image.mode}; one with {wanted} is expected")
    return image


def stored_size(width: int, height: int, image: RGBImageField) -> tuple[int, int]:
    """Width and height with which a field stores an image of this size."""
    return scaled_size(width, height, image.max_resolution, image.min_resolution)


def fitted(mask: npt.NDArray[Any], image: RGBImageField) -> npt.NDArray[Any]:
    """Shrink a mask as a field shrinks its image, to the nearest values."""
    height, width = mask.shape
    size = stored_size(width, height, image)
    if size == (width, height):
        return mask
    rows = (np.arange(size[1]) * 2 + 1) * height // (2 * size[1])
    columns = (np.arange(size[0]) * 2 + 1) * width // (2 * size[0])
    return np.ascontiguousarray(mask[rows[:, None], columns])


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that an image file states; None if it cannot be read, of which its own field says why."""
    kind = pillow.sniff(data)
    if kind is None:
        return None
    try:
        return pillow.stated_size(data, kind)
    except ConversionError:
        return None
