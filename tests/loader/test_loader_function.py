"""What a batch holds is a function of file, seed, epoch and position, down to the pixel, whatever runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffprep import Loader, OrderOption
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.transforms import RandomHorizontalFlip, Squeeze, ToTensor

SAMPLES = 37
Rows = dict[tuple[int, int], torch.Tensor]


def open_images(path: Path, batch_size: int, *tail: Any, **options: Any) -> Loader:
    pipelines = {
        "image": [RandomResizedCropRGBImageDecoder(16), RandomHorizontalFlip(), ToTensor(), *tail],
        "label": [IntDecoder(), ToTensor(), Squeeze()],
    }
    return Loader(path, batch_size, pipelines=pipelines, **{"drop_last": False, "window_pages": 2, **options})


@pytest.fixture(scope="module")
def reference(image_beton: Path) -> dict[tuple[str, int, int], list[tuple[int, torch.Tensor]]]:
    """Of each order, seed and epoch: label and pixels at each position, one sample at a time in one thread."""
    found = {}
    for order in OrderOption:
        for seed in (0, 3):
            with open_images(image_beton, 1, num_workers=1, batches_ahead=0, order=order, seed=seed) as loader:
                for epoch in range(2):
                    found[order.name, seed, epoch] = [(int(labels), images[0].clone()) for images, labels in loader]
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(OrderOption),
    st.sampled_from([0, 3]),
    st.integers(0, 1),
    st.integers(1, 40),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 6),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.data(),
)
def test_a_batch_is_a_function_of_its_numbers(
    image_beton: Path,
    reference: dict[tuple[str, int, int], list[tuple[int, torch.Tensor]]],
    order: OrderOption,
    seed: int,
    epoch: int,
    batch_size: int,
    threads: int,
    ahead: int,
    world: int,
    os_cache: bool,
    staged: bool,
    data: st.DataObject,
) -> None:
    rank = data.draw(st.integers(0, world - 1))
    first = data.draw(st.integers(0, SAMPLES))
    options: dict[str, Any] = {"rank": rank, "world_size": world, "os_cache": os_cache, "batches_ahead": ahead}
    wanted = reference[order.name, seed, epoch]
    tail = [torch.nn.Identity()] if staged else []  # puts a thread of its own between the workers and the loop
    with open_images(image_beton, batch_size, *tail, num_workers=threads, order=order, seed=seed, **options) as loader:
        loader.load_state_dict({**loader.state_dict(), "epoch": epoch, "position": first})
        loader.set_epoch(epoch)
        step = batch_size * world
        for number, (images, labels) in enumerate(loader):
            positions = range(first + number * step + rank, min(SAMPLES, first + (number + 1) * step), world)
            assert len(labels) == len(positions)
            for image, label, position in zip(images, labels.tolist(), positions, strict=True):
                assert label == wanted[position][0] and torch.equal(image, wanted[position][1])


@pytest.mark.parametrize("order", OrderOption)
def test_every_number_of_threads_resumes_at_every_batch(
    image_beton: Path,
    reference: dict[tuple[str, int, int], list[tuple[int, torch.Tensor]]],
    order: OrderOption,
) -> None:
    wanted = reference[order.name, 3, 1]
    for threads in (1, 2, 4):
        with (
            open_images(image_beton, 5, num_workers=threads, order=order, seed=3) as loader,
            open_images(image_beton, 5, num_workers=1 + threads % 4, order=order, seed=0) as again,
        ):
            loader.set_epoch(1)
            iterator = iter(loader)
            for stop in range(9):
                again.load_state_dict(loader.state_dict())
                again.set_epoch(1)
                rest = [row for images, labels in again for row in zip(labels.tolist(), images, strict=True)]
                assert [label for label, _ in rest] == [label for label, _ in wanted[5 * stop :]]
                assert all(torch.equal(a, b) for (_, a), (_, b) in zip(rest, wanted[5 * stop :], strict=True))
                next(iterator, None)
