"""Raw pixels that need no resizing come out as they are, in every form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep import Loader
from ffprep.beton.writing.writer import Writer
from ffprep.fields import RGBImageField
from ffprep.fields.decoders import SimpleRGBImageDecoder
from ffprep.transforms import Convert, NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage

MEAN, STD = np.array([120.0, 110.0, 100.0]), np.array([60.0, 61.0, 62.0])


def write(path: Path, images: list[np.ndarray]) -> Path:
    field = RGBImageField()
    with Writer(path, {"image": field}, len(images), overwrite=True) as writer:
        for image in images:
            writer.write([field.encode(image)])
    return path


def load(path: Path, *tail: Any) -> Any:
    with Loader(path, 3, 2, pipelines={"image": [SimpleRGBImageDecoder(), *tail]}) as loader:
        [(images,)] = loader
    return images


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 70), st.booleans(), st.integers(0, 2**32 - 1))
def test_every_form(tmp_path_factory: pytest.TempPathFactory, h: int, w: int, flip: bool, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (3, h, w, 3), dtype=np.uint8)
    path = write(tmp_path_factory.mktemp("plain") / "x.beton", list(pixels))
    mirror = [RandomHorizontalFlip(1.0)] if flip else []
    wanted = pixels[:, :, ::-1] if flip else pixels
    assert np.array_equal(load(path, *mirror), wanted)
    planes = load(path, *mirror, ToTensor(), ToTorchImage(channels_last=False))
    assert planes.is_contiguous() and np.array_equal(planes.numpy(), wanted.transpose(0, 3, 1, 2))
    normal = (wanted - MEAN) / STD
    for dtype, tolerance in ((np.float32, 1e-5), (np.float16, 2e-3)):
        for last in (True, False):
            form = [NormalizeImage(MEAN, STD, dtype), ToTensor(), ToTorchImage(channels_last=last)]
            got = load(path, *mirror, *form).permute(0, 2, 3, 1).double().numpy()
            assert np.abs(got - normal).max() < tolerance
    assert torch.equal(
        load(path, *mirror, Convert(np.float32), ToTensor()), torch.from_numpy(wanted.astype(np.float32))
    )
