"""Giving back what an object holds when the object is gone, or is one of another process.

Not in ``__del__``: at the interpreter's exit that may run when the modules it needs are gone, and Python then prints an
exception. What is still held at the exit is left to the system.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterable
from typing import Protocol


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


class Forked(Protocol):
    """What has threads, or something else that a forked process has not."""

    def after_fork(self) -> None:
        """Forget it, in that process."""


_told: weakref.WeakSet[Forked] = weakref.WeakSet()


def tell_of_forks(owner: Forked) -> None:
    """Call the object's ``after_fork`` in processes that are forked from this one, as long as somebody holds it."""
    _told.add(owner)


def _after_fork() -> None:
    for owner in list(_told):
        owner.after_fork()


os.register_at_fork(after_in_child=_after_fork)
