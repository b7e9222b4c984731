"""Vectors of fixed length in numba kernels, as LLVM's own vector types.

Most operations are one LLVM instruction (or a constant shuffle), so a kernel written with them compiles to what it
says, on any CPU. Names end in element type and number of lanes, such as ``i16x16``; signedness is a matter of the
operations, not of the types. Functions whose names begin with an x86 mnemonic need that instruction; see
:mod:`ffprep.kernels.simd.level`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from ffprep.kernels.simd.level import has_half
from ffprep.kernels.simd.types import (
    F16X16,
    F16X48,
    F32X16,
    I8X16,
    I8X32,
    I8X48,
    I8X64,
    I16X16,
    I16X32,
    I16X48,
    I32,
    I32X8,
    I32X16,
    Vector,
    call_of,
    fill_of,
    interleave_mask,
    intrinsic,
    llvm_type,
    load_of,
    load_repeated,
    operation,
    shuffle_of,
    store_of,
    stream_of,
)

load_i8x16, load_i8x32, load_i8x64 = load_of(I8X16), load_of(I8X32), load_of(I8X64)
load_i16x16, load_f32x16, load_i32x16 = load_of(I16X16), load_of(F32X16), load_of(I32X16)
store_i8x16, store_i8x32, store_i8x48, store_i8x64 = (store_of(k) for k in (I8X16, I8X32, I8X48, I8X64))
store_i16x16, store_i16x48, store_i32x16 = store_of(I16X16), store_of(I16X48), store_of(I32X16)
store_f32x16, store_f16x16, store_f16x48 = store_of(F32X16), store_of(F16X16), store_of(F16X48)
stream_f32x16 = stream_of(F32X16)

fill_i16x16 = fill_of(I16X16, types.int64)
fill_i16x32 = fill_of(I16X32, types.int64)
fill_i32x16 = fill_of(I32X16, types.int64)
fill_f32x16 = fill_of(F32X16, types.float32)
repeat_f32x16 = load_repeated(F32X16, "f32")
repeat_i16x16 = load_repeated(I16X16, "i16")
repeat_i32_i8x32 = load_repeated(I8X32, "i32")
repeat_i32_i8x64 = load_repeated(I8X64, "i32")

add_i16x16 = operation(I16X16, [I16X16, I16X16], lambda b, v: b.add(*v))
add_i16x32 = operation(I16X32, [I16X32, I16X32], lambda b, v: b.add(*v))
mul_i16x16 = operation(I16X16, [I16X16, I16X16], lambda b, v: b.mul(*v))
add_i32x8 = operation(I32X8, [I32X8, I32X8], lambda b, v: b.add(*v))
add_i32x16 = operation(I32X16, [I32X16, I32X16], lambda b, v: b.add(*v))
and_i32x16 = operation(I32X16, [I32X16, I32X16], lambda b, v: b.and_(*v))
subtract_i32x16 = operation(I32X16, [I32X16, I32X16], lambda b, v: b.sub(*v))
multiply_i32x16 = operation(I32X16, [I32X16, I32X16], lambda b, v: b.mul(*v))
or_i32x16 = operation(I32X16, [I32X16, I32X16], lambda b, v: b.or_(*v))
shift_left_i32x16 = operation(I32X16, [I32X16, I32X16], lambda b, v: b.shl(*v))
add_f32x16 = operation(F32X16, [F32X16, F32X16], lambda b, v: b.fadd(*v))
subtract_f32x16 = operation(F32X16, [F32X16, F32X16], lambda b, v: b.fsub(*v))
multiply_f32x16 = operation(F32X16, [F32X16, F32X16], lambda b, v: b.fmul(*v))
divide_f32x16 = operation(F32X16, [F32X16, F32X16], lambda b, v: b.fdiv(*v))


def _shift(kind: Vector, amount: int, arithmetic: bool) -> Any:
    constant = ir.Constant(llvm_type(kind), [amount] * kind.lanes)
    return operation(kind, [kind], lambda b, v: (b.ashr if arithmetic else b.lshr)(v[0], constant))


arithmetic_shift_7_i16x16, arithmetic_shift_7_i16x32 = _shift(I16X16, 7, True), _shift(I16X32, 7, True)
shift_16_i32x16 = _shift(I32X16, 16, False)
half_down_i32x16 = _shift(I32X16, 1, True)

widen_u8_i16x16 = operation(I16X16, [I8X16], lambda b, v: b.zext(v[0], llvm_type(I16X16)))
widen_i16_i32x16 = operation(I32X16, [I16X16], lambda b, v: b.sext(v[0], llvm_type(I32X16)))
low_i16x16 = operation(I16X16, [I32X16], lambda b, v: b.trunc(v[0], llvm_type(I16X16)))
low_i8x16 = operation(I8X16, [I32X16], lambda b, v: b.trunc(v[0], llvm_type(I8X16)))
to_f32x16 = operation(F32X16, [I32X16], lambda b, v: b.sitofp(v[0], llvm_type(F32X16)))
to_i32x16 = operation(I32X16, [F32X16], lambda b, v: b.fptosi(v[0], llvm_type(I32X16)))
bits_i32x16 = operation(I32X16, [F32X16], lambda b, v: b.bitcast(v[0], llvm_type(I32X16)))


def _high_product(builder: Any, args: Sequence[Any]) -> Any:
    wide = ir.VectorType(I32, 16)
    product = builder.mul(builder.sext(args[0], wide), builder.sext(args[1], wide))
    shifted = builder.ashr(product, ir.Constant(wide, [16] * 16))
    return builder.trunc(shifted, llvm_type(I16X16))


high_product_i16x16 = operation(I16X16, [I16X16, I16X16], _high_product)
multiply_add_f32x16 = call_of("llvm.fmuladd.v16f32", F32X16, [F32X16] * 3)
min_f32x16 = operation(F32X16, [F32X16] * 2, lambda b, v: b.select(b.fcmp_ordered("<", *v), *v))
max_f32x16 = operation(F32X16, [F32X16] * 2, lambda b, v: b.select(b.fcmp_ordered(">", *v), *v))


def _absolute(builder: Any, args: Sequence[Any]) -> Any:
    kind = llvm_type(F32X16)
    zero = ir.Constant(kind, [0.0] * 16)
    return builder.select(builder.fcmp_ordered("<", args[0], zero), builder.fsub(zero, args[0]), args[0])


def _cubic(builder: Any, args: Sequence[Any]) -> Any:
    """Keys' cubic convolution kernel with a = -0.5 of distances that are not negative."""
    kind = llvm_type(F32X16)

    def const(value: float) -> Any:
        return ir.Constant(kind, [value] * 16)

    def polynomial(x: Any, *factors: float) -> Any:
        total = const(factors[0])
        for factor in factors[1:]:
            total = builder.fadd(builder.fmul(total, x), const(factor))
        return total

    x = args[0]
    near, far = polynomial(x, 1.5, -2.5, 0.0, 1.0), polynomial(x, -0.5, 2.5, -4.0, 2.0)
    far = builder.select(builder.fcmp_ordered("<", x, const(2.0)), far, const(0.0))
    return builder.select(builder.fcmp_ordered("<", x, const(1.0)), near, far)


