"""Fields store what they are given exactly, or refuse it in one line."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffprep.errors import ConversionError, DecodeError, OptionError
from ffprep.fields import (
    FIELD_TYPES,
    BytesField,
    Encoded,
    Field,
    FloatField,
    IntField,
    JSONField,
    NDArrayField,
    RGBImageField,
    Shared,
    TorchTensorField,
)

ARRAY = NDArrayField("int32", (2, 3))
GOOD: list[tuple[Field, Any, tuple[Any, ...], bytes | None]] = [
    (IntField(), np.int8(-3), (-3,), None),
    (IntField(), np.array(7, np.uint64), (7,), None),
    (IntField(), True, (1,), None),
    (IntField(), np.True_, (1,), None),
    (FloatField(), 3, (3.0,), None),
    (FloatField(), np.float16(0.5), (0.5,), None),
    (FloatField(), np.array(0.25), (0.25,), None),
    (FloatField(), Fraction(1, 4), (0.25,), None),
    (BytesField(), bytearray(b"ab"), (0, 2), b"ab"),
    (BytesField(), memoryview(b"abcd")[::2], (0, 2), b"ac"),
    (BytesField(), np.arange(6, dtype=np.uint8)[::2], (0, 3), b"\0\2\4"),
    (BytesField(), b"", (0, 0), b""),
    (ARRAY, np.arange(6, dtype=np.int32).reshape(3, 2).T, (0,), np.array([0, 2, 4, 1, 3, 5], "<i4").tobytes()),
    (JSONField(), {"a": None}, (0, 12), b'{"a": null}\0'),
]


@pytest.mark.parametrize(("field", "value", "metadata", "payload"), GOOD)
def test_accepted(field: Field, value: Any, metadata: tuple[Any, ...], payload: bytes | None) -> None:
    encoded = field.encode(value)
    assert encoded.metadata == metadata
    assert encoded.payload == payload


BAD: list[tuple[Field, Any, str]] = [
    (IntField(), 1.0, "IntField wants an integer, got float 1.0"),
    (IntField(), "1", "got str '1'"),
    (IntField(), None, "got NoneType"),
    (IntField(), 2**63, "64 bits"),
    (IntField(), np.array([1]), "dtype int64 and shape \\(1,\\)"),
    (FloatField(), "1.0", "a real number"),
    (FloatField(), 1j, "a real number"),
    (FloatField(), np.array([1.0]), "shape \\(1,\\)"),
    (FloatField(), 10**400, "fits a float64"),
    (BytesField(), "text", "encode the text first"),
    (BytesField(), np.zeros(3), "float64"),
    (BytesField(), np.zeros((2, 2), np.uint8), "one-dimensional"),
    (BytesField(), [1, 2], "got list"),
    (ARRAY, np.zeros((2, 3), np.float32), "dtype int32, got ndarray of dtype float32"),
    (ARRAY, np.zeros((2, 3), np.int64), "dtype int64"),
    (ARRAY, np.zeros((2, 3), ">i4"), "dtype >i4"),
    (ARRAY, np.zeros((1,), np.int32), "shape \\(2, 3\\)"),
    (ARRAY, np.zeros((3, 2), np.int32), "shape \\(3, 2\\)"),
    (ARRAY, [[0, 0, 0], [0, 0, 0]], "got list"),
    (JSONField(), {1, 2}, "not JSON serializable"),
    (JSONField(), object(), "JSON can hold"),
]


@pytest.mark.parametrize(("field", "value", "message"), BAD)
def test_refused(field: Field, value: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message) as caught:
        field.encode(value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_recursive_documents_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ConversionError, match="JSON can hold"):
        JSONField().encode(endless)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (-1,), (1,) * 33])
def test_impossible_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="1 to 32 dimensions of at least 1"):
        NDArrayField("int32", shape)


@pytest.mark.parametrize("dtype", ["O", "V8", [("a", "i4")], "S0", "U0"])
def test_impossible_dtypes(dtype: Any) -> None:
    with pytest.raises(OptionError, match="cannot hold dtype"):
        NDArrayField(dtype, (1,))


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    field = TorchTensorField(torch.float16, (2, 2))
    assert field.dtype == np.float16
    tensor = torch.arange(4.0).to(torch.float16).reshape(2, 2).T
    assert field.encode(tensor).payload == tensor.numpy().tobytes()
    assert field.encode(tensor.requires_grad_()).payload == tensor.detach().numpy().tobytes()
    assert IntField().encode(torch.tensor(5)).metadata == (5,)
    assert FloatField().encode(torch.tensor(0.5)).metadata == (0.5,)
    for wrong in (tensor.to(torch.float32), tensor.to(torch.bfloat16), tensor[0]):
        with pytest.raises(ConversionError):
            field.encode(wrong)
    with pytest.raises(OptionError, match="bfloat16"):
        TorchTensorField(torch.bfloat16, (1,))


def test_type_ids_are_the_formats() -> None:
    assert {number: kind.__name__ for number, kind in FIELD_TYPES.items()} == {
        0: "FloatField",
        1: "IntField",
        2: "RGBImageField",
        3: "BytesField",
        4: "NDArrayField",
        5: "JSONField",
        6: "TorchTensorField",
    }


@given(st.integers(0, 40), st.sampled_from(["int32", "<u2", "|S7", "M8[ns]"]), st.booleans())
def test_array_arguments_come_back(seed: int, dtype: str, torch: bool) -> None:
    shape = tuple(np.random.default_rng(seed).integers(1, 5, 1 + seed % 32).tolist())
    field = (TorchTensorField if torch else NDArrayField)(dtype, shape)
    again = type(field).from_binary(np.frombuffer(field.to_binary(), np.uint8))
    assert (again.dtype, again.shape, again.nbytes) == (field.dtype, field.shape, field.nbytes)
    assert len(field.to_binary()) == 1024
    assert again.same_layout(field)


def test_unpacking_a_batch_of_documents() -> None:
    documents = [{"a": 1}, [], "zwölf", None]
    payloads = [JSONField().encode(each).payload for each in documents]
    batch = np.zeros((4, 30), np.uint8)
    for row, payload in zip(batch, payloads, strict=True):
        assert isinstance(payload, bytes)
        row[: len(payload)] = np.frombuffer(payload, np.uint8)
    assert JSONField.unpack(batch) == documents
    assert JSONField.unpack(batch[2]) == "zwölf"
    torch = pytest.importorskip("torch")
    assert JSONField.unpack(torch.from_numpy(batch)) == documents
    with pytest.raises(DecodeError, match="end mark"):
        JSONField.unpack(np.full((1, 3), 49, np.uint8))
    with pytest.raises(DecodeError, match="not JSON"):
        JSONField.unpack(np.zeros((1, 3), np.uint8))


def test_a_shared_value_is_encoded_once() -> None:
    calls = []

    class Counting(BytesField):
        def encode(self, value: Any) -> Encoded:
            calls.append(value)
            return super().encode(value)

    field, shared = Counting(), Shared(("photo", 3), b"abc")
    encoded = [field.encode_any(shared) for _ in range(5)]
    assert len(calls) == 1
    assert {each.key for each in encoded} == {("photo", 3)}
    assert field.encode_any(b"x").key is None
    import pickle

    assert pickle.loads(pickle.dumps(shared)) == shared


def test_fields_describe_themselves() -> None:
    assert repr(NDArrayField("i4", (2,))) == "NDArrayField(dtype='<i4', shape=[2])"
    assert "write_mode='jpg'" in repr(RGBImageField(jpeg="keep"))
    assert repr(IntField()) == "IntField()"


def test_importing_fields_imports_neither_torch_nor_numba() -> None:
    script = "import sys, ffprep.fields, ffprep.beton, ffprep.beton.verify, ffprep.writer, ffprep.reader; "
    script += "print(sorted({'torch', 'numba', 'PIL', 'multiprocessing.shared_memory'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
