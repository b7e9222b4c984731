"""ffcv's ``Compiler``, for operations of your own that ask it for their loop or compile helpers with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar


class Compiler:
    """Compiles the code of user-written operations. Each batch is one thread's work, so loops are plain ``range``.

    Class attributes
    ----------------
    is_enabled : bool
        Without it code runs uncompiled, for debugging.
    num_threads : int
        Always 1: an operation has the batch to itself, and batches in advance keep the other processors busy.
    """

    is_enabled: ClassVar[bool] = True
    num_threads: ClassVar[int] = 1

    @classmethod
    def set_enabled(cls, b: bool) -> None:
        """Compile, or run operations as plain Python, from the next loader on."""
        cls.is_enabled = bool(b)

    @classmethod
    def set_num_threads(cls, n: int) -> None:
        """Accepted for ffcv's sake; changes nothing, and in particular not torch's threads."""

    @classmethod
    def get_iterator(cls) -> Any:
        """Return what an operation loops over a batch with."""
        return range

    @classmethod
    def compile(cls, code: Callable[..., Any], signature: Any = None) -> Callable[..., Any]:
        """Compile a function as ffcv does: nogil, fastmath, numpy's arithmetic."""
        from numba import njit
        from numba.core.registry import CPUDispatcher

        compiled: Callable[..., Any] = code
        if cls.is_enabled and not isinstance(code, CPUDispatcher):
            compiled = njit(signature, fastmath=True, nogil=True, error_model="numpy")(code)
        return compiled
