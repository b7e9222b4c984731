"""The fused renderer without limits: any scale, any sampling, in float32 vectors that any CPU has.

It takes what the fixed-point renderers leave: images shrunk so much that eight bits a weight would not do, and rare
samplings. For an output row, each plane's source rows are weighted into a row of floats; then every output is a sum of
products along that row; last comes :func:`ffprep.kernels.resample.emit.emit_values`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.abi import WIDE_PLANE
from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.layout import GRAY, NO_SPACE, OK, RGB, RGB_PACKED, aligned
from ffprep.kernels.memory import double_rows_at, fill_zero, get_f32, get_u8, longs_at, put_f32
from ffprep.kernels.resample.axis import block_start
from ffprep.kernels.resample.emit import (
    MATRIX_SIZE,
    ROW_PAD_BYTES,
    copy_narrow_row,
    emit_values,
    make_matrix,
    may_stream,
    output_steps,
)
from ffprep.kernels.resample.records import check_request, image_at, render_at, wide_plane_at
from ffprep.kernels.resample.upsample import check_planes
from ffprep.kernels.resample.weights import DIRECT, axis_weights, compose, effective_filter, tap_limit, upsampling
from ffprep.kernels.simd import operations as v

AXES_SIZE = WIDE_PLANE.itemsize


@inline
def _rounded(count: int) -> int:
    return (count + 15) & ~np.int64(15)


@inline
def _axis_bytes(taps: int, n: int) -> int:
    return 2 * aligned(8 * n) + aligned(8 * n * taps) + aligned(4 * n * _rounded(taps))


@inline
def wide_work_size(request: Any) -> int:
    """Return the bytes of workspace that :func:`render_wide` needs for a RENDER record."""
    rows, cols = request.hi_y - request.lo_y, request.hi_x - request.lo_x
    out_h, out_w = request.out_h, request.out_w
    scale_y, scale_x = request.h / out_h, request.w / out_w
    kind = effective_filter(request.filter, scale_y, scale_x)
    y, x = tap_limit(kind, scale_y, 0, rows) + 3, tap_limit(kind, scale_x, 0, cols) + 3
    axes = 4 * (_axis_bytes(y, out_h) + _axis_bytes(x, out_w))
    return axes + 3 * aligned(4 * (cols + 64)) + 3 * aligned(4 * (out_w + 32)) + 4096


@inline
def _make_axis(
    how: int,
    ratio: int,
    length: int,
    n: int,
    taps: int,
    luma_first: NDArray[np.int64],
    luma_count: NDArray[np.int64],
    luma_weight: NDArray[np.float64],
    axis: Any,
    at: int,
) -> int:
    """Fill a WIDE_AXIS with the luma axis combined with a component's upsampling; return the next free address.

    The weights are padded with zeros to a multiple of 16.
    """
    v.compact()
    wide = taps if how == DIRECT else taps + 3
    axis.first, axis.count = at, at + aligned(8 * n)
    first, count = longs_at(at, n), longs_at(at + aligned(8 * n), n)
    at += 2 * aligned(8 * n)
    weight = double_rows_at(at, n, wide)
    at += aligned(8 * n * wide)
    pitch = _rounded(wide)
    axis.weight, axis.pitch = at, pitch
    if how == DIRECT:
        first, count, weight = luma_first, luma_count, luma_weight
        axis.first, axis.count = luma_first.ctypes.data, luma_count.ctypes.data
    else:
        compose(how, ratio, length, luma_first, luma_count, luma_weight, first, count, weight)
    axis.least = first[0]
    fill_zero(at, 4 * n * pitch)
    for o in range(n):
        for k in range(count[o]):
            put_f32(at + 4 * (o * pitch + k), np.float32(weight[o, k]))
    return at + aligned(4 * n * pitch)


@inline
def _weigh_rows(source: int, stride: int, step: int, size: int, count: int, weights: int, out: int) -> None:
    """Write the weighted sum of `count` rows of `size` samples, `step` (1 or 3) bytes apart, as float32."""
    v.compact()
    if size >= 16:
        for start in range(0, size, 16):
            x = min(start, size - 16)
            total = v.fill_f32x16(np.float32(0))
            for k in range(count):
                at = source + k * stride + step * x
                if step == 1:
                    levels = v.load_i8x16(at)
                else:
                    # 46 bytes hold 16 samples 3 bytes apart; the third load begins early so that no more are read.
                    levels = v.take_red_i8x16(
                        v.load_i8x16(at), v.load_i8x16(at + 16), v.shift_down_2_i8x16(v.load_i8x16(at + 30))
                    )
                total = v.multiply_add_f32x16(v.widen_u8_f32x16(levels), v.repeat_f32x16(weights + 4 * k), total)
            v.store_f32x16(out + 4 * x, total)
        return
    for x in range(size):
        sum_ = np.float32(0)
        for k in range(count):
            sum_ += np.float32(get_u8(source + k * stride + step * x)) * get_f32(weights + 4 * k)
        put_f32(out + 4 * x, sum_)


@inline
def _resample_row(row: int, axis: Any, n: int, flip: int, out: int) -> None:
    """Write every output of a row of float32 samples, whose first is the axis' `least`."""
    v.compact()
    pitch, least, table = axis.pitch, axis.least, axis.weight
    first, count = longs_at(axis.first, n), longs_at(axis.count, n)
    for x in range(n):
        o = n - 1 - x if flip else x
        at, weights = row + 4 * (first[o] - least), table + 4 * o * pitch
        total = v.multiply_f32x16(v.load_f32x16(at), v.load_f32x16(weights))
        for k in range(16, count[o], 16):
            total = v.multiply_add_f32x16(v.load_f32x16(at + 4 * k), v.load_f32x16(weights + 4 * k), total)
        put_f32(out + 4 * x, v.sum_f32x16(total))


