"""The fields that a user names: ``NAME=KIND[:COLUMN]``, such as ``caption=text`` or ``score=float:json.aesthetic``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffprep.errors import OptionError, SourceError
from ffprep.fields import (
    BytesField,
    Field,
    FloatField,
    IntField,
    JSONField,
    MaskField,
    RGBImageField,
    VariableArrayField,
)
from ffprep.sources.images.arrays import PATTERN, array_field, read_array
from ffprep.sources.images.masks import fitted, read_mask
from ffprep.sources.images.rows import Rows

FILES = ("image", "mask", "mask-uint16", "mask-int32", "bytes")
"""Kinds whose cells hold files, or paths of files."""
LABEL = "label"
KINDS: dict[str, Callable[[RGBImageField], Field]] = {
    "image": lambda image: image,
    LABEL: lambda image: IntField(),
    "int": lambda image: IntField(),
    "float": lambda image: FloatField(),
    "text": lambda image: BytesField(),
    "json": lambda image: JSONField(),
    "bytes": lambda image: BytesField(),
    "ints": lambda image: VariableArrayField("int64"),
    "floats": lambda image: VariableArrayField("float32"),
    "boxes": lambda image: VariableArrayField("float32", (4,)),
    "mask": lambda image: MaskField(),
    "mask-uint16": lambda image: MaskField("uint16"),
    "mask-int32": lambda image: MaskField("int32"),
}


@dataclass(frozen=True)
class FieldChoice:
    """A field of the file and the column that it is made of.

    Attributes
    ----------
    name, kind, column : str
    """

    name: str
    kind: str
    column: str

    @classmethod
    def parse(cls, text: str) -> FieldChoice:
        """Parse ``NAME=KIND[:COLUMN]``; the column is by default called as the field.

        Raises
        ------
        OptionError
            It is not of this form, or there is no such kind.
        """
        name, equals, rest = text.partition("=")
        kind, colon, column = rest.partition(":")
        name, kind, column = name.strip(), kind.strip(), column.strip()
        if not equals or not name or not kind or (colon and not column):
            raise OptionError(f"--field {text!r}: NAME=KIND or NAME=KIND:COLUMN is expected, such as caption=text")
        if kind not in KINDS and PATTERN.fullmatch(kind) is None:
            raise OptionError(
                f"--field {text!r}: there is no kind {kind!r}; there are {', '.join(KINDS)}, and arrays such as "
                "array-uint16 or, of 13 channels, array-float32x13"
            )
        return cls(name, kind, column or name)


def field_of(choice: FieldChoice, image: RGBImageField) -> Field:
    """Return the field that a choice asks for.

    Raises
    ------
    OptionError
        It cannot be stored in the way that is asked for images.
    """
    return array_field(choice.kind, image) or KINDS[choice.kind](image)


def value_of(rows: Rows, choice: FieldChoice, index: int, image: RGBImageField) -> Any:
    """The value of a field in a row, as the field's ``encode`` takes it.

    Raises
    ------
    SourceError, ConversionError
        The cell does not hold such a value.
    """
    if choice.kind in ("image", "bytes"):
        return rows.file(choice.column, index)
    if choice.kind.startswith("mask"):
        return fitted(read_mask(rows.file(choice.column, index), image.max_pixels), image)
    if PATTERN.fullmatch(choice.kind):
        return read_array(rows.file(choice.column, index), image.max_pixels)
    found = rows.value(choice.column, index)
    try:
        return _PLAIN[choice.kind](found)
    except (TypeError, ValueError, OverflowError, RecursionError):
        shown = repr(found)
        raise SourceError(
            f"column {choice.column!r} holds {shown if len(shown) <= 80 else shown[:77] + '...'}, "
            f"which is no value for --field {choice.name}={choice.kind}"
        ) from None


def _text(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, (dict, list)):
        raise TypeError
    return b"" if value is None else str(value).encode("utf-8", "replace")


def _int(value: Any) -> int:
    number = int(value)
    if isinstance(value, float) and value != number:
        raise ValueError
    return number


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return json.loads(value)
    json.dumps(value)
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, (int, float)):
        value = [value]
    array = np.asarray([] if value is None else value)
    if array.dtype.kind not in "biuf":
        raise TypeError
    return array


def _ints(value: Any) -> Any:
    array = _numbers(value)
    if array.dtype.kind == "f":
        if not (np.isfinite(array) & (array == np.trunc(array)) & (np.abs(array) < 2.0**63)).all():
            raise ValueError
    elif array.dtype.kind == "u" and (array > np.iinfo(np.int64).max).any():
        raise ValueError
    return array.astype(np.int64)


def _floats(value: Any) -> Any:
    array = _numbers(value)
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if (np.isinf(narrow) & ~np.isinf(array)).any():
        raise ValueError
    return narrow


def _boxes(value: Any) -> Any:
    array = _floats(value)
    if not np.isfinite(array).all():
        raise ValueError
    if array.size and (array.ndim != 2 or array.shape[1] != 4):
        raise ValueError
    return array.reshape(-1, 4)


_PLAIN: dict[str, Callable[[Any], Any]] = {
    "int": _int,
    "float": float,
    "text": _text,
    "json": _json,
    "ints": _ints,
    "floats": _floats,
    "boxes": _boxes,
}
