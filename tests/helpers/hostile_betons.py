"""A small file of every field, and what reading a changed one gives."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep.beton import Reader, layout
from ffprep.errors import (
    BetonError,
)
from ffprep.fields import BytesField, Field, FloatField, IntField, JSONField, NDArrayField, RGBImageField

FIELDS: dict[str, Field] = {
    "image": RGBImageField(write_mode="jpg"),
    "label": IntField(),
    "raw": RGBImageField(),
    "text": BytesField(),
    "array": NDArrayField("<i4", (2, 3)),
    "facts": JSONField(),
    "score": FloatField(),
}


COUNT = 6


def row(index: int) -> list[Any]:
    pixels = np.full((8, 9, 3), index * 20, np.uint8)
    array = np.arange(6, dtype="<i4").reshape(2, 3) * index
    return [pixels, index, pixels[: index + 1], b"t" * (index % 3), array, {"n": [index]}, index / 2]


def records_end(content: bytes) -> int:
    header = layout.Header.unpack(content)
    record = layout.record_type(field.metadata_type for field in FIELDS.values())
    return layout.records_start(header.num_fields) + header.num_samples * record.itemsize


def superblock_of(content: bytes) -> layout.Superblock:
    block = layout.Superblock.unpack(content[layout.superblock_offset(records_end(content)) :])
    assert block is not None
    return block


def read_everything(content: bytes) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.beton"
        path.write_bytes(content)
        with Reader(path) as reader:
            assert reader.manifest is None or isinstance(reader.manifest, dict)
            reader.sample_names()
            return [reader.sample(index) for index in range(min(len(reader), 2 * COUNT))]


def refused(content: bytes) -> BetonError:
    """Return the error about a file, which must name it."""
    with pytest.raises(BetonError) as caught:
        read_everything(content)
    message = str(caught.value)
    assert "x.beton" in message
    assert "\n" not in message
    return caught.value


def patched(content: bytes, offset: int, patch: bytes) -> bytes:
    return content[:offset] + patch + content[offset + len(patch) :]


def record_byte(name: str, sample: int, member: str = "") -> int:
    record = layout.record_type(field.metadata_type for field in FIELDS.values())
    assert record.fields is not None
    kind, offset = record.fields[f"f{list(FIELDS).index(name)}"][:2]
    inside = kind.fields[member][1] if member else 0
    return layout.records_start(len(FIELDS)) + sample * record.itemsize + offset + inside
