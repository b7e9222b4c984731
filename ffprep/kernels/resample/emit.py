"""The last step of the fused renderers: resampled rows of the three components become pixels of the output format.

Sixteen pixels at a time. One 3x4 matrix converts the colour, normalises and undoes the scale of fixed-point samples;
then the values are clamped to what levels 0 and 255 become, converted to the element type and stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ffprep.kernels.jit import inline
from ffprep.kernels.layout import (
    BF16_CHW,
    F16_CHW,
    F16_GREY,
    F16_HWC,
    F32_CHW,
    F32_GREY,
    F32_HWC,
    GRAY,
    U8_GREY,
    U8_HWC,
    YCC,
    channels_last,
    channels_of,
    item_bytes,
)
from ffprep.kernels.memory import copy_bytes, floats_at
from ffprep.kernels.resample.records import colour_at
from ffprep.kernels.simd import operations as v

MATRIX_SIZE = 18
"""float32 values of a colour matrix: for each of R, G, B the factors of the three samples, the constant, the least and
the greatest value."""

ROW_PAD_BYTES = 3 * 16 * 4
"""Bytes of the scratch row that outputs narrower than 16 pixels go through."""


@inline
def make_matrix(color: int, form: int, unit: float, colour_address: int, matrix_address: int) -> None:
    """Write the matrix that turns samples into outputs.

    `color` is that of the IMAGE, `form` the output format, `unit` the sample value of level 1, `colour_address` that of
    a COLOUR, `matrix_address` that of MATRIX_SIZE float32. YCbCr becomes RGB as JFIF and libjpeg have it:
    R = Y + 1.402 (Cr - 128), and so on. Of grey formats, only R is used, which then is Y.
    """
    colour, out = colour_at(colour_address), floats_at(matrix_address, MATRIX_SIZE)
    whole = item_bytes(form) == 1
    grey = channels_of(form) == 1
    for c in range(3):
        scale = 1.0 if whole else np.float64(colour.scale[c])
        bias = 0.0 if whole else np.float64(colour.bias[c])
        cb, cr = 0.0, 0.0
        if color == YCC:
            if grey:
                cb, cr = 0.0, 0.0
            elif c == 0:
                cr = 1.402
            elif c == 1:
                cb, cr = -0.344136286, -0.714136286
            else:
                cb = 1.772
            first, second, third = 1.0, cb, cr
            constant = -128.0 * (cb + cr)
        elif color == GRAY:
            first, second, third, constant = 1.0, 0.0, 0.0, 0.0
        elif grey:
            first, second, third, constant = 0.299, 0.587, 0.114, 0.0
        else:
            first, second, third = np.float64(c == 0), np.float64(c == 1), np.float64(c == 2)
            constant = 0.0
        m = out[6 * c : 6 * c + 6]
        m[0], m[1], m[2] = scale * first / unit, scale * second / unit, scale * third / unit
        m[3] = scale * constant + bias
        m[4], m[5] = min(bias, 255.0 * scale + bias), max(bias, 255.0 * scale + bias)
        if whole:
            m[3] += 0.5
            m[5] = 255.5


@inline
def _unclamped(y: Any, cb: Any, cr: Any, matrix: int) -> Any:
    a = v.multiply_add_f32x16(y, v.repeat_f32x16(matrix), v.repeat_f32x16(matrix + 12))
    a = v.multiply_add_f32x16(cb, v.repeat_f32x16(matrix + 4), a)
    return v.multiply_add_f32x16(cr, v.repeat_f32x16(matrix + 8), a)


@inline
def _channel(y: Any, cb: Any, cr: Any, matrix: int) -> Any:
    a = v.max_f32x16(_unclamped(y, cb, cr, matrix), v.repeat_f32x16(matrix + 16))
    return v.min_f32x16(a, v.repeat_f32x16(matrix + 20))


@inline
def as_levels(values: Any) -> Any:
    """Cut values to bytes; narrowing with saturation costs less than clamping first."""
    return v.level_i8x16(v.low_i16x16(v.to_i32x16(values)))


@inline
def _level(y: Any, cb: Any, cr: Any, matrix: int) -> Any:
    return as_levels(_unclamped(y, cb, cr, matrix))


@inline
def _bfloat(x: Any) -> Any:
    """Round to nearest even in the integer domain."""
    bits = v.bits_i32x16(x)
    odd = v.and_i32x16(v.shift_16_i32x16(bits), v.fill_i32x16(1))
    return v.low_i16x16(v.shift_16_i32x16(v.add_i32x16(v.add_i32x16(bits, v.fill_i32x16(0x7FFF)), odd)))


@inline
def emit_block(first: Any, second: Any, third: Any, matrix: int, form: int, at: int, plane: int, stream: int) -> None:
    """Write 16 pixels whose samples are whole numbers (i32x16); see :func:`emit_values`."""
    v.compact()
    emit_values(v.to_f32x16(first), v.to_f32x16(second), v.to_f32x16(third), matrix, form, at, plane, stream)


@inline
def _emit_grey(level: Any, form: int, at: int, stream: int) -> None:
    if form == F32_GREY:
        if stream:
            v.stream_f32x16(at, level)
        else:
            v.store_f32x16(at, level)
    elif form == F16_GREY:
        v.store_f16x16(at, v.half_f16x16(level))
    else:
        v.store_i16x16(at, _bfloat(level))


@inline
def emit_values(y: Any, cb: Any, cr: Any, matrix: int, form: int, at: int, plane: int, stream: int) -> None:
    """Write 16 pixels.

    `y`, `cb`, `cr` are their samples (f32x16), `matrix` the address of what :func:`make_matrix` wrote, `at` the address
    of the first pixel (of its first channel), `plane` the bytes from one channel to the next where each channel is a
    plane. With `stream`, `at` and `plane` must be multiples of 64.
    """
    v.compact()
    if item_bytes(form) == 1:
        r8 = _level(y, cb, cr, matrix)
        if form == U8_GREY:
            v.store_i8x16(at, r8)
            return
        g8, b8 = _level(y, cb, cr, matrix + 24), _level(y, cb, cr, matrix + 48)
        if form == U8_HWC:
            v.store_i8x48(at, v.pixels_i8x48(r8, g8, b8))
        else:
            v.store_i8x16(at, r8)
            v.store_i8x16(at + plane, g8)
            v.store_i8x16(at + 2 * plane, b8)
        return
    r = _channel(y, cb, cr, matrix)
    if channels_of(form) == 1:
        _emit_grey(r, form, at, stream)
        return
    g = _channel(y, cb, cr, matrix + 24)
    b = _channel(y, cb, cr, matrix + 48)
    if form == F32_CHW:
        if stream:
            v.stream_f32x16(at, r)
            v.stream_f32x16(at + plane, g)
            v.stream_f32x16(at + 2 * plane, b)
        else:
            v.store_f32x16(at, r)
            v.store_f32x16(at + plane, g)
            v.store_f32x16(at + 2 * plane, b)
    elif form == F32_HWC:
        p, q, s = v.pixel_part_0(r, g, b), v.pixel_part_1(r, g, b), v.pixel_part_2(r, g, b)
        if stream:
            v.stream_f32x16(at, p)
            v.stream_f32x16(at + 64, q)
            v.stream_f32x16(at + 128, s)
        else:
            v.store_f32x16(at, p)
            v.store_f32x16(at + 64, q)
            v.store_f32x16(at + 128, s)
    elif form == F16_CHW:
        v.store_f16x16(at, v.half_f16x16(r))
        v.store_f16x16(at + plane, v.half_f16x16(g))
        v.store_f16x16(at + 2 * plane, v.half_f16x16(b))
    elif form == F16_HWC:
        v.store_f16x48(at, v.pixels_f16x48(v.half_f16x16(r), v.half_f16x16(g), v.half_f16x16(b)))
    elif form == BF16_CHW:
        v.store_i16x16(at, _bfloat(r))
        v.store_i16x16(at + plane, _bfloat(g))
        v.store_i16x16(at + 2 * plane, _bfloat(b))
    else:
        v.store_i16x48(at, v.pixels_i16x48(_bfloat(r), _bfloat(g), _bfloat(b)))


@inline
def output_steps(form: int, out_h: int, out_w: int) -> tuple[int, int]:
    """Return the bytes from one pixel to the next and, where each channel is a plane, from one channel to the next.

    Outputs narrower than 16 pixels go through a scratch row (:func:`copy_narrow_row`), whose planes are 16 elements.
    """
    size = item_bytes(form)
    return 3 * size if channels_last(form) else size, 16 * size if out_w < 16 else out_h * out_w * size


@inline
def may_stream(form: int, out: int, out_w: int) -> bool:
    """Return whether every block of an output can be written past the cache."""
    return item_bytes(form) == 4 and out % 64 == 0 and out_w % 16 == 0


@inline
def copy_narrow_row(pad: int, form: int, out: int, y: int, out_h: int, out_w: int) -> None:
    """Copy row y of an output narrower than 16 pixels from its scratch row (channels 16 elements apart)."""
    size = item_bytes(form)
    if channels_last(form):
        n = 3 * out_w * size
        copy_bytes(out + y * n, pad, n)
    else:
        n = out_w * size
        for c in range(channels_of(form)):
            copy_bytes(out + (c * out_h + y) * n, pad + 16 * c * size, n)
