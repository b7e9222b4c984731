"""Weighted sampling: the right shares, the same in every run, and resumable and distributed like every order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ffprep import Loader
from ffprep.errors import OptionError
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder
from ffprep.kernels.random import uniforms
from ffprep.loader import WeightedOrder
from ffprep.loader.order.weighted import OP_WEIGHTED
from ffprep.transforms import Squeeze, ToTensor

LABELS = {"image": None, "label": [ToTensor(), Squeeze(1)]}


def ids_of(order: WeightedOrder, indices: np.ndarray, seed: int = 1, epoch: int = 0) -> np.ndarray:
    bound = order.bind(indices, seed, len(order.weights))
    return bound.ids(epoch, np.arange(len(bound), dtype=np.int64))


weights = st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 10.0)), min_size=1, max_size=40).filter(any)


@given(weights, st.integers(1, 300), st.integers(-(2**63), 2**64 - 1), st.integers(0, 5))
def test_with_replacement_equals_its_slow_twin(weights: list[float], count: int, seed: int, epoch: int) -> None:
    got = ids_of(WeightedOrder(weights, count), np.arange(len(weights)), seed, epoch)
    signed = int(np.uint64(seed % 2**64).astype(np.int64))
    draws = uniforms(signed, epoch, np.arange(count), OP_WEIGHTED, 0)
    positive = [i for i, weight in enumerate(weights) if weight]
    for position, draw in enumerate(draws):
        left = draw * np.cumsum([weights[i] for i in positive])[-1]
        chosen = positive[-1]
        for i, end in zip(positive, np.cumsum([weights[i] for i in positive]), strict=True):
            if left < end:
                chosen = i
                break
        assert got[position] == chosen


@given(weights, st.integers(0, 2**31), st.integers(0, 5))
def test_without_replacement_is_a_permutation_of_what_weighs(weights: list[float], seed: int, epoch: int) -> None:
    order = WeightedOrder(weights, replacement=False)
    got = ids_of(order, np.arange(len(weights)), seed, epoch)
    assert sorted(got) == [i for i, weight in enumerate(weights) if weight]
    assert np.array_equal(got, ids_of(order, np.arange(len(weights)), seed, epoch))


@given(weights, st.integers(0, 2**31), st.integers(0, 5), st.data())
def test_without_replacement_equals_its_slow_twin(
    weights: list[float], seed: int, epoch: int, data: st.DataObject
) -> None:
    """Waiting times with the weights as rates: the samples that come first, in the order in which they come."""
    positive = [i for i, weight in enumerate(weights) if weight]
    count = data.draw(st.integers(1, len(positive)))
    got = ids_of(WeightedOrder(weights, count, replacement=False), np.arange(len(weights)), seed, epoch)
    draws = uniforms(seed, epoch, np.arange(len(weights)), OP_WEIGHTED, 1)
    waits = {i: -np.log1p(-draws[i]) / weights[i] for i in positive}
    assert got.tolist() == sorted(positive, key=lambda i: waits[i])[:count]


@pytest.mark.parametrize("count", [1, 2, 500, 999, 1000])
def test_the_first_of_many_without_replacement(count: int) -> None:
    weights = np.random.default_rng(3).uniform(0.1, 2, 1000)
    waits = -np.log1p(-uniforms(1, 0, np.arange(1000), OP_WEIGHTED, 1)) / weights
    got = ids_of(WeightedOrder(weights, count, replacement=False), np.arange(1000))
    assert got.tolist() == np.argsort(waits)[:count].tolist()


def test_shares_are_the_weights() -> None:
    order = WeightedOrder([1, 0, 3, 4], 80_000)
    counts = np.bincount(ids_of(order, np.arange(4)), minlength=4) / 80_000
    assert np.abs(counts - [1 / 8, 0, 3 / 8, 4 / 8]).max() < 0.01
    some = np.bincount(ids_of(order, np.array([2, 0])), minlength=4) / 80_000
    assert np.abs(some - [1 / 4, 0, 3 / 4, 0]).max() < 0.01


def test_the_first_without_replacement_is_drawn_by_weight() -> None:
    order = WeightedOrder([1, 2, 5], replacement=False)
    first = [ids_of(order, np.arange(3), seed)[0] for seed in range(4000)]
    assert np.abs(np.bincount(first) / 4000 - [1 / 8, 2 / 8, 5 / 8]).max() < 0.03


def test_classes_can_be_balanced(small: Path) -> None:
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10)
    drawn = labels[ids_of(WeightedOrder.balanced(labels, num_samples=30_000), np.arange(1000))]
    assert np.abs(np.bincount(drawn) / 30_000 - 1 / 3).max() < 0.02
    half = WeightedOrder.balanced(labels, power=0.5)
    assert half.weights[0] / half.weights[-1] == pytest.approx((10 / 900) ** 0.5)
    assert np.allclose(WeightedOrder.balanced(small).weights, 1 / 5)
    with pytest.raises(OptionError, match="'image' holds no numbers to balance"):
        WeightedOrder.balanced(small, field="image")


def batches(path: Path, order: WeightedOrder, pipelines: Any = LABELS, **options: Any) -> list[Any]:
    arguments = {"num_workers": 2, "seed": 5, "drop_last": False, **options}
    with Loader(path, 4, order=order, pipelines=pipelines, **arguments) as loader:
        return list(loader)


@pytest.mark.parametrize("replacement", [True, False])
def test_ranks_and_resuming(small: Path, replacement: bool) -> None:
    order = WeightedOrder(np.arange(50), 40, replacement)
    wanted = torch.cat([b[0] for b in batches(small, order)])
    assert len(wanted) == 40
    assert not torch.equal(wanted, torch.cat([b[0] for b in batches(small, order, seed=6)]))
    for world in (2, 3):
        ranks = [batches(small, order, rank=rank, world_size=world) for rank in range(world)]
        seen = torch.empty(40, dtype=torch.int64)
        for rank, mine in enumerate(ranks):
            for step, (labels,) in enumerate(mine):
                places = torch.arange(4 * world * step + rank, 40, world)[: len(labels)]
                seen[places] = labels
        assert torch.equal(seen, wanted)
    with Loader(small, 4, 1, order=order, pipelines=LABELS, seed=5) as loader:
        iterator = iter(loader)
        got = [next(iterator)[0] for _ in range(3)]
        state = loader.state_dict()
    assert state["order"] == "WEIGHTED"
    with Loader(small, 4, 3, order=order, pipelines=LABELS, seed=9) as loader:
        loader.load_state_dict(state)
        got += [b[0] for b in loader]
    assert torch.equal(torch.cat(got), wanted)


def test_a_sample_that_comes_again_is_cropped_anew(photographs: Path) -> None:
    pipelines = {"image": [RandomResizedCropRGBImageDecoder(32), ToTensor()], "label": None}
    weights = np.zeros(24)
    weights[7] = 1
    first = torch.cat([b[0] for b in batches(photographs, WeightedOrder(weights, 8), pipelines)])
    assert len({tuple(image.flatten().tolist()) for image in first}) == 8
    again = torch.cat([b[0] for b in batches(photographs, WeightedOrder(weights, 8), pipelines, num_workers=4)])
    assert torch.equal(first, again)


def test_filtering_keeps_the_weights(small: Path) -> None:
    with Loader(small, 4, 1, order=WeightedOrder(np.ones(50)), pipelines=LABELS, seed=1) as loader:
        kept = loader.filter("label", lambda label: label < 3)
    with kept:
        labels = torch.cat([b[0] for b in kept])
        assert set(labels.tolist()) == {0, 1, 2} and len(kept.indices) == 15


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: WeightedOrder([[1.0]]), r"shape \(1, 1\)"),
        (lambda: WeightedOrder([1.0, float("nan")]), r"weights\[1\] is nan"),
        (lambda: WeightedOrder([1.0, -1.0]), r"weights\[1\] is -1"),
        (lambda: WeightedOrder([0.0, 0.5, -0.1, -1.0]), r"weights\[2\] is -0.1"),
        (lambda: WeightedOrder([1.0], 0), "num_samples is 0"),
        (lambda: WeightedOrder([1.0]).bind(np.arange(2), 0, 2), "1 weights for 2 samples"),
        (lambda: WeightedOrder([0.0, 1.0]).bind(np.array([0]), 0, 2), "all weights are 0"),
        (lambda: WeightedOrder([0.0, 1.0], 2, False).bind(np.arange(2), 0, 2), "2 samples cannot be drawn"),
    ],
)
def test_mistakes_are_named(make: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        make()
