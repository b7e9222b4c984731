"""What every operation draws is distributed as torchvision's source says (or ffcv's, for what only that has).

The tests walk all public names of `ffprep.transforms`: an operation that is new and has no entry here fails. Values are
measured in what operations make of pictures, or of points that follow them, with fixed seeds: continuous ones are
compared by Kolmogorov and Smirnov's test, discrete ones by chi-squared.
"""

from __future__ import annotations

import importlib
import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ffprep import transforms as T
from ffprep.pipeline.form import BatchInfo
from ffprep.transforms.image import ImageOp
from ffprep.transforms.policies.policy import Policy
from tests.transforms.measuring import (
    BATCH,
    RNG,
    N,
    Values,
    changed,
    coin,
    discrete,
    evenly,
    flat,
    moved,
    ramp,
    same,
    spread,
    uniform,
)


def flips(op: ImageOp) -> None:
    coin(changed(op), 0.3)


def brightness() -> None:
    op = T.RandomBrightness(1.0, 0.6)
    out = op.apply(same(flat(127)), BATCH)[:, 0, 0, 0]
    drawn = changed(op, flat(127))
    assert abs(drawn.mean() - 0.6) < 0.05
    uniform(spread(out[out != 127]) / 127, 0, 2.02)
    uniform(spread(T.ColorJitter(brightness=1.0).apply(same(flat(127)), BATCH)[:, 0, 0, 0]) / 127, 0, 2.01)


def contrast() -> None:
    picture = np.stack([flat(64)[0], flat(190)[0]])
    for op, p in ((T.RandomContrast(1.0, 0.6), 0.6), (T.ColorJitter(contrast=1.0), 1.0)):
        out = op.apply(same(picture), BATCH).astype(int)
        apart = out[:, 1, 0, 0] - out[:, 0, 0, 0]
        if p < 1:
            assert abs((apart != 126).mean() - p) < 0.05
            apart = apart[apart != 126]
        uniform((apart + RNG.random(len(apart)) - 0.5) / 126, -0.01, 2.01)


def saturation() -> None:
    grey = 0.2989 * 200 + 0.7011 * 60
    for op, p in ((T.RandomSaturation(0.5, 0.6), 0.6), (T.ColorJitter(saturation=0.5), 1.0)):
        red = op.apply(same(flat((200, 60, 60))), BATCH)[:, 0, 0, 0]
        red = red[red != 200] if p < 1 else red
        assert abs(len(red) / N - p) < 0.05
        uniform((spread(red) - grey) / (200 - grey), 0.49, 1.51)


def jitter() -> None:
    coin(changed(T.ColorJitter((1.5, 2.0), p=0.3), flat(100, 1, 1)), 0.3)
    out = T.ColorJitter(hue=0.5).apply(same(flat((255, 0, 0), 1, 1)), BATCH)[:, 0, 0].astype(float)
    r, g, b = out.T
    turned = np.arctan2(math.sqrt(3) * (g - b), 2 * r - g - b) / (2 * math.pi)
    uniform(turned, -0.5, 0.5)


def ssl_jitter() -> None:
    coin(changed(T.RandomColorJitter(0.3, (1.5, 2.0), 0, 0, 0), flat(100, 1, 1)), 0.3)


def blur() -> None:
    line = np.zeros((1, 31, 3), np.uint8)
    line[:, 15] = 255
    centre = T.GaussianBlur((1, 17), (0.5, 2.0)).apply(same(line), BATCH)[:, 0, 15, 0]
    sigmas = np.linspace(0.4, 2.2, 400)
    reach = np.arange(-8, 9)
    levels = np.array([255 / np.exp(-0.5 * (reach / s) ** 2).sum() for s in sigmas])
    drawn = np.interp(-(centre + RNG.random(N) - 0.5), -levels, sigmas)
    uniform(drawn, 0.48, 2.02)
    coin(changed(T.GaussianBlur(5, p=0.3), ramp(8, 9)[:, ::-1] * np.uint8(3)), 0.3)


