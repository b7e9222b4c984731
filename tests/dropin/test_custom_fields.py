"""Fields that users wrote for ffcv: ``encode(destination, value, malloc)``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep import DatasetWriter, Loader
from ffprep.beton.reader import Reader
from ffprep.errors import ConversionError, FfprepError
from ffprep.fields import Field, IntField, NDArrayField
from ffprep.fields.base import ARG_TYPE
from ffprep.fields.ndarray import NDArrayDecoder


class StringField(NDArrayField):
    """Strings of a fixed length, as in ffcv's tests."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        super().__init__(np.dtype("uint8"), (longest,))

    def encode(self, destination: Any, field: str, malloc: Any) -> Any:  # type: ignore[override]
        padded = (field + "\0" * self.longest)[: self.longest]
        return super().encode(destination, np.frombuffer(padded.encode("ascii"), "uint8"), malloc)  # type: ignore[call-arg]


class Pair(Field):
    """Two numbers in the table and a payload of its own."""

    pointer = "where"

    @property
    def metadata_type(self) -> np.dtype[Any]:
        return np.dtype([("a", "<i4"), ("b", "<f4"), ("where", "<u8")])

    @staticmethod
    def from_binary(binary: Any) -> Pair:
        return Pair()

    def encode(self, destination: Any, field: Any, malloc: Any) -> None:  # type: ignore[override]
        destination["a"], destination["b"] = field[0], field[1]
        destination["where"], room = malloc(4)
        room[:] = np.frombuffer(b"abcd", "uint8")

    def get_decoder_class(self) -> Any:
        return NDArrayDecoder


class Greedy(Pair):
    def encode(self, destination: Any, field: Any, malloc: Any) -> None:  # type: ignore[override]
        malloc(3)
        malloc(3)


class Forgetful(Pair):
    pointer = None


class Samples:
    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> tuple[Any, ...]:
        return (self.values[i],)


def write(path: Path, field: Field, values: list[Any]) -> None:
    writer = DatasetWriter(path, {"value": field}, num_workers=1, processes=False, progress=False)
    writer.from_indexed_dataset(Samples(values))


def test_strings(tmp_path: Path) -> None:
    path = tmp_path / "strings.beton"
    words = ["", "one", "two words", "cut off at sixteen"]
    write(path, StringField(16), words)
    pipelines = {"value": [NDArrayDecoder()]}
    with Loader(path, 4, 1, pipelines=pipelines, custom_fields={"value": StringField}) as loader:
        [(rows,)] = loader
    assert [row.tobytes().rstrip(b"\0").decode() for row in rows] == [word[:16] for word in words]


def test_a_field_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "pairs.beton"
    write(path, Pair(), [(1, 0.5), (-7, 2.0)])
    with Reader(path, {"value": Pair}) as reader:
        assert reader.column("value")["a"].tolist() == [1, -7] and reader.column("value")["b"].tolist() == [0.5, 2.0]
        assert reader.payload("value", 1).tobytes() == b"abcd"


def test_built_in_fields_are_still_what_they_were() -> None:
    assert IntField().encode(3).metadata == (3,)
    assert NDArrayField(np.dtype("u1"), (2,)).encode(np.array([1, 2], np.uint8)).payload == b"\1\2"
    destination = np.zeros(1, "<u8")
    room = np.zeros(2, np.uint8)
    NDArrayField(np.dtype("u1"), (2,)).encode(destination, np.array([3, 4], np.uint8), lambda size: (77, room))  # type: ignore[call-arg]
    assert destination[0] == 77 and room.tolist() == [3, 4]
    assert ARG_TYPE.itemsize == 1024


def test_dimensions_of_one_do_not_matter() -> None:
    field = NDArrayField(np.dtype("f4"), (1,))
    assert field.encode(np.array(2.5, np.float32)).payload == np.float32(2.5).tobytes()
    with pytest.raises(ConversionError, match=r"an array of shape \(1,\)"):
        field.encode(np.zeros(2, np.float32))


def test_what_cannot_be_stored_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FfprepError, match="asked for memory twice"):
        write(tmp_path / "greedy.beton", Greedy(), [(1, 2)])
    with pytest.raises(FfprepError, match="class attribute pointer"):
        write(tmp_path / "forgetful.beton", Forgetful(), [(1, 2)])