def _keep_below(builder: Any, args: Sequence[Any]) -> Any:
    """Return the third operand where the first is less than the second, else 0."""
    return builder.select(builder.icmp_signed("<", args[0], args[1]), args[2], ir.Constant(args[2].type, [0.0] * 16))


def _keep_where_zero(builder: Any, args: Sequence[Any]) -> Any:
    """Return the second operand where the first is 0, else the third."""
    return builder.select(builder.icmp_signed("==", args[0], ir.Constant(args[0].type, [0] * 16)), args[1], args[2])


def _choose_odd(builder: Any, args: Sequence[Any]) -> Any:
    """Return the second operand where the first is odd, else the third."""
    return builder.select(builder.trunc(args[0], ir.VectorType(ir.IntType(1), 16)), args[1], args[2])


absolute_f32x16 = operation(F32X16, [F32X16], _absolute)
cubic_f32x16 = operation(F32X16, [F32X16], _cubic)
keep_below_f32x16 = operation(F32X16, [I32X16, I32X16, F32X16], _keep_below)
keep_where_zero_i32x16 = operation(I32X16, [I32X16] * 3, _keep_where_zero)
choose_odd_f32x16 = operation(F32X16, [I32X16, F32X16, F32X16], _choose_odd)


def _level(builder: Any, args: Sequence[Any]) -> Any:
    """Clamp to 0..255 and keep the low byte."""
    kind = args[0].type
    low, high = ir.Constant(kind, [0] * 16), ir.Constant(kind, [255] * 16)
    x = builder.select(builder.icmp_signed(">", args[0], low), args[0], low)
    x = builder.select(builder.icmp_signed("<", x, high), x, high)
    return builder.trunc(x, llvm_type(I8X16))


level_i8x16 = operation(I8X16, [I16X16], _level)


