"""Calls that both type checkers accept, and the types that they must find."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from typing_extensions import assert_type

from ffprep import Dataset, Loader, OrderOption, WeightedOrder
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.presets import image_text_train, image_text_val, imagenet_train, imagenet_val, text_blocks, text_rows
from ffprep.transforms import ToTensor, ToTorchImage


def training(model: torch.nn.Module) -> None:
    for images, labels in imagenet_train("train.beton", 256, flip=0.0, dtype=torch.float16, device="cuda:1"):
        assert_type(images, Tensor)
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        print(loss.item())
    with imagenet_train("train.beton", 256, with_index=True, order=OrderOption.QUASI_RANDOM, os_cache=False) as loader:
        for images, labels, numbers in loader:
            assert_type(labels, Tensor)
            print(images, numbers)
        assert_type(loader.stats().samples, int)


def evaluation() -> None:
    for images, labels, mask in imagenet_val("val.beton", 256, pad="mask", crop="center", seed=1):
        print(images.shape, (labels * mask).sum())


def exactly() -> None:
    loader: Loader[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]
    loader = imagenet_train("train.beton", 256, framework="numpy")
    for images, labels in loader:
        print(images.astype(np.float64), labels.dtype)


def captions_and_text() -> None:
    for images, tokens, lengths, numbers, mask in image_text_train("pairs.beton", 64, mask=True, captions="first"):
        assert_type(tokens, Tensor)
        print(images, lengths, numbers, mask)
    print(next(iter(image_text_val("pairs.beton", rank=0, world_size=2))))
    for (blocks,) in text_blocks("text.beton", 16, block=192, weights="equal"):
        assert_type(blocks, Tensor)
    for tokens, lengths, *rest in text_rows("cola.beton", 16, trim=True, label_dtype="float32"):
        assert_type(lengths, Tensor)
        print(tokens, rest)


def spelled_out() -> None:
    order = WeightedOrder([1.0, 2.0])
    pipelines = {"image": [RandomResizedCropRGBImageDecoder(224), ToTensor(), ToTorchImage()], "label": [IntDecoder()]}
    loader = Loader("train.beton", batch_size=256, num_workers=8, order=order, seed=0, pipelines=pipelines)
    for images, labels in loader:
        assert_type(images, Any)
        print(labels)
    for batch in loader.forever():
        assert_type(batch, tuple[Any, ...])
    print(len(Dataset("train.beton")))


def takes_any(loader: Loader) -> int:
    return len(loader)


takes_any(imagenet_train("train.beton"))
