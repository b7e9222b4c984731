"""ffcv's ``Compiler``, for user-written operations that get their loop from it or compile helpers with it."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, ClassVar

from ffprep.kernels.jit import watched
from ffprep.kernels.late import Late
from ffprep.pipeline.fingerprint import Fingerprint, fingerprint, remember

_OPTIONS: dict[str, Any] = {"fastmath": True, "nogil": True, "error_model": "numpy", "nopython": True}
KEPT = 256
"""Compiled functions that a process keeps for loaders to come."""
KEPT_ON_DISK = 16
"""Forms of one function, such as other constants in it, of which machine code is kept on disk."""

_kept: OrderedDict[Any, tuple[Any, Fingerprint]] = OrderedDict()


@cache
def _cache_class() -> Any:
    from numba.core import config
    from numba.core.caching import FunctionCache

    class Cache(FunctionCache):  # type: ignore[misc]
        """numba's cache on disk, whose key is all that the function depends on instead of its file's time."""

        def __init__(self, py_func: Callable[..., Any], text: str) -> None:
            super().__init__(py_func)
            self._text = text
            self._cache_file._source_stamp = "ffprep", bool(config.BOUNDSCHECK)

        def _index_key(self, sig: Any, codegen: Any) -> Any:
            return sig, codegen.magic_tuple(), self._text

        def save_overload(self, sig: Any, data: Any) -> None:
            if len(self._cache_file._load_index()) >= KEPT_ON_DISK:
                self.flush()
            with warnings.catch_warnings():  # that something holds an address and cannot be kept is no fault
                warnings.simplefilter("ignore")
                super().save_overload(sig, data)

    return Cache


def _keep_on_disk(dispatcher: Any, text: str) -> None:
    # Of another numba's internals, or with no place to write, it is compiled in every process.
    with suppress(ImportError, AttributeError, TypeError, OSError, RuntimeError):
        dispatcher._cache = _cache_class()(dispatcher.py_func, text)


class Compiler:
    """Compiles the code of user-written operations.

    One thread works on a batch at a time, so operations loop with plain ``range``.

    Class attributes
    ----------------
    is_enabled : bool
        If False, code runs uncompiled, for debugging.
    num_threads : int
        Always 1: batches in advance keep the other CPUs busy.
    """

    is_enabled: ClassVar[bool] = True
    num_threads: ClassVar[int] = 1

    @classmethod
    def set_enabled(cls, b: bool) -> None:
        """Choose whether loaders that are made from now on compile operations or run them as plain Python."""
        cls.is_enabled = bool(b)

    @classmethod
    def set_num_threads(cls, n: int) -> None:
        """Do nothing; accepted for ffcv's sake. torch's threads are not changed either."""

    @classmethod
    def get_iterator(cls) -> Any:
        """Return the function that makes an operation's loop over a batch: ``range``."""
        return range

    @classmethod
    def compile(cls, code: Callable[..., Any], signature: Any = None) -> Callable[..., Any]:
        """Compile a function as ffcv does: without the GIL, with fastmath and numpy's error model.

        A function with the same bytecode and the same values from outside as one before is not compiled again: its
        machine code is kept for the loaders to come, and on disk, as numba's ``cache=True`` does, unless it holds
        addresses of this process.
        """
        from numba import jit
        from numba.core.registry import CPUDispatcher

        compiled: Any = code.made if isinstance(code, Late) else code
        if not cls.is_enabled or isinstance(compiled, CPUDispatcher):
            return compiled  # type: ignore[no-any-return]
        made = fingerprint(code)
        if made is None or signature is not None:
            return watched(jit(signature, **_OPTIONS)(code))  # type: ignore[no-any-return]
        if made.key not in _kept:
            compiled = watched(jit(**_OPTIONS)(code))
            if not made.owners:
                _keep_on_disk(compiled, made.text)
            remember(compiled, made)
            _kept[made.key] = compiled, made  # the fingerprint keeps the owners alive, and so their identities
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(made.key)
        return _kept[made.key][0]  # type: ignore[no-any-return]
