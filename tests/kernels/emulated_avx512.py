"""The AVX-512 renderer on a CPU without AVX-512: its four instructions replaced by plain ones before it is compiled.

Run as a program with a number of images, on a CPU that has AVX2: it compares them with what the AVX2 renderer makes and
prints how many outputs it compared. The cache of compiled code must be one of its own (NUMBA_CACHE_DIR): code made here
has the emulated instructions in it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from ffprep.kernels.resample.plan import WIDE_SCALE
from ffprep.kernels.resample.render import packed_desc, render
from ffprep.kernels.resample.weights import FILTERS
from ffprep.kernels.simd import level
from ffprep.kernels.simd import operations as v
from ffprep.kernels.simd.types import I8X64, I16X32, I32, I32X16, llvm_type, operation

I16, I8 = ir.IntType(16), ir.IntType(8)


def _split(builder: Any, value: Any, first: int, step: int, count: int) -> Any:
    mask = ir.Constant(ir.VectorType(I32, count), [first + step * i for i in range(count)])
    return builder.shuffle_vector(value, value, mask)


def _saturated(builder: Any, wide: Any, low: int, high: int) -> Any:
    least, most = (ir.Constant(wide.type, [limit] * wide.type.count) for limit in (low, high))
    wide = builder.select(builder.icmp_signed(">", wide, least), wide, least)
    return builder.select(builder.icmp_signed("<", wide, most), wide, most)


def _vpmaddubsw(builder: Any, args: Sequence[Any]) -> Any:
    """Unsigned bytes times signed bytes, neighbours added, saturated to 16 bits."""
    kind = ir.VectorType(I32, 32)
    parts = [
        builder.mul(
            builder.zext(_split(builder, args[0], k, 2, 32), kind),
            builder.sext(_split(builder, args[1], k, 2, 32), kind),
        )
        for k in (0, 1)
    ]
    return builder.trunc(_saturated(builder, builder.add(*parts), -(1 << 15), (1 << 15) - 1), llvm_type(I16X32))


def _vpackuswb(builder: Any, args: Sequence[Any]) -> Any:
    """Signed 16-bit numbers to unsigned bytes, in each 128 bits eight of the first operand and eight of the second."""
    order = [32 * (i % 16 // 8) + 8 * (i // 16) + i % 8 for i in range(64)]
    both = builder.shuffle_vector(*args, ir.Constant(ir.VectorType(I32, 64), order))
    return builder.trunc(_saturated(builder, both, 0, 255), llvm_type(I8X64))


def _vpermb(builder: Any, args: Sequence[Any]) -> Any:
    """Byte ``order[i] % 64`` of the first operand for each i."""
    result = ir.Constant(llvm_type(I8X64), ir.Undefined)
    order = builder.and_(args[1], ir.Constant(llvm_type(I8X64), [63] * 64))
    for i in range(64):
        place = builder.zext(builder.extract_element(order, ir.Constant(I32, i)), I32)
        result = builder.insert_element(result, builder.extract_element(args[0], place), ir.Constant(I32, i))
    return result


def _vpdpbusd(builder: Any, args: Sequence[Any]) -> Any:
    """Add four products of unsigned and signed bytes to each 32-bit number, without saturation."""
    kind, total = llvm_type(I32X16), args[0]
    for k in range(4):
        levels = builder.zext(_split(builder, args[1], k, 4, 16), kind)
        total = builder.add(total, builder.mul(levels, builder.sext(_split(builder, args[2], k, 4, 16), kind)))
    return total


def _called(kind: Any, build: Callable[[Any, Sequence[Any]], Any]) -> Callable[[Any, Sequence[Any]], Any]:
    """Return what calls a function that does the same: written out at each use, the code takes minutes to compile."""

    def call(builder: Any, args: Sequence[Any]) -> Any:
        name = f"emulated{build.__name__}"
        function = builder.module.globals.get(name)
        if function is None:
            of = ir.FunctionType(llvm_type(kind), [argument.type for argument in args])
            function = ir.Function(builder.module, of, name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            inside = ir.IRBuilder(function.append_basic_block())
            inside.ret(build(inside, function.args))
        return builder.call(function, args)

    return call


def emulate() -> None:
    """Let the level ``avx512`` run here. Before anything of it is compiled, and with a code cache of its own."""
    v.vpmaddubsw_i8x64 = operation(I16X32, [I8X64, I8X64], _called(I16X32, _vpmaddubsw))
    v.vpackuswb_i16x32 = operation(I8X64, [I16X32, I16X32], _called(I8X64, _vpackuswb))
    v.vpermb_i8x64 = operation(I8X64, [I8X64, I8X64], _called(I8X64, _vpermb))
    v.vpdpbusd_i32x16 = operation(I32X16, [I32X16, I8X64, I8X64], _called(I32X16, _vpdpbusd))
    level.supported = lambda name: True


def compare(count: int) -> None:
    """Render random boxes with the AVX-512 renderer and with the AVX2 one, which does the same sums, and compare."""
    rng = np.random.default_rng(0)
    compared = 0
    for number in range(count):
        h, w = (int(side) for side in rng.integers(8, 300, 2))
        pixels = rng.integers(0, 256, (h, w, 3), np.uint8)
        image = packed_desc(pixels)
        box_h, box_w = int(rng.integers(4, h + 1)), int(rng.integers(4, w + 1))
        box = int(rng.integers(0, h - box_h + 1)), int(rng.integers(0, w - box_w + 1)), box_h, box_w
        size = int(rng.integers(max(1, box_h // 3), 2 * box_h)), int(rng.integers(max(1, box_w // 3), 2 * box_w))
        if box_h > WIDE_SCALE * size[0] or box_w > WIDE_SCALE * size[1]:
            continue
        kind = sorted(FILTERS)[number % 3]
        for form in ("u8_hwc", "f32_chw"):
            both = [
                render(image, box, size, filter=kind, format=form, flip=number % 2 == 1, level=name)
                for name in (level.AVX512, level.AVX2)
            ]
            np.testing.assert_array_equal(*both, err_msg=f"image {number}, {kind}, {form}, box {box}, size {size}")
            compared += 1
    print(compared)


if __name__ == "__main__":
    emulate()
    compare(int(sys.argv[1]))
