"""The frame of the fixed-point fused renderers: plan, then row by row a vertical pass, a horizontal one, and
pixels.

A CPU level supplies functions that are inlined here: ``vertical(source, stride, last, size, pairs, weights,
pitch, out)`` weights pairs of source rows to a row of bytes, ``one_row(row, base, index, weights, groups)``
makes sixteen outputs of such a row, ``two_rows`` and ``three_rows`` those of several at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
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
    P_STRIDE,
    P_X0,
    P_Y0,
    RGB,
    RGB_PACKED,
    U8_HWC,
    UNFIT,
    aligned,
    channels_last,
    item_bytes,
)
from ffprep.kernels.memory import get_i32, get_u8, longs_at, put_u8
from ffprep.kernels.resample.axis import block_start
from ffprep.kernels.resample.emit import (
    MATRIX_SIZE,
    ROW_PAD_BYTES,
    copy_narrow_row,
    emit_block,
    make_matrix,
    may_stream,
)
from ffprep.kernels.resample.plan import (
    H_BASE,
    H_COLS,
    H_GROUPS,
    H_INDEX,
    H_ORIGIN,
    H_WEIGHT,
    PLAN_SIZE,
    V_FIRST,
    V_LAST,
    V_PITCH,
    V_SHIFT,
    V_USED,
    V_WEIGHT,
    WIDE_SCALE,
    fits,
    make_plan,
    plan_size,
    unit_weight,
)
from ffprep.kernels.resample.upsample import check_planes
from ffprep.kernels.resample.weights import effective_filter
from ffprep.kernels.simd import operations as v

ROW_SLACK = 256
"""Bytes behind a row buffer that a horizontal pass may read (and multiply by 0)."""


@inline
def fixed_work_size(kind: int, box_h: float, box_w: float, rows: int, cols: int, out_h: int, out_w: int) -> int:
    """Return the bytes of workspace a fixed-point renderer needs."""
    return plan_size(kind, box_h, box_w, rows, cols, out_h, out_w) + 6 * aligned(cols + ROW_SLACK) + 2048


@inline
def narrow_columns(
    source: int, stride: int, last: int, size: int, pairs: int, weights: int, pitch: int, out: int
) -> None:
    """The vertical pass of rows narrower than a level's vectors: 16 columns at a time, or singly below
    that."""
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
    """Take a row of interleaved RGB apart; reads and writes up to 16 pixels beyond `cols`."""
    v.compact()
    for x in range(0, cols, 16):
        a = v.load_i8x16(packed + 3 * x)
        b = v.load_i8x16(packed + 3 * x + 16)
        c = v.load_i8x16(packed + 3 * x + 32)
        v.store_i8x16(first + x, v.take_red_i8x16(a, b, c))
        v.store_i8x16(second + x, v.take_green_i8x16(a, b, c))
        v.store_i8x16(third + x, v.take_blue_i8x16(a, b, c))


@inline
def _weigh(vertical: Any, plan: NDArray[np.int64], plane: NDArray[np.int64], step: int, o: int, out: int) -> None:
    """Make row o of a plane: `plane` is its part of the descriptor, `step` its bytes a sample."""
    v.compact()
    stride = plane[P_STRIDE]
    column = plane[P_ADDRESS] + (plan[H_ORIGIN] - plane[P_X0]) * step
    base = column + (plan[V_SHIFT] - plane[P_Y0]) * stride
    vertical(
        base + np.int64(get_i32(plan[V_FIRST] + 4 * o)) * stride,
        stride,
        base + plan[V_LAST] * stride,
        plan[H_COLS] * step,
        np.int64(get_i32(plan[V_USED] + 4 * o)),
        plan[V_WEIGHT] + 4 * o,
        plan[V_PITCH],
        out,
    )


@inline
def render_fixed(
    vertical: Any,
    one_row: Any,
    two_rows: Any,
    three_rows: Any,
    window: int,
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
    """Render a box of an image; see :data:`ffprep.kernels.resample.render.SIGNATURE`. UNFIT: ask the wide renderer."""
    v.compact()
    rows, cols = hi_y - lo_y, hi_x - lo_x
    if out_h < 1 or out_w < 1 or rows < 1 or cols < 1 or form < U8_HWC or form > BF16_HWC:
        return BAD_OPTION
    if not (h > 0.0 and w > 0.0):
        return BAD_OPTION
    if h > WIDE_SCALE * out_h or w > WIDE_SCALE * out_w:
        return UNFIT
    if work_size < fixed_work_size(kind, h, w, rows, cols, out_h, out_w):
        return NO_SPACE
    desc = longs_at(desc_address, DESC_SIZE)
    status = check_planes(desc, lo_y, hi_y - 1, lo_x, hi_x - 1)
    if status != OK:
        return status
    if not fits(desc):
        return UNFIT
    kind = effective_filter(kind, h / out_h, w / out_w)
    at = aligned(work)
    plan, at = longs_at(at, 2 * PLAN_SIZE), at + aligned(16 * PLAN_SIZE)
    matrix, at = at, at + aligned(4 * MATRIX_SIZE)
    pad, at = at, at + aligned(ROW_PAD_BYTES)
    color = desc[DESC_COLOR]
    packed = color == RGB_PACKED
    planes = 1 if color == GRAY else 3
    row = aligned(cols + ROW_SLACK)
    row_0, row_1, row_2, row_packed, at = at, at + row, at + 2 * row, at + 3 * row, at + 6 * row
    differ = make_plan(desc, y, x, h, w, lo_y, hi_y, lo_x, hi_x, flip, kind, out_h, out_w, window, plan, at)
    luma, chroma = plan[:PLAN_SIZE], plan[PLAN_SIZE:]
    unit = np.float64(unit_weight(kind))
    make_matrix(RGB if packed else color, form, unit * unit / 128.0, colour_address, matrix)

    size = item_bytes(form)
    step = 3 * size if channels_last(form) else size
    narrow = out_w < 16
    plane = 16 * size if narrow else out_h * out_w * size
    nt = np.int64(stream and may_stream(form, out, out_w))
    first = desc[DESC_PLANES : DESC_PLANES + DESC_PLANE_SIZE]
    second = desc[DESC_PLANES + DESC_PLANE_SIZE : DESC_PLANES + 2 * DESC_PLANE_SIZE]
    third = desc[DESC_PLANES + 2 * DESC_PLANE_SIZE : DESC_PLANES + 3 * DESC_PLANE_SIZE]
    base_0, index_0, weight_0, groups_0 = luma[H_BASE], luma[H_INDEX], luma[H_WEIGHT], luma[H_GROUPS]
    base_1, index_1, weight_1, groups_1 = chroma[H_BASE], chroma[H_INDEX], chroma[H_WEIGHT], chroma[H_GROUPS]
    zero = v.fill_i32x16(0)
    for o in range(out_h):
        if packed:
            _weigh(vertical, luma, first, 3, o, row_packed)
            split_pixels(row_packed, luma[H_COLS], row_0, row_1, row_2)
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
