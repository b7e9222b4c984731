"""Rows of RGB pixels from decoded planes, in libjpeg's own integer arithmetic: the pixels that Pillow would decode."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
from ffprep.kernels.layout import BAD_RECTANGLE, GRAY, OK, RGB, RGB_PACKED, UNSUPPORTED_COLOR, YCC
from ffprep.kernels.memory import bytes_at
from ffprep.kernels.resample.weights import BOX, DIRECT, FANCY, component_span, upsampling


@inline
def check_planes(image: Any, request: Any) -> int:
    """Return OK where the planes of an IMAGE hold all samples that the pixels in reach of a RENDER are made of."""
    first_y, last_y = request.lo_y, request.hi_y - 1
    first_x, last_x = request.lo_x, request.hi_x - 1
    color = image.color
    if color in (GRAY, RGB_PACKED):
        planes = 1
    elif color in (YCC, RGB):
        planes = 3
    else:
        return UNSUPPORTED_COLOR
    if image.components < planes:
        return UNSUPPORTED_COLOR
    if first_y < 0 or first_x < 0 or last_y >= image.height or last_x >= image.width:
        return BAD_RECTANGLE
    for c in range(planes):
        plane = image.planes[c]
        hs, vs, width, height = plane.hs, plane.vs, plane.width, plane.height
        if hs < 1 or vs < 1 or width < 1 or height < 1 or plane.address == 0:
            return BAD_RECTANGLE
        how_v, how_h = upsampling(hs, vs, width)
        y0, y1 = component_span(how_v, vs, height, first_y, last_y)
        x0, x1 = component_span(how_h, hs, width, first_x, last_x)
        if y0 < plane.y0 or x0 < plane.x0 or y1 >= plane.y0 + plane.h or x1 >= plane.x0 + plane.w:
            return BAD_RECTANGLE
    return OK


@inline
def _upsample_row(plane: Any, y: int, first: int, out: NDArray[np.uint8], sums: NDArray[np.int32]) -> None:
    """Write columns first, first + 1, ... of image row y of one component, at image resolution, to `out`.

    `plane` is a PLANE that :func:`check_planes` has checked; `sums` is scratch of at least ``out.size + 2`` values.
    The arithmetic is that of libjpeg's jdsample.c.
    """
    hs, vs, width, height = plane.hs, plane.vs, plane.width, plane.height
    how_v, how_h = upsampling(hs, vs, width)
    near = min(y // vs, height - 1)
    a, b = component_span(how_h, hs, width, first, first + out.size - 1)
    n = b - a + 1
    row = bytes_at(plane.address + (near - plane.y0) * plane.stride + (a - plane.x0), n)
    if how_v == FANCY:
        far = min(max((y >> 1) - 1 + 2 * (y & 1), 0), height - 1)
        other = bytes_at(plane.address + (far - plane.y0) * plane.stride + (a - plane.x0), n)
        for i in range(n):
            sums[i] = 3 * np.int32(row[i]) + np.int32(other[i])
        if how_h == DIRECT:
            bias = 1 + (y & 1)
            for i in range(out.size):
                out[i] = (sums[i] + bias) >> 2
            return
    elif how_h == DIRECT:
        for i in range(out.size):
            out[i] = row[i]
        return
    elif how_h == BOX:
        for i in range(out.size):
            out[i] = row[min((first + i) // hs, b) - a]
        return
    else:
        for i in range(n):
            sums[i] = row[i]
    shift = 4 if how_v == FANCY else 2
    round_even = 8 if how_v == FANCY else 1
    round_odd = 7 if how_v == FANCY else 2
    for i in range(out.size):
        p = first + i
        c = min(p >> 1, b) - a
        if p & 1:
            out[i] = (3 * sums[c] + sums[min(c + 1, n - 1)] + round_odd) >> shift
        else:
            out[i] = (3 * sums[c] + sums[max(c - 1, 0)] + round_even) >> shift


@inline
def _clip(v: int) -> int:
    return min(max(v, 0), 255)


@inline
def rgb_row(
    image: Any, y: int, first: int, out: NDArray[np.uint8], parts: NDArray[np.uint8], sums: NDArray[np.int32]
) -> None:
    """Write columns first, first + 1, ... of image row y as interleaved RGB to `out`.

    Parameters
    ----------
    image : IMAGE record
        Checked by :func:`check_planes`.
    out : uint8 array of 3 n bytes
    parts : uint8 array of 3 n bytes
        Scratch.
    sums : int32 array of n + 2 values
        Scratch.
    """
    n = out.size // 3
    color = image.color
    if color == RGB_PACKED:
        plane = image.planes[0]
        row = bytes_at(plane.address + (y - plane.y0) * plane.stride + 3 * (first - plane.x0), 3 * n)
        for i in range(3 * n):
            out[i] = row[i]
        return
    for c in range(1 if color == GRAY else 3):
        _upsample_row(image.planes[c], y, first, parts[c * n : (c + 1) * n], sums)
    if color == GRAY:
        for i in range(n):
            out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = parts[i]
    elif color == RGB:
        for i in range(n):
            out[3 * i], out[3 * i + 1], out[3 * i + 2] = parts[i], parts[n + i], parts[2 * n + i]
    else:
        for i in range(n):
            luma = np.int32(parts[i])
            cb, cr = np.int32(parts[n + i]) - 128, np.int32(parts[2 * n + i]) - 128
            out[3 * i] = _clip(luma + ((91881 * cr + 32768) >> 16))
            out[3 * i + 1] = _clip(luma + ((-22554 * cb + 32768 - 46802 * cr) >> 16))
            out[3 * i + 2] = _clip(luma + ((116130 * cb + 32768) >> 16))
