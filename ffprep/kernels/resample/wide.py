"""The fused renderer without limits: any scale, any sampling, in float32 vectors that any CPU has.

Takes what the fixed-point renderers leave: images shrunk a lot, where eight bits a weight would not do, and
rare samplings. An output row: each plane's source rows are weighted into a row of floats; then every output
is a sum of products along that row; then :func:`ffprep.kernels.resample.emit.emit_values`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.layout import (
    BAD_OPTION,
    BF16_HWC,
    DESC_COLOR,
    DESC_PLANE_SIZE,
    DESC_PLANES,
    DESC_SIZE,
    GRAY,
    NO_SPACE,
    OK,
    P_ADDRESS,
    P_HEIGHT,
    P_HS,
    P_STRIDE,
    P_VS,
    P_WIDTH,
    P_X0,
    P_Y0,
    RGB,
    RGB_PACKED,
    U8_HWC,
    aligned,
    channels_last,
    item_bytes,
)
from ffprep.kernels.memory import doubles_at, fill_zero, get_f32, get_u8, longs_at, put_f32
from ffprep.kernels.resample.axis import block_start
from ffprep.kernels.resample.emit import (
    MATRIX_SIZE,
    ROW_PAD_BYTES,
    copy_narrow_row,
    emit_values,
    make_matrix,
    may_stream,
)
from ffprep.kernels.resample.upsample import check_planes
from ffprep.kernels.resample.weights import DIRECT, axis_weights, compose, effective_filter, tap_limit, upsampling
from ffprep.kernels.simd import operations as v

AXIS_SIZE = 5
A_FIRST, A_COUNT, A_WEIGHT, A_PITCH, A_LEAST = 0, 1, 2, 3, 4
"""An axis: addresses of each output's first source sample and of how many there are (int64), of its weights
(float32), how many weights from one output to the next, the least first sample."""


@inline
def _rounded(count: int) -> int:
    return (count + 15) & ~np.int64(15)


@inline
def _axis_bytes(taps: int, n: int) -> int:
    return 2 * aligned(8 * n) + aligned(8 * n * taps) + aligned(4 * n * _rounded(taps))


@inline
def wide_work_size(kind: int, box_h: float, box_w: float, rows: int, cols: int, out_h: int, out_w: int) -> int:
    """Return the bytes of workspace that :func:`render_wide` needs."""
    kind = effective_filter(kind, box_h / out_h, box_w / out_w)
    y = tap_limit(kind, box_h / out_h, 0, rows) + 3
    x = tap_limit(kind, box_w / out_w, 0, cols) + 3
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
    axis: NDArray[np.int64],
    at: int,
) -> int:
    """Write an axis, composed with a component's upsampling, with float32 weights padded by zeros."""
    v.compact()
    wide = taps if how == DIRECT else taps + 3
    axis[A_FIRST], axis[A_COUNT] = at, at + aligned(8 * n)
    first, count = longs_at(at, n), longs_at(axis[A_COUNT], n)
    at += 2 * aligned(8 * n)
    weight = doubles_at(at, n * wide).reshape(n, wide)
    at += aligned(8 * n * wide)
    pitch = _rounded(wide)
    axis[A_WEIGHT], axis[A_PITCH] = at, pitch
    if how == DIRECT:
        first, count, weight = luma_first, luma_count, luma_weight
        axis[A_FIRST], axis[A_COUNT] = luma_first.ctypes.data, luma_count.ctypes.data
    else:
        compose(how, ratio, length, luma_first, luma_count, luma_weight, first, count, weight)
    axis[A_LEAST] = first[0]
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
                    # From one byte before the last sample's pixel end: 46 bytes are needed, and no more are
                    # read.
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
def _resample_row(row: int, axis: NDArray[np.int64], n: int, flip: int, out: int) -> None:
    """Write every output of a row of float32 samples that begins with the axis' least."""
    v.compact()
    pitch, least = axis[A_PITCH], axis[A_LEAST]
    first, count = longs_at(axis[A_FIRST], n), longs_at(axis[A_COUNT], n)
    for x in range(n):
        o = n - 1 - x if flip else x
        at, weights = row + 4 * (first[o] - least), axis[A_WEIGHT] + 4 * o * pitch
        total = v.multiply_f32x16(v.load_f32x16(at), v.load_f32x16(weights))
        for k in range(16, count[o], 16):
            total = v.multiply_add_f32x16(v.load_f32x16(at + 4 * k), v.load_f32x16(weights + 4 * k), total)
        put_f32(out + 4 * x, v.sum_f32x16(total))


