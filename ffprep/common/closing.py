"""Giving back what an object holds when the object is gone.

Not in ``__del__``: at the interpreter's exit that may run when the modules it needs are gone, and Python then prints an
exception. What is still held at the exit is left to the system.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterable


def call_when_gone(owner: object, function: Callable[..., object], *arguments: object) -> None:
    """Call a function once nobody holds `owner` any more; never at the interpreter's exit.

    Parameters
    ----------
    owner : object
    function : callable
        Neither it nor its arguments may refer to `owner`.
    *arguments : object
    """
    weakref.finalize(owner, function, *arguments).atexit = False


def close_descriptors(descriptors: Iterable[int]) -> None:
    """Close file descriptors, those already closed too."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
