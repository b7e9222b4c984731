"""The seek index of a JPEG stream without restart markers, for fast crops of the unchanged stream.

For every few MCUs an index has the bit at which decoding can begin and the DC predictors there; ``index.c`` describes
the format. The kernel checks an index against the stream when it uses it.
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
    """MCUs between the places of a seek index where decoding can begin; None for an empty index."""
    head = as_bytes(index)[:16].tobytes()
    return int.from_bytes(head[12:], "little") if len(head) == 16 else None


def build_index(data: BytesLike, interval: int | None = None, where: str = "JPEG") -> bytes:
    """Build the seek index of a stream.

    Parameters
    ----------
    data : bytes-like
        A JPEG stream of one sequential scan.
    interval : int, optional
        MCUs between the places where decoding can begin; by default 16, or 8 if an MCU has more than three blocks.
    where : str
        Name at the start of the error message.

    Returns
    -------
    bytes
        The index, about 1 % of the stream; empty when the stream has restart markers and needs no index.

    Raises
    ------
    JpegError
        The stream cannot be decoded, is damaged, is progressive or has several scans.
    OptionError
        ``interval`` is below 1.
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
