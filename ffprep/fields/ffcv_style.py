"""Custom fields written for ffcv, with ``encode(destination, value, malloc)`` instead of ``encode(value)``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from ffprep.errors import ConversionError
from ffprep.fields.encoded import Encoded

OFFSET = 0x6F66_6673_6574_3A21
"""Address that ``malloc`` tells fields that do not say where they put it, so that it is found in the record."""


def offset_members(kind: np.dtype[Any]) -> list[str]:
    """Return the members of a record that can hold a payload's offset; ``""`` is a record that is one number."""
    if kind.names is None:
        return [""] if kind == np.dtype("<u8") else []
    return [name for name in kind.names if kind[name] == np.dtype("<u8")]


def _member(destination: npt.NDArray[Any], name: str) -> int:
    return int(destination[name][0] if name else destination[0])


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
    if own is None or not inspect.isfunction(own) or hasattr(own, "takes_both") or not _is_theirs(own):
        return
    kind.encode = _callable_as_ours(own)
    _adapt_parents(kind)


def _is_theirs(encode: Callable[..., Any]) -> bool:
    parameters = inspect.signature(encode).parameters.values()
    return sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters) == 4


_adapted: WeakSet[type[Any]] = WeakSet()
"""Classes in ffcv's style whose parents take it, in this process."""


def _adapt_parents(kind: type[Any]) -> None:
    if kind in _adapted:
        return
    _adapted.add(kind)
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
        _adapt_parents(type(self))  # which was only done where the class was made, if it came from there by value
        if len(arguments) == 3:
            return own(self, *arguments)
        [value] = arguments
        rooms: list[npt.NDArray[np.uint8]] = []

        def malloc(size: int) -> tuple[int, npt.NDArray[np.uint8]]:
            if rooms:
                raise ConversionError(f"{type(self).__name__} asked for memory twice; a value has one payload")
            rooms.append(np.zeros(int(size), np.uint8))
            return 0 if self.pointer is not None else OFFSET, rooms[0]

        kind = self.metadata_type
        destination = np.zeros(1, kind)
        own(self, destination, value, malloc)
        record = destination[0].item()
        metadata = tuple(record) if kind.names else (record,)
        if not rooms:
            return Encoded(metadata)
        if self.pointer is not None:
            return Encoded(metadata, rooms[0].tobytes())
        place = next((n for n, name in enumerate(offset_members(kind)) if _member(destination, name) == OFFSET), None)
        if place is None:
            raise ConversionError(
                f"{type(self).__name__} asked for memory and stores its address in no member <u8 of its metadata_type"
            )
        number = list(kind.names or ("",)).index(offset_members(kind)[place])
        metadata = (*metadata[:number], 0, *metadata[number + 1 :])
        return Encoded(metadata, rooms[0].tobytes(), pointer=number)

    encode.takes_both = True  # type: ignore[attr-defined]
    return encode
