"""Objects for compiled code that come into being when something is compiled: numba is not imported before that."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from importlib import import_module
from types import ModuleType
from typing import Any


class Late:
    """What `make` returns, made when compiled code names it or Python asks it for anything.

    Parameters
    ----------
    make : function without arguments
    function : function, optional
        The Python function that it is compiled from.
    """

    def __init__(self, make: Callable[[], Any], function: Callable[..., Any] | None = None) -> None:
        self._make = make
        self._made: Any = None
        self.py_func = function
        if function is not None:
            update_wrapper(self, function)

    @property
    def made(self) -> Any:
        """The object itself, always the same."""
        if self._made is None:
            from numba.core.compiler_lock import global_compiler_lock

            with global_compiler_lock:  # numba holds it while it compiles, and forks wait for it
                if self._made is None:
                    self._made = self._make()
        return self._made

    @property
    def _numba_type_(self) -> Any:
        """What numba asks of an object that it does not know."""
        from numba.core.registry import cpu_target

        context = cpu_target.typing_context
        context.refresh()  # an intrinsic may have been made just now
        return context.resolve_value_type(self.made)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.made(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.made, name)


class LateModule(ModuleType):
    """A module that is imported when one of its members is asked for; to numba it is a module.

    It is none of ``sys.modules``: whoever looks through these would have it imported.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(self.__name__), name)


ir: Any = LateModule("llvmlite.ir")
types: Any = LateModule("numba.types")


def intrinsic(definition: Callable[..., Any]) -> Any:
    """Make an intrinsic of numba's, late."""

    def make() -> Any:
        from numba.extending import intrinsic as make_intrinsic

        return make_intrinsic(definition)

    return Late(make, definition)


def external(name: str, result: str, *arguments: str) -> Any:
    """Return a C function of this process for kernels, with numba's names of its types."""

    def make() -> Any:
        kinds = [getattr(types, kind) for kind in arguments]
        return types.ExternalFunction(name, getattr(types, result)(*kinds))

    return Late(make)
