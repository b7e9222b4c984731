"""What a process of a node does for a task: it looks whether it sees what the command sees, and does the job."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from ffprep.errors import ConversionError


class Check(Protocol):
    """What a node looks for before each task."""

    def check(self) -> None:
        """Raise an error that names what is missing."""


@dataclass(frozen=True)
class Large:
    """A task that is an object of its own.

    Attributes
    ----------
    reference : list
        Of one reference, which a list keeps one.
    """

    reference: list[Any]


_opened: dict[str, tuple[Callable[[Any, Any], Any], Any, Check | None]] = {}
"""The job in which this process of a worker takes part."""


def do_task(shared: list[Any], task: Any) -> Any:
    """Do one task, in a process of a worker; without one, only look whether this node has what it needs."""
    name = shared[0].hex()
    if name not in _opened:
        ray: Any = import_module("ray")
        try:
            found = ray.get(shared[0])
        except ImportError as error:
            raise ConversionError(
                f"node {socket.gethostname()} lacks what the command has ({error}); install it there as well"
            ) from None
        _opened.clear()
        _opened[name] = found
        gc.freeze()  # what the job knows stays until its end, so that the collector need not look through it again
    job, value, places = _opened[name]
    if places is not None:
        places.check()
    if task is None:
        return None
    if isinstance(task, Large):
        task = import_module("ray").get(task.reference[0])
    return job(value, task)
