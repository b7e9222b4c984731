"""Writing to places of a file, and asking the system to begin with the disk, without waiting for it."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any

SYNC_FILE_RANGE_WRITE = 2


@cache
def _function() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function


def begin_writing(descriptor: int, offset: int, size: int) -> None:
    """Ask for a part of a file to be written to the disk soon (Linux: ``sync_file_range(2)``).

    It promises nothing and reports nothing: that, and errors of the disk, are for ``fsync``.

    Parameters
    ----------
    descriptor : int
    offset, size : int
        In bytes.
    """
    function = _function()
    if function is not None:
        function(descriptor, offset, size, SYNC_FILE_RANGE_WRITE)


def write_fully(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of the data, since a single call of ``pwrite`` may write less.

    Raises
    ------
    OSError
        The disk is full, for instance.
    """
    while len(data):
        written = os.pwrite(descriptor, data, offset)
        data = data[written:]
        offset += written
