"""Functions for Python and for compiled code of users: Python has nothing compiled when it calls them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from ffprep.kernels.jit import uncached
from ffprep.kernels.late import Late

F = TypeVar("F", bound=Callable[..., Any])


class InBoth(Late):
    """A function that Python calls as it is; compiled code that calls it has it compiled, without the cache on disk.

    Parameters
    ----------
    function : function
        What is compiled. It may hold addresses of this process.
    plain : function, optional
        What Python calls instead of it.
    portable : bool
        It holds no addresses, so what calls it may be kept on disk.
    """

    def __init__(
        self, function: Callable[..., Any], plain: Callable[..., Any] | None = None, *, portable: bool = False
    ) -> None:
        super().__init__(lambda: cast(Any, uncached(function)).made, function)
        self._plain = plain or function
        self.portable = portable

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._plain(*args, **kwargs)


def in_both(function: F) -> F:
    """Let Python call `function` as it is, and compiled code call it compiled. See `InBoth`."""
    return cast(F, InBoth(function))


def portable_in_both(function: F) -> F:
    """The same of a function that holds no addresses."""
    return cast(F, InBoth(function, portable=True))
