"""ffcv's ``Compiler``, for operations of your own that ask it for their loop or compile helpers with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Compiler:
    """Compiles the code of user-written operations. Each batch is one thread's work, so loops are plain ``range``."""

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
        if not isinstance(code, CPUDispatcher):
            compiled = njit(signature, fastmath=True, nogil=True, error_model="numpy")(code)
        return compiled
