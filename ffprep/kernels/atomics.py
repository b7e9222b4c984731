"""What compiled code needs beyond Python: ordered loads and stores, a claim, prefetching, blocking reads of a pipe."""

from __future__ import annotations

from typing import Any

from ffprep.kernels.late import external, intrinsic, ir, types


def _pointer() -> Any:
    return ir.IntType(64).as_pointer()


@intrinsic
def load_acquire(_typing: Any, address: Any) -> Any:
    """Return the int64 at `address`; what its writer did before is visible afterwards."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.int64), build


@intrinsic
def store_release(_typing: Any, address: Any, value: Any) -> Any:
    """Store an int64 at `address`; whoever sees it also sees what was written before."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _pointer())
        builder.store_atomic(args[1], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), build


@intrinsic
def swap_if_equal(_typing: Any, address: Any, expected: Any, desired: Any) -> Any:
    """Store `desired` at `address` if it holds `expected`; return whether it did."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _pointer())
        result = builder.cmpxchg(pointer, args[1], args[2], "seq_cst", "seq_cst")
        return builder.extract_value(result, 1)

    return types.boolean(types.int64, types.int64, types.int64), build


@intrinsic
def prefetch(_typing: Any, address: Any) -> Any:
    """Have the cache line at `address` fetched, into all levels; a wrong address does nothing."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag])
        function = builder.module.declare_intrinsic("llvm.prefetch", (pointer,), kind)
        builder.call(function, [builder.inttoptr(args[0], pointer), flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(types.int64), build


read = external("read", "int64", "int32", "int64", "int64")
write = external("write", "int64", "int32", "int64", "int64")
