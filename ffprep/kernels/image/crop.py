"""Which part of an image becomes the training image.

A crop is ``(y, x, h, w)`` in pixels, y and x the top left corner.
"""

from __future__ import annotations

import numpy as np

from ffprep.kernels.jit import inline
from ffprep.kernels.random import uniform

TRIES = 10
LETTERBOX, SCALE_JITTER, RANDOM_RESIZE = 4, 5, 6
"""Kinds of crops that show whole images, or parts of them, on a canvas. They come after those of :mod:`.job`."""


@inline
def random_resized_crop(
    height: int,
    width: int,
    scale_lo: float,
    scale_hi: float,
    ratio_lo: float,
    ratio_hi: float,
    seed: int,
    epoch: int,
    sample: int,
    op: int,
) -> tuple[int, int, int, int]:
    """Sample a crop as torchvision's ``RandomResizedCrop.get_params`` and ffcv's ``get_random_crop`` do.

    Ten tries with an area uniform in ``scale`` times the image's and an aspect ratio (width / height)
    log-uniform in ``ratio``; if all fail, a centred crop of the image's own ratio clipped to ``ratio``. Try t uses the
    draws 2 t and 2 t + 1 of `op`, the position draws 20 and 21.
    """
    area = np.float64(height) * np.float64(width)
    log_lo, log_hi = np.log(ratio_lo), np.log(ratio_hi)
    for t in range(TRIES):
        target = area * (scale_lo + (scale_hi - scale_lo) * uniform(seed, epoch, sample, op, 2 * t))
        aspect = np.exp(log_lo + (log_hi - log_lo) * uniform(seed, epoch, sample, op, 2 * t + 1))
        w = np.int64(np.rint(np.sqrt(target * aspect)))
        h = np.int64(np.rint(np.sqrt(target / aspect)))
        if 0 < w <= width and 0 < h <= height:
            y = np.int64(uniform(seed, epoch, sample, op, 2 * TRIES) * (height - h + 1))
            x = np.int64(uniform(seed, epoch, sample, op, 2 * TRIES + 1) * (width - w + 1))
            return y, x, h, w
    h, w = np.int64(height), np.int64(width)
    own = np.float64(width) / np.float64(height)
    if own < ratio_lo:
        h = np.int64(np.rint(w / ratio_lo))
    elif own > ratio_hi:
        w = np.int64(np.rint(h * ratio_hi))
    h = min(max(h, 1), np.int64(height))
    w = min(max(w, 1), np.int64(width))
    return (height - h) // 2, (width - w) // 2, h, w


@inline
def center_crop(height: int, width: int, ratio: float) -> tuple[int, int, int, int]:
    """Return the centred square of side ``int(ratio * min(height, width))``, as ffcv's CenterCrop decoder does."""
    side = max(np.int64(ratio * min(height, width)), 1)
    side = min(side, np.int64(min(height, width)))
    return (height - side) // 2, (width - side) // 2, side, side


@inline
def resized_sides(height: int, width: int, short: int) -> tuple[int, int]:
    """Return the (height, width) that torchvision's ``Resize(short)`` makes of an image of this size."""
    if height <= width:
        rh, rw = np.int64(short), np.int64(np.float64(short) * width / height)
    else:
        rw, rh = np.int64(short), np.int64(np.float64(short) * height / width)
    return max(rh, np.int64(1)), max(rw, np.int64(1))


@inline
def resize_center_crop(
    height: int, width: int, short: int, out_h: int, out_w: int
) -> tuple[float, float, float, float]:
    """Return the box that torchvision's ``Resize(short)``, then ``CenterCrop((out_h, out_w))``, shows.

    The box is (y, x, h, w) in fractional source pixels.

    Resize makes the shorter side `short` and the longer ``int(short * longer / shorter)``. Where the resized
    image is smaller than the crop (torchvision would pad) the box is the whole side, stretched.
    """
    rh, rw = resized_sides(height, width, short)
    y, x, h, w = 0.0, 0.0, np.float64(height), np.float64(width)
    if out_h < rh:
        y = np.rint((rh - out_h) / 2.0) * height / rh
        h = np.float64(out_h) * height / rh
    if out_w < rw:
        x = np.rint((rw - out_w) / 2.0) * width / rw
        w = np.float64(out_w) * width / rw
    return y, x, h, w


@inline
def on_canvas(
    kind: int, height: int, width: int, lo: float, hi: float, out_h: int, out_w: int,
    seed: int, epoch: int, sample: int, op: int,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Return the size (rows, columns) of an image that keeps its shape, and its place (y, x) on a canvas.

    A place below 0 means that so many rows or columns are cut off. Draw 0 of `op` is the size; draw 1 the row, draw 2
    the column.

    Parameters
    ----------
    kind : int
        `LETTERBOX`: the largest size that fits, in the middle, as albumentations' ``LongestMaxSize`` and
        ``PadIfNeeded``. `SCALE_JITTER`: that size times a factor from `lo` to `hi`, in the upper left corner or, where
        it is larger, cut by one draw for both sides, as torchvision's ``ScaleJitter`` and ``FixedSizeCrop``.
        `RANDOM_RESIZE`: a shorter side of `lo` to ``hi - 1``, anywhere, as torchvision's ``RandomResize`` and
        ``RandomCrop(pad_if_needed=True)``.
    """
    h, w = np.float64(height), np.float64(width)
    fit = min(out_h / h, out_w / w)
    if kind == LETTERBOX:
        rows = min(max(np.int64(np.rint(h * fit)), np.int64(1)), np.int64(out_h))
        cols = min(max(np.int64(np.rint(w * fit)), np.int64(1)), np.int64(out_w))
        return rows, cols, (out_h - rows) // 2, (out_w - cols) // 2
    size = uniform(seed, epoch, sample, op, 0)
    if kind == SCALE_JITTER:
        factor = fit * (lo + (hi - lo) * size)
        rows, cols = max(np.int64(h * factor), np.int64(1)), max(np.int64(w * factor), np.int64(1))
        cut = uniform(seed, epoch, sample, op, 1)
        y, x = np.int64(max(rows - out_h, 0) * cut), np.int64(max(cols - out_w, 0) * cut)
        return rows, cols, -y, -x
    short = np.int64(lo) + np.int64(size * max(np.int64(hi) - np.int64(lo), 1))
    rows, cols = resized_sides(height, width, short)
    y = np.int64(uniform(seed, epoch, sample, op, 1) * (abs(rows - out_h) + 1))
    x = np.int64(uniform(seed, epoch, sample, op, 2) * (abs(cols - out_w) + 1))
    return rows, cols, (-y if rows > out_h else out_h - rows - y), (-x if cols > out_w else out_w - cols - x)
