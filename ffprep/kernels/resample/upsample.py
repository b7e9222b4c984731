"""Rows of RGB pixels out of planes, with libjpeg's own integer arithmetic: the pixels Pillow would have
decoded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
from ffprep.kernels.layout import (
    BAD_RECTANGLE,
    DESC_COLOR,
    DESC_COMPONENTS,
    DESC_HEIGHT,
    DESC_PLANE_SIZE,
    DESC_PLANES,
    DESC_WIDTH,
    GRAY,
    OK,
    P_ADDRESS,
    P_H,
    P_HEIGHT,
    P_HS,
    P_STRIDE,
    P_VS,
    P_W,
    P_WIDTH,
    P_X0,
    P_Y0,
    RGB,
    RGB_PACKED,
    UNSUPPORTED_COLOR,
    YCC,
)
from ffprep.kernels.memory import bytes_at
from ffprep.kernels.resample.weights import BOX, DIRECT, FANCY, component_span, upsampling


@inline
def check_planes(desc: NDArray[np.int64], first_y: int, last_y: int, first_x: int, last_x: int) -> int:
    """Return OK when the planes of a descriptor hold what image rows first_y..last_y, columns first_x..last_x
    need."""
    color = desc[DESC_COLOR]
    if color in (GRAY, RGB_PACKED):
        planes = 1
    elif color in (YCC, RGB):
        planes = 3
    else:
        return UNSUPPORTED_COLOR
    if desc[DESC_COMPONENTS] < planes:
        return UNSUPPORTED_COLOR
    if first_y < 0 or first_x < 0 or last_y >= desc[DESC_HEIGHT] or last_x >= desc[DESC_WIDTH]:
        return BAD_RECTANGLE
    for c in range(planes):
        p = desc[DESC_PLANES + DESC_PLANE_SIZE * c : DESC_PLANES + DESC_PLANE_SIZE * (c + 1)]
        if p[P_HS] < 1 or p[P_VS] < 1 or p[P_WIDTH] < 1 or p[P_HEIGHT] < 1 or p[P_ADDRESS] == 0:
            return BAD_RECTANGLE
        how_v, how_h = upsampling(p[P_HS], p[P_VS], p[P_WIDTH])
        y0, y1 = component_span(how_v, p[P_VS], p[P_HEIGHT], first_y, last_y)
        x0, x1 = component_span(how_h, p[P_HS], p[P_WIDTH], first_x, last_x)
        if y0 < p[P_Y0] or x0 < p[P_X0] or y1 >= p[P_Y0] + p[P_H] or x1 >= p[P_X0] + p[P_W]:
            return BAD_RECTANGLE
    return OK


@inline
def upsample_row(plane: NDArray[np.int64], y: int, first: int, out: NDArray[np.uint8], sums: NDArray[np.int32]) -> None:
    """Write columns first, first + 1, ... of image row y of one component, at image resolution, to `out`.

    `plane` is its ten entries of a descriptor, checked by :func:`check_planes`; `sums` holds at least
    ``out.size + 2`` values. The arithmetic is jdsample.c's.
    """
    hs, vs, width, height = plane[P_HS], plane[P_VS], plane[P_WIDTH], plane[P_HEIGHT]
    how_v, how_h = upsampling(hs, vs, width)
    near = min(y // vs, height - 1)
    a, b = component_span(how_h, hs, width, first, first + out.size - 1)
    n = b - a + 1
    row = bytes_at(plane[P_ADDRESS] + (near - plane[P_Y0]) * plane[P_STRIDE] + (a - plane[P_X0]), n)
    if how_v == FANCY:
        far = min(max((y >> 1) - 1 + 2 * (y & 1), 0), height - 1)
        other = bytes_at(plane[P_ADDRESS] + (far - plane[P_Y0]) * plane[P_STRIDE] + (a - plane[P_X0]), n)
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
    desc: NDArray[np.int64],
    y: int,
    first: int,
    out: NDArray[np.uint8],
    parts: NDArray[np.uint8],
    sums: NDArray[np.int32],
) -> None:
    """Write columns first, first + 1, ... of image row y as interleaved RGB to `out` (3 n bytes).

    Parameters
    ----------
    desc : int64 array
        Plane descriptor, checked by :func:`check_planes`.
    parts : uint8 array of 3 n bytes
    sums : int32 array of n + 2
        Scratch.
    """
    n = out.size // 3
    color = desc[DESC_COLOR]
    if color == RGB_PACKED:
        p = desc[DESC_PLANES : DESC_PLANES + DESC_PLANE_SIZE]
        row = bytes_at(p[P_ADDRESS] + (y - p[P_Y0]) * p[P_STRIDE] + 3 * (first - p[P_X0]), 3 * n)
        for i in range(3 * n):
            out[i] = row[i]
        return
    for c in range(1 if color == GRAY else 3):
        start = DESC_PLANES + DESC_PLANE_SIZE * c
        upsample_row(desc[start : start + DESC_PLANE_SIZE], y, first, parts[c * n : (c + 1) * n], sums)
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
