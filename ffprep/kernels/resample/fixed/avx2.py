"""The fused renderer in AVX2: as that in AVX-512, but each byte shuffle reaches 16 columns and serves four outputs."""

from __future__ import annotations

from typing import Any

from ffprep.kernels.jit import inline, kernel
from ffprep.kernels.memory import get_i32
from ffprep.kernels.resample.fixed.common import narrow_columns, render_fixed
from ffprep.kernels.simd import operations as v

WINDOW = 4


@inline
def _store(out: int, low: Any, high: Any) -> None:
    """Store sums of 128ths, to which a half has been added, as bytes."""
    v.store_i8x32(out, v.vpackuswb_i16x16(v.arithmetic_shift_7_i16x16(low), v.arithmetic_shift_7_i16x16(high)))


@inline
def _one_pair(source: int, other: int, size: int, weights: int, out: int) -> None:
    v.compact()
    half = v.fill_i16x16(64)
    w = v.repeat_i32_i8x32(weights)
    for start in range(0, size, 32):
        x = min(start, size - 32)
        a, b = v.load_i8x32(source + x), v.load_i8x32(other + x)
        low = v.add_i16x16(half, v.vpmaddubsw_i8x32(v.low_pairs_i8x32(a, b), w))
        _store(out + x, low, v.add_i16x16(half, v.vpmaddubsw_i8x32(v.high_pairs_i8x32(a, b), w)))


@inline
def _two_pairs(p0: int, p1: int, p2: int, p3: int, size: int, weights: int, pitch: int, out: int) -> None:
    v.compact()
    half = v.fill_i16x16(64)
    w, u = v.repeat_i32_i8x32(weights), v.repeat_i32_i8x32(weights + pitch)
    for start in range(0, size, 32):
        x = min(start, size - 32)
        a, b, c, d = v.load_i8x32(p0 + x), v.load_i8x32(p1 + x), v.load_i8x32(p2 + x), v.load_i8x32(p3 + x)
        low = v.add_i16x16(half, v.vpmaddubsw_i8x32(v.low_pairs_i8x32(a, b), w))
        high = v.add_i16x16(half, v.vpmaddubsw_i8x32(v.high_pairs_i8x32(a, b), w))
        low = v.add_i16x16(low, v.vpmaddubsw_i8x32(v.low_pairs_i8x32(c, d), u))
        _store(out + x, low, v.add_i16x16(high, v.vpmaddubsw_i8x32(v.high_pairs_i8x32(c, d), u)))


@inline
def vertical(source: int, stride: int, last: int, size: int, pairs: int, weights: int, pitch: int, out: int) -> None:
    """Weight rows of bytes; parameters and result as of :func:`ffprep.kernels.resample.fixed.avx512.vertical`."""
    v.compact()
    if size < 32:
        narrow_columns(source, stride, last, size, pairs, weights, pitch, out)
        return
    p1, p2, p3 = min(source + stride, last), min(source + 2 * stride, last), min(source + 3 * stride, last)
    if pairs == 1:
        _one_pair(source, p1, size, weights, out)
    elif pairs == 2:
        _two_pairs(source, p1, p2, p3, size, weights, pitch, out)
    else:
        for start in range(0, size, 32):
            x = min(start, size - 32)
            low = v.fill_i16x16(64)
            high = low
            for p in range(pairs):
                row = min(source + 2 * p * stride, last)
                a, b = v.load_i8x32(row + x), v.load_i8x32(min(row + stride, last) + x)
                w = v.repeat_i32_i8x32(weights + p * pitch)
                low = v.add_i16x16(low, v.vpmaddubsw_i8x32(v.low_pairs_i8x32(a, b), w))
                high = v.add_i16x16(high, v.vpmaddubsw_i8x32(v.high_pairs_i8x32(a, b), w))
            _store(out + x, low, high)


@inline
def _eight(row: int, left: int, right: int, order: Any, weights: int) -> Any:
    """Return sums of four taps for eight outputs, four from each of two windows of 16 columns."""
    data = v.join_i8x32(v.load_i8x16(row + left), v.load_i8x16(row + right))
    products = v.vpmaddubsw_i8x32(v.vpshufb_i8x32(data, order), v.load_i8x32(weights))
    return v.vpmaddwd_i16x16(products, v.fill_i16x16(1))


@inline
def one_row(row: int, base: int, index: int, weights: int, groups: int) -> Any:
    """Return 16 outputs of a row (i32x16); `base`, `index` and `weights` are addresses in ``axis.block_tables``."""
    v.compact()
    b0, b1, b2, b3 = get_i32(base), get_i32(base + 16), get_i32(base + 32), get_i32(base + 48)
    low, high = v.load_i8x32(index), v.load_i8x32(index + 32)
    left, right = _eight(row, b0, b1, low, weights), _eight(row, b2, b3, high, weights + 32)
    for g in range(1, groups):
        w = weights + 64 * g
        left = v.add_i32x8(left, _eight(row + 4 * g, b0, b1, low, w))
        right = v.add_i32x8(right, _eight(row + 4 * g, b2, b3, high, w + 32))
    return v.join_i32x16(left, right)


@inline
def two_rows(row: int, other: int, base: int, index: int, weights: int, groups: int) -> Any:
    """Return :func:`one_row` of two rows with the same tables."""
    return one_row(row, base, index, weights, groups), one_row(other, base, index, weights, groups)


@inline
def three_rows(row: int, other: int, another: int, base: int, index: int, weights: int, groups: int) -> Any:
    """Return :func:`one_row` of three rows with the same tables."""
    return (
        one_row(row, base, index, weights, groups),
        one_row(other, base, index, weights, groups),
        one_row(another, base, index, weights, groups),
    )


@kernel
def render_avx2(arguments: int) -> int:
    """Render a box of an image; see :mod:`ffprep.kernels.resample.render`."""
    v.compact()
    return render_fixed(vertical, one_row, two_rows, three_rows, WINDOW, arguments)
