"""JSON documents and lists of captions that are damaged: the error names the file, the sample and the field."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep import Loader
from ffprep.beton import Writer, layout
from ffprep.errors import DecodeError, OptionError
from ffprep.fields import BytesField, IntField, JSONField, NDArrayField
from ffprep.fields.base import Encoded
from ffprep.fields.decoders import CaptionTextDecoder, IntDecoder, JSONDecoder, NDArrayDecoder

BAD = {b"[1": "not JSON", b"[" * 9000 + b"\0": "not JSON", b"\xff\0": "not JSON", b'"no end"': "no end mark"}


def write(path: Path, third: bytes) -> None:
    fields = {"facts": JSONField(), "label": IntField()}
    with Writer(path, fields, 5) as writer:
        for n in range(5):
            text = third if n == 3 else b'["a", "b"]\0'
            encoded = Encoded((0, len(text)), text)
            writer.write([encoded, fields["label"].encode(n)], f"{n}.jpg")


@pytest.mark.parametrize("decoder", [JSONDecoder, CaptionTextDecoder])
@pytest.mark.parametrize("text", list(BAD))
def test_the_error_names_the_sample(tmp_path: Path, decoder: Callable[[], Any], text: bytes) -> None:
    path = tmp_path / "x.beton"
    write(path, text)
    with (
        Loader(path, 5, 1, pipelines={"facts": [decoder()], "label": None}, check="off") as loader,
        pytest.raises(DecodeError, match=r"x\.beton: sample 3 \(3\.jpg\), field 'facts': .*indices"),
    ):
        list(loader)


@pytest.mark.parametrize("text", [b'{"a": 1}\0', b"7\0", b'"abc"\0'])
def test_what_is_no_list_of_captions(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "x.beton"
    write(path, text)
    with (
        Loader(path, 5, 1, pipelines={"facts": [CaptionTextDecoder("all")], "label": None}) as loader,
        pytest.raises(DecodeError, match="sample 3.*no list of captions"),
    ):
        list(loader)


def test_a_document_of_a_masked_row_is_none(tmp_path: Path) -> None:
    """A sample whose value fails its checksum stays as a masked row of zeros, which are no JSON."""
    path = tmp_path / "x.beton"
    fields = {"facts": JSONField(), "text": BytesField()}
    with Writer(path, fields, 4) as writer:
        for n in range(4):
            writer.write([fields["facts"].encode({"n": n}), fields["text"].encode(b"-%d-" % n)])
    content = path.read_bytes()
    path.write_bytes(content.replace(b'{"n": 2}', b'{"n": 9}'))
    pipelines = {"facts": [JSONDecoder()], "text": None}
    with (
        Loader(path, 4, 1, pipelines=pipelines, on_error="skip", pad="mask") as loader,
        pytest.warns(RuntimeWarning, match="left out"),
    ):
        ((documents, mask),) = loader
    assert documents == [{"n": 0}, {"n": 1}, None, {"n": 3}]
    np.testing.assert_array_equal(np.asarray(mask), [True, True, False, True])


def test_the_label_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    write(path, b"[")
    with Loader(path, 5, 1, pipelines={"facts": None, "label": [IntDecoder()]}, check="off") as loader:
        ((labels,),) = loader
    assert np.asarray(labels).ravel().tolist() == list(range(5))


@pytest.mark.parametrize("shape", [(2, 0, 1 << 62), (1, 0, 1 << 40, 1 << 20)])
def test_an_array_without_elements_of_a_huge_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "x.beton"
    fields = {"array": NDArrayField("<i4", (2, 3))}
    with Writer(path, fields, 3) as writer:
        for n in range(3):
            writer.write([fields["array"].encode(np.full((2, 3), n, "<i4"))])
    content = bytearray(path.read_bytes())
    at = layout.records_start(0) + 17
    content[at : at + 8 * len(shape)] = struct.pack(f"<{len(shape)}Q", *shape)
    path.write_bytes(content)
    with (
        Loader(path, 3, 1, pipelines={"array": [NDArrayDecoder()]}, check="off") as loader,
        pytest.raises(OptionError, match="field 'array': there is no memory for a batch of shape"),
    ):
        list(loader)
