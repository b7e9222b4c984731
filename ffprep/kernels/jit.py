"""How kernels get their machine code: from the shared object that came with ffprep, or from numba, now.

Without the GIL and without Python's checks of arithmetic. What :mod:`ffprep.kernels.shipped` has needs no numba, which
is then not even imported; the rest is compiled on its first call and kept on disk.

numba's own ``cache=True`` looks at one file's time stamp. A kernel is linked together from several files, so a change
in one of them would leave stale machine code in the cache, and so would ``NUMBA_BOUNDSCHECK``. The cache of
:func:`kernel` is keyed by that flag and by the text of the function's file and of every file of this package that it
imports, directly or through others.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar, cast, overload

from ffprep.kernels import shipped
from ffprep.kernels.late import Late
from ffprep.kernels.sources import digest

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "nopython": True}
_WORTH_SAYING = 1.0
"""Seconds of compiling from which on the user is told."""


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


@cache
def _numba() -> Any:
    """Import numba, and say from then on what it compiles of ours."""
    module = importlib.import_module("numba")
    _defer_scipy()
    from numba.core import event

    class Listener(event.Listener):  # type: ignore[misc]
        """Hears of everything that numba compiles in this process."""

        def on_start(self, happening: Any) -> None:
            _compiling.begin()

        def on_end(self, happening: Any) -> None:
            function = happening.data["dispatcher"].py_func
            _compiling.end(function, function in _watched or str(function.__module__).startswith("ffprep."))

    event.register("numba:compile", Listener())
    return module


_watched: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()
"""Functions of users that are compiled for the loader."""


def watched(dispatcher: Any) -> Any:
    """Let the user be told how long a function of his took to compile; return it."""
    _numba()
    _watched.add(dispatcher.py_func)
    return dispatcher


class _Compiling:
    """What is being compiled: functions within functions, by one thread at a time."""

    def __init__(self) -> None:
        self._depth = 0
        self._begun = 0.0

    def begin(self) -> None:
        if self._depth == 0:
            self._begun = time.perf_counter()
        self._depth += 1

    def end(self, function: Callable[..., Any], ours: bool = True) -> None:
        self._depth = max(0, self._depth - 1)  # the first end may be of what began before anybody listened
        seconds = time.perf_counter() - self._begun
        if self._depth == 0 and ours and seconds >= _WORTH_SAYING:
            print(f"ffprep: compiled {function.__qualname__} in {seconds:.1f} s", file=sys.stderr)


_compiling = _Compiling()


@contextmanager
def _said(function: Callable[..., Any]) -> Iterator[None]:
    _compiling.begin()
    try:
        yield
    finally:
        _compiling.end(function)


def source_stamp(file: str) -> tuple[str, bool]:
    """Return what cached machine code of a function in `file` depends on besides numba and the CPU."""
    from numba.core import config

    return digest(file), bool(config.BOUNDSCHECK)


@cache
def _cache_class() -> Any:
    from numba.core.caching import FunctionCache

    class KernelCache(FunctionCache):  # type: ignore[misc]
        """numba's function cache with a content-based stamp instead of the file's time."""

        def __init__(self, py_func: Callable[..., Any]) -> None:
            super().__init__(py_func)
            self._cache_file._source_stamp = source_stamp(py_func.__code__.co_filename)

    return KernelCache


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    return _numba().jit(**_OPTIONS, **options)(function)


def _cached(function: Callable[..., Any]) -> Any:
    dispatcher = _compiled(function)
    try:
        dispatcher._cache = _cache_class()(function)
    except (
        ImportError,
        AttributeError,
        TypeError,
        RuntimeError,
    ):  # another numba's internals, or no place to write: still correct
        dispatcher = _compiled(function)
    return dispatcher


class Kernel(Late):
    """A function that Python calls: its shipped code where there is some for these arguments, else what numba makes.

    Parameters
    ----------
    function : function
    arguments : sequence of shipped.Argument, optional
        What it takes when Python calls it; without, it is not shipped.
    """

    def __init__(self, function: Callable[..., Any], arguments: Sequence[shipped.Argument] | None = None) -> None:
        super().__init__(lambda: _cached(function), function)
        self.arguments = arguments
        self._call: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        if self._call is None:
            found = shipped.caller(self, self.arguments) if self.arguments is not None else None
            self._call = self.made if found is None else found
        return self._call(*args)


@overload
def kernel(function: F) -> F: ...


@overload
def kernel(*, arguments: Sequence[shipped.Argument]) -> Callable[[F], F]: ...


def kernel(function: Any = None, *, arguments: Sequence[shipped.Argument] | None = None) -> Any:
    """Compile a function: nogil, cached on disk, callable from other kernels.

    Parameters
    ----------
    function : function
    arguments : sequence of dtype or (dtype, dimensions), optional
        What the function takes when Python calls it: numbers (int64, uint64 or float64) and arrays, which are
        C-contiguous. It returns nothing or an int64. The function is then shipped as machine code.
    """
    if function is None:
        return lambda function: Kernel(function, arguments)
    return Kernel(function)


def uncached(function: F) -> F:
    """Compile `function` on its first call without the cache on disk: it holds addresses of this process."""
    return cast(F, Late(lambda: _compiled(function), function))


def inline(function: F) -> F:
    """Compile `function` as part of the kernels that call it; LLVM is told to inline it.

    It has no wrapper for Python, which keeps compiling fast: only kernels may call it.
    """
    options = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(F, Late(lambda: _compiled(function, **options), function))


def plain_function(function: Any) -> Callable[..., Any]:
    """Return the Python function that something of :func:`kernel` is compiled from, or the function itself."""
    return cast(Callable[..., Any], getattr(function, "py_func", None) or function)


def entry_address(function: Callable[..., int], signature: str) -> int:
    """Return the address of a module-level `function` as a C function: shipped, or compiled now.

    The address stays valid as long as the process: the compiled function is kept.
    """
    plain = plain_function(function)
    return shipped.address(plain) or cast(int, _entry(plain, signature).address)


@cache
def _entry(function: Callable[..., int], signature: str) -> Any:
    numba = _numba()
    from numba.core import sigutils
    from numba.core.ccallback import CFunc

    args, result = sigutils.normalize_signature(signature)
    compiled: Any = CFunc(function, (args, result), locals={}, options=dict(_OPTIONS))
    try:
        compiled._cache = _cache_class()(function)
    except (ImportError, AttributeError, TypeError, RuntimeError):
        with _said(function):
            return numba.cfunc(signature, **_OPTIONS)(function)
    with _said(function):
        compiled.compile()
    return compiled
