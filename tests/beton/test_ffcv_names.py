"""What a script finds where ffcv had it."""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from ffprep.beton import Writer
from ffprep.fields import BytesField, IntField, RGBImageField
from ffprep.reader import Reader

NAMES = {
    "ffprep.fields": "Field BytesField IntField FloatField RGBImageField NDArrayField JSONField TorchTensorField",
    "ffprep.fields.base": "Field",
    "ffprep.fields.basics": "FloatField IntField FloatDecoder IntDecoder",
    "ffprep.fields.bytes": "BytesField BytesDecoder",
    "ffprep.fields.json": "JSONField",
    "ffprep.fields.ndarray": "NDArrayField TorchTensorField NDArrayDecoder",
    "ffprep.fields.rgb_image": "RGBImageField SimpleRGBImageDecoder CenterCropRGBImageDecoder "
    "RandomResizedCropRGBImageDecoder",
    "ffprep.writer": "DatasetWriter",
    "ffprep.reader": "Reader",
}


@pytest.mark.parametrize("module", NAMES)
def test_names(module: str) -> None:
    found = importlib.import_module(module)
    for name in NAMES[module].split():
        assert getattr(found, name).__name__ == name
    with pytest.raises(AttributeError):
        getattr(found, "NoSuchDecoder" if "Decoder" in NAMES[module] else "Nothing")


def test_default_decoders() -> None:
    for field, decoder in ((IntField(), "IntDecoder"), (RGBImageField(), "SimpleRGBImageDecoder")):
        assert field.get_decoder_class().__name__ == decoder


def test_reader_attributes(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    fields = {"text": BytesField(), "label": IntField()}
    with Writer(path, fields, 2) as writer:
        for index in range(2):
            writer.write([BytesField().encode(b"ab"), IntField().encode(index)])
    reader = Reader(path)
    assert reader.file_name == str(path)
    assert (reader.num_samples, reader.num_fields, reader.page_size) == (2, 2, 1 << 23)
    assert reader.field_names == ["text", "label"]
    assert type(reader.handlers["text"]) is BytesField
    assert reader.metadata["f1"].tolist() == [0, 1]
    assert reader.metadata_type.itemsize == 24
    assert reader.alloc_table["size"].tolist() == [2, 2]
    again = pickle.loads(pickle.dumps(reader))
    assert again.value("text", 1) == b"ab"
    assert not reader.metadata.flags.writeable and not reader.data.flags.writeable
    assert np.shares_memory(reader.column("label"), reader.data)