def _half(builder: Any, args: Sequence[Any]) -> Any:
    """Round float32 of magnitude below 65520 to float16, ties to even."""
    if has_half():
        return builder.fptrunc(args[0], llvm_type(F16X16))
    kind = llvm_type(I32X16)

    def const(value: int) -> Any:
        return ir.Constant(kind, [value] * 16)

    bits = builder.bitcast(args[0], kind)
    sign = builder.and_(builder.lshr(bits, const(16)), const(0x8000))
    size = builder.and_(bits, const(0x7FFFFFFF))
    odd = builder.and_(builder.lshr(size, const(13)), const(1))
    normal = builder.lshr(builder.add(builder.sub(size, const(0x38000000 - 0xFFF)), odd), const(13))
    # Below 2**-14 the float addition itself does the rounding to multiples of 2**-24.
    floats = llvm_type(F32X16)
    moved = builder.fadd(builder.bitcast(size, floats), ir.Constant(floats, [0.5] * 16))
    small = builder.sub(builder.bitcast(moved, kind), const(0x3F000000))
    value = builder.select(builder.icmp_unsigned("<", size, const(0x38800000)), small, normal)
    return builder.bitcast(builder.trunc(builder.or_(value, sign), llvm_type(I16X16)), llvm_type(F16X16))


def _arrange(mask: Sequence[int], kind: Vector = I32X16) -> Any:
    constant = ir.Constant(ir.VectorType(I32, 16), list(mask))
    return operation(kind, [kind], lambda b, v: b.shuffle_vector(v[0], v[0], constant))


reverse_i32x16, reverse_i16x16, reverse_i8x16 = (_arrange(range(15, -1, -1), k) for k in (I32X16, I16X16, I8X16))
first_of_four_i32x16, last_of_four_i32x16 = _arrange([i & ~3 for i in range(16)]), _arrange([i | 3 for i in range(16)])
first_of_all_i32x16, last_of_all_i32x16 = _arrange([0] * 16), _arrange([15] * 16)
half_f16x16 = operation(F16X16, [F32X16], _half)


def _join(kind: Vector, result: Vector) -> Any:
    """Concatenate two vectors."""
    return shuffle_of(result, kind, range(2 * kind.lanes))


join_i32x16 = _join(I32X8, I32X16)
join_i8x32 = _join(I8X16, I8X32)


def _pixels(kind: Vector, result: Vector) -> Any:
    """Interleave three vectors of 16 channel values to 16 pixels of three."""

    def build(builder: Any, args: Sequence[Any]) -> Any:
        def shuffle(a: Any, b: Any, mask: Sequence[int]) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(mask)), list(mask)))

        both = shuffle(args[0], args[1], range(32))
        third = shuffle(args[2], args[2], list(range(16)) + [0] * 16)
        mask = [k for i in range(16) for k in (i, 16 + i, 32 + i)]
        return shuffle(both, third, mask)

    return operation(result, [kind] * 3, build)


pixels_i8x48, pixels_i16x48, pixels_f16x48 = _pixels(I8X16, I8X48), _pixels(I16X16, I16X48), _pixels(F16X16, F16X48)


def _pixel_part(part: int) -> Any:
    """Return values 16 part .. 16 part + 15 of 16 interleaved pixels."""
    wanted = range(16 * part, 16 * part + 16)

    def build(builder: Any, args: Sequence[Any]) -> Any:
        def shuffle(a: Any, b: Any, mask: Sequence[int]) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(mask)), list(mask)))

        first = [i // 3 + 16 * (i % 3) if i % 3 < 2 else 0 for i in wanted]
        second = [16 + i // 3 if i % 3 == 2 else k for k, i in enumerate(wanted)]
        return shuffle(shuffle(args[0], args[1], first), args[2], second)

    return operation(F32X16, [F32X16] * 3, build)


def _take(channel: int) -> Any:
    """Return one channel of 16 interleaved pixels given as three vectors of 16 bytes."""

    def build(builder: Any, args: Sequence[Any]) -> Any:
        def shuffle(a: Any, b: Any, mask: Sequence[int]) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(mask)), list(mask)))

        wanted = [3 * i + channel for i in range(16)]
        both = shuffle(args[0], args[1], [k if k < 32 else 0 for k in wanted])
        return shuffle(both, args[2], [i if k < 32 else k - 16 for i, k in enumerate(wanted)])

    return operation(I8X16, [I8X16] * 3, build)


take_red_i8x16, take_green_i8x16, take_blue_i8x16 = _take(0), _take(1), _take(2)
pixel_part_0, pixel_part_1, pixel_part_2 = _pixel_part(0), _pixel_part(1), _pixel_part(2)

