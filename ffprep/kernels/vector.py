"""Vectors of fixed length in numba kernels, as LLVM's own vector types.

Each operation is one LLVM instruction (or a constant shuffle), so a kernel written with them compiles to what
it says, on any CPU. Names end in element type and lanes, ``i16x16``; signedness lives in the operations, not
in the types. The functions whose names begin with an x86 mnemonic need that instruction; see
:mod:`ffprep.kernels.simd`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic as _intrinsic
from numba.extending import models, register_model

from ffprep.kernels.simd import has_half

intrinsic: Any = _intrinsic

_ELEMENTS = {
    "i8": ir.IntType(8),
    "i16": ir.IntType(16),
    "i32": ir.IntType(32),
    "i64": ir.IntType(64),
    "f16": ir.HalfType(),
    "f32": ir.FloatType(),
}
_I32 = ir.IntType(32)


class Vector(types.Type):
    """numba type of an LLVM vector."""

    def __init__(self, element: str, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        super().__init__(name=f"Vector({element}x{lanes})")

    @property
    def key(self) -> tuple[str, int]:
        return self.element, self.lanes


def _llvm(kind: Vector) -> Any:
    return ir.VectorType(_ELEMENTS[kind.element], kind.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, _llvm(kind))


I8X16, I8X32, I8X48, I8X64 = (Vector("i8", n) for n in (16, 32, 48, 64))
I16X16, I16X32, I16X48 = (Vector("i16", n) for n in (16, 32, 48))
I32X8, I32X16 = Vector("i32", 8), Vector("i32", 16)
F16X16, F16X48 = Vector("f16", 16), Vector("f16", 48)
F32X16 = Vector("f32", 16)

Builder = Callable[[Any, Sequence[Any]], Any]


def _operation(result: Any, arguments: Sequence[Any], build: Builder) -> Any:
    """Return an intrinsic with a fixed signature whose code is ``build(builder, operands)``."""
    n = len(arguments)

    def code(context: Any, builder: Any, _signature: Any, operands: Any) -> Any:
        value = build(builder, operands)
        return context.get_dummy_value() if result is types.void else value

    signature = result(*arguments)
    if n == 1:

        @intrinsic
        def one(_typing: Any, a: Any) -> Any:
            return signature, code

        return one
    if n == 2:

        @intrinsic
        def two(_typing: Any, a: Any, b: Any) -> Any:
            return signature, code

        return two

    @intrinsic
    def three(_typing: Any, a: Any, b: Any, c: Any) -> Any:
        return signature, code

    return three


def _load(kind: Vector) -> Any:
    def build(builder: Any, args: Sequence[Any]) -> Any:
        return builder.load(builder.inttoptr(args[0], _llvm(kind).as_pointer()), align=1)

    return _operation(kind, [types.int64], build)


def _store(kind: Vector) -> Any:
    def build(builder: Any, args: Sequence[Any]) -> Any:
        return builder.store(args[1], builder.inttoptr(args[0], _llvm(kind).as_pointer()), align=1)

    return _operation(types.void, [types.int64, kind], build)


def _stream(kind: Vector) -> Any:
    """Store past the cache; the address must be a multiple of 64."""

    def build(builder: Any, args: Sequence[Any]) -> Any:
        store = builder.store(args[1], builder.inttoptr(args[0], _llvm(kind).as_pointer()), align=64)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_I32, 1)]))
        return store

    return _operation(types.void, [types.int64, kind], build)


def _lanes(builder: Any, value: Any, kind: Any) -> Any:
    empty = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(_I32, kind.count), [0] * kind.count))


def _broadcast(kind: Vector, scalar: Any) -> Any:
    """Broadcast an integer (its low bits) or a float32 to all lanes."""

    def build(builder: Any, args: Sequence[Any]) -> Any:
        value = args[0]
        if scalar is types.int64:
            value = builder.trunc(value, _ELEMENTS[kind.element])
        return _lanes(builder, value, _llvm(kind))

    return _operation(kind, [scalar], build)


def _load_broadcast(kind: Vector, element: str) -> Any:
    """Load one element of another type at an address and repeat its bits through the vector."""

    def build(builder: Any, args: Sequence[Any]) -> Any:
        wide = _ELEMENTS[element]
        bits = {"i8": 8, "i16": 16, "i32": 32, "f32": 32}
        count = kind.lanes * bits[kind.element] // bits[element]
        value = builder.load(builder.inttoptr(args[0], wide.as_pointer()), align=1)
        full = _lanes(builder, value, ir.VectorType(wide, count))
        return builder.bitcast(full, _llvm(kind))

    return _operation(kind, [types.int64], build)


def _shuffle(result: Vector, source: Vector, mask: Sequence[int]) -> Any:
    constant = ir.Constant(ir.VectorType(_I32, len(mask)), list(mask))
    return _operation(result, [source, source], lambda b, v: b.shuffle_vector(v[0], v[1], constant))


def _call(name: str, result: Any, arguments: Sequence[Any], as_kinds: Sequence[Any] | None = None) -> Any:
    """Return an LLVM intrinsic function; operands are reinterpreted as `as_kinds`."""
    kinds = [_llvm(kind) for kind in (as_kinds or arguments)]

    def build(builder: Any, args: Sequence[Any]) -> Any:
        function = builder.module.declare_intrinsic(name, (), ir.FunctionType(_llvm(result), kinds))
        cast = [builder.bitcast(a, k) if a.type != k else a for a, k in zip(args, kinds, strict=True)]
        return builder.call(function, cast)

    return _operation(result, arguments, build)


def _interleave(lanes: int, high: bool) -> list[int]:
    """Mask of punpcklbw/punpckhbw: interleave halves within each 16 bytes."""
    mask = []
    for group in range(0, lanes, 16):
        start = group + 8 * high
        for i in range(start, start + 8):
            mask += [i, lanes + i]
    return mask


load_i8x16, load_i8x32, load_i8x64 = _load(I8X16), _load(I8X32), _load(I8X64)
load_i16x16, load_f32x16, load_i32x16 = _load(I16X16), _load(F32X16), _load(I32X16)
store_i8x16, store_i8x32, store_i8x48, store_i8x64 = (_store(k) for k in (I8X16, I8X32, I8X48, I8X64))
store_i16x16, store_i16x48, store_i32x16 = _store(I16X16), _store(I16X48), _store(I32X16)
store_f32x16, store_f16x16, store_f16x48 = _store(F32X16), _store(F16X16), _store(F16X48)
stream_f32x16 = _stream(F32X16)

fill_i16x16 = _broadcast(I16X16, types.int64)
fill_i16x32 = _broadcast(I16X32, types.int64)
fill_i32x8 = _broadcast(I32X8, types.int64)
fill_i32x16 = _broadcast(I32X16, types.int64)
fill_f32x16 = _broadcast(F32X16, types.float32)
repeat_f32x16 = _load_broadcast(F32X16, "f32")
repeat_i16x16 = _load_broadcast(I16X16, "i16")
repeat_i32_i8x32 = _load_broadcast(I8X32, "i32")
repeat_i32_i8x64 = _load_broadcast(I8X64, "i32")

add_i16x16 = _operation(I16X16, [I16X16, I16X16], lambda b, v: b.add(*v))
add_i16x32 = _operation(I16X32, [I16X32, I16X32], lambda b, v: b.add(*v))
mul_i16x16 = _operation(I16X16, [I16X16, I16X16], lambda b, v: b.mul(*v))
add_i32x8 = _operation(I32X8, [I32X8, I32X8], lambda b, v: b.add(*v))
add_i32x16 = _operation(I32X16, [I32X16, I32X16], lambda b, v: b.add(*v))
and_i32x16 = _operation(I32X16, [I32X16, I32X16], lambda b, v: b.and_(*v))
subtract_i32x16 = _operation(I32X16, [I32X16, I32X16], lambda b, v: b.sub(*v))
multiply_i32x16 = _operation(I32X16, [I32X16, I32X16], lambda b, v: b.mul(*v))
or_i32x16 = _operation(I32X16, [I32X16, I32X16], lambda b, v: b.or_(*v))
shift_left_i32x16 = _operation(I32X16, [I32X16, I32X16], lambda b, v: b.shl(*v))
add_f32x16 = _operation(F32X16, [F32X16, F32X16], lambda b, v: b.fadd(*v))
subtract_f32x16 = _operation(F32X16, [F32X16, F32X16], lambda b, v: b.fsub(*v))
multiply_f32x16 = _operation(F32X16, [F32X16, F32X16], lambda b, v: b.fmul(*v))
divide_f32x16 = _operation(F32X16, [F32X16, F32X16], lambda b, v: b.fdiv(*v))


def _shift(kind: Vector, amount: int, arithmetic: bool) -> Any:
    constant = ir.Constant(_llvm(kind), [amount] * kind.lanes)
    return _operation(kind, [kind], lambda b, v: (b.ashr if arithmetic else b.lshr)(v[0], constant))


arithmetic_shift_7_i16x16, arithmetic_shift_7_i16x32 = _shift(I16X16, 7, True), _shift(I16X32, 7, True)
shift_16_i32x16 = _shift(I32X16, 16, False)
half_down_i32x16 = _shift(I32X16, 1, True)

widen_u8_i16x16 = _operation(I16X16, [I8X16], lambda b, v: b.zext(v[0], _llvm(I16X16)))
widen_i16_i32x16 = _operation(I32X16, [I16X16], lambda b, v: b.sext(v[0], _llvm(I32X16)))
low_i16x16 = _operation(I16X16, [I32X16], lambda b, v: b.trunc(v[0], _llvm(I16X16)))
low_i8x16 = _operation(I8X16, [I32X16], lambda b, v: b.trunc(v[0], _llvm(I8X16)))
to_f32x16 = _operation(F32X16, [I32X16], lambda b, v: b.sitofp(v[0], _llvm(F32X16)))
to_i32x16 = _operation(I32X16, [F32X16], lambda b, v: b.fptosi(v[0], _llvm(I32X16)))
bits_i32x16 = _operation(I32X16, [F32X16], lambda b, v: b.bitcast(v[0], _llvm(I32X16)))


def _high_product(builder: Any, args: Sequence[Any]) -> Any:
    wide = ir.VectorType(_I32, 16)
    product = builder.mul(builder.sext(args[0], wide), builder.sext(args[1], wide))
    shifted = builder.ashr(product, ir.Constant(wide, [16] * 16))
    return builder.trunc(shifted, _llvm(I16X16))


high_product_i16x16 = _operation(I16X16, [I16X16, I16X16], _high_product)
multiply_add_f32x16 = _call("llvm.fmuladd.v16f32", F32X16, [F32X16] * 3)
min_f32x16 = _operation(F32X16, [F32X16] * 2, lambda b, v: b.select(b.fcmp_ordered("<", *v), *v))
max_f32x16 = _operation(F32X16, [F32X16] * 2, lambda b, v: b.select(b.fcmp_ordered(">", *v), *v))


def _absolute(builder: Any, args: Sequence[Any]) -> Any:
    kind = _llvm(F32X16)
    zero = ir.Constant(kind, [0.0] * 16)
    return builder.select(builder.fcmp_ordered("<", args[0], zero), builder.fsub(zero, args[0]), args[0])


def _cubic(builder: Any, args: Sequence[Any]) -> Any:
    """Keys' cubic convolution kernel with a = -0.5 of distances that are not negative."""
    kind = _llvm(F32X16)

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


