"""What custom decoders import from ``ffcv.libffcv``, with ffcv's arguments. Compiled code may call all but `read`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.jpeg.one_image import Work, entry
from ffprep.kernels.image.job import image_spec
from ffprep.kernels.jit import uncached
from ffprep.kernels.memory import call_entry

__all__ = ["imdecode", "memcpy", "read", "resize_crop"]

_JPEG, _RAW = 0, 1
_work = Work()
_work.set(image_spec((1, 1), filter="area", format="u8_hwc"))
_DECODE, _WORK = entry(), _work.block.ctypes.data


def memcpy(source: Any, dest: Any) -> None:
    """Copy all bytes of a contiguous array to the beginning of another one.

    Parameters
    ----------
    source, dest : ndarray
        C-contiguous; `dest` has at least as many bytes.
    """
    given = source.reshape(-1).view(np.uint8)
    room = dest.reshape(-1).view(np.uint8)
    for i in range(given.size):
        room[i] = given[i]


def read(fileno: int, destination: npt.NDArray[Any], offset: int) -> int:
    """Read from an open file, from byte `offset` on, into a contiguous array; return how many bytes there were."""
    return os.preadv(fileno, [destination.reshape(-1).view(np.uint8).data], offset)


@uncached
def imdecode(
    source: Any,
    dst: Any,
    source_height: int,
    source_width: int,
    crop_height: Any = None,
    crop_width: Any = None,
    offset_x: int = 0,
    offset_y: int = 0,
    scale_factor_num: int = 1,
    scale_factor_denom: int = 1,
    enable_crop: bool = False,
    do_flip: bool = False,
) -> int:
    """Decode a JPEG to RGB pixels at the beginning of `dst`.

    Parameters
    ----------
    source : ndarray of uint8
        The JPEG's bytes.
    dst : ndarray of uint8
        C-contiguous, of any shape, with room for the pixels.
    source_height, source_width : int
        Of the image; it fails if the JPEG has another size.
    crop_height, crop_width, offset_x, offset_y : int
        With `enable_crop`, the part of the image to give.
    scale_factor_num, scale_factor_denom : int
        Only 1 and 1.
    enable_crop, do_flip : bool
        `do_flip` mirrors left and right.

    Returns
    -------
    int
        0, or the reason of failure, of `ffprep.jpeg.status`; the pixels are then zero.

    Raises
    ------
    ValueError
        `dst` is too small, the part is not in the image, or a scale is asked for.
    """
    height, width = np.int64(source_height), np.int64(source_width)
    if scale_factor_num != scale_factor_denom:
        raise ValueError("imdecode decodes at full scale only; shrink with resize_crop")
    if not enable_crop and not do_flip:
        if dst.size < 3 * height * width:
            raise ValueError("imdecode: the destination has no room for the image")
        done: int = call_entry(
            _DECODE,
            (
                np.int64(_WORK), np.int64(source.ctypes.data), np.int64(source.size), width, height,
                np.int64(_JPEG), np.int64(0), np.int64(dst.ctypes.data), height, width,
            ),
        )  # fmt: skip
        return done
    whole = np.empty((height, width, 3), np.uint8)
    status: int = call_entry(
        _DECODE,
        (
            np.int64(_WORK), np.int64(source.ctypes.data), np.int64(source.size), width, height,
            np.int64(_JPEG), np.int64(0), np.int64(whole.ctypes.data), height, width,
        ),
    )  # fmt: skip
    top, left, tall, wide = np.int64(0), np.int64(0), height, width
    if enable_crop:
        if crop_height is None or crop_width is None:
            raise ValueError("imdecode: enable_crop needs crop_height and crop_width")
        top, left, tall, wide = np.int64(offset_y), np.int64(offset_x), np.int64(crop_height), np.int64(crop_width)
    if top < 0 or left < 0 or tall < 0 or wide < 0 or top + tall > height or left + wide > width:
        raise ValueError("imdecode: the part asked for is not in the image")
    if dst.size < 3 * tall * wide:
        raise ValueError("imdecode: the destination has no room for the image")
    out = dst.reshape(-1)
    for y in range(tall):
        for x in range(wide):
            column = left + (wide - 1 - x if do_flip else x)
            for channel in range(3):
                out[(y * wide + x) * 3 + channel] = whole[top + y, column, channel]
    return status


@uncached
def resize_crop(source: Any, start_row: int, end_row: int, start_col: int, end_col: int, destination: Any) -> None:
    """Resize a part of an image to the size of `destination`, as OpenCV's INTER_AREA does, to rounding.

    Parameters
    ----------
    source : ndarray of uint8, shape (height, width, 3)
    start_row, end_row, start_col, end_col : int
        The part, ends excluded.
    destination : ndarray of uint8, shape (rows, columns, 3)
        C-contiguous.

    Raises
    ------
    ValueError
        The part is not in the image, or empty.
    """
    top, bottom, left, right = np.int64(start_row), np.int64(end_row), np.int64(start_col), np.int64(end_col)
    if not (0 <= top < bottom <= source.shape[0] and 0 <= left < right <= source.shape[1]):
        raise ValueError("resize_crop: the part asked for is not in the image")
    part = np.ascontiguousarray(source[top:bottom, left:right])
    call_entry(
        _DECODE,
        (
            np.int64(_WORK), np.int64(part.ctypes.data), np.int64(part.size), right - left, bottom - top,
            np.int64(_RAW), np.int64(0), np.int64(destination.ctypes.data),
            np.int64(destination.shape[0]), np.int64(destination.shape[1]),
        ),
    )  # fmt: skip
