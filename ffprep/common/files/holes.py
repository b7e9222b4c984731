"""Taking the room of small files, and giving back that of parts of large ones."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from typing import Any

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02


@functools.cache
def _fallocate() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    function = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function


def punch(descriptor: int, offset: int, size: int) -> None:
    """Give the room of some bytes of a file back; they read as zeros then.

    Raises
    ------
    OSError
        The file system cannot.
    """
    function = _fallocate()
    number = errno.ENOTSUP
    if function is not None:
        if function(descriptor, _KEEP_SIZE | _PUNCH_HOLE, offset, size) == 0:
            return
        number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def take_room(descriptor: int, size: int) -> None:
    """Make a file so long, with room on the disk: writing to a mapped hole of a full disk would end the process.

    Raises
    ------
    OSError
        The disk is full.
    """
    os.ftruncate(descriptor, size)
    if size and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV):
                raise
