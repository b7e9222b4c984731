"""Raw pixels that need no resizing: copied, mirrored, normalised and laid out, without a filter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
from ffprep.kernels.layout import (
    DESC_COLOR,
    DESC_PLANES,
    F32_CHW,
    F32_HWC,
    P_ADDRESS,
    P_STRIDE,
    P_X0,
    P_Y0,
    RGB_PACKED,
    U8_CHW,
    U8_HWC,
)
from ffprep.kernels.memory import bytes_at, copy_bytes, floats_at


@inline
def is_plain(
    desc: NDArray[np.int64], y: float, x: float, h: float, w: float, out_h: int, out_w: int, form: int
) -> bool:
    """Return whether :func:`copy_plain` makes the output: whole raw pixels, one for each of its own."""
    return (
        h == out_h
        and w == out_w
        and desc[DESC_COLOR] == RGB_PACKED
        and y == np.floor(y)
        and x == np.floor(x)
        and form in (U8_HWC, U8_CHW, F32_HWC, F32_CHW)
    )


@inline
def copy_plain(
    desc: NDArray[np.int64], y: int, x: int, h: int, w: int, flip: int, out: int, form: int, colour: NDArray[np.float32]
) -> None:
    """Write h x w raw pixels from (y, x) on to `out`; parameters as of the renderers."""
    stride = desc[DESC_PLANES + P_STRIDE]
    begin = desc[DESC_PLANES + P_ADDRESS] + (y - desc[DESC_PLANES + P_Y0]) * stride + 3 * (x - desc[DESC_PLANES + P_X0])
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
            values = floats_at(out + 12 * row * w, 3 * w)
            for column in range(w):
                at = first + column * step
                values[3 * column] = colour[0] * np.float32(source[at]) + colour[3]
                values[3 * column + 1] = colour[1] * np.float32(source[at + 1]) + colour[4]
                values[3 * column + 2] = colour[2] * np.float32(source[at + 2]) + colour[5]
        else:
            for c in range(3):
                numbers = floats_at(out + 4 * (c * h + row) * w, w)
                scale, bias = colour[c], colour[3 + c]
                for column in range(w):
                    numbers[column] = scale * np.float32(source[first + column * step + c]) + bias
