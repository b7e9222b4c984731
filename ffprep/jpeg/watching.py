"""A word before a failed read of mapped memory ends the process: see ``native/guard/guard.h``."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.jpeg import native

_lock = threading.RLock()  # the garbage collector may end one watch while the same thread begins another


def watch_memory(owner: Any, data: npt.NDArray[Any], path: str | os.PathLike[str]) -> weakref.finalize[..., Any]:
    """Let failed reads of a file's memory write a line that names the file, as long as an object lives.

    Parameters
    ----------
    owner : object
        With whose end the watch ends.
    data : ndarray
        The mapped file, contiguous.
    path : path

    Returns
    -------
    weakref.finalize
        Ends the watch earlier when it is called.
    """
    name = os.fsencode(os.path.abspath(path))  # noqa: PTH100 - of each of many files
    start = np.ascontiguousarray(data).ctypes.data
    with _lock:
        ticket = native.library().ffp_watch(start, data.nbytes, name)
    return weakref.finalize(owner, _unwatch, ticket)


def _unwatch(ticket: int) -> None:
    with _lock:
        if ticket != -1:
            native.library().ffp_unwatch(ticket)
