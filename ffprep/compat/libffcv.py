"""What custom decoders import from ``ffcv.libffcv``: copying bytes. Images are decoded by ffprep's own decoders."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["memcpy"]


def memcpy(source: Any, dest: Any) -> None:
    """Copy all bytes of a contiguous array to the beginning of another one. Compiled code may call it too.

    Parameters
    ----------
    source, dest : ndarray
        C-contiguous; `dest` has at least as many bytes.
    """
    given = source.reshape(-1).view(np.uint8)
    room = dest.reshape(-1).view(np.uint8)
    for i in range(given.size):
        room[i] = given[i]