def cutout() -> None:
    out = T.Cutout(3, 255).apply(same(flat(7, 8, 9)), BATCH)[..., 0] == 255
    evenly(out.any(2).argmax(1).tolist(), range(6))
    evenly(out.any(1).argmax(1).tolist(), range(7))


def erasing() -> None:
    out = T.RandomErasing(0.8, (0.02, 0.1), (0.5, 2.0), 255).apply(same(flat(7, 64, 64)), BATCH)[..., 0] == 255
    done = out.any((1, 2))
    coin(done, 0.8)
    out = out[done]
    rows, cols = out.any(2).sum(1), out.any(1).sum(1)
    noise = [RNG.random(len(out)) - 0.5 for _ in range(2)]
    near_rows, near_cols = rows + noise[0], cols + noise[1]
    uniform((near_rows * near_cols / 4096).clip(0.02, 0.1), 0.02, 0.1)
    uniform(np.log(near_rows / near_cols).clip(-math.log(2), math.log(2)), -math.log(2), math.log(2))
    for first, length in ((out.any(2).argmax(1), rows), (out.any(1).argmax(1), cols)):
        uniform((first + RNG.random(len(out))) / (64 - length + 1), 0, 1)


def shifts(op: ImageOp, down: range, across: range) -> None:
    [points] = moved(op, [(5.0, 3.0)], 8, 7).transpose(1, 0, 2)
    evenly((points[:, 0] - 5).astype(int).tolist(), across)
    evenly((points[:, 1] - 3).astype(int).tolist(), down)


def resized_crop() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[..., 0], picture[..., 1] = 4 * np.arange(64), 4 * np.arange(64)[:, None]
    out = T.RandomResizedCrop((0.1, 0.4), (0.75, 4 / 3), 24).apply(same(picture), BATCH).astype(float)
    across, down = out.mean(1)[:, :, 0], out.mean(2)[:, :, 1]
    w, h = (np.rint((line[:, -1] - line[:, 0]) * 24 / 23 / 4) for line in (across, down))
    x, y = (np.rint(line.mean(1) / 4 - (side - 1) / 2) for line, side in ((across, w), (down, h)))
    near_w, near_h = w + RNG.random(N) - 0.5, h + RNG.random(N) - 0.5
    uniform((near_w * near_h / 4096).clip(0.1, 0.4), 0.1, 0.4)
    uniform(np.log(near_w / near_h).clip(math.log(0.75), math.log(4 / 3)), math.log(0.75), math.log(4 / 3))
    for place, side in ((x, w), (y, h)):
        assert (place >= -1).all() and (place + side <= 65).all()
        uniform(((place + RNG.random(N)) / (64 - side + 1)).clip(0, 1), 0, 1)


def columns(op: ImageOp) -> tuple[Values, Values, Values]:
    """Where the origin goes, and what becomes of a step to the right and of one down."""
    corner, right, below = moved(op, [(0, 0), (1, 0), (0, 1)], 8, 13).transpose(1, 0, 2)
    return corner, right - corner, below - corner


def affine() -> None:
    """By RandomAffine.get_params and _get_inverse_affine_matrix."""
    _, right, _ = columns(T.RandomAffine(40))
    uniform(np.degrees(np.arctan2(right[:, 1], right[:, 0])), -40, 40)
    corner, _, _ = columns(T.RandomAffine(0, (0.3, 0.4)))
    for axis, most in ((0, 0.3 * 13), (1, 0.4 * 8)):
        shares = {k: max(0.0, min(k + 0.5, most) - max(k - 0.5, -most)) / (2 * most) for k in range(-5, 6)}
        discrete(np.rint(corner[:, axis]).astype(int).tolist(), shares)
    _, right, below = columns(T.RandomAffine(0, scale=(0.5, 2.0)))
    uniform(right[:, 0], 0.5, 2.0)
    uniform(below[:, 1], 0.5, 2.0)
    _, right, below = columns(T.RandomAffine(0, shear=(-20, 20, 0, 0)))
    uniform(-np.degrees(np.arctan(below[:, 0])), -20, 20)
    _, right, below = columns(T.RandomAffine(0, shear=(0, 0, -10, 15)))
    uniform(-np.degrees(np.arctan(right[:, 1])), -10, 15)


