"""Several loaders alive in one process: by turns, from threads, and iterators of one loader at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from ffprep import Loader, OrderOption
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder, ResizeRGBImageDecoder
from ffprep.transforms import Squeeze, ToTensor

LABEL = [IntDecoder(), ToTensor(), Squeeze()]


def training(path: Path, *tail: Any, **options: Any) -> Loader:
    pipelines = {"image": [RandomResizedCropRGBImageDecoder(32), ToTensor(), *tail], "label": LABEL}
    return Loader(path, 4, 2, order=OrderOption.RANDOM, seed=1, pipelines=pipelines, **options)


def validation(path: Path, *tail: Any) -> Loader:
    pipelines = {"image": [ResizeRGBImageDecoder(24), ToTensor(), *tail], "label": LABEL}
    return Loader(path, 3, 2, seed=1, drop_last=False, pipelines=pipelines)


def equal(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) for m, n in zip(a, b, strict=True) for x, y in zip(m, n, strict=True)
    )


@pytest.fixture(scope="module")
def alone(image_beton: Path) -> tuple[list[Any], list[Any]]:
    with training(image_beton) as train:
        trained = [list(train) for _ in range(4)]
    with validation(image_beton) as val:
        validated = list(val)
    return trained, validated


@pytest.mark.parametrize("tail", [(), (torch.nn.Identity(),)])
def test_by_turns(image_beton: Path, alone: tuple[list[Any], list[Any]], tail: tuple[Any, ...]) -> None:
    # stock ffcv ends the process here, with numba's workqueue layer
    with training(image_beton, *tail) as train, validation(image_beton, *tail) as val:
        for epoch in range(2):
            got_train, got_val = [], []
            one, two = iter(train), iter(val)
            for _ in range(9):
                got_train.append(next(one))
                got_val.append(next(two))
            got_train += one
            got_val += two
            assert equal(got_train, alone[0][epoch]) and equal(got_val, alone[1])


@pytest.mark.parametrize("tail", [(), (torch.nn.Identity(),)])
def test_validation_inside_an_epoch(image_beton: Path, alone: tuple[list[Any], list[Any]], tail: Any) -> None:
    with training(image_beton, *tail) as train, validation(image_beton, *tail) as val:
        got = []
        for number, batch in enumerate(train):
            got.append(batch)
            if number % 4 == 1:
                assert equal(list(val), alone[1])
        assert equal(got, alone[0][0])


@pytest.mark.parametrize("tail", [(), (torch.nn.Identity(),)])
def test_from_threads(image_beton: Path, alone: tuple[list[Any], list[Any]], tail: tuple[Any, ...]) -> None:
    results: dict[str, list[Any]] = {"train": [], "val": []}
    together = threading.Barrier(2)

    def work(name: str, loader: Loader, epochs: int) -> None:
        together.wait(60)
        for _ in range(epochs):
            results[name].append(list(loader))

    with training(image_beton, *tail) as train, validation(image_beton, *tail) as val:
        threads = [
            threading.Thread(target=work, args=("train", train, 4)),
            threading.Thread(target=work, args=("val", val, 4)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads)
    assert all(equal(a, b) for a, b in zip(results["train"], alone[0], strict=True))
    assert len(results["val"]) == 4 and all(equal(a, alone[1]) for a in results["val"])


def test_two_epochs_of_one_loader_at_once(image_beton: Path, alone: tuple[list[Any], list[Any]]) -> None:
    with training(image_beton) as train:
        one, two = iter(train), iter(train)
        pairs = list(zip(one, two, strict=True))
    assert equal([a for a, _ in pairs], alone[0][0]) and equal([b for _, b in pairs], alone[0][1])


def test_one_iterator_from_two_threads(image_beton: Path, alone: tuple[list[Any], list[Any]]) -> None:
    got: list[Any] = []
    with training(image_beton) as train:
        iterator = iter(train)
        threads = [threading.Thread(target=lambda: got.extend(iterator)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    labels = sorted(tuple(labels.tolist()) for _, labels in got)
    assert labels == sorted(tuple(labels.tolist()) for _, labels in alone[0][0])


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_steps_of_the_users_run_with_any_lead(
    image_beton: Path, alone: tuple[list[Any], list[Any]], ahead: int
) -> None:
    with training(image_beton, torch.nn.Identity(), batches_ahead=ahead) as train:
        assert equal(list(train), alone[0][0])
