"""Lossless rewriting of JPEG streams into seekable form, and proof that a stream is whole.

Seekable means: an ordinary interleaved baseline JPEG with a restart marker every few MCUs, so that a crop can be
decoded without what lies before it. The quantised coefficients stay the same, hence the pixels too, in every decoder.
"""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING

import numpy as np

from ffprep.errors import OptionError
from ffprep.jpeg.native import as_bytes, int64s, library
from ffprep.jpeg.status import Status, check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ffprep.jpeg.native import BytesLike

AUTOMATIC = -1
"""Interval that lets the sampling decide: 16 MCUs of up to three blocks, 8 larger ones."""

MAX_INTERVAL = 65535
KEEP_METADATA = 1
OPTIMISE = 2
KEPT_SCRATCH = 1 << 24

_thread = threading.local()


def _scratch(size: int) -> NDArray[np.uint8]:
    """Memory of this thread, at least ``size`` bytes; kept for the next call unless it is very large."""
    buffer: NDArray[np.uint8] | None = getattr(_thread, "buffer", None)
    if buffer is None or buffer.size < size:
        buffer = np.empty(max(size, 1 << 20), dtype=np.uint8)
        if buffer.size <= KEPT_SCRATCH:
            _thread.buffer = buffer
    return buffer


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
        MCUs between restart markers, 0 for none; by default 16, or 8 where an MCU has more than three blocks. No
        markers are written when the image has no more MCUs than that.
    keep_metadata : bool
        Keep the APPn and COM segments in front of the first scan (EXIF, ICC profile, ...). Otherwise they are
        dropped and a plain JFIF segment is written (RGB: an Adobe one), so that colours are read as before. EXIF
        orientation goes with them: torchvision and ffcv ignore it and see the same pixels as before; OpenCV's
        ``imread``, which applies it, then shows the image as it is stored.
    optimise : bool
        Code everything anew with tables made for the image, also where the stream's own would do.
    where : str
        Name that opens the error message.

    Returns
    -------
    bytes
        The new stream; rewriting it again in the same way changes nothing.

    Raises
    ------
    JpegError
        When the stream cannot be decoded, is damaged, or is CMYK or YCCK.
    OptionError
        When ``interval`` is negative or over 65535.
    """
    if interval is not None and not 0 <= interval <= MAX_INTERVAL:
        raise OptionError(f"restart interval {interval} is not between 0 and {MAX_INTERVAL} MCUs")
    view = as_bytes(data)
    written = np.zeros(1, dtype=np.int64)
    flags = KEEP_METADATA * keep_metadata | OPTIMISE * optimise
    size = 3 * view.size + (1 << 16)
    for _ in range(2):
        out = _scratch(size)
        status = library().ffp_rewrite(
            view.ctypes.data,
            view.size,
            AUTOMATIC if interval is None else interval,
            flags,
            out.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)),
            out.size,
            int64s(written),
        )
        if status != Status.NO_SPACE:
            break
        size = int(written[0])
    check(status, where)
    return out[: int(written[0])].tobytes()


def check_scan(data: BytesLike, where: str = "JPEG") -> None:
    """Raise unless every code of the image data is valid and all of the image is there.

    Parameters
    ----------
    data : bytes-like
        A JPEG stream, 8 bits, grey, YCbCr or RGB, of any scan structure.
    where : str
        Name that opens the error message.

    Raises
    ------
    JpegError
        When the stream cannot be decoded or is damaged.
    """
    view = as_bytes(data)
    written = np.zeros(1, dtype=np.int64)
    status = library().ffp_rewrite(view.ctypes.data, view.size, 0, 0, None, 0, int64s(written))
    if status != Status.NO_SPACE:
        check(status, where)
