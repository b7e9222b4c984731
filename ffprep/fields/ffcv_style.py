"""Custom fields written for ffcv, with ``encode(destination, value, malloc)`` instead of ``encode(value)``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ffprep.errors import ConversionError, OptionError
from ffprep.fields.encoded import Encoded


class HasRecord(Protocol):
    """What a call in ffcv's style needs to know of a field."""

    @property
    def metadata_type(self) -> np.dtype[Any]: ...

    @property
    def pointer(self) -> str | None: ...


def adapt(kind: type[Any]) -> None:
    """Make a field class whose ``encode`` is in ffcv's style work here.

    Its ``encode`` can then be called in ffprep's style as well, and those of its parents in ffcv's.
    """
    own = kind.__dict__.get("encode")
    if own is None or not inspect.isfunction(own) or len(inspect.signature(own).parameters) != 4:
        return
    kind.encode = _callable_as_ours(own)
    for parent in kind.__mro__[1:]:
        plain = parent.__dict__.get("encode")
        if plain is not None and not hasattr(plain, "takes_both") and not getattr(plain, "__isabstractmethod__", False):
            parent.encode = _callable_as_theirs(plain)  # type: ignore[attr-defined]


def _callable_as_theirs(plain: Callable[..., Encoded]) -> Callable[..., Any]:
    @functools.wraps(plain)
    def encode(self: HasRecord, *arguments: Any) -> Any:
        if len(arguments) != 3:
            return plain(self, *arguments)
        destination, value, malloc = arguments
        encoded = plain(self, value)
        members = list(encoded.metadata)
        names = list(self.metadata_type.names or [""])
        if encoded.payload is not None:
            members[names.index(str(self.pointer))], room = malloc(len(encoded.payload))
            room[:] = np.frombuffer(encoded.payload, np.uint8)
        destination[0] = tuple(members) if self.metadata_type.names else members[0]
        return None

    encode.takes_both = True  # type: ignore[attr-defined]
    return encode


def _callable_as_ours(own: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(own)
    def encode(self: HasRecord, *arguments: Any) -> Any:
        if len(arguments) == 3:
            return own(self, *arguments)
        [value] = arguments
        rooms: list[npt.NDArray[np.uint8]] = []

        def malloc(size: int) -> tuple[int, npt.NDArray[np.uint8]]:
            if rooms:
                raise ConversionError(f"{type(self).__name__} asked for memory twice; a value has one payload")
            if self.pointer is None:
                raise OptionError(
                    f"{type(self).__name__} has a payload; say which member of its metadata_type points at it, as the "
                    'class attribute pointer ("" for the whole of it)'
                )
            rooms.append(np.zeros(int(size), np.uint8))
            return 0, rooms[0]

        destination = np.zeros(1, self.metadata_type)
        own(self, destination, value, malloc)
        record = destination[0].item()
        metadata = tuple(record) if self.metadata_type.names else (record,)
        return Encoded(metadata, rooms[0].tobytes() if rooms else None)

    encode.takes_both = True  # type: ignore[attr-defined]
    return encode
