"""What files hold, as arrays. Mapped files need no descriptor: a process may map thousands, but open only hundreds."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import sys
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ffprep.common.files.source_files import open_binary
from ffprep.errors import SourceError

Bytes = npt.NDArray[np.uint8]


def map_file(file: BinaryIO, writable: bool = False) -> Bytes:
    """Map a whole file. The mapping stays when the file is closed, and keeps no descriptor of its own.

    Parameters
    ----------
    file : binary file
        Open for reading, of at least one byte.
    writable : bool
        Whether the array may be written to, and the file with it; the file is open for writing then.

    Returns
    -------
    ndarray of uint8, shape (bytes of the file,)

    Raises
    ------
    ValueError
        The file is empty.
    OSError
        It cannot be mapped.
    """
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise ValueError("an empty file cannot be mapped")
    place = _map_over()
    if place is None:
        return np.asarray(np.memmap(file, np.uint8, "r+" if writable else "r"))
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    if sys.version_info >= (3, 13):
        memory = mmap.mmap(file.fileno(), size, prot=access, trackfd=False)
        return np.frombuffer(memory, np.uint8)
    # Python's own mapping of a file keeps a copy of its descriptor; one of no file has none. The file is then mapped
    # over it, at the same addresses, and goes with the object as any mapping does.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=access)
    data: Bytes = np.frombuffer(memory, np.uint8)
    address = int(data.__array_interface__["data"][0])
    if place(address, size, access, mmap.MAP_SHARED | _MAP_FIXED, file.fileno(), 0) != address:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), getattr(file, "name", None))
    return data


_MAP_FIXED = 0x10  # on Linux and macOS


@functools.cache
def _map_over() -> Any:
    """The system's ``mmap``; None where the system has another interface."""
    if sys.platform not in ("linux", "darwin") or not hasattr(mmap, "MAP_ANONYMOUS"):
        return None
    function = ctypes.CDLL(None, use_errno=True).mmap
    function.restype = ctypes.c_size_t
    function.argtypes = (
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64,
    )  # fmt: skip
    return function


def advise(address: int, size: int, advice: int) -> None:
    """Tell the system how mapped memory will be used (``madvise``), without the interpreter's lock.

    Parameters
    ----------
    address, size : int
        Bytes of a mapping that the caller keeps alive. Whole pages around them are meant.
    advice : int
        One of ``mmap.MADV_...``. Nothing is said of whether the system takes it.
    """
    function = _madvise()
    if function is not None and size > 0:
        start = address & -mmap.PAGESIZE
        function(start, address + size - start, advice)


@functools.cache
def _madvise() -> Any:
    if sys.platform not in ("linux", "darwin"):
        return None
    function = ctypes.CDLL(None).madvise
    function.restype = ctypes.c_int
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function


def read_numbers(path: str | os.PathLike[str], dtype: npt.DTypeLike, count: int, offset: int = 0) -> npt.NDArray[Any]:
    """Return numbers that lie in a regular file; see `check_regular` for what is raised.

    Parameters
    ----------
    path : path
    dtype : numpy dtype
    count : int
    offset : int
        The first one's byte.

    Returns
    -------
    ndarray, shape (count,)

    Raises
    ------
    SourceError
        The file ends before them.
    """
    data = np.empty(count, dtype)
    with open_binary(path) as file:
        file.seek(offset)
        if file.readinto(data.view(np.uint8).data) != data.nbytes:
            raise SourceError(f"{os.fspath(path)}: is shorter than it was; start again with the whole file")
    return data
