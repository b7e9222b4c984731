"""How operations on vectors are made: numba's type of a vector, and intrinsics with a fixed signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic as _intrinsic
from numba.extending import models, register_model

intrinsic: Any = _intrinsic

ELEMENTS = {
    "i8": ir.IntType(8),
    "i16": ir.IntType(16),
    "i32": ir.IntType(32),
    "i64": ir.IntType(64),
    "f16": ir.HalfType(),
    "f32": ir.FloatType(),
}
I32 = ir.IntType(32)


class Vector(types.Type):
    """numba type of an LLVM vector."""

    def __init__(self, element: str, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        super().__init__(name=f"Vector({element}x{lanes})")

    @property
    def key(self) -> tuple[str, int]:
        return self.element, self.lanes


def llvm_type(kind: Vector) -> Any:
    """Return LLVM's type of a vector."""
    return ir.VectorType(ELEMENTS[kind.element], kind.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, llvm_type(kind))


I8X16, I8X32, I8X48, I8X64 = (Vector("i8", n) for n in (16, 32, 48, 64))
I16X16, I16X32, I16X48 = (Vector("i16", n) for n in (16, 32, 48))
I32X8, I32X16 = Vector("i32", 8), Vector("i32", 16)
F16X16, F16X48 = Vector("f16", 16), Vector("f16", 48)
F32X16 = Vector("f32", 16)

Builder = Callable[[Any, Sequence[Any]], Any]


def operation(result: Any, arguments: Sequence[Any], build: Builder) -> Any:
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


def load_of(kind: Vector) -> Any:
    """Load from an address, which need not be aligned."""

    def build(builder: Any, args: Sequence[Any]) -> Any:
        return builder.load(builder.inttoptr(args[0], llvm_type(kind).as_pointer()), align=1)

    return operation(kind, [types.int64], build)


def store_of(kind: Vector) -> Any:
    """Store to an address, which need not be aligned."""

    def build(builder: Any, args: Sequence[Any]) -> Any:
        return builder.store(args[1], builder.inttoptr(args[0], llvm_type(kind).as_pointer()), align=1)

    return operation(types.void, [types.int64, kind], build)


def stream_of(kind: Vector) -> Any:
    """Store past the cache; the address must be a multiple of 64."""

    def build(builder: Any, args: Sequence[Any]) -> Any:
        store = builder.store(args[1], builder.inttoptr(args[0], llvm_type(kind).as_pointer()), align=64)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(I32, 1)]))
        return store

    return operation(types.void, [types.int64, kind], build)


def in_all_lanes(builder: Any, value: Any, kind: Any) -> Any:
    """Return an LLVM vector with one value in all lanes."""
    empty = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count))


def fill_of(kind: Vector, scalar: Any) -> Any:
    """Broadcast an integer (its low bits) or a float32 to all lanes."""

    def build(builder: Any, args: Sequence[Any]) -> Any:
        value = args[0]
        if scalar is types.int64:
            value = builder.trunc(value, ELEMENTS[kind.element])
        return in_all_lanes(builder, value, llvm_type(kind))

    return operation(kind, [scalar], build)


def load_repeated(kind: Vector, element: str) -> Any:
    """Load one element of another type at an address and repeat its bits through the vector."""

    def build(builder: Any, args: Sequence[Any]) -> Any:
        wide = ELEMENTS[element]
        bits = {"i8": 8, "i16": 16, "i32": 32, "f32": 32}
        count = kind.lanes * bits[kind.element] // bits[element]
        value = builder.load(builder.inttoptr(args[0], wide.as_pointer()), align=1)
        full = in_all_lanes(builder, value, ir.VectorType(wide, count))
        return builder.bitcast(full, llvm_type(kind))

    return operation(kind, [types.int64], build)


def shuffle_of(result: Vector, source: Vector, mask: Sequence[int]) -> Any:
    """Choose lanes of two vectors by a constant mask."""
    constant = ir.Constant(ir.VectorType(I32, len(mask)), list(mask))
    return operation(result, [source, source], lambda b, v: b.shuffle_vector(v[0], v[1], constant))


def call_of(name: str, result: Any, arguments: Sequence[Any], as_kinds: Sequence[Any] | None = None) -> Any:
    """Return an LLVM intrinsic function; operands are reinterpreted as `as_kinds`."""
    kinds = [llvm_type(kind) for kind in (as_kinds or arguments)]

    def build(builder: Any, args: Sequence[Any]) -> Any:
        function = builder.module.declare_intrinsic(name, (), ir.FunctionType(llvm_type(result), kinds))
        cast = [builder.bitcast(a, k) if a.type != k else a for a, k in zip(args, kinds, strict=True)]
        return builder.call(function, cast)

    return operation(result, arguments, build)


def interleave_mask(lanes: int, high: bool) -> list[int]:
    """Mask of punpcklbw/punpckhbw: interleave halves within each 16 bytes."""
    mask = []
    for group in range(0, lanes, 16):
        start = group + 8 * high
        for i in range(start, start + 8):
            mask += [i, lanes + i]
    return mask
