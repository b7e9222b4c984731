"""The fused renderer in AVX-512 (VBMI, VNNI): bytes times byte weights, vertical pass first, a row at a time.

For an output row, each plane's source rows are weighted two at a time (vpmaddubsw on interleaved rows) into a row
buffer of bytes. Then, for 16 outputs at once and each group of four taps: one load, one byte permutation (vpermb) that
gives every output its four taps, and one multiplication that sums them (vpdpbusd). Last comes
:func:`ffprep.kernels.resample.emit.emit_block`.
"""

from __future__ import annotations

from typing import Any

from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.memory import get_i32
from ffprep.kernels.resample.fixed.common import narrow_columns, render_fixed
from ffprep.kernels.simd import operations as v

WINDOW = 16


@inline
def _store(out: int, low: Any, high: Any) -> None:
    """Store sums of 128ths, to which a half has been added, as bytes."""
    v.store_i8x64(out, v.vpackuswb_i16x32(v.arithmetic_shift_7_i16x32(low), v.arithmetic_shift_7_i16x32(high)))


@inline
def _one_pair(source: int, other: int, size: int, weights: int, out: int) -> None:
    v.compact()
    half = v.fill_i16x32(64)
    w = v.repeat_i32_i8x64(weights)
    for start in range(0, size, 64):
        x = min(start, size - 64)
        a, b = v.load_i8x64(source + x), v.load_i8x64(other + x)
        low = v.add_i16x32(half, v.vpmaddubsw_i8x64(v.low_pairs_i8x64(a, b), w))
        _store(out + x, low, v.add_i16x32(half, v.vpmaddubsw_i8x64(v.high_pairs_i8x64(a, b), w)))


@inline
def _two_pairs(p0: int, p1: int, p2: int, p3: int, size: int, weights: int, pitch: int, out: int) -> None:
    v.compact()
    half = v.fill_i16x32(64)
    w, u = v.repeat_i32_i8x64(weights), v.repeat_i32_i8x64(weights + pitch)
    for start in range(0, size, 64):
        x = min(start, size - 64)
        a, b, c, d = v.load_i8x64(p0 + x), v.load_i8x64(p1 + x), v.load_i8x64(p2 + x), v.load_i8x64(p3 + x)
        low = v.add_i16x32(half, v.vpmaddubsw_i8x64(v.low_pairs_i8x64(a, b), w))
        high = v.add_i16x32(half, v.vpmaddubsw_i8x64(v.high_pairs_i8x64(a, b), w))
        low = v.add_i16x32(low, v.vpmaddubsw_i8x64(v.low_pairs_i8x64(c, d), u))
        _store(out + x, low, v.add_i16x32(high, v.vpmaddubsw_i8x64(v.high_pairs_i8x64(c, d), u)))


@inline
def vertical(source: int, stride: int, last: int, size: int, pairs: int, weights: int, pitch: int, out: int) -> None:
    """Write the weighted sum of 2 `pairs` rows of `size` bytes, divided by 128, to the bytes at `out`.

    The first row is at `source`; rows after `last` are replaced by it. `weights` is the address of the first pair's
    (w0, w1, w0, w1), those of the others are `pitch` bytes apart.
    """
    v.compact()
    if size < 64:
        narrow_columns(source, stride, last, size, pairs, weights, pitch, out)
        return
    p1, p2, p3 = min(source + stride, last), min(source + 2 * stride, last), min(source + 3 * stride, last)
    if pairs == 1:
        _one_pair(source, p1, size, weights, out)
    elif pairs == 2:
        _two_pairs(source, p1, p2, p3, size, weights, pitch, out)
    else:
        for start in range(0, size, 64):
            x = min(start, size - 64)
            low = v.fill_i16x32(64)
            high = low
            for p in range(pairs):
                row = min(source + 2 * p * stride, last)
                a, b = v.load_i8x64(row + x), v.load_i8x64(min(row + stride, last) + x)
                w = v.repeat_i32_i8x64(weights + p * pitch)
                low = v.add_i16x32(low, v.vpmaddubsw_i8x64(v.low_pairs_i8x64(a, b), w))
                high = v.add_i16x32(high, v.vpmaddubsw_i8x64(v.high_pairs_i8x64(a, b), w))
            _store(out + x, low, high)


@inline
def _taps(at: int, order: Any) -> Any:
    return v.vpermb_i8x64(v.load_i8x64(at), order)


@inline
def one_row(row: int, base: int, index: int, weights: int, groups: int) -> Any:
    """Return 16 outputs of a row (i32x16); `base`, `index` and `weights` are addresses in ``axis.block_tables``."""
    v.compact()
    at = row + get_i32(base)
    order = v.load_i8x64(index)
    total = v.vpdpbusd_i32x16(v.fill_i32x16(0), _taps(at, order), v.load_i8x64(weights))
    for g in range(1, groups):
        total = v.vpdpbusd_i32x16(total, _taps(at + 4 * g, order), v.load_i8x64(weights + 64 * g))
    return total


@inline
def two_rows(row: int, other: int, base: int, index: int, weights: int, groups: int) -> Any:
    """Return :func:`one_row` of two rows with the same tables."""
    v.compact()
    start = get_i32(base)
    order, w, zero = v.load_i8x64(index), v.load_i8x64(weights), v.fill_i32x16(0)
    first = v.vpdpbusd_i32x16(zero, _taps(row + start, order), w)
    second = v.vpdpbusd_i32x16(zero, _taps(other + start, order), w)
    for g in range(1, groups):
        w = v.load_i8x64(weights + 64 * g)
        first = v.vpdpbusd_i32x16(first, _taps(row + start + 4 * g, order), w)
        second = v.vpdpbusd_i32x16(second, _taps(other + start + 4 * g, order), w)
    return first, second


@inline
def three_rows(row: int, other: int, another: int, base: int, index: int, weights: int, groups: int) -> Any:
    """Return :func:`one_row` of three rows with the same tables."""
    v.compact()
    start = get_i32(base)
    order, w, zero = v.load_i8x64(index), v.load_i8x64(weights), v.fill_i32x16(0)
    first = v.vpdpbusd_i32x16(zero, _taps(row + start, order), w)
    second = v.vpdpbusd_i32x16(zero, _taps(other + start, order), w)
    third = v.vpdpbusd_i32x16(zero, _taps(another + start, order), w)
    for g in range(1, groups):
        w = v.load_i8x64(weights + 64 * g)
        first = v.vpdpbusd_i32x16(first, _taps(row + start + 4 * g, order), w)
        second = v.vpdpbusd_i32x16(second, _taps(other + start + 4 * g, order), w)
        third = v.vpdpbusd_i32x16(third, _taps(another + start + 4 * g, order), w)
    return first, second, third


@kernel
def render_avx512(arguments: int) -> int:
    """Render a box of an image; see :mod:`ffprep.kernels.resample.render`."""
    v.compact()
    return render_fixed(vertical, one_row, two_rows, three_rows, WINDOW, arguments)
