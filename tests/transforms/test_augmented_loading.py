"""Augmentation inside the loader: the same as on finished batches, whatever the threads, the epoch and the layout."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ffprep import Loader, OrderOption
from ffprep import transforms as T
from ffprep.errors import OptionError
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder, ResizeRGBImageDecoder
from ffprep.kernels.jit import entry_address
from ffprep.kernels.memory import bytes_at, doubles_at
from ffprep.kernels.random import uniform
from ffprep.pipeline import PipelineSpec
from ffprep.pipeline.form import BatchInfo
from ffprep.transforms.compiled.run import OP_SIGNATURE
from ffprep.transforms.image import ImageOp

MEAN, STD = np.array([120.0, 115.0, 100.0]), np.array([60.0, 58.0, 57.0])
COUNT = 29
SSL = [
    T.ColorJitter(0.4, 0.4, 0.2, 0.1, p=0.8),
    T.RandomGrayscale(0.2),
    T.GaussianBlur(5, p=0.5),
    T.RandomSolarize(p=0.2),
]
OPS: list[list[Any]] = [
    SSL,
    [T.RandomTranslate(4, fill=(1, 2, 3)), T.Cutout(9)],
    [T.RandomCrop((20, 23), 4, padding_mode="reflect"), T.RandomErasing(1.0)],
    [T.RandomResizedCrop((0.3, 1), (0.75, 1.33), (40, 30)), T.RandomVerticalFlip(), T.RandomHorizontalFlip()],
    [T.CenterCrop(50), T.Resize(17), T.RandomEqualize(), T.RandomAutocontrast(), T.RandomPosterize(4)],
    [T.RandomBrightness(0.3), T.RandomContrast(0.3), T.RandomSaturation(0.3), T.RandomErasing(value="random")],
]


def stream(output: str, kind: str, number: int = 0) -> int:
    """Random stream of an operation of a pipeline."""
    return zlib.crc32(f"{output}:{kind}:{number}".encode()) & 0x7FFFFFFF


def load(path: Path, steps: list[Any], epochs: int = 1, size: Any = (24, 28), **options: Any) -> Any:
    arguments = {"order": OrderOption.RANDOM, "seed": 5, "drop_last": False, "num_workers": 2, **options}
    pipelines = {"image": [RandomResizedCropRGBImageDecoder(size), *steps], "label": None}
    with Loader(path, 8, pipelines=pipelines, **arguments) as loader:
        batches = [batch[0] for _ in range(epochs) for batch in loader]
    if isinstance(batches[0], np.ndarray):
        return np.concatenate(batches)
    return torch.cat(batches)


@pytest.mark.parametrize("ops", OPS, ids=lambda ops: type(ops[0]).__name__)
def test_fused_is_the_same_as_step_by_step(pictures_beton: Path, ops: list[Any]) -> None:
    with Loader(pictures_beton, 8, order=OrderOption.RANDOM, seed=5, pipelines={"image": None}) as loader:
        ids = loader._order.ids(0, np.arange(COUNT))
    wanted = load(pictures_beton, [])
    for op in ops:
        name = type(op).__name__
        wanted = op.apply(wanted, BatchInfo(ids, 0, 5, stream("image", name)))
    assert np.array_equal(load(pictures_beton, ops), wanted)


FORMS: list[tuple[Any, float]] = [(np.float32, 1e-6), (np.float16, 1e-3), (torch.bfloat16, 8e-3)]


@pytest.mark.parametrize(("dtype", "tolerance"), FORMS, ids=lambda value: str(value))
@pytest.mark.parametrize("planar", [False, True])
def test_forms(pictures_beton: Path, dtype: Any, tolerance: float, planar: bool) -> None:
    plain = torch.from_numpy(load(pictures_beton, SSL)).double()
    wanted = ((plain - torch.from_numpy(MEAN)) / torch.from_numpy(STD)).permute(0, 3, 1, 2)
    tail = [T.NormalizeImage(MEAN, STD, dtype), T.ToTensor(), T.ToTorchImage(channels_last=not planar)]
    out = load(pictures_beton, [*SSL, *tail])
    assert out.shape == (COUNT, 3, 24, 28)
    assert out.is_contiguous(memory_format=torch.contiguous_format if planar else torch.channels_last)
    assert (out.double() - wanted).abs().max() <= tolerance * wanted.abs().max()
    levels = load(pictures_beton, [T.ToTensor(), T.ToTorchImage(channels_last=not planar), *SSL])
    assert levels.dtype == torch.uint8 and torch.equal(levels.double(), plain.permute(0, 3, 1, 2))


@pytest.mark.parametrize("ops", OPS, ids=lambda ops: type(ops[0]).__name__)
def test_threads_seeds_and_epochs(pictures_beton: Path, ops: list[Any]) -> None:
    wanted = load(pictures_beton, ops, epochs=2)
    for workers in (1, 4):
        assert np.array_equal(load(pictures_beton, ops, epochs=2, num_workers=workers), wanted)
    assert not np.array_equal(load(pictures_beton, ops, epochs=2, seed=6), wanted)


def test_draws_belong_to_samples_and_epochs(pictures_beton: Path) -> None:
    """What stock ffcv's cannot promise: a sample's augmentation depends on nothing but seed, epoch and sample."""
    pipelines = {"image": [ResizeRGBImageDecoder((24, 28)), *SSL], "label": None}
    seen = {}
    for order in (OrderOption.SEQUENTIAL, OrderOption.RANDOM):
        for batch_size in (29, 7):
            options: dict[str, Any] = {"order": order, "seed": 1, "drop_last": False, "num_workers": 2}
            with Loader(pictures_beton, batch_size, pipelines=pipelines, **options) as loader:
                for epoch in range(2):
                    images = np.concatenate([b[0] for b in loader])
                    ids = loader._order.ids(epoch, np.arange(COUNT))
                    for i, image in zip(ids, images, strict=True):
                        assert np.array_equal(image, seen.setdefault((epoch, int(i)), image))
    assert sum(np.array_equal(seen[0, i], seen[1, i]) for i in range(COUNT)) < COUNT // 2


def test_resume_gives_the_same_augmentation(pictures_beton: Path) -> None:
    wanted = load(pictures_beton, SSL)
    pipelines = {"image": [RandomResizedCropRGBImageDecoder((24, 28)), *SSL], "label": None}
    options: dict[str, Any] = {"order": OrderOption.RANDOM, "seed": 5, "drop_last": False}
    with Loader(pictures_beton, 8, num_workers=2, pipelines=pipelines, **options) as loader:
        iterator = iter(loader)
        next(iterator), next(iterator)
        state = loader.state_dict()
    with Loader(pictures_beton, 8, num_workers=1, pipelines=pipelines, **options) as loader:
        loader.load_state_dict(state)
        rest = np.concatenate([b[0] for b in loader])
    assert np.array_equal(rest, wanted[16:])


def test_flips_wait_for_what_depends_on_them(pictures_beton: Path) -> None:
    colour = load(pictures_beton, [T.RandomGrayscale(0.5), T.RandomHorizontalFlip(1.0)])
    assert np.array_equal(colour, load(pictures_beton, [T.RandomGrayscale(0.5)])[:, :, ::-1])
    cut = load(pictures_beton, [T.Cutout(9), T.RandomHorizontalFlip(1.0)])
    assert np.array_equal(cut, load(pictures_beton, [T.Cutout(9)])[:, :, ::-1])
    twice = load(pictures_beton, [T.RandomHorizontalFlip(1.0), T.RandomHorizontalFlip(1.0)])
    assert np.array_equal(twice, load(pictures_beton, []))


def test_two_augmented_views(pictures_beton: Path) -> None:
    """SimCLR: the same recipe twice, with draws of its own for each output."""
    recipe = [RandomResizedCropRGBImageDecoder(24), T.RandomHorizontalFlip(), *SSL, T.ToTensor(), T.ToTorchImage()]
    pipelines = {"image": recipe, "second": PipelineSpec("image", transforms=recipe)}
    with Loader(pictures_beton, COUNT, num_workers=2, seed=5, pipelines=pipelines) as loader:
        [(one, labels, two)] = list(loader)
    assert one.shape == two.shape == (COUNT, 3, 24, 24) and labels.flatten().tolist() == list(range(COUNT))
    assert not any(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    alone = {**pipelines, "image": None}
    with Loader(pictures_beton, COUNT, num_workers=1, seed=5, pipelines=alone) as loader:
        [(_, again)] = list(loader)
    assert torch.equal(two, again)


def test_erasing_after_normalisation(pictures_beton: Path) -> None:
    tail = [T.NormalizeImage(MEAN, STD, np.float32), T.ToTensor(), T.ToTorchImage(channels_last=False)]
    plain, erased = load(pictures_beton, tail), load(pictures_beton, [*tail, T.RandomErasing(1.0, value=7.5)])
    changed = (plain != erased).any(dim=1)
    assert changed.any() and (erased.permute(0, 2, 3, 1)[changed] == 7.5).all()
    before = load(pictures_beton, [T.RandomErasing(1.0, value=MEAN), *tail])
    same = before == plain
    assert same.any() and before.permute(0, 2, 3, 1)[changed].abs().max() < 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float16, torch.bfloat16, np.float64], ids=str)
def test_normalisation_of_finished_batches(dtype: Any) -> None:
    """Behind mixup, say, where it is no part of the threads' pass; the same numbers for every layout."""
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 6, 7, 3)).astype(np.uint8))
    wanted = (x.double() - torch.from_numpy(MEAN)) / torch.from_numpy(STD)
    normal, batch = T.NormalizeImage(MEAN, STD, dtype), BatchInfo(np.arange(4), 0, 0, 0)
    tolerance = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 1e-2, "float64": 1e-12}[normal.type]
    last, first = x.permute(0, 3, 1, 2), x.permute(0, 3, 1, 2).contiguous()
    for given in (x, last, first, last[:, :, ::2], x[::2], x[:, :, 1:]):
        out = normal.apply(given, batch)
        shown = given.double() - torch.from_numpy(MEAN).view((3,) if given.shape[3] == 3 else (3, 1, 1))
        shown = shown / torch.from_numpy(STD).view((3,) if given.shape[3] == 3 else (3, 1, 1))
        assert str(out.dtype) == f"torch.{normal.type}" and out.shape == given.shape
        assert (out.double() - shown).abs().max() <= tolerance * 4
        if normal.type != "bfloat16" and given.shape[3] == 3:
            assert np.array_equal(normal.apply(given.numpy(), batch), out.numpy())
    assert (normal.apply(x, batch).double() - wanted).abs().max() <= tolerance * 4


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([T.NormalizeImage(MEAN, STD, np.float32), T.ColorJitter(0.4)], "put it before NormalizeImage"),
        ([T.Convert(np.float32), T.RandomGrayscale()], "put it before NormalizeImage"),
        ([T.RandomCrop(40)], "does not fit images of 24x28"),
        ([T.CutMix(1.0, 32).images], "got images of 24x28"),
    ],
)
def test_mistakes_are_seen_when_the_loader_is_made(pictures_beton: Path, steps: list[Any], complaint: str) -> None:
    with pytest.raises(OptionError, match=complaint):
        load(pictures_beton, steps)


def swap_channels(
    source: int, target: int, h: int, w: int, out_h: int, out_w: int, pixel: int,
    numbers: int, work: int, seed: int, epoch: int, sample: int, stream: int,
) -> int:  # fmt: skip
    """Exchange red and blue. Numbers: probability."""
    if uniform(seed, epoch, sample, stream, 0) < doubles_at(numbers, 1)[0]:
        levels = bytes_at(source, 3 * h * w)
        for i in range(h * w):
            levels[3 * i], levels[3 * i + 2] = levels[3 * i + 2], levels[3 * i]
    return np.int64(0)


class SwapChannels(ImageOp):
    """An operation of a user's own."""

    def entry(self) -> int:
        return entry_address(swap_channels, OP_SIGNATURE)

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Any:
        return np.array([0.5])


def test_an_operation_of_ones_own(pictures_beton: Path) -> None:
    plain = load(pictures_beton, [])
    swapped = load(pictures_beton, [SwapChannels()])
    done = (swapped != plain).any(axis=(1, 2, 3))
    assert 5 < done.sum() < 25
    assert np.array_equal(swapped[done], plain[done][..., ::-1]) and np.array_equal(swapped[~done], plain[~done])
