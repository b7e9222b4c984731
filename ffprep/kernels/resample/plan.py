"""The plan of a fixed-point renderer: for each class of planes, its source rows and columns and its integer weights.

It is worked out once for each image, as tables in the workspace. There are two classes of planes: luma (or gray, or all
of packed RGB), and chroma, which may have another resolution. Chroma weights are combined with libjpeg's upsampling
(:func:`ffprep.kernels.resample.axis.compose_fancy`), so that chroma need not be brought to full resolution.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ffprep.abi import PLANE_TABLES
from ffprep.kernels.jit import inline
from ffprep.kernels.layout import GRAY, RGB_PACKED
from ffprep.kernels.memory import address_of, copy_bytes, fill_zero, get_i32
from ffprep.kernels.resample.axis import (
    FRONT,
    SPARE_ROWS,
    Axis,
    block_tables,
    compose_fancy,
    composed_taps,
    fill_axis,
    lanes,
    pad_axis,
    pair_weights,
    quantise_axis,
)
from ffprep.kernels.resample.weights import (
    BICUBIC,
    BOX,
    DIRECT,
    component_span,
    effective_filter,
    tap_count,
    upsampling,
)
from ffprep.kernels.simd import operations as v

TABLES_SIZE = PLANE_TABLES.itemsize

WIDE_SCALE = 3.75
"""Images that shrink more than this go to the wide renderer: the shuffles of the fixed-point ones reach no further."""


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
def plan_size(request: Any) -> int:
    """Return the bytes of workspace that :func:`make_plan` fills for a RENDER record."""
    out_h, out_w = request.out_h, request.out_w
    scale_y, scale_x = request.h / out_h, request.w / out_w
    kind = effective_filter(request.filter, scale_y, scale_x)
    y = tap_count(kind, scale_y, request.hi_y - request.lo_y)
    x = tap_count(kind, scale_x, request.hi_x - request.lo_x)
    size = _axis_size(y, out_h) + _axis_size(composed_taps(y), out_h)
    return size + _axis_size(x, out_w) + _axis_size(composed_taps(x), out_w)


@inline
def fits(image: Any) -> bool:
    """Return whether the fixed-point renderers can render an image's samplings: all but very rare ones.

    The first component must be at full resolution, the other two alike and upsampled by libjpeg's triangle or not at
    all.
    """
    first = image.planes[0]
    if first.hs != 1 or first.vs != 1:
        return False
    if image.color == RGB_PACKED or image.color == GRAY:
        return True
    second, third = image.planes[1], image.planes[2]
    if second.hs != third.hs or second.vs != third.vs:
        return False
    if second.width != third.width or second.height != third.height:
        return False
    how_v, how_h = upsampling(second.hs, second.vs, second.width)
    return how_v != BOX and how_h != BOX


@inline
def _float_table(count: int, n: int, at: int) -> tuple[int, int]:
    """Reserve a weight table with zeroed rows above and below; return the address of its output 0, and the next free.

    The last of `SPARE_ROWS` + 1 rows below is there because :func:`compose_fancy` reads one further.
    """
    row = 4 * lanes(n)
    table = at + SPARE_ROWS * row
    fill_zero(at, SPARE_ROWS * row)
    fill_zero(table + count * row, (SPARE_ROWS + 1) * row)
    return table + FRONT, table + (count + SPARE_ROWS + 1) * row


@inline
def _integer_axis(axis: Axis, one: int, at: int) -> tuple[Axis, int, int]:
    """Return the axis with its weights rounded, the address of the taps used, and the next free address."""
    n, count, first, _ = axis
    row = 4 * lanes(n)
    whole = (count + 3) & ~np.int64(3)
    used, table = at + FRONT, at + row
    fill_zero(table + count * row, (whole - count) * row)
    quantise_axis(axis, one, table + FRONT, used)
    return Axis(n, count, first, table + FRONT), used, table + whole * row


@inline
def _last_used(axis: Axis, last: int) -> int:
    """Return the last sample that the last output uses, of those up to `last`."""
    return min(np.int64(get_i32(axis.first + 4 * (axis.outputs - 1))) + axis.taps - 1, last)


@inline
def _plan_rows(axis: Axis, last: int, shift: int, one: int, window: int, rows: Any, at: int) -> int:
    """Fill a ROW_TABLES record from an axis with float weights; return the next free address.

    `last`: the last source row, counted as those of the axis are; `shift`: what makes it a row of the component.
    """
    v.compact()
    whole, used, at = _integer_axis(axis, one, at)
    pitch = 4 * lanes(axis.outputs)
    rows.first, rows.used, rows.weight, rows.pitch = axis.first, used, whole.weights, pitch
    rows.shift, rows.last = shift, _last_used(axis, last)
    if window:
        pairs = at + FRONT
        rows.weight = pairs
        pair_weights(whole, used, pairs)
        at += ((axis.taps + 1) // 2) * pitch
    return at


@inline
def _plan_columns(axis: Axis, last: int, shift: int, one: int, flip: int, window: int, columns: Any, at: int) -> int:
    """Fill a COLUMN_TABLES record from an axis with float weights, as :func:`_plan_rows` does."""
    v.compact()
    whole, used, at = _integer_axis(axis, one, at)
    columns.first, columns.used, columns.weight, columns.pitch = (
        axis.first,
        used,
        whole.weights,
        4 * lanes(axis.outputs),
    )
    origin = np.int64(get_i32(axis.first))
    columns.origin, columns.columns = origin + shift, _last_used(axis, last) - origin + 1
    if window:
        blocks = (axis.outputs + 15) // 16
        if axis.outputs < 16:
            pad_axis(whole)
        columns.base, columns.index, columns.weight = at, at + 64 * blocks, at + 128 * blocks
        block_tables(whole, origin, flip, window, columns)
        at += 64 * blocks * (2 + columns.groups)
    return at


@inline
def make_plan(image: Any, request: Any, window: int, luma: Any, chroma: Any, at: int) -> int:
    """Fill the plan of an image that has been checked and :func:`fits`.

    Parameters
    ----------
    image, request : IMAGE record, RENDER record
    window : int
        How many neighbouring outputs share a load in the horizontal pass (16 or 4); 0 for plain tables of taps, whose
        horizontal weights are 256 times finer.
    luma, chroma : PLANE_TABLES records
        Filled. Where chroma has the resolution of luma, they hold the same.
    at : int
        Address of :func:`plan_size` bytes, a multiple of 64.

    Returns
    -------
    int
        1 where chroma differs from luma, else 0.
    """
    v.compact()
    lo_y, hi_y, lo_x, hi_x = request.lo_y, request.hi_y, request.lo_x, request.hi_x
    out_h, out_w, flip = request.out_h, request.out_w, request.flip
    scale_y, scale_x = request.h / out_h, request.w / out_w
    rows, cols = hi_y - lo_y, hi_x - lo_x
    kind = effective_filter(request.filter, scale_y, scale_x)
    one = unit_weight(kind)
    one_x = one if window else one * 256
    taps_y, taps_x = tap_count(kind, scale_y, rows), tap_count(kind, scale_x, cols)
    row_y, row_x = 4 * lanes(out_h), 4 * lanes(out_w)
    first_y, first_x, at = at + FRONT, at + row_y + FRONT, at + row_y + row_x
    place, at = at + FRONT, at + max(row_y, row_x)
    weights_y, at = _float_table(taps_y, out_h, at)
    weights_x, at = _float_table(taps_x, out_w, at)
    down, along = Axis(out_h, taps_y, first_y, weights_y), Axis(out_w, taps_x, first_x, weights_x)
    fill_axis(kind, request.y - lo_y, scale_y, rows, down, place)
    fill_axis(kind, request.x - lo_x, scale_x, cols, along, place)
    at = _plan_rows(down, rows - 1, lo_y, one, window, luma.rows, at)
    at = _plan_columns(along, cols - 1, lo_x, one_x, flip, window, luma.columns, at)
    copy_bytes(address_of(chroma), address_of(luma), TABLES_SIZE)

    how_v, how_h = DIRECT, DIRECT
    plane = image.planes[1]
    if image.color != RGB_PACKED and image.color != GRAY:
        how_v, how_h = upsampling(plane.hs, plane.vs, plane.width)
    if how_v != DIRECT:
        count = composed_taps(taps_y)
        start, at = at + FRONT, at + row_y
        table, at = _float_table(count, out_h, at)
        composed = Axis(out_h, count, start, table)
        compose_fancy(lo_y, plane.height, down, composed)
        _, last = component_span(how_v, plane.vs, plane.height, lo_y, hi_y - 1)
        at = _plan_rows(composed, last, np.int64(0), one, window, chroma.rows, at)
    if how_h != DIRECT:
        count = composed_taps(taps_x)
        start, at = at + FRONT, at + row_x
        table, at = _float_table(count, out_w, at)
        composed = Axis(out_w, count, start, table)
        compose_fancy(lo_x, plane.width, along, composed)
        _, last = component_span(how_h, plane.hs, plane.width, lo_x, hi_x - 1)
        _plan_columns(composed, last, np.int64(0), one_x, flip, window, chroma.columns, at)
    return np.int64(how_v != DIRECT or how_h != DIRECT)