absolute_f32x16 = _operation(F32X16, [F32X16], _absolute)
cubic_f32x16 = _operation(F32X16, [F32X16], _cubic)
keep_below_f32x16 = _operation(F32X16, [I32X16, I32X16, F32X16], _keep_below)
keep_where_zero_i32x16 = _operation(I32X16, [I32X16] * 3, _keep_where_zero)
choose_odd_f32x16 = _operation(F32X16, [I32X16, F32X16, F32X16], _choose_odd)


def _level(builder: Any, args: Sequence[Any]) -> Any:
    """Clamp to 0..255 and keep the low byte."""
    kind = args[0].type
    low, high = ir.Constant(kind, [0] * 16), ir.Constant(kind, [255] * 16)
    x = builder.select(builder.icmp_signed(">", args[0], low), args[0], low)
    x = builder.select(builder.icmp_signed("<", x, high), x, high)
    return builder.trunc(x, _llvm(I8X16))


level_i8x16 = _operation(I8X16, [I16X16], _level)


def _half(builder: Any, args: Sequence[Any]) -> Any:
    """Round float32 of magnitude below 65520 to float16, ties to even."""
    if has_half():
        return builder.fptrunc(args[0], _llvm(F16X16))
    kind = _llvm(I32X16)

    def const(value: int) -> Any:
        return ir.Constant(kind, [value] * 16)

    bits = builder.bitcast(args[0], kind)
    sign = builder.and_(builder.lshr(bits, const(16)), const(0x8000))
    size = builder.and_(bits, const(0x7FFFFFFF))
    odd = builder.and_(builder.lshr(size, const(13)), const(1))
    normal = builder.lshr(builder.add(builder.sub(size, const(0x38000000 - 0xFFF)), odd), const(13))
    # Below 2**-14 the float addition itself does the rounding to multiples of 2**-24.
    floats = _llvm(F32X16)
    moved = builder.fadd(builder.bitcast(size, floats), ir.Constant(floats, [0.5] * 16))
    small = builder.sub(builder.bitcast(moved, kind), const(0x3F000000))
    value = builder.select(builder.icmp_unsigned("<", size, const(0x38800000)), small, normal)
    return builder.bitcast(builder.trunc(builder.or_(value, sign), _llvm(I16X16)), _llvm(F16X16))


