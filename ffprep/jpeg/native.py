"""The compiled JPEG kernel (``jpeg.h``) for Python.

Calls through ctypes release the interpreter's lock. Code compiled by numba calls its functions by address.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int16, c_int64, c_uint8, c_uint64, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ffprep.abi import DECODE_REQUEST
from ffprep.errors import FfprepError, OptionError

BytesLike: TypeAlias = bytes | bytearray | memoryview | NDArray[np.uint8]

LIBRARY_PATH = Path(__file__).resolve().parent / "_native.so"

INFO_SIZE = 32
"""int64 elements that ``ffp_read_header`` writes."""

FACTS = 3
"""int64 elements that ``ffp_check`` and ``ffp_rewrite`` write."""

_BYTES = c_void_p
_INT64S = POINTER(c_int64)
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "ffp_context_new": (c_void_p, []),
    "ffp_context_free": (None, [c_void_p]),
    "ffp_decode_region": (c_int64, [c_void_p]),
    "ffp_read_header": (c_int64, [_BYTES, c_int64, _INT64S]),
    "ffp_coefficients": (c_int64, [_BYTES, c_int64, POINTER(c_int16), c_int64, _INT64S]),
    "ffp_index": (c_int64, [_BYTES, c_int64, c_int64, POINTER(c_uint8), c_int64, _INT64S]),
    "ffp_check": (c_int64, [_BYTES, c_int64, _INT64S]),
    "ffp_rewrite": (c_int64, [_BYTES, c_int64, c_int64, c_int64, POINTER(c_uint8), c_int64, _INT64S]),
    "ffp_rewrite_many": (None, [c_void_p, c_int64, c_int64, c_int64, c_void_p, c_void_p, c_int64]),
    "ffp_read_many": (None, [c_void_p, c_int64, c_void_p, c_int64]),
    "ffp_xxh3": (c_uint64, [_BYTES, c_int64]),
    "ffp_check_payload": (c_int64, [_BYTES, c_int64, c_void_p, c_void_p]),
    "ffp_plain_extents": (c_int64, [c_void_p, c_int64, c_void_p, c_int64, c_int64, c_int64, c_void_p]),
    "ffp_watch": (c_int64, [c_void_p, c_int64, c_char_p]),
    "ffp_unwatch": (None, [c_int64]),
    "ffp_watch_line": (c_int64, [c_void_p, c_char_p, c_int64]),
    "ffp_simd_level": (c_char_p, []),
    "ffp_set_simd_level": (c_int64, [c_char_p]),
}


def declare(lib: ctypes.CDLL) -> None:
    """Set results and arguments of the functions that a build of the kernel has."""
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(lib, name, None)
        if function is not None:
            function.restype = result
            function.argtypes = arguments


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The kernel, loaded once, its functions' signatures set.

    Raises
    ------
    FfprepError
        When the extension has not been built or cannot be loaded.
    """
    try:
        lib = ctypes.CDLL(str(LIBRARY_PATH))
    except OSError as error:
        raise FfprepError(
            f"{LIBRARY_PATH}: cannot load the JPEG kernel ({error}); build it with `pip install .` and a C compiler"
        ) from error
    declare(lib)
    return lib


def entry(name: str) -> int:
    """Return the address of one of the library's functions, for compiled code that calls it."""
    return ctypes.cast(getattr(library(), name), c_void_p).value or 0


def as_bytes(data: BytesLike) -> NDArray[np.uint8]:
    """View of a bytes-like object as a one-dimensional uint8 array, not copied where it is contiguous."""
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).view(np.uint8).reshape(-1)
    return np.frombuffer(data, dtype=np.uint8)


def stream(data: BytesLike) -> tuple[Any, int, Any]:
    """Return what the kernel takes for a stream, its size, and what must stay alive until it is no longer used."""
    if isinstance(data, bytes):
        return data, len(data), data
    view = as_bytes(data)
    return view.ctypes.data, view.size, view


def decode_request(
    context: int,
    data: NDArray[np.uint8],
    rect: tuple[int, int, int, int],
    image: NDArray[np.void],
    index: tuple[int, int] = (0, 0),
    scale: int = 0,
) -> NDArray[np.void]:
    """Return what ``ffp_decode_region`` takes the address of, as an array of one :data:`ffprep.abi.DECODE_REQUEST`.

    Parameters
    ----------
    context : int
        Address of an ``ffp_context``.
    data : ndarray of uint8
        The JPEG stream. It and `image` must outlive the request.
    rect : (x, y, width, height)
        Pixels of the whole image.
    image : ndarray of ``abi.IMAGE``, shape (1,)
        Receives what was decoded.
    index : (address, size)
        Of the stream's seek index.
    scale : int
        How often the image is halved.
    """
    request = np.zeros(1, DECODE_REQUEST)
    request["context"], request["image"] = context, image.ctypes.data
    request["data"], request["size"] = data.ctypes.data, data.size
    request["index"], request["index_size"] = index
    request["x"], request["y"], request["w"], request["h"] = rect
    request["scale"] = scale
    return request


def int64s(array: NDArray[np.int64]) -> Any:
    """Pointer to an int64 array, for the kernel's output arguments."""
    return array.ctypes.data_as(_INT64S)


def simd_level() -> str:
    """Name of the CPU level in use: ``avx512``, ``avx2`` or ``scalar``."""
    name: bytes = library().ffp_simd_level()
    return name.decode()


def set_simd_level(name: str | None) -> None:
    """Force a CPU level for the whole process; ``None`` returns to the best one.

    Raises
    ------
    OptionError
        When the level is unknown or this CPU does not have it.
    """
    if library().ffp_set_simd_level(None if name is None else name.encode()) != 0:
        raise OptionError(f"SIMD level {name!r} is unknown or not of this CPU; use 'scalar' or None")
