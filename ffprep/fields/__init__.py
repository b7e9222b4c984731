"""What a column of a ``.beton`` file stores, and how values are encoded into it."""

from __future__ import annotations

from ffprep.fields.base import Encoded, Field, Shared
from ffprep.fields.basics import FloatField, IntField
from ffprep.fields.bytes import BytesField
from ffprep.fields.dense import ArrayImageField, MaskField, VariableArrayField
from ffprep.fields.json import JSONField
from ffprep.fields.ndarray import NDArrayField, TorchTensorField
from ffprep.fields.rgb_image import RGBImageField

FIELD_TYPES: dict[int, type[Field]] = {
    kind.type_id: kind
    for kind in (
        FloatField,
        IntField,
        RGBImageField,
        BytesField,
        NDArrayField,
        JSONField,
        TorchTensorField,
    )
}
"""The class for each type id of the format."""

__all__ = [
    "FIELD_TYPES",
    "ArrayImageField",
    "BytesField",
    "Encoded",
    "Field",
    "FloatField",
    "IntField",
    "JSONField",
    "MaskField",
    "NDArrayField",
    "RGBImageField",
    "Shared",
    "TorchTensorField",
    "VariableArrayField",
]