def _arrange(mask: Sequence[int]) -> Any:
    constant = ir.Constant(ir.VectorType(_I32, 16), list(mask))
    return _operation(I32X16, [I32X16], lambda b, v: b.shuffle_vector(v[0], v[0], constant))


reverse_i32x16 = _arrange(range(15, -1, -1))
first_of_four_i32x16, last_of_four_i32x16 = _arrange([i & ~3 for i in range(16)]), _arrange([i | 3 for i in range(16)])
first_of_all_i32x16, last_of_all_i32x16 = _arrange([0] * 16), _arrange([15] * 16)
half_f16x16 = _operation(F16X16, [F32X16], _half)


def _join(kind: Vector, result: Vector) -> Any:
    """Concatenate two vectors."""
    return _shuffle(result, kind, range(2 * kind.lanes))


join_i32x16 = _join(I32X8, I32X16)
join_i8x32 = _join(I8X16, I8X32)


def _pixels(kind: Vector, result: Vector) -> Any:
    """Interleave three vectors of 16 channel values to 16 pixels of three."""

    def build(builder: Any, args: Sequence[Any]) -> Any:
        def shuffle(a: Any, b: Any, mask: Sequence[int]) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(mask)), list(mask)))

        both = shuffle(args[0], args[1], range(32))
        third = shuffle(args[2], args[2], list(range(16)) + [0] * 16)
        mask = [k for i in range(16) for k in (i, 16 + i, 32 + i)]
        return shuffle(both, third, mask)

    return _operation(result, [kind] * 3, build)


