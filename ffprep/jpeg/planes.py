"""Decoded planes, coefficients, and a plain reference path to RGB, for tests and tools.

The loader does not use this: it calls the kernel from compiled code, and never makes RGB at full size.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ffprep.abi import IMAGE
from ffprep.jpeg.header import COLORS
from ffprep.jpeg.native import INFO_SIZE, as_bytes, decode_request, int64s, library
from ffprep.jpeg.status import Status, check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ffprep.jpeg.native import BytesLike

Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True)
class Plane:
    """Decoded samples of one component.

    Attributes
    ----------
    samples : ndarray
        uint8 (rows, columns).
    x0, y0 : int
        Place of ``samples[0, 0]`` in the component.
    hs, vs : int
        Pixels a sample stands for, across and down.
    width, height : int
        Samples of the whole component.
    """

    samples: NDArray[np.uint8]
    x0: int
    y0: int
    hs: int
    vs: int
    width: int
    height: int


def copy_planes(image: NDArray[np.void]) -> list[Plane]:
    """Return copies of the planes of a decoded image, before their context is used again.

    Parameters
    ----------
    image : ndarray of ``abi.IMAGE``, shape (1,)
        As ``ffp_decode_region`` wrote it.
    """
    planes = []
    for plane in image["planes"][0, : image["components"][0]]:
        address, stride, x0, y0, w, h, *rest = (int(v) for v in plane)
        raw = (ctypes.c_uint8 * (stride * h)).from_address(address)
        samples = np.ctypeslib.as_array(raw).reshape(h, stride)[:, :w].copy()
        planes.append(Plane(samples, x0, y0, *rest))
    return planes


def _decode(
    data: BytesLike, rect: Rectangle | None, where: str, index: BytesLike = b"", scale: int = 0
) -> tuple[list[Plane], str]:
    view, marks = as_bytes(data), as_bytes(index)
    lib = library()
    if rect is None:
        info = np.zeros(INFO_SIZE, dtype=np.int64)
        check(lib.ffp_read_header(view.ctypes.data, view.size, int64s(info)), where)
        rect = (0, 0, int(info[0]), int(info[1]))
    image = np.zeros(1, IMAGE)
    context = lib.ffp_context_new()
    if not context:
        check(Status.NO_MEMORY, where)
    try:
        request = decode_request(context, view, rect, image, (marks.ctypes.data, marks.size), scale)
        status = lib.ffp_decode_region(request.ctypes.data)
        check(status, where)
        planes = copy_planes(image)
    finally:
        lib.ffp_context_free(context)
    return planes, COLORS[int(image["color"][0])]


def decode_planes(
    data: BytesLike, rect: Rectangle | None = None, where: str = "JPEG", *, index: BytesLike = b"", scale: int = 0
) -> list[Plane]:
    """Decode the planes that a pixel rectangle needs.

    Parameters
    ----------
    data : bytes-like
        A JPEG stream of one or three components.
    rect : (x, y, width, height), optional
        Pixels; the whole image by default.
    where : str
        Name that opens the error message.
    index : bytes-like, optional
        What :func:`ffprep.jpeg.build_index` gave for this stream: only what the rectangle needs is decoded.
    scale : int
        0 to 3: reduce the image ``2**scale`` times while decoding, by inverse DCTs of 4x4, 2x2 or 1x1 samples.
        `rect` is in pixels of the whole image; places and sizes in the planes are those of an image of
        ``ceil(width / 2**scale)`` times ``ceil(height / 2**scale)`` pixels. Subsampled components are reduced
        less.

    Returns
    -------
    list of Plane
        One a component. Each holds at least the samples the rectangle needs, and where the component is
        subsampled one more on every side that exists.

    Raises
    ------
    JpegError
        When the stream cannot be decoded, the rectangle is not inside the image, or the index is not of this
        stream.
    """
    return _decode(data, rect, where, index, scale)[0]


def coefficients(data: BytesLike, where: str = "JPEG") -> list[NDArray[np.int16]]:
    """Quantised DCT coefficients of every component.

    Returns
    -------
    list of ndarray
        int16 (block rows, blocks a row, 64), zigzag order, absolute DC; the grid is padded to whole MCUs.

    Raises
    ------
    JpegError
        When the stream cannot be decoded.
    """
    view = as_bytes(data)
    lib = library()
    info = np.zeros(INFO_SIZE, dtype=np.int64)
    count = np.zeros(1, dtype=np.int64)
    check(lib.ffp_read_header(view.ctypes.data, view.size, int64s(info)), where)
    check(lib.ffp_coefficients(view.ctypes.data, view.size, None, 0, int64s(count)), where)
    out = np.empty(int(count[0]), dtype=np.int16)
    pointer = out.ctypes.data_as(ctypes.POINTER(ctypes.c_int16))
    check(lib.ffp_coefficients(view.ctypes.data, view.size, pointer, out.size, int64s(count)), where)
    result, at = [], 0
    for i in range(int(info[2])):
        across, down = int(info[10] * info[14 + 2 * i]), int(info[11] * info[15 + 2 * i])
        result.append(out[at : at + across * down * 64].reshape(down, across, 64))
        at += across * down * 64
    return result


def _neighbours(plane: NDArray[np.int32], axis: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The sample before and the one after along an axis, the edges repeated."""
    first, last = np.take(plane, [0], axis), np.take(plane, [-1], axis)
    before = np.concatenate([first, np.delete(plane, -1, axis)], axis)
    after = np.concatenate([np.delete(plane, 0, axis), last], axis)
    return before, after


