"""The tables of ``ffcv.types``: how a file begins, and which class reads which field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ffprep.beton import layout
from ffprep.beton.layout import ALLOCATION as ALLOC_TABLE_TYPE
from ffprep.beton.layout import VERSION as CURRENT_VERSION
from ffprep.fields import (
    FIELD_TYPES,
    BytesField,
    Field,
    FloatField,
    IntField,
    JSONField,
    NDArrayField,
    RGBImageField,
    TorchTensorField,
)
from ffprep.fields.base import CUSTOM_TYPE_ID

__all__ = [
    "ALLOC_TABLE_TYPE",
    "CURRENT_VERSION",
    "TYPE_ID_HANDLER",
    "BytesField",
    "Field",
    "FieldDescType",
    "FloatField",
    "HeaderType",
    "IntField",
    "JSONField",
    "NDArrayField",
    "RGBImageField",
    "TorchTensorField",
    "get_handlers",
    "get_metadata_type",
]

HeaderType = np.dtype(
    [
        ("version", "<u2"),
        ("num_fields", "<u2"),
        ("page_size", "<u4"),
        ("num_samples", "<u8"),
        ("alloc_table_ptr", "<u8"),
    ],
    align=True,
)
FieldDescType = np.dtype([("type_id", "<u1"), ("name", ("<u1", 16)), ("arguments", ("<u1", (1024,)))], align=True)
TYPE_ID_HANDLER: Mapping[int, type[Field] | None] = {CUSTOM_TYPE_ID: None, **FIELD_TYPES}


def get_handlers(field_descriptors: Iterable[Any]) -> list[Field | None]:
    """Return the field of each descriptor, a `FieldDescType`; None for custom fields."""
    handlers: list[Field | None] = []
    for descriptor in field_descriptors:
        kind = TYPE_ID_HANDLER[int(descriptor["type_id"])]
        handlers.append(None if kind is None else kind.from_binary(descriptor["arguments"]))
    return handlers


def get_metadata_type(handlers: Sequence[Field]) -> np.dtype[Any]:
    """Return the record of one sample, with members ``f0``, ``f1``, ... for the fields."""
    return layout.record_type(field.metadata_type for field in handlers)