pixels_i8x48, pixels_i16x48, pixels_f16x48 = _pixels(I8X16, I8X48), _pixels(I16X16, I16X48), _pixels(F16X16, F16X48)


def _pixel_part(part: int) -> Any:
    """Return values 16 part .. 16 part + 15 of 16 interleaved pixels."""
    wanted = range(16 * part, 16 * part + 16)

    def build(builder: Any, args: Sequence[Any]) -> Any:
        def shuffle(a: Any, b: Any, mask: Sequence[int]) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(mask)), list(mask)))

        first = [i // 3 + 16 * (i % 3) if i % 3 < 2 else 0 for i in wanted]
        second = [16 + i // 3 if i % 3 == 2 else k for k, i in enumerate(wanted)]
        return shuffle(shuffle(args[0], args[1], first), args[2], second)

    return _operation(F32X16, [F32X16] * 3, build)


def _take(channel: int) -> Any:
    """Return one channel of 16 interleaved pixels given as three vectors of 16 bytes."""

    def build(builder: Any, args: Sequence[Any]) -> Any:
        def shuffle(a: Any, b: Any, mask: Sequence[int]) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(mask)), list(mask)))

        wanted = [3 * i + channel for i in range(16)]
        both = shuffle(args[0], args[1], [k if k < 32 else 0 for k in wanted])
        return shuffle(both, args[2], [i if k < 32 else k - 16 for i, k in enumerate(wanted)])

    return _operation(I8X16, [I8X16] * 3, build)


