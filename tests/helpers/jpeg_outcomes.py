"""What the decoder answers about a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ffprep.errors import JpegError
from ffprep.jpeg import Status, coefficients, decode_planes


def status_of(call: Callable[[], Any]) -> Status:
    try:
        call()
    except JpegError as error:
        assert "\n" not in str(error) and ": " in str(error)
        return Status(error.status)
    return Status.OK


def both(data: bytes) -> Status:
    """Status of planes; coefficients must agree about being decodable."""
    status = status_of(lambda: decode_planes(data))
    assert (status_of(lambda: coefficients(data)) == Status.OK) == (status == Status.OK)
    return status
