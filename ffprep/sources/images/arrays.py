"""Images of other types than 8-bit pictures in files: 16-bit PNG, TIFF of whole and floating numbers, numpy's .npy."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import ConversionError, OptionError, first_line
from ffprep.fields import ArrayImageField, RGBImageField
from ffprep.fields.dense.images import STORED
from ffprep.jpeg import pillow
from ffprep.jpeg.prepare import MAX_PIXELS

PATTERN = re.compile(rf"array-({'|'.join(STORED)})(?:x([1-9]\d{{0,3}}))?")
"""Kinds of fields: ``array-uint16``, or ``array-float32x13`` with 13 channels."""
NPY = b"\x93NUMPY"
_MODES = {"1", "L", "LA", "RGB", "RGBA", "I", "I;16", "I;16B", "I;16L", "F"}
_EIGHT_BIT_MODES = {"LA", "RGB", "RGBA"}
_BITS_PER_SAMPLE = 258
_PNG_GREY = 0


def array_field(kind: str, image: RGBImageField) -> ArrayImageField | None:
    """Return the field of a kind such as ``array-uint16x4``; None for other kinds.

    Raises
    ------
    OptionError
        Images are to be made smaller, and arrays are stored as they are.
    """
    found = PATTERN.fullmatch(kind)
    if found is None:
        return None
    if image.max_resolution is not None or image.min_resolution is not None:
        raise OptionError(f"{kind} is stored as it is; leave out --max-side and --min-side")
    return ArrayImageField(found[1], int(found[2] or 1))


def read_array(data: bytes, max_pixels: int = MAX_PIXELS) -> npt.NDArray[Any]:
    """Read the values of an image file as they are.

    Parameters
    ----------
    data : bytes
        Of a .npy file, or of an image file of a format without loss.
    max_pixels : int
        Larger images are refused before anything is decoded.

    Returns
    -------
    ndarray, shape (height, width) or (height, width, channels)

    Raises
    ------
    ConversionError
        The file is damaged, a JPEG, has a palette, or has values of which Pillow reads 8 bits only.
    """
    if data.startswith(NPY):
        return _npy(data)
    kind = pillow.sniff(data)
    if kind is None:
        raise ConversionError("this is neither a .npy file nor an image file that ffprep reads")
    if kind == "JPEG":
        raise ConversionError("this is a JPEG, whose values are not exact; arrays come from PNG, TIFF and .npy files")
    image = pillow.load_plain(data, kind, max_pixels)
    if image.mode not in _MODES:
        raise ConversionError(f"an image of the mode {image.mode} has no plain values; save it as .npy")
    if image.mode in _EIGHT_BIT_MODES and _bits(image, data, kind) > 8:
        raise ConversionError(f"Pillow reads no more than 8 bits of each channel of this {kind} file; save it as .npy")
    return np.asarray(image)


def _bits(image: Any, data: bytes, kind: str) -> int:
    if kind == "PNG" and len(data) >= 26 and data[25] != _PNG_GREY:
        return data[24]
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, 8)
    return max(bits) if isinstance(bits, tuple) else int(bits)


def _npy(data: bytes) -> npt.NDArray[Any]:
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = read(file)
    except (ValueError, EOFError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ConversionError(f"damaged .npy file ({first_line(error)})") from error
    if dtype.kind not in "biuf" or dtype.hasobject:
        raise ConversionError(f"a .npy file of {dtype} holds no image")
    size = len(data) - file.tell()
    if math.prod(shape) * dtype.itemsize != size:
        raise ConversionError(f"a .npy file of shape {shape} and {dtype} does not hold {size} bytes of values")
    values = np.frombuffer(data, dtype, offset=file.tell())
    return values.reshape(shape, order="F" if columns_first else "C")
