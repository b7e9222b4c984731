"""Small data sets to write and load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ffprep.fields import IntField, RGBImageField
from ffprep.writer import DatasetWriter


class Photographs:
    """The demo photographs again and again, cut to different sizes: (image, label) pairs."""

    def __init__(self, folder: Path, count: int) -> None:
        self.files = sorted((folder / "imagenet").rglob("*.JPEG"))
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        image = Image.open(self.files[i % len(self.files)]).convert("RGB")
        return image.crop((i % 7, i % 5, image.width - i % 11, image.height - i % 13)), i % 6


class Small:
    """Pictures of 32 x 32 pixels, as CIFAR has them: (image, label) pairs."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        rows, columns = np.mgrid[:32, :32]
        pixels = np.stack([rows * 5 + i, columns * 6, (rows + columns) * 3 + 2 * i], axis=2)
        return (pixels % 251).astype(np.uint8), i % 10


def write(path: Path, dataset: Any, **image: Any) -> Path:
    """Write pairs of image and label."""
    fields = {"image": RGBImageField(**image), "label": IntField()}
    DatasetWriter(path, fields, num_workers=1, processes=False, progress=False).from_indexed_dataset(dataset)
    return path


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> Path:
    """24 photographs as JPEG, of different sizes."""
    return write(tmp_path_factory.mktemp("photographs") / "photographs.beton", Photographs(demo_data, 24), jpeg="keep")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 raw pictures of 32 x 32."""
    return write(tmp_path_factory.mktemp("small") / "small.beton", Small(50))