def rotation() -> None:
    """Against the clock, unlike RandomAffine."""
    _, right, _ = columns(T.RandomRotation((-10, 50)))
    uniform(-np.degrees(np.arctan2(right[:, 1], right[:, 0])), -10, 50)


def perspective() -> None:
    h, w = 8, 16
    ends = moved(T.RandomPerspective(0.5, 0.7), [(0, 0), (w - 1, 0), (w - 1, h - 1), (0, h - 1)], h, w)
    tilted = (np.abs(ends - np.array([(0, 0), (w - 1, 0), (w - 1, h - 1), (0, h - 1)])) > 1e-6).any((1, 2))
    assert abs(tilted.mean() - 0.7 * (1 - 1 / (5 * 3) ** 4)) < 0.05
    ends = moved(T.RandomPerspective(0.5, 1.0), [(0, 0), (w - 1, 0), (w - 1, h - 1), (0, h - 1)], h, w)
    for corner, right, lower in ((0, 0, 0), (1, 1, 0), (2, 1, 1), (3, 0, 1)):
        x, y = np.rint(ends[:, corner]).astype(int).T
        evenly((w - 1 - x if right else x).tolist(), range(5))
        evenly((h - 1 - y if lower else y).tolist(), range(3))


def elastic() -> None:
    corner = moved(T.ElasticTransform((6.0, 8.0), 0.0), [(5, 3)], 8, 7)[:, 0]
    uniform(5 - corner[:, 0], -6 / 8 * 7 / 2, 6 / 8 * 7 / 2)
    uniform(3 - corner[:, 1], -8 / 7 * 8 / 2, 8 / 7 * 8 / 2)


def composition() -> None:
    coin(changed(T.RandomApply([T.Invert()], 0.3)), 0.3)
    x = same(ramp())
    members = [T.Invert(), T.Posterize(2), T.Solarize(90)]
    made = {
        member.apply(x[:1], BATCH_OF_ONE).tobytes(): share
        for member, share in zip(members, (0.5, 0.3, 0.2), strict=True)
    }
    discrete([one.tobytes() for one in T.RandomChoice(members, [5, 3, 2]).apply(x, BATCH)], made)
    evenly([one.tobytes() for one in T.RandomChoice(members).apply(x, BATCH)], made)
    members = [T.Posterize(3), T.SolarizeAdd(37, 200), T.Solarize(90)]
    orders = set()
    for order in itertools.permutations(members):
        one = x[:1]
        for member in order:
            one = member.apply(one, BATCH_OF_ONE)
        orders.add(one.tobytes())
    assert len(orders) == 6
    evenly([one.tobytes() for one in T.RandomOrder(members).apply(x, BATCH)], orders)


BATCH_OF_ONE = BatchInfo(np.arange(1), 0, 0, 0)


def three() -> None:
    x = same(ramp())
    grey, sun = T.Color(0).apply(x[:1], BATCH_OF_ONE).tobytes(), T.Solarize(128).apply(x[:1], BATCH_OF_ONE).tobytes()
    kinds = [{grey: "grey", sun: "sun"}.get(one.tobytes(), "blur") for one in T.ThreeAugment().apply(x, BATCH)]
    evenly(kinds, ["grey", "sun", "blur"])


def rand_augment() -> None:
    """One of 14 operations, nine of which have a sign that is drawn."""
    x = same(np.random.default_rng(3).integers(30, 220, (24, 26, 3)))
    once = [T.Invert().apply(x[:1], BATCH_OF_ONE) * np.uint8(0) + x[:1]]
    once += [
        op.apply(x[:1], BATCH_OF_ONE) for op in (T.AutoContrast(), T.Equalize(), T.Posterize(7), T.Solarize(178.5))
    ]
    counts = Counter(one.tobytes() for one in T.RandAugment(1, 9).apply(x, BATCH))
    alone = {one.tobytes() for one in once}
    signed_ones = set(counts) - alone
    assert len(alone) == 5 and len(signed_ones) == 18
    shares = dict.fromkeys(alone, 1 / 14) | dict.fromkeys(signed_ones, 1 / 28)
    discrete(list(counts.elements()), shares)


