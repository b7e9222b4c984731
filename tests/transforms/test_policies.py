"""Policies against a slow twin that makes the same draws and calls Pillow, and the distributions of their draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from ffprep import Loader, OrderOption
from ffprep import transforms as T
from ffprep.errors import OptionError
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder
from ffprep.kernels.random import uniforms
from ffprep.pipeline.form import BatchInfo
from ffprep.transforms.policies.mixing import Mixing
from ffprep.transforms.policies.policy import Candidate, Policy, PolicyStep

Picture = NDArray[np.uint8]
FILL = (128, 128, 128)
COUNT = 400


def info(n: int) -> BatchInfo:
    return BatchInfo(np.arange(n), 1, 12, 4711)


def pictures(n: int, size: tuple[int, int] = (17, 23)) -> Picture:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (n, 4, 4, 3)).astype(np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)) for image in coarse]
    )


class Draws:
    """Draws of one image."""

    def __init__(self, batch: BatchInfo, n: int) -> None:
        self.table = np.stack([uniforms(batch.seed, batch.epoch, batch.ids, batch.stream, k) for k in range(n)])

    def __call__(self, i: int, k: int) -> float:
        return float(self.table[k, i])


def by_pillow(image: Any, name: str, value: float, fill: Any) -> Any:
    """Carry out an operation by its name."""
    affine = Image.Transform.AFFINE
    kind = name.removesuffix("Increasing").removesuffix("Original").removesuffix("Rel")
    maps = {
        "ShearX": (1, value, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, value, 1, 0),
        "TranslateX": (1, 0, -value, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, -value),
    }
    if kind in maps:
        return image.transform(image.size, affine, maps[kind], Image.Resampling.NEAREST, fillcolor=fill)
    if kind == "Rotate":
        return image.rotate(value, Image.Resampling.NEAREST, fillcolor=fill)
    if kind in ("Brightness", "Color", "Contrast", "Sharpness"):
        return getattr(ImageEnhance, kind)(image).enhance(value)
    if kind == "Posterize":
        return image.point([v & (256 - (1 << (8 - int(value)))) for v in range(256)] * 3)
    if kind == "SolarizeAdd":
        return image.point([min(255, v + int(value)) if v < 128 else v for v in range(256)] * 3)
    if kind == "Solarize":
        return ImageOps.solarize(image, value)
    if kind == "Identity":
        return image
    return {"AutoContrast": ImageOps.autocontrast, "Equalize": ImageOps.equalize, "Invert": ImageOps.invert}[kind](
        image
    )


def torchvision_value(name: str, m: float, bins: int, size: tuple[int, int], wide: bool) -> tuple[float, bool]:
    """What torchvision's tables have for a bin, and whether it may get the other sign."""
    share = m / (bins - 1)
    if name in ("ShearX", "ShearY"):
        return (0.99 if wide else 0.3) * share, True
    if name in ("TranslateX", "TranslateY"):
        side = size[1] if name == "TranslateX" else size[0]
        return int((32.0 if wide else 150.0 / 331.0 * side) * share), True
    if name == "Rotate":
        return (135.0 if wide else 30.0) * share, True
    if name in ("Brightness", "Color", "Contrast", "Sharpness"):
        return (0.99 if wide else 0.9) * share, True
    if name == "Posterize":
        return 8 - round((6 if wide else 4) * share), False
    return round(255.0 * (1 - share), 9), False  # whole where it is a whole number


def apply_torchvision(image: Any, name: str, m: float, bins: int, minus: bool, wide: bool = False) -> Any:
    value, signed = torchvision_value(name, m, bins, image.size[::-1], wide)
    value = -value if signed and minus else value
    if name in ("Brightness", "Color", "Contrast", "Sharpness"):
        value += 1.0
    return by_pillow(image, name, value, (0, 0, 0))


NAMES = (
    "Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast",
    "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize",
)  # fmt: skip


