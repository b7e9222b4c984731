"""What the fixed-point renderers of AVX2 and AVX-512 have in common: all but the instructions of the two passes.

They make a plan; then, for each output row, a vertical pass, a horizontal pass, and pixels. A CPU level supplies
functions that are inlined here: ``vertical(source, stride, last, size, pairs, weights, pitch, out)`` weights pairs of
source rows into a row of bytes; ``one_row(row, base, index, weights, groups)`` makes sixteen outputs from such a row,
``two_rows`` and ``three_rows`` make those of several rows at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ffprep.kernels.jit import inline
from ffprep.kernels.layout import GRAY, NO_SPACE, OK, RGB, RGB_PACKED, UNFIT, aligned
from ffprep.kernels.memory import get_i32, get_u8, put_u8
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

ROW_SLACK = 256
"""Bytes after a row buffer that a horizontal pass may read (and multiply by 0)."""


@inline
def fixed_work_size(request: Any) -> int:
    """Return the bytes of workspace that :func:`render_fixed` needs for a RENDER record."""
    cols = request.hi_x - request.lo_x
    return plan_size(request) + 6 * aligned(cols + ROW_SLACK) + 2048


@inline
def narrow_columns(
    source: int, stride: int, last: int, size: int, pairs: int, weights: int, pitch: int, out: int
) -> None:
    """Make the vertical pass over rows narrower than a level's vectors: 16 columns at a time, or one below 16.

    The parameters are those of ``vertical``.
    """
    v.compact()
    if size >= 16:
        for start in range(0, size, 16):
            x = min(start, size - 16)
            sums = v.fill_i16x16(64)
            for k in range(2 * pairs):
                w = np.int64(np.int8(get_u8(weights + (k // 2) * pitch + k % 2)))
                levels = v.widen_u8_i16x16(v.load_i8x16(min(source + k * stride, last) + x))
                sums = v.add_i16x16(sums, v.mul_i16x16(levels, v.fill_i16x16(w)))
            v.store_i8x16(out + x, v.level_i8x16(v.arithmetic_shift_7_i16x16(sums)))
        return
    for x in range(size):
        total = np.int64(64)
        for k in range(2 * pairs):
            weight = np.int64(np.int8(get_u8(weights + (k // 2) * pitch + k % 2)))
            total += weight * np.int64(get_u8(min(source + k * stride, last) + x))
        put_u8(out + x, np.uint8(min(max(total >> 7, 0), 255)))


@inline
def split_pixels(packed: int, cols: int, first: int, second: int, third: int) -> None:
    """Split a row of interleaved RGB into three; reads and writes up to 16 pixels beyond `cols`."""
    v.compact()
    for x in range(0, cols, 16):
        a = v.load_i8x16(packed + 3 * x)
        b = v.load_i8x16(packed + 3 * x + 16)
        c = v.load_i8x16(packed + 3 * x + 32)
        v.store_i8x16(first + x, v.take_red_i8x16(a, b, c))
        v.store_i8x16(second + x, v.take_green_i8x16(a, b, c))
        v.store_i8x16(third + x, v.take_blue_i8x16(a, b, c))


@inline
def _weigh(vertical: Any, tables: Any, plane: Any, step: int, o: int, out: int) -> None:
    """Make the vertical pass for output row o of a plane, whose samples are `step` bytes, into the row at `out`."""
    v.compact()
    rows, columns = tables.rows, tables.columns
    stride = plane.stride
    column = plane.address + (columns.origin - plane.x0) * step
    base = column + (rows.shift - plane.y0) * stride
    vertical(
        base + np.int64(get_i32(rows.first + 4 * o)) * stride,
        stride,
        base + rows.last * stride,
        columns.columns * step,
        np.int64(get_i32(rows.used + 4 * o)),
        rows.weight + 4 * o,
        rows.pitch,
        out,
    )


@inline
def render_fixed(vertical: Any, one_row: Any, two_rows: Any, three_rows: Any, window: int, arguments: int) -> int:
    """Render a box of an image; see :mod:`ffprep.kernels.resample.render`. UNFIT: ask the wide renderer."""
    v.compact()
    request = render_at(arguments)
    status = check_request(request)
    if status != OK:
        return status
    out, out_h, out_w, form = request.out, request.out_h, request.out_w, request.format
    if request.h > WIDE_SCALE * out_h or request.w > WIDE_SCALE * out_w:
        return UNFIT
    if request.work_size < fixed_work_size(request):
        return NO_SPACE
    image = image_at(request.image)
    status = check_planes(image, request)
    if status != OK:
        return status
    if not fits(image):
        return UNFIT
    at = aligned(request.work)
    luma, at = plane_tables_at(at), at + aligned(TABLES_SIZE)
    chroma, at = plane_tables_at(at), at + aligned(TABLES_SIZE)
    matrix, at = at, at + aligned(4 * MATRIX_SIZE)
    pad, at = at, at + aligned(ROW_PAD_BYTES)
    color = image.color
    packed = color == RGB_PACKED
    planes = 1 if color == GRAY else 3
    row = aligned(request.hi_x - request.lo_x + ROW_SLACK)
    row_0, row_1, row_2, row_packed, at = at, at + row, at + 2 * row, at + 3 * row, at + 6 * row
    differ = make_plan(image, request, window, luma, chroma, at)
    unit = np.float64(unit_weight(request.filter))
    make_matrix(RGB if packed else color, form, unit * unit / 128.0, request.colour, matrix)

    step, plane = output_steps(form, out_h, out_w)
    narrow = out_w < 16
    nt = np.int64(request.stream and may_stream(form, out, out_w))
    first, second, third = image.planes[0], image.planes[1], image.planes[2]
    fine, coarse = luma.columns, chroma.columns
    base_0, index_0, weight_0, groups_0 = fine.base, fine.index, fine.weight, fine.groups
    base_1, index_1, weight_1, groups_1 = coarse.base, coarse.index, coarse.weight, coarse.groups
    zero = v.fill_i32x16(0)
    for o in range(out_h):
        if packed:
            _weigh(vertical, luma, first, 3, o, row_packed)
            split_pixels(row_packed, fine.columns, row_0, row_1, row_2)
        else:
            _weigh(vertical, luma, first, 1, o, row_0)
            if planes == 3:
                _weigh(vertical, chroma, second, 1, o, row_1)
                _weigh(vertical, chroma, third, 1, o, row_2)
        line = pad if narrow else out + o * out_w * step
        for b in range((out_w + 15) // 16):
            at_0 = weight_0 + 64 * groups_0 * b
            if planes == 1:
                a0, a1, a2 = one_row(row_0, base_0 + 64 * b, index_0 + 64 * b, at_0, groups_0), zero, zero
            elif differ:
                a0 = one_row(row_0, base_0 + 64 * b, index_0 + 64 * b, at_0, groups_0)
                at_1 = weight_1 + 64 * groups_1 * b
                a1, a2 = two_rows(row_1, row_2, base_1 + 64 * b, index_1 + 64 * b, at_1, groups_1)
            else:
                a0, a1, a2 = three_rows(row_0, row_1, row_2, base_0 + 64 * b, index_0 + 64 * b, at_0, groups_0)
            emit_block(a0, a1, a2, matrix, form, line + block_start(b, out_w) * step, plane, nt)
        if narrow:
            copy_narrow_row(pad, form, out, o, out_h, out_w)
    if nt:
        v.store_fence()
    return OK
