"""The kernels' machine code that came with ffprep (``_kernels.so``): what it has, and whether it may be used here.

``scripts/build_kernels.py`` makes it with numba, for the processors that LLVM calls x86-64-v2, and for higher ones
where that pays. A function is taken from it only if the texts that it was compiled from are those of this package, the
processor has what the code needs, and nobody has asked numba for other code. Otherwise numba compiles it, as it does
where there is no such file.

A function's symbol is ``ffp_k_`` with its module and name. It takes numba's flattened arguments, 64 bits each, and
returns an int64, which is :data:`FAILED` if the function raised an exception.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ffprep.errors import FfprepError
from ffprep.kernels.sources import digest

Argument: TypeAlias = Any
"""A dtype, for a number, or a dtype and a number of dimensions, for a C-contiguous array."""

LIBRARY_PATH = Path(__file__).resolve().parent / "_kernels.so"
VARIABLE = "FFPREP_KERNELS"
FAILED = -(1 << 63)

LEVELS = ("", "avx2", "avx512")
"""What is in the object, the least first: for any processor, and what the levels of ``simd.level`` are named."""

_OTHER_CODE = ("NUMBA_BOUNDSCHECK", "NUMBA_DISABLE_JIT", "NUMBA_ENABLE_AVX", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
"""Variables with which numba compiles other code, or none."""


def refusal() -> str | None:
    """Return why the object is not used at all, or None if it is."""
    if os.environ.get(VARIABLE) == "jit":
        return f"{VARIABLE}=jit"
    for name in _OTHER_CODE:
        value = os.environ.get(name)
        if value is not None and not (value == "0" and name in _OTHER_CODE[:2]):
            return f"{name}={value} asks numba for other code"
    config = getattr(sys.modules.get("numba"), "config", None)
    if getattr(config, "BOUNDSCHECK", None) or getattr(config, "DISABLE_JIT", None):
        return "numba is told to check bounds or not to compile"
    return _open()[1]


@cache
def _open() -> tuple[ctypes.CDLL | None, str | None]:
    """Return the object, or why it cannot be used on this machine."""
    if not LIBRARY_PATH.exists():
        return None, "this installation was built without it"
    try:
        library = ctypes.CDLL(str(LIBRARY_PATH))
        library.ffp_kernels_level.restype = ctypes.c_int64
        level = library.ffp_kernels_level()
    except (OSError, AttributeError) as error:
        return None, f"it cannot be loaded: {' '.join(str(error).split())}"
    return (library, None) if level > 0 else (None, "it needs a processor with SSE4.2 and POPCNT (x86-64-v2)")


def processor_levels() -> list[str] | None:
    """Return the levels that this processor has, the best first, or None if the object is not used."""
    if refusal() is not None:
        return None
    library = _open()[0]
    assert library is not None
    return list(LEVELS[: library.ffp_kernels_level()][::-1])


@cache
def stamps() -> dict[str, str]:
    """Return of each module of this package with functions in the object the digest that it had."""
    library = _open()[0]
    if library is None:
        return {}
    text = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(library, "ffp_kernels_stamps"))).decode()
    return dict(line.split() for line in text.splitlines())


def stale() -> list[str]:
    """Return the modules whose functions are not those that the object was made from."""
    package = Path(__file__).resolve().parents[2]
    found = []
    for module, stamp in stamps().items():
        file = package.joinpath(*module.split(".")).with_suffix(".py")
        if not file.is_file() or digest(str(file)) != stamp:
            found.append(module)
    return found


def symbol(function: Callable[..., Any], level: str = "") -> str:
    """Return a function's symbol in the object, of code for a level."""
    name = "_".join([*function.__module__.split(".")[1:], function.__name__])
    return f"ffp_k_{name}__{level}" if level else f"ffp_k_{name}"


def address(function: Callable[..., Any]) -> int | None:
    """Return the address of the shipped code of a function of this package, or None if there is none to be used."""
    levels = processor_levels()
    if levels is None or function.__qualname__ != function.__name__:
        return None
    stamp = stamps().get(function.__module__)
    if stamp is None or stamp != digest(function.__code__.co_filename):
        return None
    library = _open()[0]
    for level in levels:
        found = getattr(library, symbol(function, level), None)
        if found is not None:
            return ctypes.cast(found, ctypes.c_void_p).value
    return None


def caller(kernel: Any, arguments: Sequence[Argument]) -> Callable[..., Any] | None:
    """Return what calls the shipped code of a kernel with Python's arguments, or None if there is none to be used.

    Arguments of other types than the code is for go to numba's.

    Parameters
    ----------
    kernel : ffprep.kernels.jit.Kernel
    arguments : sequence of Argument
        What it takes.
    """
    found = address(kernel.py_func)
    if found is None:
        return None
    kinds = [(np.dtype(kind[0]), kind[1]) if isinstance(kind, tuple) else (np.dtype(kind), 0) for kind in arguments]
    types: list[Any] = []
    for dtype, dimensions in kinds:
        number = ctypes.c_double if dtype == np.float64 else ctypes.c_int64
        types += [ctypes.c_int64] * (5 + 2 * dimensions) if dimensions else [number]
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *types)(found)

    def call_with_numbers(*given: int) -> int:
        try:
            result: int = function(*given)
        except ctypes.ArgumentError:  # numpy's numbers
            result = function(*map(int, given))
        if result == FAILED:
            raise FfprepError(f"{kernel.__name__} failed; report this as a bug")
        return result

    if all(dimensions == 0 and dtype != np.float64 for dtype, dimensions in kinds):
        return call_with_numbers  # which are called for every batch

    def call(*given: Any) -> int:
        flat: list[Any] = []
        for (dtype, dimensions), value in zip(kinds, given, strict=True):
            if dimensions == 0:
                flat.append(float(value) if dtype == np.float64 else int(value))
                continue
            if value.ndim != dimensions or value.dtype != dtype or not value.flags.c_contiguous:
                return int(kernel.made(*given) or 0)
            flat += (0, 0, value.size, value.itemsize, value.ctypes.data)
            flat += value.shape
            flat += value.strides
        result: int = function(*flat)
        if result == FAILED:
            raise FfprepError(f"{kernel.__name__} failed; report this as a bug")
        return result

    return call