def test_rand_augment_is_torchvisions_on_pillow_images() -> None:
    x, batch = pictures(COUNT), info(COUNT)
    out, u = T.RandAugment(3, 7).apply(x, batch), Draws(batch, 40)
    chosen: Counter[str] = Counter()
    for i in range(COUNT):
        image = Image.fromarray(x[i])
        for s in range(3):
            name = NAMES[int(u(i, 8 * (s + 1)) * len(NAMES))]
            chosen[name] += 1
            image = apply_torchvision(image, name, 7, 31, u(i, 8 * (s + 1) + 2) < 0.5)
        assert (out[i] == np.asarray(image)).all()
    assert set(chosen) == set(NAMES)
    expected = 3 * COUNT / len(NAMES)
    assert sum((chosen[name] - expected) ** 2 / expected for name in NAMES) < 34.5  # chi-squared, 13 degrees: 0.1 %


def test_trivial_augment_is_torchvisions_on_pillow_images() -> None:
    x, batch = pictures(COUNT), info(COUNT)
    out, u = T.TrivialAugmentWide().apply(x, batch), Draws(batch, 16)
    bins: Counter[int] = Counter()
    for i in range(COUNT):
        name, m = NAMES[int(u(i, 8) * len(NAMES))], int(31 * u(i, 11))
        bins[m] += 1
        image = apply_torchvision(Image.fromarray(x[i]), name, m, 31, u(i, 10) < 0.5, wide=True)
        assert (out[i] == np.asarray(image)).all(), (name, m)
    expected = COUNT / 31
    assert sum((bins[m] - expected) ** 2 / expected for m in range(31)) < 59.7  # 30 degrees: 0.1 %


ROWS = {
    "imagenet": {0: (("Posterize", 0.4, 8), ("Rotate", 0.6, 9)), 17: (("Sharpness", 0.4, 7), ("Invert", 0.6, 0))},
    "cifar10": {1: (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)), 19: (("Brightness", 0.1, 3), ("Color", 0.7, 0))},
    "svhn": {14: (("Contrast", 0.3, 3), ("Rotate", 0.8, 4)), 24: (("ShearX", 0.7, 2), ("Invert", 0.1, 0))},
}


@pytest.mark.parametrize("name", ROWS)
def test_auto_augment_is_torchvisions_on_pillow_images(name: str) -> None:
    x, batch = pictures(COUNT), info(COUNT)
    op = T.AutoAugment(name)
    assert len(op.rows) == 25 and all(len(row) == 2 for row in op.rows)
    out, u = op.apply(x, batch), Draws(batch, 24)
    rows: Counter[int] = Counter()
    for i in range(COUNT):
        row = int(u(i, 0) * 25)
        rows[row] += 1
        image = Image.fromarray(x[i])
        for s, step in enumerate(op.rows[row]):
            if u(i, 8 * (s + 1) + 1) < step.p:
                image = apply_torchvision(image, step.candidate, step.magnitude, 10, u(i, 8 * (s + 1) + 2) < 0.5)
        assert (out[i] == np.asarray(image)).all(), op.rows[row]
    assert sum((rows[k] - COUNT / 25) ** 2 / (COUNT / 25) for k in range(25)) < 51.2  # 24 degrees: 0.1 %
    for row, steps in ROWS[name].items():
        for step, (candidate, p, magnitude) in zip(op.rows[row], steps, strict=True):
            assert (step.candidate, step.p) == (candidate, p)
            assert candidate == "Invert" or step.magnitude == magnitude


def timm_value(name: str, m: float, minus: bool, size: tuple[int, int]) -> float:
    """What timm makes of a magnitude, written from its documentation of each range."""
    sign = -1.0 if minus else 1.0
    if name.endswith("Increasing") and name[:-10] in ("Brightness", "Color", "Contrast", "Sharpness"):
        return max(0.1, 1.0 + sign * m * 0.09)
    ranges = {
        "Rotate": sign * m * 3,
        "ShearX": sign * m * 0.03,
        "ShearY": sign * m * 0.03,
        "TranslateXRel": sign * m * 0.045 * size[1],
        "TranslateYRel": sign * m * 0.045 * size[0],
        "Posterize": int(m * 0.4),
        "PosterizeIncreasing": 4 - int(m * 0.4),
        "PosterizeOriginal": 4 + int(m * 0.4),
        "Solarize": int(m * 25.6),
        "SolarizeIncreasing": 256 - int(m * 25.6),
        "SolarizeAdd": int(m * 11),
    }
    return ranges.get(name, 0.1 + 0.18 * m)


