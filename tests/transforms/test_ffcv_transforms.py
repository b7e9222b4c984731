"""ffcv's transforms: their names, module paths and arguments, and their results for the same draws."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from ffprep import transforms as T
from ffprep.kernels.random import uniforms
from ffprep.pipeline.form import BatchInfo, ImageForm

STREAM = 9


def info(n: int) -> BatchInfo:
    return BatchInfo(np.arange(100, 100 + n), 1, 3, STREAM)


def pictures(n: int = 12, height: int = 18, width: int = 21) -> Any:
    return np.random.default_rng(1).integers(0, 256, (n, height, width, 3)).astype(np.uint8)


class Draws:
    """numpy's global generator, answering with ours: whole batches for rand and uniform, one by one for randint."""

    def __init__(self, batch: BatchInfo, numbers: list[int]) -> None:
        self.columns = [uniforms(batch.seed, batch.epoch, batch.ids, STREAM, k) for k in numbers]
        self.used = 0

    def rand(self, n: int) -> Any:
        return self.columns[0]

    def uniform(self, low: float, high: float, n: int) -> Any:
        return low + (high - low) * self.columns[1]

    def randint(self, low: int, high: int | None = None) -> int:
        sample, place = divmod(self.used, len(self.columns))
        self.used += 1
        low, high = (0, low) if high is None else (low, high)
        return int(self.columns[place][sample] * (high - low)) + low


def stock(monkeypatch: pytest.MonkeyPatch, make: Callable[[Any], Any], x: Any, draws: Draws, memory: Any = None) -> Any:
    """Run an operation of stock ffcv as plain Python."""
    import ffcv.transforms
    from ffcv.pipeline.compiler import Compiler

    monkeypatch.setattr(Compiler, "get_iterator", classmethod(lambda cls: range))
    for name in ("rand", "uniform", "randint"):
        monkeypatch.setattr(np.random, name, getattr(draws, name))
    module = importlib.import_module("ffcv.transforms.translate")
    monkeypatch.setattr(module, "randint", draws.randint)
    monkeypatch.setattr(importlib.import_module("ffcv.transforms.flip"), "rand", draws.rand)
    return make(ffcv.transforms).generate_code()(x.copy(), memory)


@pytest.mark.ffcv
def test_names_paths_and_arguments() -> None:
    theirs = pytest.importorskip("ffcv.transforms")
    for name in theirs.__all__:
        one, other = getattr(theirs, name), getattr(T, name)
        path = one.__module__.replace("ffcv.", "ffprep.", 1)
        assert getattr(importlib.import_module(path), name) is other
        wanted, have = (list(inspect.signature(c).parameters.values()) for c in (one, other))
        assert [p.name for p in wanted] == [p.name for p in have[: len(wanted)]], name
        for a, b in zip(wanted, have, strict=False):
            assert a.default == b.default or (a.default is a.empty) == (b.default is b.empty), name
        assert all(p.default is not p.empty for p in have[len(wanted) :]), name


@pytest.mark.ffcv
@pytest.mark.parametrize(
    ("make", "numbers"),
    [
        (lambda m: m.RandomBrightness(0.6, 0.7), [0, 1]),
        (lambda m: m.RandomContrast(0.6, 0.7), [0, 1]),
        (lambda m: m.RandomSaturation(0.6, 0.7), [0, 1]),
        (lambda m: m.Cutout(7, (5, 6, 7)), [0, 1]),
    ],
)
def test_operations_in_place(monkeypatch: pytest.MonkeyPatch, make: Any, numbers: list[int]) -> None:
    pytest.importorskip("ffcv")
    x, batch = pictures(), info(12)
    wanted = stock(monkeypatch, make, x, Draws(batch, numbers))
    monkeypatch.undo()
    out = make(T).apply(x, batch)
    assert np.abs(out.astype(int) - wanted.astype(int)).max() <= 1  # float32 here, float64 there
    assert (out != wanted).mean() < 0.01


