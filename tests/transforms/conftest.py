"""A file of generated pictures to augment."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ffprep.beton.writing.writer import Writer
from ffprep.fields import IntField, RGBImageField

COUNT = 29


@pytest.fixture(scope="session")
def pictures_beton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """29 JPEGs of odd sizes (every fifth raw pixels) and their numbers."""
    rng = np.random.default_rng(8)
    path = tmp_path_factory.mktemp("pictures") / "pictures.beton"
    fields = {"image": RGBImageField("jpg"), "label": IntField()}
    with Writer(path, fields, COUNT) as writer:
        for i in range(COUNT):
            coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3)).astype(np.uint8))
            picture = coarse.resize((33 + 29 * i % 90, 20 + 13 * i % 70), Image.Resampling.BICUBIC)
            stored: object = np.asarray(picture)
            if i % 5:
                buffer = io.BytesIO()
                picture.save(buffer, "JPEG", quality=90, subsampling=i % 3)
                stored = buffer.getvalue()
            kind = fields["image"] if i % 5 else RGBImageField("raw")
            writer.write([kind.encode(stored), fields["label"].encode(i)])
    return path