@pytest.mark.parametrize(
    "config",
    ["rand-m9-mstd0.5-inc1", "rand-m5-n3-p0.7", "rand-m8-mstd101", "original", "originalr-mstd0.5", "v0", "v0r"],
)
def test_timms_strings(config: str) -> None:
    x, batch = pictures(COUNT), info(COUNT)
    op = T.timm_policy(config, "nearest")
    out, u = op.apply(x, batch), Draws(batch, 40)
    for i in range(COUNT):
        image = Image.fromarray(x[i])
        row = op.rows[int(u(i, 0) * len(op.rows))]
        for s, step in enumerate(row):
            draw = 8 * (s + 1)
            name = step.candidate or op.candidates[int(u(i, draw) * len(op.candidates))].name
            if u(i, draw + 1) >= step.p:
                continue
            m = step.magnitude
            if "mstd0.5" in config:
                m += 0.5 * np.sqrt(-2 * np.log(1 - u(i, draw + 3))) * np.cos(2 * np.pi * u(i, draw + 4))
            if "mstd101" in config:
                m *= u(i, draw + 3)
            m = min(max(m, 0.0), 10.0)
            image = by_pillow(image, name, timm_value(name, m, u(i, draw + 2) < 0.5, image.size[::-1]), FILL)
        assert (out[i] == np.asarray(image)).all()


def test_the_parts_of_timms_strings() -> None:
    op = T.timm_policy("rand-m9-n3-p0.4-mstd0.5-mmax12-inc1")
    assert [(step.p, step.magnitude) for step in op.rows[0]] == [(0.4, 9.0)] * 3
    assert (op.noise, op.deviation, op.greatest, op.replace) == ("gauss", 0.5, 12.0, True)
    assert [candidate.name for candidate in op.candidates[3:8]] == [
        "Rotate", "PosterizeIncreasing", "SolarizeIncreasing", "SolarizeAdd", "ColorIncreasing",
    ]  # fmt: skip
    plain = T.timm_policy("rand")
    assert [(step.p, step.magnitude) for step in plain.rows[0]] == [(0.5, 10.0)] * 2
    assert (plain.noise, len(plain.candidates)) == ("fixed", 15)
    weighted = T.timm_policy("rand-m9-w0")
    assert not weighted.replace and weighted.candidates[0].weight == 0.3
    assert [candidate.name for candidate in T.timm_policy("rand-t3a").candidates][1] == "Desaturate"
    assert {row[0].candidate for row in T.timm_policy("3a").rows} == {"Solarize", "Desaturate", "GaussianBlur"}
    mix = T.timm_policy("augmix-m5-w4-d2-a0.5")
    assert isinstance(mix, Mixing) and (mix.width, mix.depth, mix.alpha) == (4, 2, 0.5)
    assert mix.rows[0][0].magnitude == 5 and mix.noise == "uniform" and len(mix.candidates) == 13
    deepless = T.timm_policy("augmix-d-1")
    assert isinstance(deepless, Mixing) and deepless.depth == 0


@pytest.mark.parametrize(
    "config", ["", "random", "rand-x3", "rand-m", "rand-m9-q", "original-m3", "augmix-b1", "rand-w1", "rand-tall", "v1"]
)
def test_strings_that_timm_does_not_have(config: str) -> None:
    with pytest.raises(OptionError):
        T.timm_policy(config)


def ks(values: Sequence[float]) -> float:
    """The Kolmogorov-Smirnov statistic against the uniform distribution, times the root of the count."""
    ordered = np.sort(np.asarray(values))
    n = len(ordered)
    steps = np.arange(n + 1) / n
    return float(max(np.abs(ordered - steps[:-1]).max(), np.abs(ordered - steps[1:]).max()) * np.sqrt(n))


