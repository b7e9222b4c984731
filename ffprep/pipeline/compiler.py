"""ffcv's ``Compiler``, for user-written operations that get their loop from it or compile helpers with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ffprep.kernels.jit import watched
from ffprep.kernels.late import Late


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
        """Compile a function as ffcv does: without the GIL, with fastmath and numpy's error model."""
        from numba import njit
        from numba.core.registry import CPUDispatcher

        compiled: Callable[..., Any] = code.made if isinstance(code, Late) else code
        if cls.is_enabled and not isinstance(compiled, CPUDispatcher):
            compiled = watched(njit(signature, fastmath=True, nogil=True, error_model="numpy")(code))
        return compiled
