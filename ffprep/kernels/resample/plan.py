"""What a fixed-point renderer works out once an image: for each class of planes its source rows and columns
and its integer weights, as tables in the workspace.

Luma (or gray, or all of RGB) is class 0, chroma at another resolution class 1. Chroma weights are composed
with libjpeg's upsampling (:func:`ffprep.kernels.resample.axis.compose_fancy`), so the planes need not be brought to
full resolution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import inline
from ffprep.kernels.layout import (
    DESC_COLOR,
    DESC_PLANE_SIZE,
    DESC_PLANES,
    GRAY,
    P_HEIGHT,
    P_HS,
    P_VS,
    P_WIDTH,
    RGB_PACKED,
)
from ffprep.kernels.memory import fill_zero, get_i32
from ffprep.kernels.resample.axis import (
    FRONT,
    SPARE_ROWS,
    block_tables,
    compose_fancy,
    composed_taps,
    fill_axis,
    lanes,
    pad_axis,
    pair_weights,
    quantise_axis,
    taps,
)
from ffprep.kernels.resample.weights import BICUBIC, BOX, DIRECT, component_span, effective_filter, upsampling
from ffprep.kernels.simd import operations as v

PLAN_SIZE = 16
V_FIRST, V_SHIFT, V_LAST, V_USED, V_WEIGHT, V_PITCH = 0, 1, 2, 3, 4, 5
"""Vertical entries of a class: address of each output row's first source row (int32), what to add to it for a
row of the component, the last source row used (counted as those are), address of the taps (or pairs of taps)
of each output row (int32), address of the weights (int32 table, tap-major), bytes from one of its rows to the
next."""
H_ORIGIN, H_COLS, H_BASE, H_INDEX, H_WEIGHT, H_GROUPS, H_FIRST, H_USED, H_PITCH = 6, 7, 8, 9, 10, 11, 12, 13, 14
"""Horizontal entries: first column of the component and number of columns used; tables of
:func:`axis.block_tables` and their groups of four taps. Without block tables, H_FIRST, H_USED, H_WEIGHT and
H_PITCH are as for the rows (the first output's entry in H_FIRST is the column H_ORIGIN)."""

WIDE_SCALE = 3.75
"""Images shrunk more than this go to the wide renderer: the shuffles of the fixed-point ones reach no
further."""


@inline
def unit_weight(kind: int) -> int:
    """Return what integer weights of eight bits sum to.

    127, but less where weights overshoot: the positive ones of BICUBIC sum to at most 1.13 of the whole, and
    a sum of 255 times them must fit 16 bits.
    """
    return np.int64(112) if kind == BICUBIC else np.int64(127)


@inline
def _axis_size(count: int, n: int) -> int:
    """Return the bytes of one class's tables of an axis of `count` taps."""
    row = 4 * lanes(n)
    floats = (count + 2 * SPARE_ROWS + 1) * row
    integers = (count + 5) * row
    packed = (count // 2 + 1) * row
    blocks = (n // 16 + 1) * (128 + 64 * (count // 4 + 1))
    return 3 * row + floats + integers + max(packed, blocks) + 1024


@inline
def plan_size(kind: int, box_h: float, box_w: float, rows: int, cols: int, out_h: int, out_w: int) -> int:
    """Return the bytes of workspace that :func:`make_plan` fills."""
    kind = effective_filter(kind, box_h / out_h, box_w / out_w)
    y, x = taps(kind, box_h / out_h, rows), taps(kind, box_w / out_w, cols)
    size = _axis_size(y, out_h) + _axis_size(composed_taps(y), out_h)
    return size + _axis_size(x, out_w) + _axis_size(composed_taps(x), out_w)


@inline
def fits(desc: NDArray[np.int64]) -> bool:
    """Return whether the samplings are such as the fixed-point renderers know: all that occur outside of
    curiosities.

    The first component at full resolution, the other two alike, upsampled by libjpeg's triangle or not at
    all.
    """
    if desc[DESC_COLOR] == RGB_PACKED or desc[DESC_COLOR] == GRAY:
        return desc[DESC_PLANES + P_HS] == 1 and desc[DESC_PLANES + P_VS] == 1
    second, third = DESC_PLANES + DESC_PLANE_SIZE, DESC_PLANES + 2 * DESC_PLANE_SIZE
    for k in (P_HS, P_VS, P_WIDTH, P_HEIGHT):
        if desc[second + k] != desc[third + k]:
            return False
    how_v, how_h = upsampling(desc[second + P_HS], desc[second + P_VS], desc[second + P_WIDTH])
    return desc[DESC_PLANES + P_HS] == 1 and desc[DESC_PLANES + P_VS] == 1 and how_v != BOX and how_h != BOX


@inline
def _float_table(count: int, n: int, at: int) -> tuple[int, int]:
    """Reserve a weight table with zeroed rows around it; return the addresses of its output 0 and behind
    it."""
    row = 4 * lanes(n)
    table = at + SPARE_ROWS * row
    fill_zero(at, SPARE_ROWS * row)
    fill_zero(table + count * row, (SPARE_ROWS + 1) * row)
    return table + FRONT, table + (count + SPARE_ROWS + 1) * row


@inline
def _integer_table(n: int, count: int, weights: int, one: int, at: int) -> tuple[int, int, int]:
    """Write the rounded weights; return the addresses of the table, of the taps used, and behind both."""
    row = 4 * lanes(n)
    whole = (count + 3) & ~np.int64(3)
    used, table = at + FRONT, at + row
    fill_zero(table + count * row, (whole - count) * row)
    quantise_axis(n, count, weights, one, table + FRONT, used)
    return table + FRONT, used, table + whole * row


@inline
def _plan_rows(
    n: int,
    count: int,
    first: int,
    weights: int,
    last: int,
    shift: int,
    one: int,
    window: int,
    plan: NDArray[np.int64],
    at: int,
) -> int:
    v.compact()
    row = 4 * lanes(n)
    table, used, at = _integer_table(n, count, weights, one, at)
    plan[V_FIRST], plan[V_USED], plan[V_PITCH] = first, used, row
    plan[V_SHIFT] = shift
    plan[V_LAST] = min(np.int64(get_i32(first + 4 * (n - 1))) + count - 1, last)
    plan[V_WEIGHT] = table
    if window:
        plan[V_WEIGHT] = at + FRONT
        pair_weights(n, count, table, used, plan[V_WEIGHT])
        at += ((count + 1) // 2) * row
    return at


@inline
def _plan_columns(
    n: int,
    count: int,
    first: int,
    weights: int,
    last: int,
    shift: int,
    one: int,
    flip: int,
    window: int,
    plan: NDArray[np.int64],
    at: int,
) -> int:
    v.compact()
    table, used, at = _integer_table(n, count, weights, one, at)
    plan[H_FIRST], plan[H_USED], plan[H_WEIGHT], plan[H_PITCH] = first, used, table, 4 * lanes(n)
    origin = np.int64(get_i32(first))
    plan[H_ORIGIN] = origin + shift
    plan[H_COLS] = min(np.int64(get_i32(first + 4 * (n - 1))) + count - 1, last) - origin + 1
    if window:
        blocks = (n + 15) // 16
        if n < 16:
            pad_axis(n, (count + 3) & ~np.int64(3), first, table)
        plan[H_BASE], plan[H_INDEX], plan[H_WEIGHT] = at, at + 64 * blocks, at + 128 * blocks
        plan[H_GROUPS] = block_tables(
            n, count, first, table, origin, flip, window, plan[H_BASE], plan[H_INDEX], plan[H_WEIGHT]
        )
        at += 64 * blocks * (2 + plan[H_GROUPS])
    return at


@inline
def make_plan(
    desc: NDArray[np.int64],
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
    out_h: int,
    out_w: int,
    window: int,
    plan: NDArray[np.int64],
    at: int,
) -> int:
    """Fill the plan of an image whose descriptor has been checked and :func:`fits`.

    Parameters
    ----------
    desc ... out_w
        As in :data:`ffprep.kernels.resample.render.SIGNATURE`; `kind` is an effective filter.
    window : int
        How many neighbouring outputs share a load in the horizontal pass (16 or 4); 0 for plain tables of
        taps, horizontal weights then 256 times finer.
    plan : int64 array of shape (2 * PLAN_SIZE,)
        Class 0, then class 1; where class 1 has the resolution of class 0 it holds the same.
    at : int
        Address of :func:`plan_size` bytes, a multiple of 64.

    Returns
    -------
    int
        1 where class 1 differs from class 0, else 0.
    """
    v.compact()
    scale_y, scale_x = h / out_h, w / out_w
    rows, cols = hi_y - lo_y, hi_x - lo_x
    one = unit_weight(kind)
    one_x = one if window else one * 256
    taps_y, taps_x = taps(kind, scale_y, rows), taps(kind, scale_x, cols)
    row_y, row_x = 4 * lanes(out_h), 4 * lanes(out_w)
    first_y, first_x, at = at + FRONT, at + row_y + FRONT, at + row_y + row_x
    place, at = at + FRONT, at + max(row_y, row_x)
    weights_y, at = _float_table(taps_y, out_h, at)
    weights_x, at = _float_table(taps_x, out_w, at)
    fill_axis(kind, y - lo_y, scale_y, rows, out_h, taps_y, first_y, place, weights_y)
    fill_axis(kind, x - lo_x, scale_x, cols, out_w, taps_x, first_x, place, weights_x)
    luma, chroma = plan[:PLAN_SIZE], plan[PLAN_SIZE:]

    how_v, how_h = DIRECT, DIRECT
    second = desc[DESC_PLANES + DESC_PLANE_SIZE : DESC_PLANES + 2 * DESC_PLANE_SIZE]
    if desc[DESC_COLOR] != RGB_PACKED and desc[DESC_COLOR] != GRAY:
        how_v, how_h = upsampling(second[P_HS], second[P_VS], second[P_WIDTH])
    at = _plan_rows(out_h, taps_y, first_y, weights_y, rows - 1, lo_y, one, window, luma, at)
    at = _plan_columns(out_w, taps_x, first_x, weights_x, cols - 1, lo_x, one_x, flip, window, luma, at)
    for k in range(PLAN_SIZE):
        chroma[k] = luma[k]
    if how_v != DIRECT:
        count = composed_taps(taps_y)
        start, at = at + FRONT, at + row_y
        table, at = _float_table(count, out_h, at)
        compose_fancy(lo_y, second[P_HEIGHT], out_h, taps_y, first_y, weights_y, start, table)
        _, last = component_span(how_v, second[P_VS], second[P_HEIGHT], lo_y, hi_y - 1)
        at = _plan_rows(out_h, count, start, table, last, 0, one, window, chroma, at)
    if how_h != DIRECT:
        count = composed_taps(taps_x)
        start, at = at + FRONT, at + row_x
        table, at = _float_table(count, out_w, at)
        compose_fancy(lo_x, second[P_WIDTH], out_w, taps_x, first_x, weights_x, start, table)
        _, last = component_span(how_h, second[P_HS], second[P_WIDTH], lo_x, hi_x - 1)
        _plan_columns(out_w, count, start, table, last, 0, one_x, flip, window, chroma, at)
    return np.int64(how_v != DIRECT or how_h != DIRECT)


__all__ = ["WIDE_SCALE", "fits", "make_plan", "plan_size", "unit_weight"]