def test_without_replacement_no_candidate_comes_twice_and_weights_count() -> None:
    names = ["low", "mid", "high"]
    # Each adds its own bit, so that the sum says which were carried out.
    adds = [
        Candidate(name, T.SolarizeAdd(1 << k), weight=w)
        for k, (name, w) in enumerate(zip(names, (1, 2, 5), strict=True))
    ]
    op = Policy(adds, [[PolicyStep()] * 2], replace=False)
    out = op.apply(np.zeros((4000, 1, 1, 3), np.uint8), info(4000))[:, 0, 0, 0]
    counts = Counter(out.tolist())
    assert set(counts) <= {3, 5, 6}
    w = np.array([1, 2, 5]) / 8
    pair = {
        (1 << a) + (1 << b): w[a] * w[b] / (1 - w[a]) + w[b] * w[a] / (1 - w[b]) for a, b in ((0, 1), (0, 2), (1, 2))
    }
    assert sum((counts[k] - 4000 * p) ** 2 / (4000 * p) for k, p in pair.items()) < 13.9  # 2 degrees: 0.1 %


def test_noise_of_magnitudes_is_gaussian() -> None:
    shift = Candidate("add", T.SolarizeAdd(0), 10.0, rounding="nearest", least=0.0, most=128.0)
    op = Policy([shift], [[PolicyStep(magnitude=6.0)]], noise="gauss", deviation=0.5, greatest=10.0)
    out = op.apply(np.zeros((5000, 1, 1, 3), np.uint8), info(5000))[:, 0, 0, 0].astype(float)
    assert abs(out.mean() - 60) < 4 * 5 / np.sqrt(5000) and abs(out.std() - 5) < 0.25
    assert abs(np.mean(np.abs(out - 60) <= 4.5) - 0.6319) < 4 * np.sqrt(
        0.63 * 0.37 / 5000
    )  # of a normal variate: 0.9 sigma


def test_augmix_blends_with_shares_that_add_up() -> None:
    x, batch = pictures(60), info(60)
    same = Mixing([Candidate("Identity")], 3, 4, 0, 1.0).apply(x, batch)
    assert np.abs(same.astype(int) - x).max() <= 1  # the shares add up to 1 but for rounding, and fractions are dropped
    white = np.full((3000, 1, 1, 3), 255, np.uint8)
    black = Mixing([Candidate("Invert", T.Invert())], 3, 1, 1, 1.0).apply(white, info(3000))[:, 0, 0, 0]
    assert ks((black + 0.5) / 256) < 1.95  # the share of the original is uniform for alpha 1; 0.1 %
    three = Mixing([Candidate("Invert", T.Invert()), Candidate("Identity")], 3, 3, 1, 1.0)
    assert 60 < three.apply(white, info(3000)).mean() - 127.5 < 68  # a quarter of the weight turns black


def test_augmix_is_the_sum_of_its_chains() -> None:
    x, batch = pictures(30), info(30)
    one = Mixing([Candidate("Solarize", T.Solarize(100))], 3, 1, 1, 1.0).apply(x, batch).astype(float)
    solar = T.Solarize(100).apply(x, batch).astype(float)
    for i in range(30):
        differ = np.abs(solar[i] - x[i]) > 40
        share = ((one[i] - x[i]) / np.where(differ, solar[i] - x[i], 1))[differ]
        assert share.size and share.max() - share.min() < 0.06  # one share for all pixels, read from whole levels
    assert T.AugMix().apply(x, batch).shape == x.shape


def test_three_augment_does_one_of_three() -> None:
    x, batch = pictures(90), info(90)
    out, u = T.ThreeAugment().apply(x, batch), Draws(batch, 2)
    for i in range(90):
        kind = int(u(i, 0) * 3)
        if kind == 0:
            assert (out[i] == np.asarray(ImageEnhance.Color(Image.fromarray(x[i])).enhance(0))).all()
        elif kind == 1:
            assert (out[i] == np.asarray(ImageOps.solarize(Image.fromarray(x[i]), 128))).all()


