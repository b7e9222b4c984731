"""The presets give the form of batch they promise."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ffprep import presets
from ffprep.beton.writing.writer import Writer
from ffprep.errors import OptionError
from ffprep.fields import BytesField, FloatField, IntField, NDArrayField, RGBImageField
from ffprep.fields.decoders import IntDecoder


def test_imagenet_presets(image_beton: Path) -> None:
    with presets.imagenet_train(image_beton, batch_size=8, num_workers=2, seed=1, size=32) as train:
        assert len(train) == 4
        images, labels = next(iter(train))
    assert images.shape == (8, 3, 32, 32) and images.dtype == torch.float32 and images.is_contiguous()
    assert labels.shape == (8,) and labels.dtype == torch.int64
    options = {"dtype": torch.bfloat16, "channels_last": True}
    for resize in (None, 40):
        with presets.imagenet_val(image_beton, batch_size=8, num_workers=2, size=32, resize=resize, **options) as val:
            batches = list(val)
        assert torch.cat([b[1] for b in batches]).tolist() == list(range(37))
        assert batches[0][0].dtype == torch.bfloat16
        assert batches[0][0].is_contiguous(memory_format=torch.channels_last)
    with presets.imagenet_train(image_beton, 8, 1, 1, size=32, mean=None, dtype=np.uint8) as raw:
        assert next(iter(raw))[0].dtype == torch.uint8


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_types_are_one_argument(image_beton: Path, dtype: str) -> None:
    """Bytes that are normalised afterwards are what the host makes, but for rounding to whole levels."""

    def images(**options: Any) -> torch.Tensor:
        with presets.imagenet_train(image_beton, 8, 1, 1, size=32, **options) as train:
            batch: torch.Tensor = next(iter(train))[0]
            return batch

    host, levels = images(dtype=dtype, channels_last=True), images(dtype="uint8", channels_last=True)
    kind = getattr(torch, dtype)
    assert host.dtype == kind and levels.dtype == torch.uint8
    later = presets.normalized(levels, kind)
    assert later.dtype == kind and later.is_contiguous(memory_format=torch.channels_last)
    mean, std = (255 * np.reshape(values, (3, 1, 1)) for values in (presets.IMAGENET_MEAN, presets.IMAGENET_STD))
    exact = (levels.numpy() - mean) / std
    rounding = torch.finfo(kind).eps / 2 * np.abs(exact) + 1e-6
    assert (np.abs(later.double().numpy() - exact) <= rounding).all()
    # rounded to the nearest level, and what fixed-point arithmetic adds, as in test_loader_device.py
    assert (np.abs(host.double().numpy() - exact) <= 0.51 / std + 0.02 + 2 * rounding).all()


def test_center_crop_is_torchvisions_usual_evaluation(image_beton: Path) -> None:
    def images(**options: Any) -> torch.Tensor:
        with presets.imagenet_val(image_beton, batch_size=8, num_workers=2, mean=None, **options) as val:
            return torch.cat([batch[0] for batch in val])

    assert torch.equal(images(size=224, crop="center"), images(size=224, resize=256))
    assert torch.equal(images(size=(32, 48), crop="center"), images(size=(32, 48), resize=37))
    assert torch.equal(images(size=32, crop="center", resize=40), images(size=32, resize=40))
    assert torch.equal(images(size=32), images(size=32, crop="whole"))
    assert not torch.equal(images(size=32), images(size=32, crop="center"))
    with pytest.raises(OptionError, match="'whole' or 'center'"):
        images(size=32, crop="centre")
    with pytest.raises(OptionError, match="resize as well"):
        images(size=lambda epoch: 32, crop="center")


def test_a_presets_mean_in_levels_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="divide mean and std by 255"):
        presets.images.image_pipeline(IntDecoder(), mean=(123.675, 116.28, 103.53))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.beton"
    fields = {
        "image": RGBImageField(jpeg="keep"),
        "tokens": NDArrayField(np.dtype(np.uint16), (6,)),
        "length": IntField(),
        "image_id": IntField(),
        "caption": BytesField(),
        "score": FloatField(),
    }
    with Writer(path, fields, 5) as writer:
        for i in range(5):
            values = [np.arange(6, dtype=np.uint16) + i, i, i * 10, b"x" * i, i / 2]
            plain = [field.encode(v) for field, v in zip(list(fields.values())[1:], values, strict=True)]
            writer.write([make.stored_jpeg(make.encode_jpeg(make.noise_image(i, 30, 40))), *plain])
    return path


def test_image_text_presets(pairs: Path) -> None:
    for loader in (
        presets.image_text_train(pairs, 5, 2, 0, size=16),
        presets.image_text_val(pairs, 5, 2, size=16),
    ):
        with loader:
            [(images, tokens, lengths, ids, scores)] = list(loader)
        assert images.shape == (5, 3, 16, 16)
        assert tokens.shape == (5, 6) and tokens.dtype == torch.int64
        assert torch.equal(ids, lengths * 10) and torch.equal(scores, lengths.double() / 2)
        assert torch.equal(tokens[:, 0], lengths)


def test_text_preset(plain_beton: Path) -> None:
    with presets.text_blocks(plain_beton, 10, 2, 0) as loader:
        number, real, array, strings, documents = next(iter(loader))
    assert number.shape == real.shape == (10,)
    assert array.shape == (10, 5, 3) and array.dtype == torch.int64
    assert strings.lengths.shape == documents.lengths.shape == (10,)


def test_text_preset_refuses_images(image_beton: Path) -> None:
    with pytest.raises(OptionError, match="holds images"):
        presets.text_blocks(image_beton, 2, 1, 0)