@pytest.mark.ffcv
def test_flip_and_translate(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ffcv")
    x, batch = pictures(), info(12)
    for make, memory in (
        (lambda m: m.RandomHorizontalFlip(0.4), np.empty_like(x)),
        (lambda m: m.RandomTranslate(5, (1, 2, 3)), np.empty((12, 28, 31, 3), np.uint8)),
    ):
        wanted = stock(monkeypatch, make, x, Draws(batch, [0, 1]), memory)
        monkeypatch.undo()
        assert np.array_equal(make(T).apply(x, batch), wanted)


@pytest.mark.ffcv
def test_poison_replace_label_and_normalize() -> None:
    theirs = pytest.importorskip("ffcv.transforms")
    rng, x, batch = np.random.default_rng(4), pictures(), info(12)
    mask, alpha = rng.integers(0, 256, (18, 21, 3)).astype(np.float32), rng.random((18, 21))
    marked = [111, 3, 105, 102, 10**6]
    for clamp in ((0, 255), (20, 200)):
        code = theirs.Poison(mask, alpha, marked, clamp).generate_code()
        wanted = code(x.copy(), np.empty(x.shape, np.float32), batch.ids)
        assert np.array_equal(T.Poison(mask, alpha, marked, clamp).apply(x, batch), wanted)
    labels = rng.integers(0, 10, (12, 1))
    wanted = theirs.ReplaceLabel(marked, 77).generate_code()(labels.copy(), None, batch.ids)
    replace = T.ReplaceLabel(marked, 77)
    assert np.array_equal(replace.apply(labels, batch), wanted) and (wanted == 77).sum() == 3
    assert np.array_equal(replace.apply(torch.from_numpy(labels), batch).numpy(), wanted)
    mean, std = np.array([120.0, 115, 100]), np.array([60.0, 58, 57])
    code = theirs.NormalizeImage(mean, std, np.float32).generate_code()
    wanted = code(x, np.empty(x.shape, np.float32), batch.ids)
    assert np.allclose(T.NormalizeImage(mean, std, np.float32).apply(x, batch), wanted, atol=1e-6)


@pytest.mark.ffcv
@pytest.mark.parametrize("same", [True, False])
def test_mixup(monkeypatch: pytest.MonkeyPatch, same: bool) -> None:
    theirs = pytest.importorskip("ffcv.transforms")
    x, batch, labels = pictures(), info(12), np.arange(12)[:, None]
    share = T.Mixup(0.3, same).draw(batch).share
    monkeypatch.setattr(np.random, "seed", lambda seed: None)
    monkeypatch.setattr(np.random, "beta", lambda a, b, n=None: share[0] if n is None else share)
    wanted = theirs.ImageMixup(0.3, same).generate_code()(x, np.empty_like(x), batch.ids)
    mixed = theirs.LabelMixup(0.3, same).generate_code()(labels, np.empty((12, 3), np.float32), batch.ids)
    monkeypatch.undo()
    assert np.array_equal(T.ImageMixup(0.3, same).apply(x, batch), wanted)
    ours = T.LabelMixup(0.3, same).apply(labels, batch)
    assert np.array_equal(ours, mixed)
    hot = theirs.MixupToOneHot(12).generate_code()(torch.from_numpy(mixed.copy()), torch.empty(12, 12))
    assert torch.allclose(T.MixupToOneHot(12).apply(torch.from_numpy(ours), batch), hot)


def test_mixup_leaves_other_random_numbers_alone() -> None:
    """Stock ffcv seeds numpy's global generator from a sample number in each batch."""
    np.random.seed(5)  # noqa: NPY002
    wanted = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    T.ImageMixup(0.3, True).apply(pictures(), info(12))
    T.LabelMixup(0.3, True).apply(np.arange(12)[:, None], info(12))
    assert np.array_equal(np.random.get_state()[1], wanted)  # type: ignore[index]  # noqa: NPY002


def test_squeeze_keeps_a_batch_of_one() -> None:
    assert T.Squeeze().apply(np.zeros((1, 1)), info(1)).shape == (1,)


@pytest.mark.parametrize(
    ("mean", "std", "warned"),
    [
        ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], True),
        (0.5, 0.5, True),
        ([0.0, 0.0, 0.4], [60.0, 60.0, 60.0], True),
        ([123.7, 116.3, 103.5], [0.229, 0.224, 0.225], True),
        ([123.7, 116.3, 103.5], [58.4, 57.1, 57.4], False),
        (0.0, 255.0, False),
        (0.0, 1.0, False),
    ],
)
@pytest.mark.parametrize("how", ["fused", "numpy", "torch"])
def test_numbers_in_units_of_0_to_1_are_warned_of_once(mean: Any, std: Any, warned: bool, how: str) -> None:
    normal = T.NormalizeImage(mean, std, np.float32)
    images = np.zeros((1, 4, 4, 3), np.uint8)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(2):
            if how == "fused":
                normal.fuse(ImageForm(4, 4), 0)
            else:
                normal.apply(images if how == "numpy" else torch.from_numpy(images), BatchInfo(np.arange(1), 0, 0, 0))
    assert ["multiply both by 255" in str(warning.message) for warning in seen] == [True] * warned


def test_images_of_0_to_1_may_be_normalised_by_such_numbers() -> None:
    images = np.full((1, 4, 4, 3), 0.5, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not T.NormalizeImage(0.5, 0.5, np.float32).apply(images, BatchInfo(np.arange(1), 0, 0, 0)).any()
