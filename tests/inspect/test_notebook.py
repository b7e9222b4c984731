"""What notebooks show of readers, loaders, data sets and batches: small pictures, and text that stays text."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ffprep import Dataset, Loader
from ffprep.beton.reader import Reader
from ffprep.beton.writing.writer import Writer
from ffprep.fields import IntField, RGBImageField
from ffprep.fields.decoders import ResizeRGBImageDecoder
from ffprep.loader.notebook import as_pictures
from ffprep.presets import imagenet_train

NAME = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten red pictures with hostile names."""
    path = tmp_path_factory.mktemp("notebook") / "x.beton"
    fields = {"image": RGBImageField("raw"), "label": IntField()}
    with Writer(path, fields, 10) as writer:
        for number in range(10):
            values = (Image.new("RGB", (300, 200), "red"), number)
            writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)], NAME)
    return path


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


def check(page: str) -> None:
    shown = pictures(page)
    assert len(shown) == 8 and all(max(one.shape) <= 96 and one[..., 0].min() > 240 for one in shown)
    assert "<script" not in page and len(page) < 30_000


def test_readers_and_data_sets(file: Path) -> None:
    with Reader(file) as reader:
        page = reader._repr_html_()
    check(page)
    assert "10 samples" in page and "&lt;script&gt;" in page
    with Dataset(file, raw=True) as dataset:
        check(dataset._repr_html_())
    with Dataset(file, {"image": [ResizeRGBImageDecoder((32, 32))]}) as dataset:
        check(dataset._repr_html_())


def test_loaders_and_batches(file: Path) -> None:
    with imagenet_train(file, 4, 1, seed=0, size=32) as loader:
        page = loader._repr_html_()
        assert "10 in 2 batches of 4" in page and len(pictures(page)) == 8 and "<script" not in page
        view = loader.show(next(iter(loader)))
    assert repr(view).startswith("<batch of image float32 (4, 3, 32, 32), label int64 (4,): ")
    assert len(pictures(view._repr_html_())) == 4
    with Loader(file, 4, 1, pipelines={"image": [ResizeRGBImageDecoder((32, 32))], "label": None}) as loader:
        check(loader._repr_html_())


@pytest.mark.parametrize("values", [np.nan, np.inf, 0.0, 1e30])
def test_no_value_of_a_picture_breaks_it(values: float) -> None:
    shown = as_pictures(np.full((2, 3, 8, 8), values, np.float32))
    assert shown.shape == (2, 8, 8, 3) and shown.dtype == np.uint8
    assert as_pictures(np.zeros((2, 5))) is None and as_pictures([1, 2]) is None
