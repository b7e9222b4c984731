"""Fields that users wrote for ffcv: ``encode(destination, value, malloc)``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep import DatasetWriter, Loader
from ffprep.beton.reader import Reader
from ffprep.errors import BetonError, ConversionError, FfprepError
from ffprep.fields import Field, IntField, NDArrayField
from ffprep.fields.base import ARG_TYPE
from ffprep.fields.ndarray import NDArrayDecoder
from ffprep.libffcv import memcpy
from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.compiler import Compiler
from ffprep.pipeline.operation import Operation
from ffprep.pipeline.state import State


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


class Silent(Pair):
    """A field as it is written for ffcv, which does not know the class attribute."""

    pointer = None

    @staticmethod
    def from_binary(binary: Any) -> Silent:
        return Silent()


class Variable(Field):
    """Arrays of any length, whose length comes before the pointer; decoded by an operation of its own."""

    @property
    def metadata_type(self) -> np.dtype[Any]:
        return np.dtype([("length", "<u8"), ("where", "<u8")])

    @staticmethod
    def from_binary(binary: Any) -> Variable:
        return Variable()

    def to_binary(self) -> Any:
        return np.zeros(1, dtype=ARG_TYPE)[0]

    def encode(self, destination: Any, field: Any, malloc: Any) -> None:  # type: ignore[override]
        destination["where"], room = malloc(field.nbytes)
        room[:] = field.view("<u1")
        destination["length"] = len(field)

    def get_decoder_class(self) -> Any:
        return VariableDecoder


class VariableDecoder(Operation):
    def declare_state_and_memory(self, previous_state: State) -> tuple[State, AllocationQuery]:
        shape = (int(self.metadata["length"].max()),)
        return replace(previous_state, jit_mode=True, shape=shape, dtype=np.dtype("<i4")), AllocationQuery(
            shape, np.dtype("<i4")
        )

    def generate_code(self) -> Any:
        read, copy, loop = self.memory_read, Compiler.compile(memcpy), Compiler.get_iterator()

        def decode(indices: Any, destination: Any, metadata: Any, storage: Any) -> Any:
            destination[:] = 0
            for i in loop(len(indices)):
                copy(read(metadata[indices[i]]["where"], storage), destination[i])
            return destination[: len(indices)]

        return decode


class Plain(Silent):
    """A payload whose address is the record itself."""

    @staticmethod
    def from_binary(binary: Any) -> Plain:
        return Plain()

    @property
    def metadata_type(self) -> np.dtype[Any]:
        return np.dtype("<u8")

    def encode(self, destination: Any, field: Any, malloc: Any) -> None:  # type: ignore[override]
        destination[0], room = malloc(3)
        room[:] = field


class Careless(Silent):
    def encode(self, destination: Any, field: Any, malloc: Any) -> None:  # type: ignore[override]
        malloc(3)


class Samples:
    def __init__(self, values: list[Any], whole: bool = False) -> None:
        self.values, self.whole = values, whole

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> tuple[Any, ...]:
        return self.values[i] if self.whole else (self.values[i],)


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
    with pytest.raises(FfprepError, match="stores its address in no member"):
        write(tmp_path / "careless.beton", Careless(), [(1, 2)])


@pytest.mark.parametrize("processes", [False, True])
def test_fields_need_not_say_where_their_payload_is(tmp_path: Path, processes: bool) -> None:
    values = [np.arange(n, dtype=np.int32) + 100 * n for n in (3, 0, 5, 1)]
    path = tmp_path / "variable.beton"
    samples = Samples([(value, (7, 0.5), [n] * 3) for n, value in enumerate(values)], whole=True)
    fields = {"array": Variable(), "pair": Silent(), "plain": Plain()}
    writer = DatasetWriter(path, fields, num_workers=2, processes=processes, progress=False)
    writer.from_indexed_dataset(samples, chunksize=1)
    custom = {"array": Variable, "pair": Silent, "plain": Plain}
    with Reader(path, custom) as reader:
        for n, value in enumerate(values):
            assert reader.payload("array", n).tobytes() == value.tobytes()
            assert reader.payload("pair", n).tobytes() == b"abcd"
            assert reader.payload("plain", n).tolist() == [n] * 3
        assert reader.column("array")["length"].tolist() == [3, 0, 5, 1]
    assert Variable.pointer is None
    with Loader(path, 4, 1, pipelines={"pair": None, "plain": None}, custom_fields=custom) as loader:
        [(rows,)] = loader
    assert [row[: len(value)].tolist() for row, value in zip(rows, values, strict=True)] == [v.tolist() for v in values]


def test_a_custom_field_that_is_left_out_is_an_error_that_names_it(tmp_path: Path) -> None:
    write(tmp_path / "pairs.beton", Silent(), [(1, 0.5)])
    with pytest.raises(BetonError, match=r"custom_fields=\{'value': ItsFieldClass\}"):
        Loader(tmp_path / "pairs.beton", 1)
