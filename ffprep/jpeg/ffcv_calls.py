"""What custom decoders import from ``ffcv.libffcv``, with ffcv's arguments. Compiled code may call all but `read`."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.jpeg.one_image import Work, entry
from ffprep.kernels.both import InBoth, in_both
from ffprep.kernels.image.job import image_spec
from ffprep.kernels.memory import call_entry

__all__ = ["imdecode", "memcpy", "read", "resize_crop"]

_JPEG, _RAW = 0, 1
_work = Work()
_work.set(image_spec((1, 1), filter="area", format="u8_hwc"))
_DECODE, _WORK = entry(), _work.block.ctypes.data
_call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 10)(_DECODE)


def _compiled_decode(
    address: int, size: int, width: int, height: int, mode: int, out: int, out_h: int, out_w: int
) -> int:
    status: int = call_entry(
        _DECODE,
        (
            np.int64(_WORK), np.int64(address), np.int64(size), np.int64(width), np.int64(height),
            np.int64(mode), np.int64(0), np.int64(out), np.int64(out_h), np.int64(out_w),
        ),
    )  # fmt: skip
    return status


def _plain_decode(address: int, size: int, width: int, height: int, mode: int, out: int, out_h: int, out_w: int) -> int:
    numbers = (address, size, width, height, mode, 0, out, out_h, out_w)
    return int(_call(_WORK, *(int(number) for number in numbers)))


_decode: Any = InBoth(_compiled_decode, _plain_decode)
"""`ffprep.jpeg.one_image.decode_one`, without the sample's number."""


def memcpy(source: Any, dest: Any) -> None:
    """Copy all bytes of a contiguous array to the beginning of another one.

    Parameters
    ----------
    source, dest : ndarray
        C-contiguous; `dest` has at least as many bytes.
    """
    given = source.reshape(-1).view(np.uint8)
    room = dest.reshape(-1).view(np.uint8)
    room[: given.size] = given


def read(fileno: int, destination: npt.NDArray[Any], offset: int) -> int:
    """Read from an open file, from byte `offset` on, into a contiguous array; return how many bytes there were."""
    return os.preadv(fileno, [destination.reshape(-1).view(np.uint8).data], offset)


@in_both
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
        done: int = _decode(source.ctypes.data, source.size, width, height, _JPEG, dst.ctypes.data, height, width)
        return done
    whole = np.empty((height, width, 3), np.uint8)
    status: int = _decode(source.ctypes.data, source.size, width, height, _JPEG, whole.ctypes.data, height, width)
    top, left, tall, wide = np.int64(0), np.int64(0), height, width
    if enable_crop:
        if crop_height is None or crop_width is None:
            raise ValueError("imdecode: enable_crop needs crop_height and crop_width")
        top, left, tall, wide = np.int64(offset_y), np.int64(offset_x), np.int64(crop_height), np.int64(crop_width)
    if top < 0 or left < 0 or tall < 0 or wide < 0 or top + tall > height or left + wide > width:
        raise ValueError("imdecode: the part asked for is not in the image")
    if dst.size < 3 * tall * wide:
        raise ValueError("imdecode: the destination has no room for the image")
    part = whole[top : top + tall, left : left + wide]
    if do_flip:
        part = part[:, ::-1]
    dst.reshape(-1)[: 3 * tall * wide] = np.ascontiguousarray(part).reshape(-1)
    return status


@in_both
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
    _decode(
        part.ctypes.data, part.size, right - left, bottom - top, _RAW,
        destination.ctypes.data, destination.shape[0], destination.shape[1],
    )  # fmt: skip
