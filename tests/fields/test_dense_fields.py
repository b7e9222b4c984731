"""Masks and arrays of their own length, stored as what other programs see as bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ffprep.beton.reader import Reader
from ffprep.beton.writing.writer import Writer
from ffprep.errors import ConversionError, CorruptError, OptionError
from ffprep.fields import BytesField, MaskField, VariableArrayField
from ffprep.fields.dense.masks import decode_mask, encode_mask

MASKS = st.sampled_from(["uint8", "uint16", "int32"]).flatmap(
    lambda name: hnp.arrays(
        name,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
        elements=st.sampled_from([0, 1, 255] if name == "uint8" else [0, 65535, 3]),
    )
)


@given(MASKS)
@settings(deadline=None)
def test_masks_come_back(mask: Any) -> None:
    payload = encode_mask(mask)
    assert len(payload) <= 16 + mask.nbytes
    back = decode_mask(payload, mask.dtype)
    assert back.dtype == mask.dtype
    np.testing.assert_array_equal(back, mask)


@given(MASKS, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 9))
@settings(deadline=None)
def test_damaged_masks_are_refused_or_whole(mask: Any, changes: list[tuple[int, int]], cut: int) -> None:
    payload = bytearray(encode_mask(mask))
    for place, value in changes:
        payload[place % len(payload)] = value
    try:
        back = decode_mask(bytes(payload[: len(payload) - cut]), mask.dtype)
    except CorruptError:
        return
    assert back.ndim == 2 and back.dtype == mask.dtype


def test_plain_masks_are_small() -> None:
    mask = np.zeros((480, 640), np.uint8)
    mask[100:300, 200:400] = 7
    assert len(encode_mask(mask)) < 3000


def test_files_say_what_their_bytes_are(tmp_path: Path) -> None:
    fields = {
        "mask": MaskField("uint16"),
        "boxes": VariableArrayField(np.float32, (4,)),
        "labels": VariableArrayField(">i8"),
        "bytes": BytesField(),
    }
    rows: list[Any] = [
        (np.arange(12, dtype=np.int64).reshape(3, 4) * 5000, [[1, 2, 3, 4.5]], [7], b"x"),
        (np.ones((2, 2, 1), np.uint8), [], np.arange(3), b""),
    ]
    with Writer(tmp_path / "a.beton", fields, 2) as writer:
        for row in rows:
            writer.write([field.encode(value) for field, value in zip(fields.values(), row, strict=True)])
    with Reader(tmp_path / "a.beton") as reader:
        assert {field.type_id for field in reader.fields.values()} == {3}
        assert [type(field) for field in reader.fields.values()] == [type(field) for field in fields.values()]
        assert all(reader.fields[name].same_layout(field) for name, field in fields.items())
        np.testing.assert_array_equal(reader.value("mask", 0), rows[0][0])
        assert reader.value("boxes", 1).shape == (0, 4) and reader.value("labels", 1).dtype == np.dtype("<i8")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (MaskField(), np.full((2, 2), 256)),
        (MaskField(), np.full((2, 2), -1)),
        (MaskField(), np.zeros((2, 2, 3), np.uint8)),
        (MaskField(), np.zeros((2, 2))),
        (MaskField(), np.zeros((0, 2), np.uint8)),
        (VariableArrayField("int16"), [40000]),
        (VariableArrayField("float32", 4), np.zeros((3, 5))),
        (VariableArrayField("float32", 4), "text"),
    ],
)
def test_values_that_do_not_fit(field: Any, value: Any) -> None:
    with pytest.raises(ConversionError, match=type(field).__name__):
        field.encode(value)


def test_types_that_cannot_be_stored() -> None:
    with pytest.raises(OptionError, match="MaskField cannot hold float32"):
        MaskField("float32")
    for dtype, shape in (("U3", ()), ("u1", (0,))):
        with pytest.raises(OptionError, match="VariableArrayField cannot hold"):
            VariableArrayField(dtype, shape)


@given(st.binary(max_size=60))
def test_hostile_arguments(tail: bytes) -> None:
    for kind in (MaskField, VariableArrayField):
        raw = np.frombuffer((kind.mark + tail).ljust(1024, b"\0"), np.uint8)
        try:
            field = BytesField.from_binary(raw)
        except CorruptError:
            continue
        assert isinstance(field, kind)
