"""Fields as the writer needs them: their names checked, their descriptors and records packed."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ffprep.beton import layout
from ffprep.errors import ConversionError, OptionError
from ffprep.fields.base import ARGUMENTS_SIZE, CUSTOM_TYPE_ID, Encoded, Field

_CODES = {"<f8": "d", "<f4": "f", "|u1": "B", "|i1": "b", "<u2": "H", "<i2": "h"}
_CODES |= {"<u4": "I", "<i4": "i", "<u8": "Q", "<i8": "q"}


class Column:
    """One field: which member of its record is the payload's offset, and how the record is packed."""

    def __init__(self, name: str, field: Field) -> None:
        self.name = name
        self.alignment = field.alignment
        self.kind = field.metadata_type
        names = self.kind.names or ("",)
        self.pointer = None if field.pointer is None else names.index(field.pointer)  # or its first value says it
        members = [self.kind[member] for member in self.kind.names] if self.kind.names else [self.kind]
        packed = sum(member.itemsize for member in members) == self.kind.itemsize
        self.format: str | None = None
        if packed and all(member.str in _CODES for member in members):
            self.format = "".join(_CODES[member.str] for member in members)

    def values(self, metadata: tuple[Any, ...], offset: int) -> tuple[Any, ...]:
        """Return the record's members as ``struct`` takes them, with the payload's offset filled in."""
        if self.pointer is not None:
            metadata = (*metadata[: self.pointer], offset, *metadata[self.pointer + 1 :])
        if self.format is not None:
            return metadata
        return (np.array(metadata if self.kind.names else metadata[0], self.kind).tobytes(),)


class RecordPacker:
    """Packs the metadata of all fields into one sample record.

    Attributes
    ----------
    columns : list of Column
    size : int
        Bytes of a record.
    descriptors : bytes
        The fields' descriptors as they are stored in the file.

    Raises
    ------
    OptionError
        The fields do not fit the format.
    """

    def __init__(self, fields: Mapping[str, Field]) -> None:
        _check_fields(fields)
        self.columns = [Column(name, field) for name, field in fields.items()]
        self.descriptors = b"".join(_descriptor(name, field) for name, field in fields.items())
        record = layout.record_type(field.metadata_type for field in fields.values())
        self.size = record.itemsize
        assert record.fields is not None
        text, position = "<", 0
        for index, column in enumerate(self.columns):
            kind, offset = record.fields[f"f{index}"][:2]
            text += f"{offset - position}x" + (column.format or f"{kind.itemsize}s")
            position = offset + kind.itemsize
        self._struct = struct.Struct(text + f"{record.itemsize - position}x")

    def pack(self, sample: Sequence[Encoded], offsets: Mapping[int, int]) -> bytes:
        """Pack one record.

        Parameters
        ----------
        sample : sequence of Encoded
            One value for each field.
        offsets : mapping of field number to payload offset

        Raises
        ------
        ConversionError
            A value is outside the range of its metadata record.
        """
        values: list[Any] = []
        for index, (column, value) in enumerate(zip(self.columns, sample, strict=True)):
            values.extend(column.values(value.metadata, offsets.get(index, 0)))
        try:
            return self._struct.pack(*values)
        except struct.error as error:
            raise ConversionError(f"a value does not fit its metadata record: {error}") from error


def _check_fields(fields: Mapping[str, Field]) -> None:
    if not 1 <= len(fields) <= layout.MAX_FIELDS:
        raise OptionError(f"a .beton file has 1 to {layout.MAX_FIELDS} fields, not {len(fields)}")
    for name, field in fields.items():
        if problem := layout.name_problem(name):
            raise OptionError(f"field name {name!r} {problem}")
        if not isinstance(field, Field):
            raise OptionError(f"field {name!r} is a {type(field).__name__}, not one of ffprep.fields")
        if field.metadata_type.hasobject:
            raise OptionError(f"field {name!r} has Python objects in its metadata")


def _descriptor(name: str, field: Field) -> bytes:
    arguments = bytes(field.to_binary())
    if len(arguments) > ARGUMENTS_SIZE:
        raise OptionError(f"field {name!r}: its arguments take {len(arguments)} bytes of {ARGUMENTS_SIZE}")
    # Where only its own class can read it, ffcv takes it for custom as well.
    return layout.DESCRIPTOR.pack(CUSTOM_TYPE_ID if field.is_custom else field.type_id, name.encode("ascii"), arguments)
