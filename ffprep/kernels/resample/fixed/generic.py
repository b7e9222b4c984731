"""The fused renderer in LLVM's generic vectors of 16-bit numbers: for any CPU, without byte shuffles.

It makes sixteen output rows at a time. The vertical pass sums bytes times weights in 16 bits; 16 x 16 blocks of that
are transposed, so that in the horizontal pass the lanes are rows and a tap is a multiplication of a whole vector by one
number; the results are transposed back to rows of samples for :func:`ffprep.kernels.resample.emit.emit_block`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.layout import GRAY, NO_SPACE, OK, RGB, RGB_PACKED, UNFIT, aligned
from ffprep.kernels.memory import get_i32, get_u8, put_i16
from ffprep.kernels.resample.axis import block_start
from ffprep.kernels.resample.emit import (
    MATRIX_SIZE,
    ROW_PAD_BYTES,
    copy_narrow_row,
    emit_block,
    make_matrix,
    may_stream,
    output_steps,
)
from ffprep.kernels.resample.plan import TABLES_SIZE, WIDE_SCALE, fits, make_plan, plan_size, unit_weight
from ffprep.kernels.resample.records import check_request, image_at, plane_tables_at, render_at
from ffprep.kernels.resample.upsample import check_planes
from ffprep.kernels.simd import operations as v

STRIP = 16
"""Output rows at a time: the lanes of a vector."""


@inline
def generic_work_size(request: Any) -> int:
    """Return the bytes of workspace that :func:`render_generic` needs for a RENDER record."""
    cols = request.hi_x - request.lo_x
    columns = aligned(2 * STRIP * (cols + 32)) + STRIP * aligned(2 * (cols + 32))
    lines = 3 * aligned(2 * STRIP * (request.out_w + 32))
    return plan_size(request) + columns + lines + 4096


@inline
def _levels(at: int, step: int) -> Any:
    """Return 16 samples, `step` (1 or 3) bytes apart, as i16x16; no byte after the last sample is read."""
    v.compact()
    if step == 1:
        return v.widen_u8_i16x16(v.load_i8x16(at))
    a, b, c = v.load_i8x16(at), v.load_i8x16(at + 16), v.shift_down_2_i8x16(v.load_i8x16(at + 30))
    return v.widen_u8_i16x16(v.take_red_i8x16(a, b, c))


@inline
def _product(at: int, step: int, weight: Any) -> Any:
    return v.mul_i16x16(_levels(at, step), weight)


@inline
def _weigh_row(
    source: int, stride: int, last: int, step: int, size: int, count: int, weights: int, pitch: int, out: int
) -> None:
    """Write the sum of `count` rows of `size` >= 16 samples times their weights as int16."""
    v.compact()
    w0, w1 = v.repeat_i16x16(weights), v.repeat_i16x16(weights + pitch)
    p1 = min(source + stride, last)
    if count <= 2:
        for start in range(0, size, 16):
            x = min(start, size - 16)
            at = step * x
            v.store_i16x16(out + 2 * x, v.add_i16x16(_product(source + at, step, w0), _product(p1 + at, step, w1)))
        return
    w2, w3 = v.repeat_i16x16(weights + 2 * pitch), v.repeat_i16x16(weights + 3 * pitch)
    p2, p3 = min(source + 2 * stride, last), min(source + 3 * stride, last)
    for start in range(0, size, 16):
        x = min(start, size - 16)
        at = step * x
        low = v.add_i16x16(_product(source + at, step, w0), _product(p1 + at, step, w1))
        total = v.add_i16x16(low, v.add_i16x16(_product(p2 + at, step, w2), _product(p3 + at, step, w3)))
        for k in range(4, count):
            row = min(source + k * stride, last) + at
            total = v.add_i16x16(total, _product(row, step, v.repeat_i16x16(weights + k * pitch)))
        v.store_i16x16(out + 2 * x, total)


@inline
def _weigh_narrow_row(
    source: int, stride: int, last: int, step: int, size: int, count: int, weights: int, pitch: int, out: int
) -> None:
    """Do what :func:`_weigh_row` does with fewer than 16 samples."""
    v.compact()
    for x in range(size):
        total = np.int64(0)
        for k in range(count):
            at = min(source + k * stride, last) + step * x
            total += np.int64(get_u8(at)) * np.int64(get_i32(weights + k * pitch))
        put_i16(out + 2 * x, np.int16(total))


@inline
def _weigh_strip(
    tables: Any, plane: Any, step: int, channel: int, begin: int, out_h: int, scratch: int, scratch_pitch: int, out: int
) -> None:
    """Write the vertical sums of 16 output rows from `begin` on, column by column: int16[cols][16] at `out`.

    `scratch` is the address of 16 rows, `scratch_pitch` bytes apart.
    """
    v.compact()
    rows, columns = tables.rows, tables.columns
    stride, size = plane.stride, columns.columns
    column = plane.address + (columns.origin - plane.x0) * step + channel
    base = column + (rows.shift - plane.y0) * stride
    last = base + rows.last * stride
    for lane in range(STRIP):
        o = 4 * min(begin + lane, out_h - 1)
        source = base + np.int64(get_i32(rows.first + o)) * stride
        count = np.int64(get_i32(rows.used + o))
        weights, pitch, to = rows.weight + o, rows.pitch, scratch + lane * scratch_pitch
        if size >= 16:
            _weigh_row(source, stride, last, step, size, count, weights, pitch, to)
        else:
            _weigh_narrow_row(source, stride, last, step, size, count, weights, pitch, to)
    for x in range(0, size, 16):
        v.transpose_i16(scratch + 2 * x, scratch_pitch, out + 32 * x, 32)


@inline
def _resample_strip(columns: Any, out_w: int, flip: int, samples: int, tile: int, out: int, pitch: int) -> None:
    """Write 16 rows of `out_w` outputs (int16, rows `pitch` bytes apart) from what :func:`_weigh_strip` wrote.

    `columns` is a COLUMN_TABLES record, `samples` the address of the vertical sums, `tile` that of 512 scratch bytes.
    """
    v.compact()
    least = np.int64(get_i32(columns.first))
    weights, row = columns.weight, columns.pitch
    for b in range((out_w + 15) // 16):
        begin = block_start(b, out_w)
        for lane in range(16):
            x = min(begin + lane, out_w - 1)
            o = 4 * (out_w - 1 - x if flip else x)
            at = samples + 32 * (np.int64(get_i32(columns.first + o)) - least)
            count = np.int64(get_i32(columns.used + o))
            w = weights + o
            # Every product is rounded down: half a unit each, on average.
            total = v.fill_i16x16(count >> 1)
            total = v.add_i16x16(total, v.high_product_i16x16(v.load_i16x16(at), v.repeat_i16x16(w)))
            for k in range(1, count):
                scaled = v.high_product_i16x16(v.load_i16x16(at + 32 * k), v.repeat_i16x16(w + k * row))
                total = v.add_i16x16(total, scaled)
            v.store_i16x16(tile + 32 * lane, total)
        v.transpose_i16(tile, 32, out + 2 * begin, pitch)


@kernel
def render_generic(arguments: int) -> int:
    """Render a box of an image; see :mod:`ffprep.kernels.resample.render`. UNFIT: ask the wide renderer."""
    v.compact()
    request = render_at(arguments)
    status = check_request(request)
    if status != OK:
        return status
    out, out_h, out_w, form, flip = request.out, request.out_h, request.out_w, request.format, request.flip
    if request.h > WIDE_SCALE * out_h or request.w > WIDE_SCALE * out_w:
        return UNFIT
    if request.work_size < generic_work_size(request):
        return NO_SPACE
    image = image_at(request.image)
    status = check_planes(image, request)
    if status != OK:
        return status
    if not fits(image):
        return UNFIT
    cols = request.hi_x - request.lo_x
    at = aligned(request.work)
    luma, at = plane_tables_at(at), at + aligned(TABLES_SIZE)
    chroma, at = plane_tables_at(at), at + aligned(TABLES_SIZE)
    matrix, at = at, at + aligned(4 * MATRIX_SIZE)
    pad, at = at, at + aligned(ROW_PAD_BYTES)
    tile, at = at, at + 512
    columns, at = at, at + aligned(2 * STRIP * (cols + 32))
    row_pitch = aligned(2 * (cols + 32))
    rows_at, at = at, at + STRIP * row_pitch
    pitch = 2 * ((out_w + 31) & ~np.int64(15))
    lines, at = at, at + 3 * STRIP * pitch
    make_plan(image, request, np.int64(0), luma, chroma, aligned(at))
    color = image.color
    packed = color == RGB_PACKED
    planes = 1 if color == GRAY else 3
    unit = np.float64(unit_weight(request.filter))
    make_matrix(RGB if packed else color, form, unit * unit / 256.0, request.colour, matrix)

    step, plane = output_steps(form, out_h, out_w)
    narrow = out_w < 16
    nt = np.int64(request.stream and may_stream(form, out, out_w))
    zero = v.fill_i32x16(0)
    for begin in range(0, out_h, STRIP):
        for c in range(planes):
            tables = chroma if c > 0 else luma
            part = image.planes[0 if packed else c]
            channel = c if packed else 0
            _weigh_strip(tables, part, 3 if packed else 1, channel, begin, out_h, rows_at, row_pitch, columns)
            _resample_strip(tables.columns, out_w, flip, columns, tile, lines + c * STRIP * pitch, pitch)
        for lane in range(min(STRIP, out_h - begin)):
            o = begin + lane
            line = pad if narrow else out + o * out_w * step
            for b in range((out_w + 15) // 16):
                start = block_start(b, out_w)
                at = lines + lane * pitch + 2 * start
                a0, a1, a2 = v.widen_i16_i32x16(v.load_i16x16(at)), zero, zero
                if planes == 3:
                    a1 = v.widen_i16_i32x16(v.load_i16x16(at + STRIP * pitch))
                    a2 = v.widen_i16_i32x16(v.load_i16x16(at + 2 * STRIP * pitch))
                emit_block(a0, a1, a2, matrix, form, line + start * step, plane, nt)
            if narrow:
                copy_narrow_row(pad, form, out, o, out_h, out_w)
    if nt:
        v.store_fence()
    return OK
