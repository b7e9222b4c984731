"""The renderer of boxes that keep their size: chroma is upsampled, colour converted, and nothing is resampled.

Its pixels are the wide renderer's, bit for bit: libjpeg's triangle weights samples by 3/4 and 1/4, so a component at
image resolution is a whole number of 16ths, which float32 holds exactly, and whose order of summation is of no matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.layout import GRAY, NO_SPACE, OK, RGB, RGB_PACKED, U8_HWC, UNFIT, YCC, aligned
from ffprep.kernels.memory import copy_bytes, floats_at, get_i16, get_u8, put_i16
from ffprep.kernels.resample.axis import block_start
from ffprep.kernels.resample.emit import (
    MATRIX_SIZE,
    ROW_PAD_BYTES,
    as_levels,
    copy_narrow_row,
    emit_block,
    make_matrix,
    may_stream,
    output_steps,
)
from ffprep.kernels.resample.fixed.common import split_pixels
from ffprep.kernels.resample.plan import fits
from ffprep.kernels.resample.records import check_request, image_at, render_at
from ffprep.kernels.resample.upsample import check_planes
from ffprep.kernels.resample.weights import DIRECT, FANCY, component_span, upsampling
from ffprep.kernels.simd import operations as v

SLACK = 64
"""Samples before and after those of a row that its buffer has room for."""


@inline
def _row_bytes(cols: int) -> int:
    """Return the bytes of a buffer for a row of int16 samples at image resolution."""
    return aligned(2 * (cols + 2 * SLACK))


@inline
def unscaled_work_size(request: Any) -> int:
    """Return the bytes of workspace that :func:`render_unscaled` needs for a RENDER record."""
    return 8 * _row_bytes(request.hi_x - request.lo_x) + aligned(4 * MATRIX_SIZE) + aligned(ROW_PAD_BYTES) + 256


@inline
def _weigh_two(near: int, far: int, n: int, out: int) -> None:
    """Write 3 times the samples at `near` plus those at `far`, or where that is 0 the samples, as int16."""
    v.compact()
    three = v.fill_i16x16(3)
    if n < 16:
        for i in range(n):
            level = np.int64(get_u8(near + i))
            put_i16(out + 2 * i, np.int16(3 * level + np.int64(get_u8(far + i)) if far else level))
        return
    for start in range(0, n, 16):
        x = min(start, n - 16)
        levels = v.widen_u8_i16x16(v.load_i8x16(near + x))
        if far:
            levels = v.add_i16x16(v.mul_i16x16(levels, three), v.widen_u8_i16x16(v.load_i8x16(far + x)))
        v.store_i16x16(out + 2 * x, levels)


@inline
def _spread(sums: int, n: int, out: int) -> None:
    """Write 2 n samples: of each of n int16 sums 3 times itself plus the one before it, and plus the one after it.

    Those at both ends are their own neighbours.
    """
    v.compact()
    put_i16(sums - 2, get_i16(sums))
    put_i16(sums + 2 * n, get_i16(sums + 2 * (n - 1)))
    three = v.fill_i16x16(3)
    for x in range(0, n, 16):
        middle = v.mul_i16x16(v.load_i16x16(sums + 2 * x), three)
        even = v.add_i16x16(middle, v.load_i16x16(sums + 2 * x - 2))
        odd = v.add_i16x16(middle, v.load_i16x16(sums + 2 * x + 2))
        v.store_i16x16(out + 4 * x, v.interleave_low_i16x16(even, odd))
        v.store_i16x16(out + 4 * x + 32, v.interleave_high_i16x16(even, odd))


@inline
def _upsample(plane: Any, y: int, first: int, cols: int, sums: int, out: int) -> int:
    """Bring columns first, first + 1, ... of image row y of a subsampled component to image resolution.

    Return the address of the first: int16, 4 or 16 times its level, as there are one or two directions.
    """
    hs, vs, width, height = plane.hs, plane.vs, plane.width, plane.height
    how_v, how_h = upsampling(hs, vs, width)
    a, b = component_span(how_h, hs, width, first, first + cols - 1)
    n = b - a + 1
    near = min(y // vs, height - 1)
    column = plane.address + a - plane.x0
    source, far = column + (near - plane.y0) * plane.stride, np.int64(0)
    if how_v == FANCY:
        aside = min(max((y >> 1) - 1 + 2 * (y & 1), 0), height - 1)
        far = column + (aside - plane.y0) * plane.stride
    if how_h == DIRECT:
        _weigh_two(source, far, n, out)
        return out
    _weigh_two(source, far, n, sums)
    _spread(sums, n, out)
    return out + 2 * (first - 2 * a)


@inline
def _wide_row(row: int, cols: int, buffer: int) -> int:
    """Return a row of bytes of which 16 may be read: itself, or where it is shorter, a copy."""
    if cols >= 16:
        return row
    copy_bytes(buffer, row, cols)
    return buffer


@inline
def _bytes(row: int, flip: int) -> Any:
    levels = v.load_i8x16(row)
    if flip:
        levels = v.reverse_i8x16(levels)
    return v.widen_i16_i32x16(v.widen_u8_i16x16(levels))


@inline
def _shorts(row: int, flip: int) -> Any:
    levels = v.load_i16x16(row)
    if flip:
        levels = v.reverse_i16x16(levels)
    return v.widen_i16_i32x16(levels)


@inline
def _rgb_row(luma: int, second: int, third: int, above: int, flip: int, out_w: int, matrix: int, line: int) -> None:
    """Write a row of at least 16 pixels from YCbCr as interleaved bytes: the most frequent case, in a loop of its own.

    What :func:`~ffprep.kernels.resample.emit.emit_block` would write; the factors that are 1 and 0 are left out.
    """
    v.compact()
    red, red_cr = v.repeat_f32x16(matrix + 12), v.repeat_f32x16(matrix + 8)
    green, green_cb, green_cr = (
        v.repeat_f32x16(matrix + 36),
        v.repeat_f32x16(matrix + 28),
        v.repeat_f32x16(matrix + 32),
    )
    blue, blue_cb = v.repeat_f32x16(matrix + 60), v.repeat_f32x16(matrix + 52)
    for start in range(0, out_w, 16):
        begin = min(start, out_w - 16)
        from_ = out_w - 16 - begin if flip else begin
        y = v.to_f32x16(_bytes(luma + from_, flip))
        if above:
            cb = v.to_f32x16(_shorts(second + 2 * from_, flip))
            cr = v.to_f32x16(_shorts(third + 2 * from_, flip))
        else:
            cb, cr = v.to_f32x16(_bytes(second + from_, flip)), v.to_f32x16(_bytes(third + from_, flip))
        r = v.multiply_add_f32x16(cr, red_cr, v.add_f32x16(y, red))
        g = v.multiply_add_f32x16(cr, green_cr, v.multiply_add_f32x16(cb, green_cb, v.add_f32x16(y, green)))
        b = v.multiply_add_f32x16(cb, blue_cb, v.add_f32x16(y, blue))
        v.store_i8x48(line + 3 * begin, v.pixels_i8x48(as_levels(r), as_levels(g), as_levels(b)))


@kernel
def render_unscaled(arguments: int) -> int:
    """Render a box that keeps its size; see :mod:`ffprep.kernels.resample.render`. UNFIT: ask the wide renderer."""
    v.compact()
    request = render_at(arguments)
    status = check_request(request)
    if status != OK:
        return status
    y, x = np.int64(np.floor(request.y)), np.int64(np.floor(request.x))
    out, out_h, out_w, form, flip = request.out, request.out_h, request.out_w, request.format, request.flip
    if request.h != out_h or request.w != out_w or request.y != y or request.x != x:
        return UNFIT
    if y < request.lo_y or x < request.lo_x or y + out_h > request.hi_y or x + out_w > request.hi_x:
        return UNFIT
    if request.work_size < unscaled_work_size(request):
        return NO_SPACE
    image = image_at(request.image)
    status = check_planes(image, request)
    if status != OK:
        return status
    if not fits(image):
        return UNFIT
    at = aligned(request.work)
    matrix, at = at, at + aligned(4 * MATRIX_SIZE)
    pad, at = at, at + aligned(ROW_PAD_BYTES)
    row = _row_bytes(request.hi_x - request.lo_x)
    spare_0, spare_1, spare_2, sums = at, at + row, at + 2 * row, at + 3 * row + 2 * SLACK
    up_1, up_2, packed_row = at + 4 * row, at + 5 * row, at + 6 * row

    color = image.color
    packed = color == RGB_PACKED
    first, second, third = image.planes[0], image.planes[1], image.planes[2]
    make_matrix(RGB if packed else color, form, 1.0, request.colour, matrix)
    planes = 1 if color == GRAY else 3
    above = np.int64(0)
    if planes == 3 and not packed:
        how_v, how_h = upsampling(second.hs, second.vs, second.width)
        above = np.int64(how_v == FANCY) + np.int64(how_h == FANCY)
        factors = floats_at(matrix, MATRIX_SIZE)
        for c in range(3):  # a power of two: no bit changes
            factors[6 * c + 1] *= np.float32(1.0) / np.float32(np.int64(1) << (2 * above))
            factors[6 * c + 2] *= np.float32(1.0) / np.float32(np.int64(1) << (2 * above))

    step, plane = output_steps(form, out_h, out_w)
    narrow = out_w < 16
    nt = np.int64(request.stream and may_stream(form, out, out_w))
    zero = v.fill_i32x16(0)
    for o in range(out_h):
        at_0 = at_1 = at_2 = spare_0
        if packed:
            copy_bytes(packed_row, first.address + (y + o - first.y0) * first.stride + 3 * (x - first.x0), 3 * out_w)
            split_pixels(packed_row, out_w, spare_0, spare_1, spare_2)
            at_1, at_2 = spare_1, spare_2
        else:
            source = first.address + (y + o - first.y0) * first.stride + x - first.x0
            at_0 = _wide_row(source, out_w, spare_0)
            if above:
                at_1 = _upsample(second, y + o, x, out_w, sums, up_1)
                at_2 = _upsample(third, y + o, x, out_w, sums, up_2)
            elif planes == 3:
                at_1 = _wide_row(second.address + (y + o - second.y0) * second.stride + x - second.x0, out_w, spare_1)
                at_2 = _wide_row(third.address + (y + o - third.y0) * third.stride + x - third.x0, out_w, spare_2)
        if color == YCC and form == U8_HWC and not narrow:
            _rgb_row(at_0, at_1, at_2, above, flip, out_w, matrix, out + 3 * o * out_w)
            continue
        line = pad if narrow else out + o * out_w * step
        for b in range((out_w + 15) // 16):
            begin = block_start(b, out_w)
            from_ = out_w - 16 - begin if flip else begin
            a0, a1, a2 = _bytes(at_0 + from_, flip), zero, zero
            if above:
                a1, a2 = _shorts(at_1 + 2 * from_, flip), _shorts(at_2 + 2 * from_, flip)
            elif planes == 3:
                a1, a2 = _bytes(at_1 + from_, flip), _bytes(at_2 + from_, flip)
            emit_block(a0, a1, a2, matrix, form, line + begin * step, plane, nt)
        if narrow:
            copy_narrow_row(pad, form, out, o, out_h, out_w)
    if nt:
        v.store_fence()
    return OK