interleave_low_i16x16 = shuffle_of(I16X16, I16X16, [i // 2 + 16 * (i % 2) for i in range(16)])
interleave_high_i16x16 = shuffle_of(I16X16, I16X16, [8 + i // 2 + 16 * (i % 2) for i in range(16)])
low_pairs_i8x32 = shuffle_of(I8X32, I8X32, interleave_mask(32, False))
high_pairs_i8x32 = shuffle_of(I8X32, I8X32, interleave_mask(32, True))
low_pairs_i8x64 = shuffle_of(I8X64, I8X64, interleave_mask(64, False))
high_pairs_i8x64 = shuffle_of(I8X64, I8X64, interleave_mask(64, True))

vpmaddubsw_i8x32 = call_of("llvm.x86.avx2.pmadd.ub.sw", I16X16, [I8X32, I8X32])
vpmaddwd_i16x16 = call_of("llvm.x86.avx2.pmadd.wd", I32X8, [I16X16, I16X16])
vpshufb_i8x32 = call_of("llvm.x86.avx2.pshuf.b", I8X32, [I8X32, I8X32])
vpackuswb_i16x16 = call_of("llvm.x86.avx2.packuswb", I8X32, [I16X16, I16X16])
vpmaddubsw_i8x64 = call_of("llvm.x86.avx512.pmaddubs.w.512", I16X32, [I8X64, I8X64])
vpackuswb_i16x32 = call_of("llvm.x86.avx512.packuswb.512", I8X64, [I16X32, I16X32])
vpermb_i8x64 = call_of("llvm.x86.avx512.permvar.qi.512", I8X64, [I8X64, I8X64])
vpdpbusd_i32x16 = call_of("llvm.x86.avx512.vpdpbusd.512", I32X16, [I32X16, I8X64, I8X64], [I32X16, I32X16, I32X16])


def _sum(builder: Any, args: Sequence[Any]) -> Any:
    total = args[0]
    for half in (8, 4, 2, 1):
        moved = [i + half if i < half else i for i in range(16)]
        mask = ir.Constant(ir.VectorType(I32, 16), moved)
        total = builder.fadd(total, builder.shuffle_vector(total, total, mask))
    return builder.extract_element(total, ir.Constant(I32, 0))


_down_2 = ir.Constant(ir.VectorType(I32, 16), [min(i + 2, 15) for i in range(16)])
shift_down_2_i8x16 = operation(I8X16, [I8X16], lambda b, v: b.shuffle_vector(v[0], v[0], _down_2))
sum_f32x16 = operation(types.float32, [F32X16], _sum)


def _transpose(builder: Any, args: Sequence[Any]) -> Any:
    """Transpose 16 x 16 int16; `args` are those of :func:`transpose_i16`."""
    kind, count = llvm_type(I16X16), 16

    def at(address: Any, pitch: Any, row: int) -> Any:
        moved = builder.add(address, builder.mul(pitch, ir.Constant(ir.IntType(64), row)))
        return builder.inttoptr(moved, kind.as_pointer())

    rows = [builder.load(at(args[0], args[1], i), align=1) for i in range(count)]
    size = 1
    while size < count:  # exchange off-diagonal blocks of `size` x `size`
        low = [k if not k & size else 16 + (k ^ size) for k in range(count)]
        high = [k ^ size if not k & size else 16 + k for k in range(count)]
        low_mask, high_mask = (ir.Constant(ir.VectorType(I32, 16), m) for m in (low, high))
        for i in range(count):
            if not i & size:
                a, b = rows[i], rows[i | size]
                rows[i] = builder.shuffle_vector(a, b, low_mask)
                rows[i | size] = builder.shuffle_vector(a, b, high_mask)
        size *= 2
    for i in range(count):
        builder.store(rows[i], at(args[2], args[3], i), align=1)
    return rows[0]


@intrinsic
def transpose_i16(_typing: Any, source: Any, source_pitch: Any, target: Any, target_pitch: Any) -> Any:
    """Transpose 16 x 16 int16 from `source` to `target`; the pitches are the bytes from one row to the next."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _transpose(builder, args)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), build


widen_u8_f32x16 = operation(F32X16, [I8X16], lambda b, v: b.uitofp(v[0], llvm_type(F32X16)))


@intrinsic
def store_fence(_typing: Any) -> Any:
    """Make stores past the cache visible to other threads before anything stored later."""

    def build(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), build


@intrinsic
def compact(_typing: Any) -> Any:
    """Ask for small code in the function that calls this: LLVM then neither unrolls nor vectorises its loops."""

    def build(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        builder.function.attributes.add("optsize")
        return context.get_dummy_value()

    return types.void(), build