def trivial_augment() -> None:
    """On one level only brightness, posterising and solarising show, and borders: bins and signs of those."""
    x = same(flat(100, 40, 40))
    out = T.TrivialAugmentWide().apply(x, BATCH)
    shares: dict[int, float] = {}

    def add(level: int, share: float) -> None:
        shares[level] = shares.get(level, 0.0) + share

    for k in range(31):
        for op, sign in itertools.product(range(14), (1, -1)):
            share = 1 / (14 * 31 * 2)
            if op == 0:  # brightness
                add(min(int(np.float32(100) * np.float32(1 + sign * 0.99 * k / 30)), 255), share)
            elif op == 1:
                add(100 & (256 - (1 << (8 - (8 - round(k / (30 / 6)))))) if k else 100, share)
            elif op == 2:
                add(155 if 255 - 255 * k / 30 <= 100 else 100, share)
            elif op <= 7:  # shears, shifts and the rotation, which show black from the first bin on
                add(-1 if k else 100, share)
            else:
                add(100, share)
    same_level = (out == out[:, :1, :1, :1]).all((1, 2, 3))
    discrete([int(one[0, 0, 0]) if even else -1 for one, even in zip(out, same_level, strict=True)], shares)


def mosaic() -> None:
    points = T.Mosaic((9, 14), p=0.6).points(BATCH)
    alone = (points == (9, 14)).all(1)
    assert abs(alone.mean() - (0.4 + 0.6 / 150)) < 0.05
    points = T.Mosaic((9, 14)).points(BATCH)
    evenly(points[:, 0].tolist(), range(10))
    evenly(points[:, 1].tolist(), range(15))


CHECKS: dict[str, Callable[[], None]] = {
    "ColorJitter": jitter,
    "Cutout": cutout,
    "ElasticTransform": elastic,
    "GaussianBlur": blur,
    "Mosaic": mosaic,
    "RandAugment": rand_augment,
    "RandomAffine": affine,
    "RandomApply": composition,
    "RandomAutocontrast": lambda: flips(T.RandomAutocontrast(0.3)),
    "RandomBrightness": brightness,
    "RandomChoice": composition,
    "RandomColorJitter": ssl_jitter,
    "RandomContrast": contrast,
    "RandomCrop": lambda: shifts(T.RandomCrop(6, 2), range(-4, 3), range(-3, 3)),
    "RandomEqualize": lambda: coin(changed(T.RandomEqualize(0.3), np.arange(1200).reshape(20, 20, 3) % 16 + 90), 0.3),
    "RandomErasing": erasing,
    "RandomGrayscale": lambda: flips(T.RandomGrayscale(0.3)),
    "RandomHorizontalFlip": lambda: flips(T.RandomHorizontalFlip(0.3)),
    "RandomInvert": lambda: flips(T.RandomInvert(0.3)),
    "RandomOrder": composition,
    "RandomPerspective": perspective,
    "RandomPosterize": lambda: flips(T.RandomPosterize(3, 0.3)),
    "RandomResizedCrop": resized_crop,
    "RandomRotation": rotation,
    "RandomSaturation": saturation,
    "RandomSolarization": lambda: flips(T.RandomSolarization(0.3)),
    "RandomSolarize": lambda: flips(T.RandomSolarize(90, 0.3)),
    "RandomTranslate": lambda: shifts(T.RandomTranslate(2), range(-2, 3), range(-2, 3)),
    "RandomVerticalFlip": lambda: flips(T.RandomVerticalFlip(0.3)),
    "ThreeAugment": three,
    "TrivialAugmentWide": trivial_augment,
}
"""Measured here."""

