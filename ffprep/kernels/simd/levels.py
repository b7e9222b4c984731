"""Operations on vectors that work on levels needs: colours of pixels, and sums of neighbours, in 16 bits.

Levels are bytes; where they are computed with, they are unsigned numbers of 16 bits, two vectors of 16 for 32 levels.
The first of the two holds those that lie first in each half of the 32, as x86 unpacks and packs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types

from ffprep.kernels.simd.types import (
    I8X16,
    I8X32,
    I16X16,
    I32,
    call_of,
    interleave_mask,
    intrinsic,
    llvm_type,
    operation,
)


def _both(build: Callable[[Any, Any, Any], Any]) -> Any:
    return operation(I16X16, [I16X16, I16X16], lambda builder, v: build(builder, *v))


subtract_i16x16 = _both(lambda b, x, y: b.sub(x, y))
and_i16x16 = _both(lambda b, x, y: b.and_(x, y))
or_i16x16 = _both(lambda b, x, y: b.or_(x, y))
shift_right_u16x16 = _both(lambda b, x, y: b.lshr(x, y))
min_u16x16 = _both(lambda b, x, y: b.select(b.icmp_unsigned("<", x, y), x, y))
max_u16x16 = _both(lambda b, x, y: b.select(b.icmp_unsigned(">", x, y), x, y))
add_saturated_u16x16 = call_of("llvm.uadd.sat.v16i16", I16X16, [I16X16, I16X16])
subtract_saturated_u16x16 = call_of("llvm.usub.sat.v16i16", I16X16, [I16X16, I16X16])


def _shift(amount: int, left: bool) -> Any:
    constant = ir.Constant(llvm_type(I16X16), [amount] * 16)
    return operation(I16X16, [I16X16], lambda b, v: (b.shl if left else b.lshr)(v[0], constant))


times_8_i16x16, times_32_i16x16, times_128_i16x16, times_256_i16x16 = (_shift(k, True) for k in (3, 5, 7, 8))
over_128_u16x16, over_256_u16x16 = _shift(7, False), _shift(8, False)


def _high_product(builder: Any, x: Any, y: Any) -> Any:
    wide = ir.VectorType(I32, 16)
    product = builder.mul(builder.zext(x, wide), builder.zext(y, wide))
    return builder.trunc(builder.lshr(product, ir.Constant(wide, [16] * 16)), llvm_type(I16X16))


high_product_u16x16 = _both(_high_product)
"""The upper halves of the products."""


@intrinsic
def where_equal_i16x16(_typing: Any, one: Any, other: Any, then: Any, otherwise: Any) -> Any:
    """Return `then` where the first two are equal, elsewhere `otherwise`."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(builder.icmp_signed("==", args[0], args[1]), args[2], args[3])

    return I16X16(I16X16, I16X16, I16X16, I16X16), build


def _sum(builder: Any, args: Sequence[Any]) -> Any:
    total = builder.zext(args[0], ir.VectorType(I32, 16))
    for half in (8, 4, 2, 1):
        mask = ir.Constant(ir.VectorType(I32, 16), [i + half if i < half else i for i in range(16)])
        total = builder.add(total, builder.shuffle_vector(total, total, mask))
    return builder.extract_element(total, ir.Constant(I32, 0))


sum_u16x16 = operation(types.int32, [I16X16], _sum)
low_i8x16_of_i16 = operation(I8X16, [I16X16], lambda b, v: b.trunc(v[0], llvm_type(I8X16)))

ZERO_BYTE = 32
"""In a mask, a byte that is zero."""


def _shuffled(builder: Any, source: Any, mask: Sequence[int]) -> Any:
    zero = ir.Constant(llvm_type(I8X32), [0] * 32)
    return builder.shuffle_vector(source, zero, ir.Constant(ir.VectorType(I32, 32), list(mask)))


def _widened(high: bool) -> Any:
    mask = interleave_mask(32, high)
    return operation(I16X16, [I8X32], lambda b, v: b.bitcast(_shuffled(b, v[0], mask), llvm_type(I16X16)))


first_u16x16, second_u16x16 = _widened(False), _widened(True)
"""The levels of a vector as two vectors of 16 bits."""


def _packed(builder: Any, args: Sequence[Any]) -> Any:
    one, other = (builder.bitcast(arg, llvm_type(I8X32)) for arg in args)
    mask = [half + 2 * i + 32 * of for half in (0, 16) for of in (0, 1) for i in range(8)]
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(I32, 32), mask))


packed_i8x32 = operation(I8X32, [I16X16, I16X16], _packed)
"""The reverse: the low bytes."""


def _gathered(parts: Sequence[Sequence[int]]) -> Any:
    """Return the OR of three vectors, each shuffled within its halves by one of three masks of 16 (-1: zero)."""
    masks = [[ZERO_BYTE if k < 0 else half + k for half in (0, 16) for k in part] for part in parts]

    def build(builder: Any, args: Sequence[Any]) -> Any:
        one, two, three = (_shuffled(builder, arg, mask) for arg, mask in zip(args, masks, strict=True))
        return builder.or_(builder.or_(one, two), three)

    return operation(I8X32, [I8X32] * 3, build)


def _channel(c: int) -> Any:
    wanted = [3 * i + c for i in range(16)]
    return _gathered([[k - 16 * part if k // 16 == part else -1 for k in wanted] for part in range(3)])


def _mixed(part: int) -> Any:
    wanted = range(16 * part, 16 * part + 16)
    return _gathered([[k // 3 if k % 3 == c else -1 for k in wanted] for c in range(3)])


channel_0, channel_1, channel_2 = _channel(0), _channel(1), _channel(2)
"""A channel of 32 pixels, which are given as three vectors: their bytes 0 to 15, 16 to 31 and 32 to 47 of each 16."""
mixed_0, mixed_1, mixed_2 = _mixed(0), _mixed(1), _mixed(2)
"""The reverse: a vector of the pixels' bytes from those of the channels."""


def _half(high: bool) -> Any:
    mask = ir.Constant(ir.VectorType(I32, 16), list(range(16 * high, 16 * high + 16)))
    return operation(I8X16, [I8X32], lambda b, v: b.shuffle_vector(v[0], v[0], mask))


lower_i8x16, upper_i8x16 = _half(False), _half(True)
