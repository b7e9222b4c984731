"""What a process of a node does for a task: it looks whether it sees what the command sees, and does the job."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ffprep.errors import ConversionError


def and_within(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Paths, each folder followed by something in it: where a file system is not mounted, there is an empty folder."""
    found: list[Path] = []
    for path in paths:
        found.append(path)
        with contextlib.suppress(OSError, StopIteration), os.scandir(path) as entries:
            found.append(path / next(entry.name for entry in entries if not entry.name.startswith(".")))
    return tuple(found)


@dataclass(frozen=True)
class Places:
    """What every node has to see at the same path.

    Attributes
    ----------
    here : str
        The working folder of the command, from which relative paths lead.
    token : Path
        A file that the command wrote.
    content : str
        What is in it.
    read : tuple of Path
        Files and folders that the tasks read, and something in each folder (`and_within`).
    """

    here: str
    token: Path
    content: str
    read: tuple[Path, ...] = ()

    def check(self) -> None:
        """Raise a `ConversionError` that names this machine and the path, if it does not see one of them."""
        with contextlib.suppress(OSError):  # where there is no such folder, relative paths are missed below
            os.chdir(self.here)
        try:
            found = self.token.read_text("utf-8")
        except (OSError, ValueError):
            found = ""
        # Also one that may not be looked at, of which `Path.exists` would raise an error.
        missing = [path for path in self.read if not os.path.exists(path)]  # noqa: PTH110
        if found != self.content:
            raise ConversionError(
                f"node {socket.gethostname()} does not see {self.token.parent} as the command does; all nodes have to "
                "write to the folder of --out, on a file system that they share, at the same path"
            )
        if missing:
            raise ConversionError(
                f"node {socket.gethostname()} does not see {missing[0]}; all nodes have to read the source at the same "
                "path"
            )


@dataclass(frozen=True)
class Large:
    """A task that is an object of its own.

    Attributes
    ----------
    reference : list
        Of one reference, which a list keeps one.
    """

    reference: list[Any]


_opened: dict[str, tuple[Callable[[Any, Any], Any], Any, Places | None]] = {}
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
