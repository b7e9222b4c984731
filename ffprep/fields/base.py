"""What all fields have in common: a record in the sample table, and a payload in a page."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NoReturn

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.errors import ConversionError
from ffprep.fields.encoded import Encoded
from ffprep.fields.ffcv_style import adapt
from ffprep.pipeline.operation import Operation

__all__ = [
    "ARGUMENTS_SIZE",
    "ARG_TYPE",
    "CUSTOM_TYPE_ID",
    "UNKNOWN_SIZE",
    "Encoded",
    "Field",
    "Operation",  # ffcv's fields import it, and custom ones import it from them
    "Shared",
    "custom_fields_of",
    "refuse",
]

ARGUMENTS_SIZE = 1024
ARG_TYPE = np.dtype([("", "<u1", 1024)])
"""Bytes of a field descriptor that belong to the field."""

CUSTOM_TYPE_ID = 255
"""Type id of every field that is not one of ffcv's seven."""

UNKNOWN_SIZE = np.uint64(2**64 - 1)
"""What `Field.payload_sizes` returns for a payload whose size only the allocation table states."""


@dataclass
class Shared:
    """A value whose payload several samples have in common, such as one photograph with five captions.

    For each of these samples, wrap the value in a `Shared` with the same key: the payload is stored once and the
    samples point at it. If they all get the *same object*, the value is also encoded only once.

    Attributes
    ----------
    key : str, int, bytes, or a tuple of these
        Identifies the payload within its field.
    value : object
        What the field's ``encode`` accepts.
    """

    key: Hashable
    value: Any
    _encoded: Encoded | None = field(default=None, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def encoded_by(self, owner: Field) -> Encoded:
        """Encode the value, but only once, however many threads call this."""
        with self._lock:
            if self._encoded is None:
                plain = owner.encode(self.value)
                checksum = None if plain.payload is None else xxhash.xxh3_64_intdigest(plain.payload)
                self._encoded = replace(plain, key=self.key, checksum=checksum)
            return self._encoded

    def __getstate__(self) -> dict[str, Any]:
        return {"key": self.key, "value": self.value}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["key"], state["value"])  # type: ignore[misc]


class Field(ABC):
    """A column of a ``.beton`` file.

    Class attributes
    ----------------
    type_id : int
        Number in the file; 255 for fields of your own, which must then be given to readers as ``custom_fields``. A
        subclass that does not set it itself is written as 255.
    pointer : str or None
        The member of the metadata record that holds the payload's offset from the start of the file; ``""`` if the
        record itself is the offset, None if there is no payload. A field in ffcv's style need not say it: which member
        its ``encode`` puts the offset into is found out.
    """

    type_id: ClassVar[int] = CUSTOM_TYPE_ID
    pointer: ClassVar[str | None] = None

    @property
    def is_custom(self) -> bool:
        """Whether files say 255: this class may store something else than the one whose ``type_id`` it inherits."""
        return self.type_id == CUSTOM_TYPE_ID or "type_id" not in vars(type(self))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        adapt(cls)

    @property
    @abstractmethod
    def metadata_type(self) -> np.dtype[Any]:
        """Record of one sample in the sample table."""

    @property
    def alignment(self) -> int:
        """Payloads start at a multiple of this many bytes, which is 1, 2, 4 or 8."""
        return 1

    def to_binary(self) -> bytes:
        """Return the 1,024 argument bytes of the field's descriptor."""
        return bytes(ARGUMENTS_SIZE)

    @classmethod
    def from_binary(cls, arguments: npt.NDArray[np.uint8]) -> Field:
        """Rebuild the field from the 1,024 argument bytes of its descriptor."""
        return cls()

    @abstractmethod
    def encode(self, value: Any) -> Encoded:
        """Turn one value into metadata and payload. Thread-safe.

        Raises
        ------
        ConversionError
            The value does not fit this field; the message says why.
        """

    def encode_any(self, value: Any) -> Encoded:
        """Encode a value or a `Shared` value."""
        if isinstance(value, Shared):
            return value.encoded_by(self)
        return self.encode(value)

    def encode_together(self, values: Sequence[Any]) -> Sequence[Encoded | None]:
        """Encode those of several values that take less time together, to what `encode_any` would give.

        Returns
        -------
        sequence of Encoded or None
            One for each value; None for those that are to be encoded one by one. Empty when all are.
        """
        return ()

    def payload_sizes(self, column: npt.NDArray[Any]) -> npt.NDArray[np.uint64] | None:
        """Sizes of the payloads in bytes, as far as the metadata state them.

        Parameters
        ----------
        column : ndarray of `metadata_type`

        Returns
        -------
        ndarray of uint64 or None
            One size for each sample, `UNKNOWN_SIZE` where only the allocation table states it; None if it does for all.
        """
        return None

    def bad_records(self, column: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], str] | None:
        """Flag the records that no writer makes, and say what is wrong; None if all bytes are valid records."""
        return None

    def decode(self, record: Any, payload: npt.NDArray[np.uint8] | None) -> Any:
        """Turn a metadata record and its payload back into a Python value."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its values are decoded")

    def options(self) -> Mapping[str, Any]:
        """The field's encoding options as names and JSON values, for the manifest."""
        return {}

    def same_layout(self, other: Field) -> bool:
        """Whether payloads of the other field can be copied into this field."""
        return (
            self.type_id == other.type_id
            and self.metadata_type == other.metadata_type
            and self.to_binary() == other.to_binary()
        )

    def get_decoder_class(self) -> Any:
        """Return the loader operation that reads this field when a pipeline names none."""
        raise NotImplementedError(f"{type(self).__name__} has no decoder class")

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.options().items())
        return f"{type(self).__name__}({inside})"


def refuse(owner: Field, value: Any, wanted: str) -> NoReturn:
    """Raise the one-line error for a value that does not fit a field."""
    raise ConversionError(f"{type(owner).__name__} wants {wanted}, got {describe_value(value)}")


def describe_value(value: Any) -> str:
    """Describe a value in a few words."""
    dtype = getattr(value, "dtype", None)
    shape = getattr(value, "shape", None)
    name = type(value).__name__
    if dtype is not None and shape is not None:
        return f"{name} of dtype {dtype} and shape {tuple(shape)}"
    text = repr(value)
    return f"{name} {text}" if len(text) <= 40 else f"{name} {text[:37]}..."


def custom_fields_of(fields: Mapping[str, Field]) -> dict[str, type[Field]]:
    """The classes that have to be named to whoever reads a file with these fields, by the fields' names."""
    return {name: type(field) for name, field in fields.items() if field.is_custom}
