"""Images of one channel: the luma that JPEGs store, or that of what operations made of their colours."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ffprep import Loader
from ffprep import transforms as T
from ffprep.beton.writing.writer import Writer
from ffprep.errors import OptionError
from ffprep.fields import IntField, RGBImageField
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder, ResizeRGBImageDecoder
from ffprep.pipeline import PipelineSpec
from ffprep.pipeline.form import BatchInfo
from ffprep.presets import imagenet_train, imagenet_val

GREY, COLOURED, RAW = 0, 1, 2
COUNT = 18
"""Pictures: a third each of grey JPEGs, coloured ones of three samplings, and raw pixels."""


def picture(i: int) -> Image.Image:
    rng = np.random.default_rng(i)
    coarse = Image.fromarray(rng.integers(90, 160, (5, 6, 3)).astype(np.uint8))  # no colour is cut off
    return coarse.resize((70 + 7 * i, 60 + 5 * i), Image.Resampling.BICUBIC)


def stored(i: int) -> Any:
    if i % 3 == RAW:
        return np.asarray(picture(i))
    buffer = io.BytesIO()
    image = picture(i).convert("L") if i % 3 == GREY else picture(i)
    image.save(buffer, "JPEG", quality=92, **({} if i % 3 == GREY else {"subsampling": i // 3 % 3}))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grey") / "grey.beton"
    fields = {"image": RGBImageField("jpg"), "label": IntField()}
    with Writer(path, fields, COUNT) as writer:
        for i in range(COUNT):
            field = RGBImageField("raw") if i % 3 == RAW else fields["image"]
            writer.write([field.encode(stored(i)), fields["label"].encode(i)])
    return path


def batches(path: Path, image: list[Any], workers: int = 2, **more: Any) -> Any:
    with Loader(path, 5, workers, seed=3, drop_last=False, pipelines={"image": image, "label": None}, **more) as loader:
        return torch.cat([batch[0] for batch in loader])


def luma(levels: NDArray[Any]) -> NDArray[np.float64]:
    weighted: NDArray[np.float64] = levels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return weighted


def test_a_whole_picture_is_the_stored_luma_resized(path: Path) -> None:
    out = batches(path, [ResizeRGBImageDecoder((40, 48)), T.Grayscale(), T.ToTensor()])
    assert out.shape == (COUNT, 40, 48, 1) and out.dtype == torch.uint8
    for i in range(COUNT):
        if i % 3 == RAW:
            levels = picture(i)
        else:
            levels = Image.open(io.BytesIO(stored(i)))
            levels.draft("L", levels.size)  # libjpeg gives Y as it is
            assert levels.mode == "L"
        small = np.asarray(levels.resize((48, 40), Image.Resampling.BILINEAR), np.float64)
        wanted = luma(small) if i % 3 == RAW else small
        assert np.abs(out[i, ..., 0].numpy() - wanted).max() <= 2, i
        assert np.abs(out[i, ..., 0].numpy() - wanted).mean() <= 0.5, i


@pytest.mark.parametrize("size", [32, (7, 9)])
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("first", [True, False])
def test_every_type_and_layout_is_a_channel_of_the_coloured_output(
    path: Path, dtype: Any, first: bool, size: Any
) -> None:
    def pipeline() -> list[Any]:
        return [
            RandomResizedCropRGBImageDecoder(size),
            T.RandomHorizontalFlip(),
            *([] if dtype is None else [T.NormalizeImage([110.0], [57.0], dtype)]),
            T.ToTensor(),
            *([T.ToTorchImage(channels_last=False)] if first else []),
        ]

    coloured = batches(path, pipeline())
    single = pipeline()
    single.insert(2, T.Grayscale())
    out = batches(path, single)
    channel = coloured[:, :1] if first else coloured[..., :1]
    assert out.shape == channel.shape and out.dtype == coloured.dtype and out.is_contiguous()
    assert torch.equal(out[GREY::3], channel[GREY::3])
    weights = torch.tensor([0.299, 0.587, 0.114])
    wanted = (coloured.float() * weights.view((1, 3, 1, 1) if first else (3,))).sum(1 if first else 3, keepdim=True)
    unit = {None: 1.0, torch.float32: 1 / 57, torch.float16: 1 / 57, torch.bfloat16: 1.5 / 57}[dtype]
    assert (out.float() - wanted).abs().max() <= 2 * unit


def test_operations_on_levels_work_on_grey_images_and_before_them(path: Path) -> None:
    jitter = T.ColorJitter(0.4, 0.4)
    crop = RandomResizedCropRGBImageDecoder(24)
    end = [T.NormalizeImage([0.0], [1.0], np.float32), T.ToTensor(), T.ToTorchImage(channels_last=False)]
    three = batches(path, [crop, T.RandomHorizontalFlip(), jitter, *end])
    one = batches(path, [crop, T.RandomHorizontalFlip(), jitter, T.Grayscale(), *end])
    weights = torch.tensor([19595, 38470, 7471]).view(1, 3, 1, 1)
    assert torch.equal(one.long(), ((three.long() * weights).sum(1, keepdim=True) + 32768) >> 16)
    for image in ([crop, T.Grayscale(), jitter, T.GaussianBlur(5)], [crop, T.Grayscale(), T.RandAugment()]):
        out = batches(path, [*image, *end], 1)
        assert out.shape == (COUNT, 1, 24, 24) and out.min() >= 0 and out.max() <= 255
        assert torch.equal(batches(path, [*image, *end], 3), out)
        half = batches(path, [*image, T.NormalizeImage(0, 1, torch.bfloat16), T.ToTensor()])
        assert torch.equal(half[..., 0].float(), out[:, 0].bfloat16().float())


def test_views_of_one_decode_are_those_of_decodes_of_their_own(path: Path) -> None:
    crop = [RandomResizedCropRGBImageDecoder(20, scale=(0.5, 1)), T.RandomHorizontalFlip()]
    grey = [*crop, T.Grayscale(), T.ToTensor()]
    pipelines: dict[str, Any] = {
        "image": grey,
        "label": None,
        "colour": PipelineSpec("image", transforms=[*crop, T.ToTensor()]),
        "other": PipelineSpec("image", transforms=grey),
    }
    with Loader(path, 5, 2, seed=3, drop_last=False, pipelines=pipelines) as loader:
        together = [torch.cat(parts) for parts in zip(*loader, strict=True)]
    for name, wanted in zip(("image", "colour", "other"), together, strict=True):
        alone = {**dict.fromkeys(pipelines), name: pipelines[name]}
        if name != "image":
            del alone["colour" if name == "other" else "other"]
        with Loader(path, 5, 1, seed=3, drop_last=False, pipelines=alone) as loader:
            assert torch.equal(torch.cat([batch[0] for batch in loader]), wanted)


def test_presets_and_what_they_refuse(path: Path) -> None:
    more: dict[str, Any] = {"size": 16, "grey": True, "drop_last": False}
    with imagenet_train(path, 4, 1, 0, mean=[0.45], std=[0.22], **more) as loader:
        images, labels = next(iter(loader))
        assert images.shape == (4, 1, 16, 16) and labels.shape == (4,)
    with imagenet_val(path, 4, 1, mean=None, dtype=np.uint8, **more) as loader:
        images, _ = next(iter(loader))
        assert images.shape == (4, 1, 16, 16) and images.dtype == torch.uint8
    with pytest.raises(OptionError, match="one mean and one std"):
        imagenet_train(path, 4, 1, 0, **more)
    with pytest.raises(OptionError, match="gives 1 channel"):
        T.Grayscale(3)


def test_finished_batches() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (3, 5, 6, 3)).astype(np.uint8)
    batch = BatchInfo(np.arange(3), 0, 0, 1)
    wanted = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in x])
    assert np.array_equal(T.Grayscale().apply(x, batch)[..., 0], wanted)
    tensor = torch.from_numpy(x).permute(0, 3, 1, 2)
    assert np.array_equal(T.Grayscale().apply(tensor, batch)[:, 0].numpy(), wanted)
    floats = T.Grayscale().apply(tensor.float(), batch)
    assert torch.allclose(floats[:, 0], torch.from_numpy(luma(x)).float(), atol=1e-3)
    assert T.Grayscale().apply(floats, batch) is floats