BY_TWINS = {
    "AugMix": "transforms.test_policies:test_augmix_is_the_sum_of_its_chains",
    "AutoAugment": "transforms.test_policies:test_auto_augment_is_torchvisions_on_pillow_images",
    "CutMix": "transforms.test_mix:test_cutmix_boxes_are_torchvisions",
    "ImageMixup": "transforms.test_mix:test_shares_follow_the_beta_distribution",
    "LabelMixup": "transforms.test_mix:test_shares_follow_the_beta_distribution",
    "Mixup": "transforms.test_mix:test_shares_follow_the_beta_distribution",
    "MixupOrCutMix": "transforms.test_mix:test_probability_and_choice",
    "RandomResizeRGBImageDecoder": "transforms.test_canvas:test_images_masks_boxes_and_keypoints_as_in_torchvision",
    "ScaleJitterRGBImageDecoder": "transforms.test_canvas:test_images_masks_boxes_and_keypoints_as_in_torchvision",
    "timm_policy": "transforms.test_policies:test_timms_strings",
}
"""Tests that put the same uniform draws through the peer's own formulas, which gives the peer's distribution."""

FIXED: dict[str, Any] = {
    "Affine": lambda: T.Affine(10, (1, 2), 1.1, 5),
    "AutoContrast": T.AutoContrast,
    "Brightness": lambda: T.Brightness(1.4),
    "CenterCrop": lambda: T.CenterCrop(5),
    "Color": lambda: T.Color(1.4),
    "Contrast": lambda: T.Contrast(1.4),
    "Equalize": T.Equalize,
    "Invert": T.Invert,
    "Perspective": lambda: T.Perspective([(0, 0), (8, 0), (8, 7), (0, 7)], [(1, 0), (8, 1), (7, 7), (0, 6)]),
    "Posterize": lambda: T.Posterize(3),
    "Resize": lambda: T.Resize(6),
    "Rotate": lambda: T.Rotate(20.0),
    "Sharpness": lambda: T.Sharpness(1.4),
    "ShearX": lambda: T.ShearX(0.2),
    "ShearY": lambda: T.ShearY(0.2),
    "Solarize": lambda: T.Solarize(90),
    "SolarizeAdd": lambda: T.SolarizeAdd(20),
    "TranslateX": lambda: T.TranslateX(2),
    "TranslateY": lambda: T.TranslateY(2),
}
"""Operations on images that draw nothing."""

NO_OPERATIONS = {
    "AutoAugmentPolicy", "Convert", "CornerCrop", "Grayscale", "LetterboxRGBImageDecoder", "MixupToOneHot",
    "ModuleWrapper", "MultiHot", "NormalizeImage", "PadRGBImageDecoder", "Poison", "ReplaceLabel", "Squeeze",
    "ToDevice", "ToTensor", "ToTorchImage", "Transform", "View",
}  # fmt: skip
"""Names, conversions, decoders without draws, and operations on samples that are named."""


def test_every_public_operation_has_a_check() -> None:
    known: list[str] = [*CHECKS, *BY_TWINS, *FIXED, *NO_OPERATIONS]
    assert len(known) == len(set(known))
    assert set(known) == set(T.__all__), "an operation has to be entered here, with a check of its draws"
    for name in NO_OPERATIONS:  # nothing that draws may hide there
        kind: Any = getattr(T, name)
        assert name == "Poison" or not (isinstance(kind, type) and issubclass(kind, (ImageOp, Policy)))


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in ("RandomChoice", "RandomOrder")])
def test_draws(name: str) -> None:
    CHECKS[name]()


@pytest.mark.parametrize("name", BY_TWINS)
def test_twins_exist(name: str) -> None:
    module, _, function = BY_TWINS[name].partition(":")
    assert callable(getattr(importlib.import_module(f"tests.{module}"), function))


@pytest.mark.parametrize("name", FIXED)
def test_the_others_draw_nothing(name: str) -> None:
    x = np.repeat(np.random.default_rng(1).integers(20, 236, (1, 20, 21, 3)).astype(np.uint8), 12, 0)
    out = FIXED[name]().apply(x, BatchInfo(np.arange(12), 1, 2, 3))
    assert (out == out[:1]).all() and (out.shape != x.shape or (out != x).any())
    assert (out == FIXED[name]().apply(x, BatchInfo(np.arange(50, 62), 7, 8, 9))).all()
