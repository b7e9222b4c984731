"""How every kernel is compiled: without the GIL, without Python's checks of arithmetic, and with a cache on disk.

numba's own ``cache=True`` looks at one file's time stamp. A kernel is linked together from several files, so a change
in one of them would leave stale machine code in the cache, and so would ``NUMBA_BOUNDSCHECK``. The cache of
:func:`kernel` is keyed by that flag and by the text of the function's file and of every file of this package that it
imports, directly or through others.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config
from numba.core.caching import FunctionCache

F = TypeVar("F", bound=Callable[..., Any])


def _defer_scipy() -> None:
    """Import numba's array functions without scipy.linalg, whose own import takes as long as numba's.

    numba imports it to know whether ``np.dot`` has a BLAS, and again when ``np.dot`` is compiled. Here it is told yes
    where scipy is installed, and left to the second time.
    """
    if "numba.np.arraymath" in sys.modules or importlib.util.find_spec("scipy") is None:
        return
    try:
        from numba.np import linalg

        ask = linalg.ensure_blas
    except (ImportError, AttributeError):  # another numba
        return
    linalg.ensure_blas = lambda: None
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = ask


_defer_scipy()

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "nopython": True}


_PACKAGE = Path(__file__).resolve().parents[1]
_IMPORT = re.compile(rf"^ *from {_PACKAGE.name}(?:\.([\w.]+))? import (\([^)]*|[^(\n]*)", re.MULTILINE)


def _imported(text: bytes) -> set[Path]:
    """Return the files of this package that a text names in its imports."""
    found: set[Path] = set()
    for module, names in _IMPORT.findall(text.decode(errors="replace")):
        place = _PACKAGE.joinpath(*module.split("."))
        file = place.with_suffix(".py")
        found |= {file} if file.is_file() else {place / f"{name}.py" for name in re.findall(r"\w+", names)}
    return found


@cache
def _text_and_imports(file: Path) -> tuple[bytes, set[Path]]:
    text = file.read_bytes() if file.is_file() else b""
    return text, _imported(text)


@cache
def _digest(text: bytes) -> str:
    """Return a digest of a text and of all files of this package that it imports, directly or through others."""
    seen = _imported(text)
    todo = list(seen)
    while todo:
        new = _text_and_imports(todo.pop())[1] - seen
        seen |= new
        todo += new
    state = hashlib.sha256(text)
    for file in sorted(seen):
        state.update(b"\0" + _text_and_imports(file)[0])
    return state.hexdigest()


def source_stamp(file: str) -> tuple[str, bool]:
    """Return what cached machine code of a function in `file` depends on besides numba and the CPU."""
    return _digest(Path(file).read_bytes()), bool(config.BOUNDSCHECK)


class _KernelCache(FunctionCache):
    """numba's function cache with a content-based stamp instead of the file's time."""

    def __init__(self, py_func: Callable[..., Any]) -> None:
        super().__init__(py_func)
        self._cache_file._source_stamp = source_stamp(py_func.__code__.co_filename)


def kernel(function: F) -> F:
    """Compile `function` on its first call: nogil, cached on disk, callable from other kernels."""
    dispatcher = numba.jit(**_OPTIONS)(function)
    try:
        dispatcher._cache = _KernelCache(function)
    except (
        AttributeError,
        TypeError,
        RuntimeError,
    ):  # another numba's internals, or no place to write: still correct
        dispatcher = numba.jit(**_OPTIONS)(function)
    return cast(F, dispatcher)


def uncached(function: F) -> F:
    """Compile `function` on its first call without the cache on disk: it holds addresses of this process."""
    return cast(F, numba.jit(**_OPTIONS)(function))


def inline(function: F) -> F:
    """Compile `function` as part of the kernels that call it; LLVM is told to inline it.

    It has no wrapper for Python, which keeps compiling fast: only kernels may call it.
    """
    return cast(F, numba.jit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function))


def entry_address(function: Callable[..., int], signature: str) -> int:
    """Compile a module-level `function` as a C function and return its address.

    The address stays valid as long as the process: the compiled function is kept.
    """
    return cast(int, _entry(function, signature).address)


@cache
def _entry(function: Callable[..., int], signature: str) -> Any:
    from numba.core import sigutils
    from numba.core.ccallback import CFunc

    args, result = sigutils.normalize_signature(signature)
    compiled: Any = CFunc(function, (args, result), locals={}, options=dict(_OPTIONS))
    try:
        compiled._cache = _KernelCache(function)
    except (AttributeError, TypeError, RuntimeError):
        compiled = numba.cfunc(signature, **_OPTIONS)(function)
        return compiled
    compiled.compile()
    return compiled
