"""What decoders of one's own import from ``ffcv.libffcv``: copying bytes; pictures are the business of our decoders."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["memcpy"]


def memcpy(source: Any, dest: Any) -> None:
    """Copy all bytes of a contiguous array to the beginning of another one; compiled code may call it, too.

    Parameters
    ----------
    source, dest : ndarray
        C-contiguous; `dest` at least as large.
    """
    given = source.reshape(-1).view(np.uint8)
    room = dest.reshape(-1).view(np.uint8)
    for i in range(given.size):
        room[i] = given[i]
