"""The exact renderer: converts to RGB first, then resamples in Pillow's fixed point, bit for bit.

It is slower than the fused renderers, and their reference: what it writes as uint8 equals
``Image.open(...).convert("RGB").crop(...).resize(...)`` in every bit for BILINEAR and BICUBIC. For AREA it differs from
OpenCV's float arithmetic by at most one level.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.layout import (
    BAD_OPTION,
    F16_CHW,
    F16_HWC,
    F32_CHW,
    F32_HWC,
    NO_SPACE,
    OK,
    U8_CHW,
    U8_HWC,
    aligned,
    channels_last,
    channels_of,
)
from ffprep.kernels.memory import (
    byte_rows_at,
    bytes_at,
    double_rows_at,
    floats_at,
    halves_at,
    ints_at,
    longs_at,
)
from ffprep.kernels.resample.records import check_request, colour_at, image_at, render_at
from ffprep.kernels.resample.upsample import check_planes, rgb_row
from ffprep.kernels.resample.weights import axis_weights, effective_filter, tap_limit

BITS = 22
"""Fraction bits of Pillow's weights (Resample.c, PRECISION_BITS)."""


@inline
def half_bits(value: float) -> int:
    """Return the bits of a float32 rounded to the nearest float16, ties to even."""
    x = np.float32(value)
    u = np.int64(x.view(np.int32)) & 0xFFFFFFFF
    sign = (u >> 16) & 0x8000
    u &= 0x7FFFFFFF
    if u >= 0x47800000:
        return sign | (0x7E00 if u > 0x7F800000 else 0x7C00)
    if u < 0x38800000:
        y = np.float32(abs(x) + np.float32(0.5))
        return sign | ((np.int64(y.view(np.int32)) & 0xFFFFFFFF) - 0x3F000000)
    return sign | ((u - 0x38000000 + 0xFFF + ((u >> 13) & 1)) >> 13)


@inline
def bfloat_bits(value: float) -> int:
    """Return the bits of a finite float32 rounded to the nearest bfloat16, ties to even."""
    u = np.int64(np.float32(value).view(np.int32)) & 0xFFFFFFFF
    return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16) & 0xFFFF


@inline
def exact_work_size(request: Any) -> int:
    """Return the bytes of workspace that :func:`render_exact` needs for a RENDER record."""
    rows, cols = request.hi_y - request.lo_y, request.hi_x - request.lo_x
    out_h, out_w = request.out_h, request.out_w
    scale_y, scale_x = request.h / out_h, request.w / out_w
    kind = effective_filter(request.filter, scale_y, scale_x)
    taps_y, taps_x = tap_limit(kind, scale_y, 0, rows), tap_limit(kind, scale_x, 0, cols)
    size = 2 * aligned(8 * out_h) + 2 * aligned(8 * out_w)
    size += aligned(8 * out_h * taps_y) + aligned(8 * out_w * taps_x)
    size += 2 * aligned(3 * cols) + aligned(4 * (cols + 2)) + aligned(3 * out_w) + aligned(3 * out_w * rows)
    return size + 64


@inline
def _fixed(weights: NDArray[np.float64], count: int) -> None:
    for j in range(count):
        w = weights[j] * (1 << BITS)
        weights[j] = np.trunc(w - 0.5) if w < 0 else np.trunc(w + 0.5)


@inline
def _level(total: int) -> int:
    return min(max(total >> BITS, 0), 255)


@inline
def _write_row(row: NDArray[np.uint8], form: int, out: int, y: int, out_h: int, out_w: int, colour: Any) -> None:
    """Convert one output row of interleaved levels to a format and store it; `colour` is a COLOUR record."""
    last = channels_last(form)
    pitch_x = 3 if last else 1
    pitch_c = 1 if last else out_h * out_w
    base = y * out_w * pitch_x
    total = 3 * out_h * out_w
    for c in range(3):
        at = base + c * pitch_c
        if form in (U8_HWC, U8_CHW):
            bytes_out = bytes_at(out, total)
            for x in range(out_w):
                bytes_out[at + x * pitch_x] = row[3 * x + c]
            continue
        scale, bias = colour.scale[c], colour.bias[c]
        if form in (F32_CHW, F32_HWC):
            floats_out = floats_at(out, total)
            for x in range(out_w):
                floats_out[at + x * pitch_x] = np.float32(row[3 * x + c]) * scale + bias
        else:
            halves_out = halves_at(out, total)
            if form in (F16_CHW, F16_HWC):
                for x in range(out_w):
                    halves_out[at + x * pitch_x] = half_bits(np.float32(row[3 * x + c]) * scale + bias)
            else:
                for x in range(out_w):
                    halves_out[at + x * pitch_x] = bfloat_bits(np.float32(row[3 * x + c]) * scale + bias)


