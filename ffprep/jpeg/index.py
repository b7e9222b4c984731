"""The seek index: fast crops of a JPEG stream without restart markers, which itself stays as it is.

An index holds, every few MCUs, the bit at which decoding can begin and the DC predictors there; ``index.c`` gives the
format. It is checked against the stream when it is used.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

from ffprep.errors import OptionError
from ffprep.jpeg.native import as_bytes, int64s, library
from ffprep.jpeg.status import Status, check

if TYPE_CHECKING:
    from ffprep.jpeg.native import BytesLike

AUTOMATIC = 0


def interval_of(index: BytesLike) -> int | None:
    """MCUs between the places of a seek index to begin at; None of an empty one."""
    head = as_bytes(index)[:16].tobytes()
    return int.from_bytes(head[12:], "little") if len(head) == 16 else None


def build_index(data: BytesLike, interval: int | None = None, where: str = "JPEG") -> bytes:
    """Make the seek index of a stream.

    Parameters
    ----------
    data : bytes-like
        A JPEG stream of one sequential scan.
    interval : int, optional
        MCUs from one place to begin to the next; by default 16, or 8 where an MCU has more than three blocks.
    where : str
        Name that opens the error message.

    Returns
    -------
    bytes
        About 1 % of the stream; empty when the stream has restart markers and needs no index.

    Raises
    ------
    JpegError
        When the stream cannot be decoded, is damaged, or is progressive or of several scans.
    OptionError
        When ``interval`` is below 1.
    """
    if interval is not None and interval < 1:
        raise OptionError(f"seek index interval {interval} is below 1 MCU")
    view = as_bytes(data)
    written = np.zeros(1, dtype=np.int64)
    size = 4096 + view.size // 16
    for _ in range(2):
        out = np.empty(size, dtype=np.uint8)
        status = library().ffp_index(
            view.ctypes.data,
            view.size,
            AUTOMATIC if interval is None else interval,
            out.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)),
            out.size,
            int64s(written),
        )
        if status != Status.NO_SPACE:
            break
        size = int(written[0])
    check(status, where)
    return out[: int(written[0])].tobytes()
