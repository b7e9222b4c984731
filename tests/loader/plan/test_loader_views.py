"""Several views of an image come from one decode where they overlap, and are the pixels of views made one by one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ffprep import Loader, OrderOption
from ffprep.errors import DecodeError
from ffprep.fields.base import Encoded
from ffprep.fields.decoders import (
    CenterCropRGBImageDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizeCenterCropRGBImageDecoder,
    ResizeRGBImageDecoder,
)
from ffprep.pipeline import PipelineSpec
from ffprep.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage

MEAN, STD = np.array([120.0, 115.0, 100.0]), np.array([60.0, 58.0, 57.0])


def views() -> dict[str, list[Any]]:
    """Outputs of every kind of crop: large, small, fractional, whole; some of them far apart."""
    normal = [NormalizeImage(MEAN, STD, np.float32), ToTensor(), ToTorchImage(channels_last=False)]
    return {
        "image": [RandomResizedCropRGBImageDecoder(32, scale=(0.4, 1.0)), RandomHorizontalFlip(), *normal],
        "global": [RandomResizedCropRGBImageDecoder(24, scale=(0.4, 1.0)), RandomHorizontalFlip(), *normal],
        "local": [RandomResizedCropRGBImageDecoder(12, scale=(0.05, 0.1)), RandomHorizontalFlip()],
        "local2": [RandomResizedCropRGBImageDecoder(12, scale=(0.02, 0.1), interpolation="bicubic")],
        "center": [CenterCropRGBImageDecoder(16, 0.5, interpolation="area")],
        "resized": [ResizeCenterCropRGBImageDecoder(20, 24)],
        "whole": [ResizeRGBImageDecoder((9, 11))],
    }


def load(path: Path, names: list[str], **options: Any) -> dict[str, np.ndarray]:
    chosen: dict[str, Any] = {"image": None, "label": None}
    for name in names:
        pipeline = views()[name]
        chosen[name] = pipeline if name == "image" else PipelineSpec("image", transforms=pipeline)
    arguments = {"order": OrderOption.RANDOM, "seed": 11, "drop_last": False, "num_workers": 2, **options}
    with Loader(path, 8, pipelines=chosen, **arguments) as loader:
        batches = [[np.asarray(part).copy() for part in batch] for batch in loader]
    # outputs: the file's own field first, then the others as given
    order = sorted(names, key=lambda name: name != "image")
    return {name: np.concatenate([b[k] for b in batches]) for k, name in enumerate(order)}


def test_views_are_those_made_one_by_one(image_beton: Path) -> None:
    together = load(image_beton, list(views()))
    for name in views():
        assert np.array_equal(together[name], load(image_beton, [name])[name]), name


@pytest.mark.parametrize("workers", [1, 4])
def test_views_do_not_depend_on_threads_or_company(image_beton: Path, workers: int) -> None:
    wanted = load(image_beton, list(views()))
    for names in (["local", "local2", "image"], ["whole", "local2", "center"], list(views())[::-1]):
        for name, images in load(image_beton, names, num_workers=workers).items():
            assert np.array_equal(images, wanted[name]), name


def test_a_broken_image_fails_in_all_views(tmp_path: Path, make: SimpleNamespace) -> None:
    payloads = [make.stored_jpeg(make.encode_jpeg(make.noise_image(i, 40, 50))) for i in range(6)]
    payloads[3] = Encoded(payloads[3].metadata, b"\xff\xd8" + bytes(50))
    path = make.write_images(tmp_path / "broken.beton", payloads)
    with pytest.raises(DecodeError, match="sample 3"):
        load(path, list(views()))
    with pytest.warns(RuntimeWarning, match="sample 3"):
        left = load(path, list(views()), on_error="skip")
    assert {len(images) for images in left.values()} == {5}