def test_compositions() -> None:
    x, batch = pictures(80), info(80)
    u = Draws(batch, 4)
    first, second = T.Solarize(128), T.TranslateX(3)
    one, two = first.apply(x, batch), second.apply(x, batch)
    both = second.apply(one, batch)
    applied = T.RandomApply([first, second], 0.4).apply(x, batch)
    chosen = T.RandomChoice([first, second], p=[3, 1]).apply(x, batch)
    ordered = T.RandomOrder([T.Posterize(3), T.SolarizeAdd(37, 200)]).apply(x, batch)
    for i in range(80):
        assert (applied[i] == (both[i] if u(i, 0) < 0.4 else x[i])).all()
        assert (chosen[i] == (one[i] if u(i, 0) < 0.75 else two[i])).all()
        steps = [T.Posterize(3), T.SolarizeAdd(37, 200)]
        # Draw 1 says what comes last.
        last = int(u(i, 1) * 2)
        expected = steps[last].apply(steps[1 - last].apply(x[i : i + 1], info(1)), info(1))[0]
        assert (ordered[i] == expected).all()


def test_compositions_of_compositions_draw_apart() -> None:
    x, batch = pictures(200), info(200)
    inner = T.RandomApply([T.Invert()], 0.5)
    out = T.RandomApply([inner, T.RandomApply([T.Invert()], 0.5)], 1.0).apply(x, batch)
    inverted = (out == 255 - x).all(axis=(1, 2, 3))
    assert inverted.sum() + (out == x).all(axis=(1, 2, 3)).sum() == 200
    assert 60 < inverted.sum() < 140  # two coins that are one would give none


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: T.RandomApply([]),
        lambda: T.RandomApply([T.Invert()], 1.2),
        lambda: T.RandomChoice([T.Invert()], p=[1, 2]),
        lambda: T.RandomChoice([T.Invert()], p=[0]),
        lambda: T.RandomOrder([T.ToTensor()]),
        lambda: T.RandomApply([T.RandomCrop(5)]).numbers(9, 9, "uint8"),
        lambda: T.RandAugment(magnitude=31),
        lambda: T.TrivialAugmentWide(1),
        lambda: T.AutoAugment("coco"),
        lambda: T.AugMix(severity=11),
        lambda: T.AugMix(mixture_width=0),
        lambda: Policy([Candidate("a")], [[PolicyStep("b")]]),
        lambda: Policy([Candidate("a")], [[PolicyStep()] * 2], replace=False),
        lambda: Policy([Candidate("a")], [[PolicyStep()]], noise="pink"),
    ],
)
def test_wrong_arguments(wrong: Any) -> None:
    with pytest.raises(OptionError):
        wrong()


def pipeline() -> list[Any]:
    return [
        RandomResizedCropRGBImageDecoder(24),
        T.RandomHorizontalFlip(),
        T.timm_policy("rand-m9-mstd0.5-inc1"),
        T.RandomApply([T.AugMix(), T.RandomAffine(10)], 0.5),
    ]


def test_any_number_of_threads_and_ranks_gives_the_same_bits(pictures_beton: Path) -> None:
    options: dict[str, Any] = {
        "order": OrderOption.RANDOM,
        "seed": 4,
        "pipelines": {"image": pipeline()},
        "drop_last": False,
    }

    def epoch(loader: Loader) -> dict[int, bytes]:
        with loader:
            return {
                int(n): image.tobytes() for images, labels in loader for image, n in zip(images, labels, strict=True)
            }

    one = epoch(Loader(pictures_beton, 8, 1, **options))
    assert epoch(Loader(pictures_beton, 5, 3, **options)) == one
    ranks = [epoch(Loader(pictures_beton, 4, 2, rank=rank, world_size=2, **options)) for rank in range(2)]
    assert ranks[0] | ranks[1] == one
    with Loader(pictures_beton, 8, 2, **options) as loader:
        images, labels = loader.batch([3, 11, 3], epoch=0)
        assert [image.tobytes() for image in images] == [one[int(n)] for n in labels]
    with Loader(pictures_beton, 8, 2, **{**options, "seed": 5}) as other:
        assert epoch(other) != one
