"""Rows of an image that is moved: what lies outside, and the nearest pixels; RGB images, uint8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
from ffprep.kernels.memory import copy_bytes, get_i32, put_i32


@inline
def fill_pixels(out: NDArray[np.uint8], first: int, last: int, fill: NDArray[np.float64]) -> None:
    """Write the fill colour to pixels of a row."""
    r, g, b = np.uint8(fill[0]), np.uint8(fill[1]), np.uint8(fill[2])
    if r == g == b:
        for k in range(3 * first, 3 * last):
            out[k] = r
        return
    for x in range(first, last):
        out[3 * x] = r
        out[3 * x + 1] = g
        out[3 * x + 2] = b


@inline
def filled_around(
    out: NDArray[np.uint8], out_w: int,
    x: int, y: int, dx: int, dy: int, wide: int, high: int, fill: NDArray[np.float64],
) -> tuple[int, int]:  # fmt: skip
    """Fill what a row of the result shows of the outside; return the range of pixels that are left."""
    first, last = np.int64(0), np.int64(out_w)
    if dy == 0 and not 0 <= y < high:
        first = last
    while first < last and not (0 <= x + first * dx < wide and 0 <= y + first * dy < high):
        first += 1
    while first < last and not (0 <= x + (last - 1) * dx < wide and 0 <= y + (last - 1) * dy < high):
        last -= 1
    fill_pixels(out, 0, first, fill)
    fill_pixels(out, last, out_w, fill)
    return first, last


@inline
def nearest_row(
    image: NDArray[np.uint8], out: NDArray[np.uint8], h: int, w: int, out_w: int,
    x: int, y: int, dx: int, dy: int, fill: NDArray[np.float64],
) -> None:  # fmt: skip
    """Write a row of the result; places are whole numbers of 2**-16 pixels, as in Pillow."""
    first, last = filled_around(out, out_w, x, y, dx, dy, np.int64(w) << 16, np.int64(h) << 16, fill)
    if first == last:
        return
    base, place = np.int64(image.ctypes.data), np.int64(out.ctypes.data) + 3 * first
    xx, yy = x + first * dx, y + first * dy
    if dx == 65536 and dy == 0:
        copy_bytes(place, base + 3 * ((yy >> 16) * w + (xx >> 16)), 3 * (last - first))
        return
    # Four bytes are moved at once, and the next pixel writes over the last of them. The last pixel of the
    # image and of the row have no byte after them.
    x_end, y_end = xx + (last - 1 - first) * dx, yy + (last - 1 - first) * dy
    corner = (max(xx, x_end) >> 16) == w - 1 and (max(yy, y_end) >> 16) == h - 1
    alone = first if corner else last - 1
    for _ in range(first, alone):
        put_i32(place, get_i32(base + 3 * ((yy >> 16) * w + (xx >> 16))))
        place += 3
        xx += dx
        yy += dy
    for k in range(alone, last):
        at = 3 * ((yy >> 16) * w + (xx >> 16))
        for c in range(3):
            out[3 * k + c] = image[at + c]
        xx += dx
        yy += dy
