"""How much of a file the system holds in memory, and letting it go, to time what comes from the disk."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_WINDOW = 1 << 36  # bytes of a file asked about at a time


def resident_share(path: Path) -> float | None:
    """Return which share of a file's pages is in memory; None where the system does not say."""
    size = path.stat().st_size
    if not size:
        return None
    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
    except (OSError, AttributeError):
        return None
    mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    held = pages = 0
    for start in range(0, size, _WINDOW):
        length = min(_WINDOW, size - start)
        view = np.memmap(path, np.uint8, "r", start, (length,))
        found = np.zeros(-(-length // mmap.PAGESIZE), np.uint8)
        if mincore(view.ctypes.data, length, found.ctypes.data):
            return None
        held += int((found & 1).sum())
        pages += len(found)
    return held / pages


def drop(path: Path, ranges: Iterable[tuple[int, int]] = ((0, 0),)) -> None:
    """Ask the system to let go of parts of a file, by default of all of it; pages that are in use or unwritten stay.

    Parameters
    ----------
    path : Path
    ranges : iterable of (int, int)
        Offset and length of each part; a length of 0 is up to the end.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for offset, length in ranges:
            os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
