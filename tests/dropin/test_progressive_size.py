"""Images that grow from epoch to epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep import Loader
from ffprep.errors import OptionError
from ffprep.fields.decoders import ProgressiveSize, RandomResizedCropRGBImageDecoder, ResizeRGBImageDecoder
from ffprep.presets import imagenet_train, imagenet_val


def recipe(epoch: int, start: int, end: int, first: int, last: int) -> int:
    """What ffcv's ImageNet recipe documents: constant, then interpolated to whole multiples of 32, then constant."""
    if epoch <= first:
        return start
    if epoch >= last:
        return end
    return int(np.round(np.interp([epoch], [first, last], [start, end])[0] / 32)) * 32


@pytest.mark.parametrize("numbers", [(160, 192, 65, 76), (128, 224, 5, 14), (96, 96, 0, 0), (224, 64, 2, 9)])
def test_sizes_are_those_of_the_recipe(numbers: tuple[int, int, int, int]) -> None:
    size = ProgressiveSize(*numbers)
    assert [size(epoch) for epoch in range(90)] == [recipe(epoch, *numbers) for epoch in range(90)]
    assert repr(size) == f"ProgressiveSize({', '.join(map(str, numbers))}, 32)"


def test_mistakes_are_named() -> None:
    with pytest.raises(OptionError, match="first is 3, last 2"):
        ProgressiveSize(32, 64, 3, 2)
    with pytest.raises(OptionError, match="output_size is 0"):
        ProgressiveSize(0, 64, 0, 2)


def shapes(loader: Any, epochs: int) -> list[tuple[int, ...]]:
    return [tuple(next(iter(loader))[0].shape[2:]) for _ in range(epochs)]


def test_a_preset_follows_its_size(photographs: Path) -> None:
    size = ProgressiveSize(32, 96, 1, 3)
    with imagenet_train(photographs, 8, 1, seed=0, size=size) as loader:
        assert shapes(loader, 4) == [(32, 32), (32, 32), (64, 64), (96, 96)]
        loader.next_epoch = 2
        assert shapes(loader, 1) == [(64, 64)]
        state = loader.state_dict()
    with imagenet_train(photographs, 8, 2, seed=0, size=size) as loader:
        loader.load_state_dict(state)
        assert shapes(loader, 1) == [(64, 64)]
    with imagenet_val(photographs, 8, 1, size=lambda epoch: (16 + 16 * epoch, 24)) as loader:
        assert shapes(loader, 2) == [(16, 24), (32, 24)]


def test_batches_are_those_of_a_loader_of_that_size(photographs: Path) -> None:
    growing = [RandomResizedCropRGBImageDecoder(ProgressiveSize(32, 64, 0, 1))]
    fixed = [RandomResizedCropRGBImageDecoder(64)]
    found = []
    for decoder in (growing, fixed):
        with Loader(photographs, 8, 1, pipelines={"image": decoder, "label": None}, seed=3) as loader:
            loader.next_epoch = 1
            found.append([b[0] for b in loader])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_a_wrong_size_is_named_when_the_loader_is_made(photographs: Path) -> None:
    pipelines: dict[str, Any] = {"image": [ResizeRGBImageDecoder(lambda epoch: -1)], "label": None}
    with pytest.raises(OptionError, match="output_size is -1"):
        Loader(photographs, 8, pipelines=pipelines)
