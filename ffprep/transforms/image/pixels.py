"""How pixels lie in batches: the place of their channels, and colours as bytes and as elements of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.pipeline.form import ImageForm
from ffprep.transforms.bases.transform import is_tensor

Numbers = npt.NDArray[np.float64]


def channels_last(x: Any) -> bool:
    """Return whether a batch of images has its channels last rather than second.

    A dimension of size 3 is taken for the channels. Where both could be, arrays have their channels last and tensors
    have them second.

    Raises
    ------
    OptionError
        The batch does not have four dimensions.
    """
    if len(x.shape) != 4:
        raise OptionError(f"images have four dimensions, this batch has the shape {tuple(x.shape)}")
    first, last = int(x.shape[1]), int(x.shape[3])
    if is_tensor(x):
        return first != 3 and (last == 3 or (last in (1, 4) and first not in (1, 4)))
    return last == 3 or first not in (1, 3)


def pixel_bytes(fill: Sequence[float] | float, dtype: str, channels: int = 3) -> bytes:
    """Return the bytes of one pixel of a colour, as images of this dtype and number of channels store it.

    Raises
    ------
    OptionError
        The colour has another number of channels, or a value that does not fit the dtype.
    """
    values = np.asarray(fill, np.float64).reshape(-1)
    if values.size == 1:
        values = np.repeat(values, channels)
    if values.size != channels:
        raise OptionError(f"the colour {fill!r} is for {values.size} channels, the images have {channels}")
    if dtype == "bfloat16":
        words = values.astype(np.float32).view(np.uint32)
        rounded = (words + 0x7FFF + ((words >> 16) & 1)) >> 16
        return rounded.astype(np.uint16).tobytes()
    kind = np.dtype(dtype)
    if kind.kind in "iu" and ((values < np.iinfo(kind).min) | (values > np.iinfo(kind).max)).any():
        raise OptionError(f"the colour {fill!r} does not fit {dtype}")
    return values.astype(kind).tobytes()


def with_pixel(numbers: Sequence[float], pixel: bytes) -> Numbers:
    """Return parameters followed by the bytes of a pixel, padded with zeros to a multiple of 8: float64."""
    return np.concatenate([np.asarray(numbers, np.float64), np.frombuffer(pixel.ljust(-(-len(pixel) // 8) * 8, b"\0"))])


def element_table(form: ImageForm) -> npt.NDArray[Any]:
    """Return the table by which levels become elements of the batch.

    For float32 it holds the scale of each channel and then the bias of each, shape (6,). For 16-bit dtypes it holds the
    element for each level in each channel, shape (3, 256). For uint8 it is not used.
    """
    mean = np.asarray(form.mean if form.mean is not None else (0.0,) * 3)
    std = np.asarray(form.std if form.std is not None else (1.0,) * 3)
    if form.dtype == "uint8":
        return np.zeros(1, np.uint8)
    if form.dtype == "float32":
        return np.concatenate([1.0 / std, -mean / std]).astype(np.float32)
    values = (np.arange(256.0)[None, :] - mean[:, None]) / std[:, None]
    if form.dtype == "bfloat16":
        return np.frombuffer(pixel_bytes(values.reshape(-1).tolist(), "bfloat16", 768), np.uint16).reshape(3, 256)
    return np.ascontiguousarray(values.astype(form.dtype))
