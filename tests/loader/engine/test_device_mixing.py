"""With a device, images are mixed there, with what is drawn on the host; the device is played by `Late`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from late_device import Late

from ffprep import Loader, OrderOption
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.loader.engine import device as transfer
from ffprep.transforms import (
    CutMix,
    Mixup,
    MixupToOneHot,
    NormalizeImage,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    ToTensor,
    ToTorchImage,
    mixup,
)

MEAN, STD = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255


@pytest.fixture(autouse=True)
def late(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Late]]:
    Late.made = []
    monkeypatch.setitem(transfer.STREAMS, "late", Late)
    yield Late
    Late.made = []


def load(path: Path, mix: Any, normal: list[Any], end: list[Any], **options: Any) -> list[Any]:
    """Two epochs of images, mixed, and their labels."""
    begin = [RandomResizedCropRGBImageDecoder(48), RandomHorizontalFlip()]
    image = [*begin, *normal, ToTorchImage(channels_last=False), mix.images, *end]
    pipelines = {"image": image, "label": [IntDecoder(), mix.labels, ToTensor(), MixupToOneHot(99)]}
    options = {"num_workers": 2, "order": OrderOption.RANDOM, "seed": 5, "drop_last": False, **options}
    with Loader(path, 4, pipelines=pipelines, **options) as loader:
        return [tuple(part.clone() for part in batch) for _ in range(2) for batch in loader]


def sent() -> set[tuple[torch.dtype, int]]:
    """Types and ranks of what crossed to the device."""
    return {(tensor.dtype, tensor.dim()) for tensor in Late.made[-1].submitted}


@pytest.mark.parametrize("mix", [Mixup(0.4), CutMix(1.0, 48), Mixup(0.4, same_lambda=False)], ids=repr)
@pytest.mark.parametrize("by_torch", [True, False])
def test_images_are_mixed_on_the_device_as_on_the_host(
    image_beton: Path, mix: Any, by_torch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean, std = torch.tensor(MEAN, dtype=torch.float32), torch.tensor(STD, dtype=torch.float32)
    wanted = load(image_beton, mix, [lambda x: (torch.from_numpy(x) - mean) / std], [RandomVerticalFlip()])
    if by_torch:  # what other devices than the CPU do
        monkeypatch.setattr(mixup, "_by_kernel", lambda x: None)
    normal = [NormalizeImage(MEAN, STD, np.float32), ToTensor()]
    got = load(image_beton, mix, normal, [RandomVerticalFlip()], device="late")
    assert sent() == {(torch.uint8, 4), (torch.float32, 2)}
    for (images, labels), (wanted_images, wanted_labels) in zip(got, wanted, strict=True):
        assert torch.equal(labels, wanted_labels)
        assert torch.allclose(images, wanted_images, rtol=0, atol=2e-6)


def test_what_needs_the_host_is_done_before(image_beton: Path) -> None:
    normal, end = [NormalizeImage(MEAN, STD, np.float32), ToTensor()], [lambda x: x * 2]
    got = load(image_beton, Mixup(0.4), normal, end, device="late")
    assert sent() == {(torch.float32, 4), (torch.float32, 2)}
    for batch, wanted in zip(got, load(image_beton, Mixup(0.4), normal, end), strict=True):
        assert all(torch.equal(one, two) for one, two in zip(batch, wanted, strict=True))
