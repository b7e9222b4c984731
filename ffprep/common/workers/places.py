"""What all nodes of a cluster have to see at the same paths."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

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