@kernel
def render_wide(arguments: int) -> int:
    """Render a box of an image; see :mod:`ffprep.kernels.resample.render`."""
    v.compact()
    request = render_at(arguments)
    status = check_request(request)
    if status != OK:
        return status
    if request.work_size < wide_work_size(request):
        return NO_SPACE
    image = image_at(request.image)
    status = check_planes(image, request)
    if status != OK:
        return status
    lo_y, hi_y, lo_x, hi_x = request.lo_y, request.hi_y, request.lo_x, request.hi_x
    out, out_h, out_w, form, flip = request.out, request.out_h, request.out_w, request.format, request.flip
    cols = hi_x - lo_x
    scale_y, scale_x = request.h / out_h, request.w / out_w
    kind = effective_filter(request.filter, scale_y, scale_x)
    taps_y, taps_x = tap_limit(kind, scale_y, lo_y, hi_y), tap_limit(kind, scale_x, lo_x, hi_x)
    at = aligned(request.work)
    axes, at = at, at + aligned(3 * AXES_SIZE)
    matrix, at = at, at + aligned(4 * MATRIX_SIZE)
    pad, at = at, at + aligned(ROW_PAD_BYTES)
    row_bytes = aligned(4 * (cols + 64))
    rows_at, at = at, at + 3 * row_bytes
    line_bytes = aligned(4 * (out_w + 32))
    lines, at = at, at + 3 * line_bytes
    first_y, at = longs_at(at, out_h), at + aligned(8 * out_h)
    count_y, at = longs_at(at, out_h), at + aligned(8 * out_h)
    weight_y, at = double_rows_at(at, out_h, taps_y), at + aligned(8 * out_h * taps_y)
    first_x, at = longs_at(at, out_w), at + aligned(8 * out_w)
    count_x, at = longs_at(at, out_w), at + aligned(8 * out_w)
    weight_x, at = double_rows_at(at, out_w, taps_x), at + aligned(8 * out_w * taps_x)
    axis_weights(kind, request.y, scale_y, lo_y, hi_y, first_y, count_y, weight_y)
    axis_weights(kind, request.x, scale_x, lo_x, hi_x, first_x, count_x, weight_x)

    color = image.color
    packed = color == RGB_PACKED
    planes = 1 if color == GRAY else 3
    stored = 1 if packed else planes
    # Samples after a row's end are multiplied by 0, so they must be numbers.
    fill_zero(rows_at, 3 * row_bytes)
    fill_zero(lines, 3 * line_bytes)
    for c in range(planes):
        plane, axis = image.planes[c % stored], wide_plane_at(axes + c * AXES_SIZE)
        hs, vs, width, height = plane.hs, plane.vs, plane.width, plane.height
        how_v, how_h = upsampling(hs, vs, width)
        at = _make_axis(how_v, vs, height, out_h, taps_y, first_y, count_y, weight_y, axis.rows, at)
        at = _make_axis(how_h, hs, width, out_w, taps_x, first_x, count_x, weight_x, axis.columns, at)
    make_matrix(RGB if packed else color, form, 1.0, request.colour, matrix)

    step_out, plane_out = output_steps(form, out_h, out_w)
    narrow = out_w < 16
    nt = np.int64(request.stream and may_stream(form, out, out_w))
    step = 3 if packed else 1
    for o in range(out_h):
        for c in range(planes):
            plane, axis = image.planes[c % stored], wide_plane_at(axes + c * AXES_SIZE)
            down, along = axis.rows, axis.columns
            stride, least = plane.stride, along.least
            first = longs_at(down.first, out_h)[o]
            column = plane.address + (least - plane.x0) * step + (c if packed else 0)
            width = longs_at(along.first, out_w)[out_w - 1] + longs_at(along.count, out_w)[out_w - 1] - least
            _weigh_rows(
                column + (first - plane.y0) * stride,
                stride,
                step,
                width,
                longs_at(down.count, out_h)[o],
                down.weight + 4 * o * down.pitch,
                rows_at + c * row_bytes,
            )
            _resample_row(rows_at + c * row_bytes, along, out_w, flip, lines + c * line_bytes)
        line = pad if narrow else out + o * out_w * step_out
        for b in range((out_w + 15) // 16):
            begin = block_start(b, out_w)
            line_at = lines + 4 * begin
            emit_values(
                v.load_f32x16(line_at),
                v.load_f32x16(line_at + line_bytes),
                v.load_f32x16(line_at + 2 * line_bytes),
                matrix,
                form,
                line + begin * step_out,
                plane_out,
                nt,
            )
        if narrow:
            copy_narrow_row(pad, form, out, o, out_h, out_w)
    if nt:
        v.store_fence()
    return OK