@kernel
def render_wide(
    desc_address: int,
    y: float,
    x: float,
    h: float,
    w: float,
    lo_y: int,
    hi_y: int,
    lo_x: int,
    hi_x: int,
    flip: int,
    kind: int,
    out: int,
    out_h: int,
    out_w: int,
    form: int,
    colour_address: int,
    work: int,
    work_size: int,
    stream: int,
) -> int:
    """Render a box of an image; see :data:`ffprep.kernels.resample.render.SIGNATURE`."""
    v.compact()
    rows, cols = hi_y - lo_y, hi_x - lo_x
    if out_h < 1 or out_w < 1 or rows < 1 or cols < 1 or form < U8_HWC or form > BF16_HWC:
        return BAD_OPTION
    if not (h > 0.0 and w > 0.0):
        return BAD_OPTION
    if work_size < wide_work_size(kind, h, w, rows, cols, out_h, out_w):
        return NO_SPACE
    desc = longs_at(desc_address, DESC_SIZE)
    status = check_planes(desc, lo_y, hi_y - 1, lo_x, hi_x - 1)
    if status != OK:
        return status
    scale_y, scale_x = h / out_h, w / out_w
    kind = effective_filter(kind, scale_y, scale_x)
    taps_y, taps_x = tap_limit(kind, scale_y, lo_y, hi_y), tap_limit(kind, scale_x, lo_x, hi_x)
    at = aligned(work)
    axes, at = longs_at(at, 6 * AXIS_SIZE), at + aligned(8 * 6 * AXIS_SIZE)
    matrix, at = at, at + aligned(4 * MATRIX_SIZE)
    pad, at = at, at + aligned(ROW_PAD_BYTES)
    row_bytes = aligned(4 * (cols + 64))
    rows_at, at = at, at + 3 * row_bytes
    line_bytes = aligned(4 * (out_w + 32))
    lines, at = at, at + 3 * line_bytes
    first_y, at = longs_at(at, out_h), at + aligned(8 * out_h)
    count_y, at = longs_at(at, out_h), at + aligned(8 * out_h)
    weight_y, at = doubles_at(at, out_h * taps_y).reshape(out_h, taps_y), at + aligned(8 * out_h * taps_y)
    first_x, at = longs_at(at, out_w), at + aligned(8 * out_w)
    count_x, at = longs_at(at, out_w), at + aligned(8 * out_w)
    weight_x, at = doubles_at(at, out_w * taps_x).reshape(out_w, taps_x), at + aligned(8 * out_w * taps_x)
    axis_weights(kind, y, scale_y, lo_y, hi_y, first_y, count_y, weight_y)
    axis_weights(kind, x, scale_x, lo_x, hi_x, first_x, count_x, weight_x)

    color = desc[DESC_COLOR]
    packed = color == RGB_PACKED
    planes = 1 if color == GRAY else 3
    stored = 1 if packed else planes
    # Samples behind a row's end are multiplied by 0, so they must be numbers.
    fill_zero(rows_at, 3 * row_bytes)
    fill_zero(lines, 3 * line_bytes)
    for c in range(planes):
        p = desc[DESC_PLANES + DESC_PLANE_SIZE * (c % stored) : DESC_PLANES + DESC_PLANE_SIZE * (c % stored + 1)]
        how_v, how_h = upsampling(p[P_HS], p[P_VS], p[P_WIDTH])
        down = axes[2 * c * AXIS_SIZE : (2 * c + 1) * AXIS_SIZE]
        along = axes[(2 * c + 1) * AXIS_SIZE : (2 * c + 2) * AXIS_SIZE]
        at = _make_axis(how_v, p[P_VS], p[P_HEIGHT], out_h, taps_y, first_y, count_y, weight_y, down, at)
        at = _make_axis(how_h, p[P_HS], p[P_WIDTH], out_w, taps_x, first_x, count_x, weight_x, along, at)
    make_matrix(RGB if packed else color, form, 1.0, colour_address, matrix)

    size = item_bytes(form)
    step_out = 3 * size if channels_last(form) else size
    narrow = out_w < 16
    plane_out = 16 * size if narrow else out_h * out_w * size
    nt = np.int64(stream and may_stream(form, out, out_w))
    step = 3 if packed else 1
    for o in range(out_h):
        for c in range(planes):
            p = desc[DESC_PLANES + DESC_PLANE_SIZE * (c % stored) : DESC_PLANES + DESC_PLANE_SIZE * (c % stored + 1)]
            down = axes[2 * c * AXIS_SIZE : (2 * c + 1) * AXIS_SIZE]
            along = axes[(2 * c + 1) * AXIS_SIZE : (2 * c + 2) * AXIS_SIZE]
            first = longs_at(down[A_FIRST], out_h)[o]
            source = (
                p[P_ADDRESS]
                + (first - p[P_Y0]) * p[P_STRIDE]
                + (along[A_LEAST] - p[P_X0]) * step
                + (c if packed else 0)
            )
            width = (
                longs_at(along[A_FIRST], out_w)[out_w - 1] + longs_at(along[A_COUNT], out_w)[out_w - 1] - along[A_LEAST]
            )
            _weigh_rows(
                source,
                p[P_STRIDE],
                step,
                width,
                longs_at(down[A_COUNT], out_h)[o],
                down[A_WEIGHT] + 4 * o * down[A_PITCH],
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
