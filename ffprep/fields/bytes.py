"""Strings of bytes, each sample with its own length."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ffprep.fields.base import ARG_TYPE, UNKNOWN_SIZE, Encoded, Field, refuse
from ffprep.fields.decoders import BytesDecoder
from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.compiler import Compiler
from ffprep.pipeline.operation import Operation
from ffprep.pipeline.state import State

__all__ = ["ARG_TYPE", "AllocationQuery", "BytesDecoder", "BytesField", "Compiler", "Operation", "State"]

MARK_SIZE = 16
"""Bytes at the beginning of a descriptor's arguments that tell what kind of value the bytes of a field are."""
BYTES_RECORD = np.dtype([("ptr", "<u8"), ("size", "<u8")])


class BytesField(Field):
    """Bytes of any length, including 0.

    Accepts ``bytes``, ``bytearray``, ``memoryview`` and one-dimensional uint8 arrays.

    Class attributes
    ----------------
    mark : bytes
        Of a subclass that is stored as bytes: `MARK_SIZE` bytes at the beginning of its arguments. Its class method
        ``from_marked`` is given the others.
    marked : dict
        All such subclasses.
    """

    type_id: ClassVar[int] = 3
    pointer: ClassVar[str | None] = "ptr"
    mark: ClassVar[bytes] = b""
    marked: ClassVar[dict[bytes, type[Any]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "mark" in vars(cls):
            BytesField.marked[cls.mark] = cls

    @classmethod
    def from_binary(cls, arguments: npt.NDArray[np.uint8]) -> Field:
        """Return a field of bytes, or of what such bytes are by a mark in the arguments, which ffcv leaves empty."""
        raw = bytes(arguments)
        kind: Any = cls.marked.get(raw[:MARK_SIZE]) if cls is BytesField else None
        made: Field = cls() if kind is None else kind.from_marked(raw[MARK_SIZE:])
        return made

    @property
    def metadata_type(self) -> np.dtype[Any]:
        return BYTES_RECORD

    def encode(self, value: Any) -> Encoded:
        if isinstance(value, np.ndarray):
            if value.dtype != np.uint8 or value.ndim != 1:
                refuse(self, value, "bytes or a one-dimensional uint8 array")
            payload = value.tobytes()
        elif isinstance(value, (bytes, bytearray, memoryview)):
            payload = bytes(value)
        elif isinstance(value, str):
            refuse(self, value, "bytes; encode the text first, for instance text.encode('utf-8')")
        else:
            refuse(self, value, "bytes or a one-dimensional uint8 array")
        return Encoded((0, len(payload)), payload)

    def payload_sizes(self, column: npt.NDArray[Any]) -> npt.NDArray[np.uint64] | None:
        return np.asarray(column["size"])

    def bad_records(self, column: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], str] | None:
        return np.asarray(column["size"] == UNKNOWN_SIZE), "has an impossible size"

    def decode(self, record: Any, payload: npt.NDArray[np.uint8] | None) -> Any:
        assert payload is not None
        return payload.tobytes()

    def get_decoder_class(self) -> Any:
        return BytesDecoder
