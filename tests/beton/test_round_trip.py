"""What is written is read, whatever the fields and values."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ffprep.beton import Reader, Writer
from ffprep.fields import (
    BytesField,
    Field,
    FloatField,
    IntField,
    JSONField,
    NDArrayField,
    RGBImageField,
    TorchTensorField,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
dtypes = st.sampled_from(["|b1", "|u1", "<u2", ">i2", "<i4", "<i8", "<f2", "<f4", "<f8", "<c8", "|S3", "<U2", "<M8[s]"])
pixels = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


@st.composite
def columns(draw: st.DrawFn) -> tuple[Field, st.SearchStrategy[Any]]:
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return FloatField(), st.floats()
    if kind == 1:
        return IntField(), st.integers(-(2**63), 2**63 - 1)
    if kind == 2:
        return RGBImageField(), pixels
    if kind == 3:
        return BytesField(), st.binary(max_size=20)
    if kind == 5:
        return JSONField(), json_values
    shape = draw(hnp.array_shapes(max_dims=4, max_side=3))
    dtype = np.dtype(draw(dtypes))
    arrays = hnp.arrays(dtype, shape, elements=hnp.from_dtype(dtype) if dtype.kind in "SUM" else None)
    return (NDArrayField if kind == 4 else TorchTensorField)(dtype, shape), arrays


names = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=16)


@st.composite
def datasets(draw: st.DrawFn) -> tuple[dict[str, Field], list[tuple[Any, ...]]]:
    chosen = draw(st.dictionaries(names, columns(), min_size=1, max_size=5))
    rows = st.tuples(*(values for _, values in chosen.values()))
    return {name: field for name, (field, _) in chosen.items()}, draw(st.lists(rows, max_size=12))


def same(left: Any, right: Any) -> bool:
    if isinstance(right, np.ndarray):
        return bool(left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes())
    return bool(left == right or (left != left and right != right))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(datasets(), st.sampled_from([None, 1 << 21]), st.integers(0, 3))
def test_values_come_back(data: Any, page_size: int | None, spare: int) -> None:
    fields, rows = data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.beton"
        with Writer(path, fields, len(rows) + spare, page_size=page_size) as writer:
            for row in rows:
                writer.write([field.encode(value) for field, value in zip(fields.values(), row, strict=True)])
        assert sorted(entry.name for entry in Path(folder).iterdir()) == ["x.beton"]
        reader = Reader(path)
        assert len(reader) == len(rows)
        assert list(reader.fields) == list(fields)
        assert all(reader.fields[name].same_layout(fields[name]) for name in fields)
        for index, row in enumerate(rows):
            for name, value in zip(fields, row, strict=True):
                assert same(reader.value(name, index), value)


def test_names_and_manifest_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    with Writer(path, {"label": IntField()}, 3, manifest={"source": {"tar": "a.tar"}}) as writer:
        for index, name in enumerate(["a.jpg", "", "two\nlines.jpg"]):
            writer.write([IntField().encode(index)], name)
        writer.close({"kept": 3}, {"extra": b"\0\1"})
    reader = Reader(path)
    assert reader.manifest is not None
    assert reader.manifest["source"] == {"tar": "a.tar"}
    assert reader.manifest["kept"] == 3
    assert reader.section("extra") == b"\0\1"
    assert reader.section("nothing") is None
    assert reader.sample_names() == ["a.jpg", "", "two\\nlines.jpg"]
    assert reader.sample_label(0) == "sample 0 (a.jpg)"
    assert reader.sample_label(1) == "sample 1"


def test_index_beyond_the_end(tmp_path: Path) -> None:
    with Writer(tmp_path / "x.beton", {"label": IntField()}, 2) as writer:
        for index in range(2):
            writer.write([IntField().encode(index)])
    reader = Reader(tmp_path / "x.beton")
    assert reader.value("label", -1) == 1
    for index in (2, -3):
        with pytest.raises(IndexError, match="samples 0 to 1"):
            reader.value("label", index)