def _interleave(even: NDArray[np.int32], odd: NDArray[np.int32], axis: int) -> NDArray[np.int32]:
    shape = list(even.shape)
    shape[axis] *= 2
    return np.stack([even, odd], axis + 1).reshape(shape)


def _triangle(plane: NDArray[np.int32], axis: int) -> NDArray[np.int32]:
    """Twice as many samples along an axis, weights 3/4 and 1/4 (libjpeg's "fancy" h2v1 and h1v2)."""
    before, after = _neighbours(plane, axis)
    return _interleave((3 * plane + before + 1) >> 2, (3 * plane + after + 2) >> 2, axis)


def _triangle_both(plane: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same along both axes with one rounding (h2v2)."""
    above, below = _neighbours(plane, 0)
    rows = _interleave(3 * plane + above, 3 * plane + below, 0)
    before, after = _neighbours(rows, 1)
    return _interleave((3 * rows + before + 8) >> 4, (3 * rows + after + 7) >> 4, 1)


def upsample(samples: NDArray[np.uint8], hs: int, vs: int) -> NDArray[np.int32]:
    """A whole plane at pixel resolution, as libjpeg-turbo does it by default.

    Parameters
    ----------
    samples : ndarray
        uint8 (rows, columns), the whole component.
    hs, vs : int
        Pixels a sample stands for, across and down.

    Returns
    -------
    ndarray
        int32 (rows * vs, columns * hs). "Fancy" triangle weights for 2x1, 1x2 and 2x2, except that libjpeg
        repeats samples in 2x1 and 2x2 planes of at most two columns; every other ratio repeats samples
        (``jdsample.c``).
    """
    plane = samples.astype(np.int32)
    wide = plane.shape[1] > 2
    if (hs, vs) == (2, 1) and wide:
        return _triangle(plane, 1)
    if (hs, vs) == (1, 2):
        return _triangle(plane, 0)
    if (hs, vs) == (2, 2) and wide:
        return _triangle_both(plane)
    return plane.repeat(vs, 0).repeat(hs, 1)


def ycc_to_rgb(y: NDArray[np.int32], cb: NDArray[np.int32], cr: NDArray[np.int32]) -> NDArray[np.uint8]:
    """JFIF YCbCr to RGB in libjpeg's 16-bit fixed point; arrays of equal shape, result uint8 (..., 3)."""
    blue, red = cb - 128, cr - 128
    rgb = np.stack(
        [
            y + ((91881 * red + 32768) >> 16),
            y + ((-22554 * blue - 46802 * red + 32768) >> 16),
            y + ((116130 * blue + 32768) >> 16),
        ],
        -1,
    )
    return rgb.clip(0, 255).astype(np.uint8)


def decode_rgb(data: BytesLike, where: str = "JPEG") -> NDArray[np.uint8]:
    """Decode a whole JPEG to RGB the way libjpeg-turbo does by default, slowly.

    Returns
    -------
    ndarray
        uint8 (height, width, 3); grey is repeated.

    Raises
    ------
    JpegError
        When the stream cannot be decoded.
    """
    planes, color = _decode(data, None, where)
    height = max(p.height * p.vs for p in planes)
    width = max(p.width * p.hs for p in planes)
    for plane in planes:
        if plane.hs == 1:
            width = plane.width
        if plane.vs == 1:
            height = plane.height
    full = [upsample(p.samples, p.hs, p.vs)[:height, :width] for p in planes]
    if color == "gray":
        return full[0].astype(np.uint8)[..., None].repeat(3, -1)
    if color == "rgb":
        return np.stack(full, -1).astype(np.uint8)
    return ycc_to_rgb(*full)
