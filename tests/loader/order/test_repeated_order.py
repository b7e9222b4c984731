"""Repeated augmentation: copies of a sample in succession, on different ranks, each with draws of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep import Loader, OrderOption, RepeatedOrder
from ffprep.errors import OptionError
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.loader.order.order import RandomOrder
from ffprep.transforms import Squeeze, ToTensor


@settings(max_examples=30)
@given(count=st.integers(1, 60), repeats=st.integers(1, 5), seed=st.integers(0, 2**63), epoch=st.integers(0, 99))
def test_copies_of_a_permutation_follow_one_another(count: int, repeats: int, seed: int, epoch: int) -> None:
    indices = np.arange(10, 10 + count)
    order = RepeatedOrder(repeats, count * repeats).bind(indices, seed)
    positions = np.arange(len(order))
    ids = order.ids(epoch, positions)
    assert (ids.reshape(-1, repeats) == RandomOrder(indices, seed).ids(epoch, np.arange(count))[:, None]).all()
    assert len(set(order.keys(epoch, positions, ids).tolist())) == count * repeats
    assert len(RepeatedOrder(repeats).bind(indices, seed)) == count


def options(**more: Any) -> dict[str, Any]:
    image = [RandomResizedCropRGBImageDecoder(8), ToTensor()]
    label = [IntDecoder(), ToTensor(), Squeeze()]
    return {"seed": 2, "order": RepeatedOrder(3), "pipelines": {"image": image, "label": label}, **more}


def epoch(loader: Loader) -> list[tuple[int, bytes]]:
    with loader:
        return [
            (int(label), image.numpy().tobytes())
            for images, labels in loader
            for image, label in zip(images, labels, strict=True)
        ]


def test_ranks_share_the_copies_and_each_is_another_crop(image_beton: Path) -> None:
    one = epoch(Loader(image_beton, 6, 1, **options()))
    assert len(one) == 36 and set(Counter(label for label, _ in one).values()) == {3}
    assert len({image for _, image in one}) == 36
    ranks = [epoch(Loader(image_beton, 2, 2, rank=rank, world_size=3, **options())) for rank in range(3)]
    assert [pair for pairs in zip(*ranks, strict=True) for pair in pairs] == one
    assert all(len({label for label, _ in rank}) == 12 for rank in ranks)


def test_it_resumes_and_a_state_of_another_order_is_refused(image_beton: Path) -> None:
    wanted = epoch(Loader(image_beton, 6, 1, **options()))
    with Loader(image_beton, 6, 1, **options()) as loader:
        iterator = iter(loader)
        next(iterator), next(iterator)
        state = loader.state_dict()
    other = Loader(image_beton, 4, 1, **options())
    other.load_state_dict(state)
    assert epoch(other) == wanted[12:]
    for order in (RepeatedOrder(2), OrderOption.RANDOM):
        with Loader(image_beton, 4, 1, **options(order=order)) as loader, pytest.raises(OptionError):
            loader.load_state_dict(state)


def test_wrong_numbers() -> None:
    for wrong in (
        lambda: RepeatedOrder(0),
        lambda: RepeatedOrder(2, 0),
        lambda: RepeatedOrder(2, 9).bind(np.arange(4), 0),
    ):
        with pytest.raises(OptionError):
            wrong()