@kernel
def render_exact(arguments: int) -> int:
    """Render a box of an image; see :mod:`ffprep.kernels.resample.render`."""
    request = render_at(arguments)
    status = check_request(request)
    if status != OK:
        return status
    if channels_of(request.format) == 1:
        return BAD_OPTION  # bit-equality with Pillow is a matter of RGB
    if request.work_size < exact_work_size(request):
        return NO_SPACE
    image = image_at(request.image)
    status = check_planes(image, request)
    if status != OK:
        return status
    lo_y, hi_y, lo_x, hi_x = request.lo_y, request.hi_y, request.lo_x, request.hi_x
    rows, cols = hi_y - lo_y, hi_x - lo_x
    out, out_h, out_w, form, flip = request.out, request.out_h, request.out_w, request.format, request.flip
    scale_y, scale_x = request.h / out_h, request.w / out_w
    kind = effective_filter(request.filter, scale_y, scale_x)
    taps_y, taps_x = tap_limit(kind, scale_y, lo_y, hi_y), tap_limit(kind, scale_x, lo_x, hi_x)
    at = aligned(request.work)
    starts_y, at = longs_at(at, out_h), at + aligned(8 * out_h)
    counts_y, at = longs_at(at, out_h), at + aligned(8 * out_h)
    starts_x, at = longs_at(at, out_w), at + aligned(8 * out_w)
    counts_x, at = longs_at(at, out_w), at + aligned(8 * out_w)
    weights_y, at = double_rows_at(at, out_h, taps_y), at + aligned(8 * out_h * taps_y)
    weights_x, at = double_rows_at(at, out_w, taps_x), at + aligned(8 * out_w * taps_x)
    pixels, at = bytes_at(at, 3 * cols), at + aligned(3 * cols)
    parts, at = bytes_at(at, 3 * cols), at + aligned(3 * cols)
    sums, at = ints_at(at, cols + 2), at + aligned(4 * (cols + 2))
    levels, at = bytes_at(at, 3 * out_w), at + aligned(3 * out_w)
    narrow = byte_rows_at(at, rows, 3 * out_w)

    axis_weights(kind, request.y, scale_y, lo_y, hi_y, starts_y, counts_y, weights_y)
    axis_weights(kind, request.x, scale_x, lo_x, hi_x, starts_x, counts_x, weights_x)
    for o in range(out_h):
        _fixed(weights_y[o], counts_y[o])
    for o in range(out_w):
        _fixed(weights_x[o], counts_x[o])

    half = np.int64(1) << (BITS - 1)
    for r in range(starts_y[0], starts_y[out_h - 1] + counts_y[out_h - 1]):
        rgb_row(image, r, lo_x, pixels, parts, sums)
        for o in range(out_w):
            red = green = blue = half
            first = 3 * (starts_x[o] - lo_x)
            for j in range(counts_x[o]):
                weight = np.int64(weights_x[o, j])
                red += weight * pixels[first + 3 * j]
                green += weight * pixels[first + 3 * j + 1]
                blue += weight * pixels[first + 3 * j + 2]
            to = 3 * (out_w - 1 - o if flip else o)
            narrow[r - lo_y, to] = _level(red)
            narrow[r - lo_y, to + 1] = _level(green)
            narrow[r - lo_y, to + 2] = _level(blue)

    colour = colour_at(request.colour)
    for o in range(out_h):
        first = starts_y[o] - lo_y
        for i in range(3 * out_w):
            total = half
            for j in range(counts_y[o]):
                total += np.int64(weights_y[o, j]) * narrow[first + j, i]
            levels[i] = _level(total)
        _write_row(levels, form, out, o, out_h, out_w, colour)
    return OK
