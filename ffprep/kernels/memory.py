"""Addresses inside kernels: arrays and records over foreign memory, C calls, counters, a heap that needs no GIL."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffprep.kernels.jit import inline
from ffprep.kernels.late import Late, LateModule, external, intrinsic, ir, types

_arrays: Any = LateModule("numba.np.arrayobj")
_numba: Any = LateModule("numba")
carray: Any = Late(lambda: _numba.carray)


def _i64() -> Any:
    return ir.IntType(64)


def _pointer_to(dtype: str) -> Any:
    @intrinsic
    def cast(_typing: Any, address: Any) -> Any:
        pointer = types.CPointer(getattr(types, dtype))

        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(pointer))

        return pointer(types.int64), build

    return cast


_pointer_u8 = _pointer_to("uint8")
_pointer_u16 = _pointer_to("uint16")
_pointer_i32 = _pointer_to("int32")
_pointer_i64 = _pointer_to("int64")
_pointer_f32 = _pointer_to("float32")
_pointer_f64 = _pointer_to("float64")


@intrinsic
def borrowed(_typing: Any, array: Any) -> Any:
    """Return the same array without its reference count, for as long as the caller keeps the array.

    Every slice counts its array's references with atomic instructions, on a cache line that all threads share.
    """

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        view = _arrays.make_array(array)(context, builder, value=args[0])
        view.meminfo = ir.Constant(view.meminfo.type, None)
        view.parent = ir.Constant(view.parent.type, None)
        return view._getvalue()

    return array(array), build


@inline
def bytes_at(address: int, count: int) -> Any:
    """Return a uint8 array of `count` elements at `address`."""
    return carray(_pointer_u8(address), (count,), np.uint8)


@inline
def halves_at(address: int, count: int) -> Any:
    """Return a uint16 array of `count` elements at `address`."""
    return carray(_pointer_u16(address), (count,), np.uint16)


@inline
def ints_at(address: int, count: int) -> Any:
    """Return an int32 array of `count` elements at `address`."""
    return carray(_pointer_i32(address), (count,), np.int32)


@inline
def longs_at(address: int, count: int) -> Any:
    """Return an int64 array of `count` elements at `address`."""
    return carray(_pointer_i64(address), (count,), np.int64)


@inline
def floats_at(address: int, count: int) -> Any:
    """Return a float32 array of `count` elements at `address`."""
    return carray(_pointer_f32(address), (count,), np.float32)


@inline
def doubles_at(address: int, count: int) -> Any:
    """Return a float64 array of `count` elements at `address`."""
    return carray(_pointer_f64(address), (count,), np.float64)


@inline
def byte_rows_at(address: int, rows: int, columns: int) -> Any:
    """Return a uint8 array of shape (`rows`, `columns`) at `address`."""
    return carray(_pointer_u8(address), (rows, columns), np.uint8)


@inline
def double_rows_at(address: int, rows: int, columns: int) -> Any:
    """Return a float64 array of shape (`rows`, `columns`) at `address`."""
    return carray(_pointer_f64(address), (rows, columns), np.float64)


def record_at(dtype: np.dtype[Any]) -> Any:
    """Return a function for kernels that gives the record of a structured dtype at an address, to be used in place."""

    @intrinsic
    def at(_typing: Any, address: Any) -> Any:
        record = _numba.from_dtype(dtype)

        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(record))

        return record(types.int64), build

    return at


@intrinsic
def address_of(_typing: Any, record: Any) -> Any:
    """Return the address of a record (of an array, of another record, of :func:`record_at`)."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], _i64())

    return types.int64(record), build


def _getter(name: str) -> Any:
    @intrinsic
    def get(_typing: Any, address: Any) -> Any:
        kind = getattr(types, name)

        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], context.get_value_type(kind).as_pointer())
            return builder.load(pointer, align=1)

        return kind(types.int64), build

    return get


def _putter(name: str) -> Any:
    @intrinsic
    def put(_typing: Any, address: Any, value: Any) -> Any:
        kind = getattr(types, name)

        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], context.get_value_type(kind).as_pointer())
            builder.store(args[1], pointer, align=1)
            return context.get_dummy_value()

        return types.void(types.int64, kind), build

    return put


get_u8, put_u8 = _getter("uint8"), _putter("uint8")
get_i16, put_i16 = _getter("int16"), _putter("int16")
get_i32, put_i32 = _getter("int32"), _putter("int32")
get_i64 = _getter("int64")
get_f32, put_f32 = _getter("float32"), _putter("float32")


@intrinsic
def atomic_add(_typing: Any, address: Any, value: Any) -> Any:
    """Add to the int64 at `address` atomically and return what it was before."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", builder.inttoptr(args[0], _i64().as_pointer()), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), build


@intrinsic
def call_entry(_typing: Any, address: Any, args: Any) -> Any:
    """Call the C function at `address` with a tuple of int64 and float64; it returns an int64."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = list(signature.args[1])
        unpacked = [builder.extract_value(values[1], i) for i in range(len(kinds))]
        function = ir.FunctionType(_i64(), [context.get_value_type(kind) for kind in kinds])
        return builder.call(builder.inttoptr(values[0], function.as_pointer()), unpacked)

    return types.int64(types.int64, args), build


_malloc = external("malloc", "int64", "int64")
_memset = external("memset", "int64", "int64", "int32", "int64")
_memcpy = external("memcpy", "int64", "int64", "int64", "int64")
_free = external("free", "void", "int64")


@inline
def allocate(size: int) -> int:
    """Return the address of `size` fresh bytes from the C heap, 0 when there is no memory."""
    return _malloc(np.int64(size))


@inline
def release(address: int) -> None:
    """Give memory of :func:`allocate` back; 0 is allowed."""
    _free(np.int64(address))


@inline
def fill_zero(address: int, size: int) -> None:
    """Zero `size` bytes at `address`."""
    _memset(np.int64(address), np.int32(0), np.int64(size))


@inline
def copy_bytes(target: int, source: int, size: int) -> None:
    """Copy `size` bytes between addresses that do not overlap."""
    _memcpy(np.int64(target), np.int64(source), np.int64(size))
