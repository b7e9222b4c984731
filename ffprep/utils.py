"""The helpers of ``ffcv.utils`` that scripts use."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ffprep.beton.layout import is_power_of_two as is_power_of_2

__all__ = ["align_to_page", "chunks", "decode_null_terminated_string", "is_power_of_2", "s_print"]

T = TypeVar("T")
_print_lock = threading.Lock()


def chunks(lst: Sequence[T], n: int) -> Iterator[Sequence[T]]:
    """Yield the sequence in parts of n elements, the last one perhaps shorter."""
    for start in range(0, len(lst), n):
        yield lst[start : start + n]


def align_to_page(ptr: int, page_size: int) -> int:
    """Return the next multiple of the page size, `ptr` itself if it is one."""
    return -(-ptr // page_size) * page_size


def decode_null_terminated_string(bytes: npt.NDArray[np.uint8]) -> str:
    """Return the ASCII text before the first zero."""
    return bytes.tobytes().split(b"\0", 1)[0].decode("ascii")


def s_print(*values: Any, **options: Any) -> None:
    """Print, one thread at a time."""
    with _print_lock:
        print(*values, **options)
