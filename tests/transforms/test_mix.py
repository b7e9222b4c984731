"""Mixup and CutMix: images and labels agree, and their distribution is the one that the papers name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep import Loader
from ffprep import transforms as T
from ffprep.errors import OptionError
from ffprep.fields.decoders import IntDecoder, ResizeRGBImageDecoder
from ffprep.pipeline.form import BatchInfo

COUNT = 29


def info(n: int, seed: int = 5, epoch: int = 2, first: int = 1000, stream: int = 1) -> BatchInfo:
    return BatchInfo(np.arange(first, first + n), epoch, seed, stream)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 3.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    share = T.Mixup(alpha, same_lambda=False).draw(info(20000)).share
    assert share.min() >= 0 and share.max() <= 1
    assert abs(share.mean() - 0.5) < 0.015
    assert abs(share.var() - 1 / (4 * (2 * alpha + 1))) < 0.01
    fourth = np.mean((share - 0.5) ** 4)
    assert abs(fourth - 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3))) < 0.004
    if alpha == 1.0:
        assert np.abs(np.sort(share) - np.linspace(0, 1, 20000)).max() < 0.015


def test_one_share_a_batch_or_one_a_sample() -> None:
    together, apart = T.Mixup(0.5), T.Mixup(0.5, same_lambda=False)
    assert len(set(together.draw(info(50)).share)) == 1 and len(set(apart.draw(info(50)).share)) == 50
    assert together.draw(info(50)).share[0] != together.draw(info(50, epoch=3)).share[0]
    assert together.draw(info(50)).share[0] != together.draw(info(50, first=2000)).share[0]


def pictures(n: int, h: int, w: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (n, h, w, 3)).astype(np.uint8)


@settings(max_examples=25)
@given(
    n=st.integers(1, 5), h=st.integers(1, 9), w=st.integers(1, 12), same=st.booleans(), seed=st.integers(0, 2**40),
    dtype=st.sampled_from(["uint8", "float32", "float16", "float64"]),
)  # fmt: skip
def test_mixup(n: int, h: int, w: int, same: bool, seed: int, dtype: str) -> None:
    x, labels = pictures(n, h, w).astype(dtype), np.arange(n, dtype=np.int64)[:, None] * 3
    images = T.ImageMixup(0.7, same).apply(x, info(n, seed=seed, stream=3))
    mixed = T.LabelMixup(0.7, same).apply(labels, info(n, seed=seed, stream=4))
    assert mixed.dtype == np.float32 and images.dtype == x.dtype
    for i in range(n):
        own, other, share = mixed[i]
        assert (own, other) == (3 * i, 3 * ((i - 1) % n))
        wanted = share * x[i].astype(np.float64) + (1 - share) * x[i - 1].astype(np.float64)
        if dtype == "uint8":  # drops the fraction; the share is known as float32
            assert (np.floor(wanted - 1e-4) <= images[i]).all() and (images[i] <= np.floor(wanted + 1e-4)).all()
        else:
            assert np.abs(images[i] - wanted).max() <= (0.13 if dtype == "float16" else 1e-4)


@settings(max_examples=30)
@given(n=st.integers(1, 5), h=st.integers(1, 19), w=st.integers(1, 22), same=st.booleans(), seed=st.integers(0, 2**40))
def test_cutmix(n: int, h: int, w: int, same: bool, seed: int) -> None:
    x = np.zeros((n, h, w, 3), np.uint8) + np.arange(1, n + 1, dtype=np.uint8)[:, None, None, None]
    mix = T.CutMix(1.0, (h, w), same_box=same)
    images = mix.images.apply(x, info(n, seed=seed, stream=3))
    mixed = mix.labels.apply(np.arange(n)[:, None], info(n, seed=seed, stream=4))
    for i in range(n):
        other = (i - 1) % n + 1
        if n > 1:
            assert np.isclose((images[i] == i + 1).mean(), mixed[i, 2])
            rows, columns = np.nonzero(images[i, :, :, 0] == other)
            if len(rows):
                box = images[i, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
                assert (box == other).all() and box[..., 0].size == len(rows)
        assert set(np.unique(images[i])) <= {i + 1, other}


def test_cutmix_boxes_are_torchvisions() -> None:
    mix = T.CutMix(1.0, (50, 80), same_box=False)
    blend = mix.draw(info(20000))
    assert blend.boxes is not None
    top, bottom, left, right = blend.boxes.T
    assert top.min() == 0 and bottom.max() == 50 and left.min() == 0 and right.max() == 80
    # uncut boxes have the images' own ratio, up to rounding down
    inner = (top > 0) & (bottom < 50) & (left > 0) & (right < 80) & (bottom - top > 10)
    assert inner.sum() > 500
    ratio = (right - left)[inner] / (bottom - top)[inner]
    assert ratio.min() > 1.35 and ratio.max() < 1.85
    # E[share] for centres that are uniform and sides sqrt(u): 1 - E over u of (sqrt(u) - u / 4) ** 2
    u = np.linspace(0, 1, 100001)
    assert abs(blend.share.mean() - (1 - np.mean((np.sqrt(u) - u / 4) ** 2))) < 0.02


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mix", [T.Mixup(0.6), T.CutMix(1.0, (9, 11))], ids=repr)
def test_arrays_and_tensors_in_both_layouts(mix: Any, dtype: torch.dtype) -> None:
    x, batch = torch.from_numpy(pictures(6, 9, 11)).to(dtype), info(6)
    wanted = mix.images.apply(x, batch)
    assert wanted.dtype == dtype and not torch.equal(wanted, x)
    if dtype != torch.bfloat16:
        assert np.array_equal(mix.images.apply(x.numpy(), batch), wanted.numpy())
    last = x.permute(0, 3, 1, 2)
    for given_one in (last, last.contiguous(), last.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)):
        assert torch.equal(mix.images.apply(given_one, batch).permute(0, 2, 3, 1), wanted)
    labels = torch.arange(6)[:, None]
    assert torch.equal(mix.labels.apply(labels, batch), torch.from_numpy(mix.labels.apply(labels.numpy(), batch)))


def test_probability_and_choice() -> None:
    batches = [info(4, first=4 * k) for k in range(800)]
    untouched = sum(bool((T.Mixup(0.5, p=0.25).draw(b).share == 1).all()) for b in batches)
    assert 540 < untouched < 660
    both = T.MixupOrCutMix(T.Mixup(0.8), T.CutMix(1.0, 8), cutmix_prob=0.3)
    cut = sum(both.draw(b).boxes is not None for b in batches)
    assert 180 < cut < 300
    x = pictures(4, 8, 8)
    for b in batches[:20]:
        wanted = (both.mixup if both.draw(b).boxes is None else both.cutmix).images.apply(x, b)
        assert np.array_equal(both.images.apply(x, b), wanted)


@pytest.mark.parametrize("tensor", [False, True])
def test_one_hot(tensor: bool) -> None:
    mixed = np.array([[0, 2, 0.25], [1, 1, 0.25], [2, 0, 1.0]], np.float32)
    out = T.MixupToOneHot(4).apply(torch.from_numpy(mixed) if tensor else mixed, info(3))
    wanted = np.array([[0.25, 0, 0.75, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.float32)
    assert np.array_equal(np.asarray(out), wanted)
    for wrong, complaint in (
        (mixed + np.float32([4, 0, 0]), "label 6"),
        (mixed - np.float32([9, 0, 0]), "label -9"),
        (mixed[:, :2], "batch, 3"),
    ):
        given_one = torch.from_numpy(wrong.astype(np.float32)) if tensor else wrong
        with pytest.raises(OptionError, match=complaint):
            T.MixupToOneHot(4).apply(given_one, info(3))


def test_in_the_loader(pictures_beton: Path) -> None:
    mix = T.MixupOrCutMix(T.Mixup(0.8), T.CutMix(1.0, (24, 28)))
    results = []
    for workers in (1, 2, 4):
        pipelines = {
            "image": [ResizeRGBImageDecoder((24, 28)), mix.images, T.ToTensor(), T.ToTorchImage()],
            "label": [IntDecoder(), mix.labels, T.ToTensor(), T.MixupToOneHot(COUNT)],
        }
        with Loader(pictures_beton, 8, num_workers=workers, seed=5, drop_last=False, pipelines=pipelines) as loader:
            results.append([torch.cat(parts) for parts in zip(*(b for _ in range(2) for b in loader), strict=True)])
    for images, labels in results[1:]:
        assert torch.equal(images, results[0][0]) and torch.equal(labels, results[0][1])
    images, labels = results[0]
    assert images.shape == (2 * COUNT, 3, 24, 28) and torch.allclose(labels.sum(1), torch.ones(2 * COUNT))
    assert ((labels > 0).sum(1) == 2).any()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: T.Mixup(0), "alpha is 0"),
        (lambda: T.CutMix(1.0, 0), "output_size"),
        (lambda: T.MixupToOneHot(0), "num_classes"),
        (lambda: T.CutMix(1.0, 5).images.apply(pictures(2, 5, 6), info(2)), "got images of 5x6"),
        (lambda: T.LabelMixup(1.0, True).apply(np.zeros((3, 2)), info(3)), "one label a sample"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, complaint: str) -> None:
    with pytest.raises(OptionError, match=complaint):
        make()
