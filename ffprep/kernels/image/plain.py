"""Raw pixels that need no resizing: copied, mirrored, normalised and laid out, without a filter."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffprep.kernels.jit import inline
from ffprep.kernels.layout import F32_CHW, F32_HWC, RGB_PACKED, U8_CHW, U8_HWC
from ffprep.kernels.memory import bytes_at, copy_bytes, floats_at
from ffprep.kernels.resample.records import colour_at


@inline
def is_plain(image: Any, request: Any) -> bool:
    """Return whether :func:`copy_plain` makes the output: whole raw pixels, one for each pixel of the output."""
    return (
        request.h == request.out_h
        and request.w == request.out_w
        and image.color == RGB_PACKED
        and request.y == np.floor(request.y)
        and request.x == np.floor(request.x)
        and request.format in (U8_HWC, U8_CHW, F32_HWC, F32_CHW)
    )


@inline
def copy_plain(image: Any, request: Any) -> None:
    """Carry out a RENDER request for which :func:`is_plain` holds, and whose box lies in the plane."""
    y, x, h, w = np.int64(request.y), np.int64(request.x), request.out_h, request.out_w
    flip, out, form, colour = request.flip, request.out, request.format, colour_at(request.colour)
    plane = image.planes[0]
    stride = plane.stride
    begin = plane.address + (y - plane.y0) * stride + 3 * (x - plane.x0)
    if flip == 0 and stride == 3 * w:  # rows that follow one another are one row
        w, h = w * h, 1
    step = np.int64(-3 if flip else 3)
    first = np.int64(3 * (w - 1) if flip else 0)
    for row in range(h):
        source = bytes_at(begin + row * stride, 3 * w)
        if form == U8_HWC and flip == 0:
            copy_bytes(out + 3 * row * w, begin + row * stride, 3 * w)
        elif form == U8_HWC:
            levels = bytes_at(out + 3 * row * w, 3 * w)
            for column in range(w):
                at = first + column * step
                levels[3 * column] = source[at]
                levels[3 * column + 1] = source[at + 1]
                levels[3 * column + 2] = source[at + 2]
        elif form == U8_CHW:
            for c in range(3):
                plane = bytes_at(out + (c * h + row) * w, w)
                for column in range(w):
                    plane[column] = source[first + column * step + c]
        elif form == F32_HWC:
            scale_r, scale_g, scale_b = colour.scale[0], colour.scale[1], colour.scale[2]
            bias_r, bias_g, bias_b = colour.bias[0], colour.bias[1], colour.bias[2]
            values = floats_at(out + 12 * row * w, 3 * w)
            for column in range(w):
                at = first + column * step
                values[3 * column] = scale_r * np.float32(source[at]) + bias_r
                values[3 * column + 1] = scale_g * np.float32(source[at + 1]) + bias_g
                values[3 * column + 2] = scale_b * np.float32(source[at + 2]) + bias_b
        else:
            for c in range(3):
                numbers = floats_at(out + 4 * (c * h + row) * w, w)
                scale, bias = colour.scale[c], colour.bias[c]
                for column in range(w):
                    numbers[column] = scale * np.float32(source[first + column * step + c]) + bias
