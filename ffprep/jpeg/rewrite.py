"""Rewriting JPEG streams losslessly into seekable form, and checking that a stream is whole.

A seekable JPEG is an ordinary interleaved baseline JPEG with a restart marker every few MCUs, so that a crop can be
decoded without what lies before it. The quantised coefficients stay the same, and so do the pixels in every decoder.
"""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ffprep.errors import OptionError
from ffprep.jpeg.native import as_bytes, library
from ffprep.jpeg.status import Status, check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ffprep.jpeg.native import BytesLike

AUTOMATIC = -1
"""Interval that depends on the sampling: 16 MCUs of up to three blocks, or 8 larger ones."""

MAX_INTERVAL = 65535
KEEP_METADATA = 1
OPTIMISE = 2
KEPT_SCRATCH = 1 << 24
_BYTE_POINTER = ctypes.POINTER(ctypes.c_uint8)


class _Scratch(threading.local):
    """Memory of a thread: an output buffer, kept for the next call unless it is very large, and the size written."""

    def __init__(self) -> None:
        self.buffer = np.empty(0, dtype=np.uint8)
        self.written = ctypes.c_int64()

    def at_least(self, size: int) -> NDArray[np.uint8]:
        if self.buffer.size >= size:
            return self.buffer
        buffer = np.empty(max(size, 1 << 20), dtype=np.uint8)
        if buffer.size <= KEPT_SCRATCH:
            self.buffer = buffer
        return buffer


_scratch = _Scratch()


def _call(data: BytesLike, interval: int, flags: int, out: NDArray[np.uint8] | None) -> tuple[int, int]:
    """Call the kernel and return its status and the bytes written, or the bytes needed."""
    if isinstance(data, bytes):
        pointer: Any = data
        size = len(data)
    else:
        view = as_bytes(data)  # may be a copy, which has to stay alive until the call returns
        pointer, size = view.ctypes.data, view.size
    target, room = (None, 0) if out is None else (out.ctypes.data_as(_BYTE_POINTER), out.size)
    written = _scratch.written
    status = library().ffp_rewrite(pointer, size, interval, flags, target, room, ctypes.byref(written))
    return status, written.value


def rewrite(
    data: BytesLike,
    interval: int | None = None,
    keep_metadata: bool = False,
    *,
    optimise: bool = False,
    where: str = "JPEG",
) -> bytes:
    """Rewrite a JPEG losslessly as an interleaved baseline stream with restart markers.

    A stream of one sequential scan keeps its Huffman codes: its bits are copied, and only the DC values next to a
    restart marker are coded anew, with codes added to the DC tables where these lack one. Progressive streams and
    streams of several scans are coded anew with tables made for them (T.81 K.2).

    Parameters
    ----------
    data : bytes-like
        A JPEG stream, 8 bits, grey, YCbCr or RGB.
    interval : int, optional
        MCUs between restart markers, 0 for none; by default 16, or 8 if an MCU has more than three blocks. No markers
        are written when the image has no more MCUs than that.
    keep_metadata : bool
        Keep the APPn and COM segments in front of the first scan (EXIF, ICC profile, ...). Otherwise they are
        dropped and a plain JFIF segment is written (RGB: an Adobe one), so that colours are read as before. EXIF
        orientation goes with them: torchvision and ffcv ignore it and see the same pixels as before; OpenCV's
        ``imread``, which applies it, then shows the image as it is stored.
    optimise : bool
        Code everything anew with tables made for the image, even if the stream's own tables would do.
    where : str
        Name at the start of the error message.

    Returns
    -------
    bytes
        The new stream; rewriting it again in the same way changes nothing.

    Raises
    ------
    JpegError
        The stream cannot be decoded, is damaged, or is CMYK or YCCK.
    OptionError
        ``interval`` is negative or over 65535.
    """
    if interval is not None and not 0 <= interval <= MAX_INTERVAL:
        raise OptionError(f"restart interval {interval} is not between 0 and {MAX_INTERVAL} MCUs")
    flags = KEEP_METADATA * keep_metadata | OPTIMISE * optimise
    if not isinstance(data, bytes):
        data = as_bytes(data)
    size = 3 * len(data) + (1 << 16)
    for _ in range(2):
        out = _scratch.at_least(size)
        status, size = _call(data, AUTOMATIC if interval is None else interval, flags, out)
        if status != Status.NO_SPACE:
            break
    check(status, where)
    return out[:size].tobytes()


def check_scan(data: BytesLike, where: str = "JPEG") -> None:
    """Raise unless every code of the image data is valid and all of the image is there.

    Parameters
    ----------
    data : bytes-like
        A JPEG stream, 8 bits, grey, YCbCr or RGB, of any scan structure.
    where : str
        Name at the start of the error message.

    Raises
    ------
    JpegError
        The stream cannot be decoded or is damaged.
    """
    status, _ = _call(data, 0, 0, None)
    if status != Status.NO_SPACE:
        check(status, where)