take_red_i8x16, take_green_i8x16, take_blue_i8x16 = _take(0), _take(1), _take(2)
pixel_part_0, pixel_part_1, pixel_part_2 = _pixel_part(0), _pixel_part(1), _pixel_part(2)

low_pairs_i8x32 = _shuffle(I8X32, I8X32, _interleave(32, False))
high_pairs_i8x32 = _shuffle(I8X32, I8X32, _interleave(32, True))
low_pairs_i8x64 = _shuffle(I8X64, I8X64, _interleave(64, False))
high_pairs_i8x64 = _shuffle(I8X64, I8X64, _interleave(64, True))
as_i16x16 = _operation(I16X16, [I8X32], lambda b, v: b.bitcast(v[0], _llvm(I16X16)))

vpmaddubsw_i8x32 = _call("llvm.x86.avx2.pmadd.ub.sw", I16X16, [I8X32, I8X32])
vpmaddwd_i16x16 = _call("llvm.x86.avx2.pmadd.wd", I32X8, [I16X16, I16X16])
vpshufb_i8x32 = _call("llvm.x86.avx2.pshuf.b", I8X32, [I8X32, I8X32])
vpackuswb_i16x16 = _call("llvm.x86.avx2.packuswb", I8X32, [I16X16, I16X16])
vpmaddubsw_i8x64 = _call("llvm.x86.avx512.pmaddubs.w.512", I16X32, [I8X64, I8X64])
vpackuswb_i16x32 = _call("llvm.x86.avx512.packuswb.512", I8X64, [I16X32, I16X32])
vpermb_i8x64 = _call("llvm.x86.avx512.permvar.qi.512", I8X64, [I8X64, I8X64])
vpdpbusd_i32x16 = _call("llvm.x86.avx512.vpdpbusd.512", I32X16, [I32X16, I8X64, I8X64], [I32X16, I32X16, I32X16])


def _sum(builder: Any, args: Sequence[Any]) -> Any:
    total = args[0]
    for half in (8, 4, 2, 1):
        moved = [i + half if i < half else i for i in range(16)]
        mask = ir.Constant(ir.VectorType(_I32, 16), moved)
        total = builder.fadd(total, builder.shuffle_vector(total, total, mask))
    return builder.extract_element(total, ir.Constant(_I32, 0))


_down_2 = ir.Constant(ir.VectorType(_I32, 16), [min(i + 2, 15) for i in range(16)])
shift_down_2_i8x16 = _operation(I8X16, [I8X16], lambda b, v: b.shuffle_vector(v[0], v[0], _down_2))
sum_f32x16 = _operation(types.float32, [F32X16], _sum)


def _transpose(builder: Any, args: Sequence[Any]) -> Any:
    """Transpose 16 x 16 int16 from one address to another; both with their bytes from row to row."""
    kind, count = _llvm(I16X16), 16

    def at(address: Any, pitch: Any, row: int) -> Any:
        moved = builder.add(address, builder.mul(pitch, ir.Constant(ir.IntType(64), row)))
        return builder.inttoptr(moved, kind.as_pointer())

    rows = [builder.load(at(args[0], args[1], i), align=1) for i in range(count)]
    size = 1
    while size < count:  # exchange off-diagonal blocks of `size` x `size`
        low = [k if not k & size else 16 + (k ^ size) for k in range(count)]
        high = [k ^ size if not k & size else 16 + k for k in range(count)]
        low_mask, high_mask = (ir.Constant(ir.VectorType(_I32, 16), m) for m in (low, high))
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
    """Transpose 16 x 16 int16 from `source` to `target`, rows `source_pitch` and `target_pitch` bytes
    apart."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _transpose(builder, args)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), build


widen_u8_f32x16 = _operation(F32X16, [I8X16], lambda b, v: b.uitofp(v[0], _llvm(F32X16)))


@intrinsic
def store_fence(_typing: Any) -> Any:
    """Make stores past the cache visible to other threads before anything stored later."""

    def build(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), build


@intrinsic
def compact(_typing: Any) -> Any:
    """Ask for small code in the function that calls this: no unrolling and no guessed vectorisation of its
    loops."""

    def build(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        builder.function.attributes.add("optsize")
        return context.get_dummy_value()

    return types.void(), build
