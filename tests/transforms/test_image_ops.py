"""Image operations against slow twins: formulas in numpy and float64, the standard library's colorsys, and Pillow.

The kernels compute in float32, or in 16 bits with some after the point, and drop the fraction, so where the exact value
lies next to a whole number, their rounding error decides between two levels. A twin therefore gives the least and the
greatest level that a value within a derived error of the exact one may become. Hardly anywhere do the two differ.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_pictures import Picture, between, draw, info, pictures, sizes
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ffprep import transforms as T
from ffprep.errors import OptionError
from ffprep.transforms.compiled.blur import FARTHEST, LEAST_WEIGHT
from ffprep.transforms.compiled.blur_wide import NEGLIGIBLE

Levels = tuple[NDArray[Any], NDArray[Any]]
"""Least and greatest level that each place may have; both are whole numbers of the picture's shape."""

U = 2.0**-24
"""The relative error of one rounding to float32. The twins' own errors, in float64, vanish beside it."""


def truncated(low: NDArray[np.float64], high: NDArray[np.float64], error: NDArray[np.float64]) -> Levels:
    """Levels of values between `low` and `high`, computed with an error of at most `error`."""
    return np.floor((low - error).clip(0, 255)), np.floor((high + error).clip(0, 255))


def allowed(out: Picture, levels: Levels) -> bool:
    return bool(((levels[0] <= out) & (out <= levels[1])).all())


LUMA = 3.1 / 256
"""What the kernel's grey level may lack before its fraction is dropped: it adds three products whose fractions below
2**-8 are dropped, and two of its weights are rounded up by 0.4 / 65536 at most."""


def luma(x: Levels) -> Levels:
    """Grey levels; those of grey pixels are exact."""
    least, most = (np.asarray(levels).astype(np.int64) for levels in x)
    low, high = (levels @ [2989, 5870, 1140] / 10000 for levels in (least, most))
    grey = (least == most).all(axis=-1) & (least.min(axis=-1) == least.max(axis=-1))
    exact = np.where(least[..., 0] > 0, least[..., 0] - 1, 0)  # 0.9999 of the level
    return np.where(grey, exact, np.floor((low - LUMA).clip(0))), np.where(grey, exact, np.floor(high + 0.7 / 256))


def unit(f: float) -> float:
    """The unit in which the kernel adds what is multiplied by a factor: 2**-8, or more so that 255 times it fits."""
    return 2.0 ** min(0, np.ceil(np.log2(max(f, 1))) - 8)


def brightness(x: Levels, f: float) -> Levels:
    low, high = x[0] * f, x[1] * f
    return truncated(low, high, 2.0**-17 * x[1])  # the factor is rounded to 2**-16


def blended(x: Levels, f: float, grey: Levels, units: float) -> Levels:
    """Return ``x f + grey (1 - f)``, which the kernel knows to so many units, and whose factors it rounds."""
    ends = np.stack([grey[0] * (1 - f), grey[1] * (1 - f)])
    error = units * unit(f) * (1 + 2.0**-7) + np.zeros(x[0].shape)
    return truncated(x[0] * f + ends.min(axis=0), x[1] * f + ends.max(axis=0), error)


def contrast(x: Levels, f: float) -> Levels:
    low, high = luma(x)
    return blended(x, f, (low.mean(), high.mean()), 1)  # type: ignore[arg-type]


def saturation(x: Levels, f: float) -> Levels:
    low, high = luma(x)
    return blended(x, f, (low[..., None], high[..., None]), 2)


def hue(x: Levels, turn: float) -> Levels:
    """A turn of the hue, through HSV.

    The kernel's hue is a whole number of 32nds of a level, once it is multiplied by the span of the pixel's levels, and
    what it drops is less than one; the turn is rounded to 2**-17, so that the product may be off by 0.07 of these.
    Levels are scaled by 257 / 256 rather than 255.999 / 255, which makes 0.0031 at most.
    """
    low, high = np.empty(x[0].shape), np.empty(x[0].shape)
    for place in np.ndindex(x[0].shape[:2]):
        ends = zip(x[0][place], x[1][place], strict=True)
        results = []
        for pixel in product(*(range(int(least), int(most) + 1) for least, most in ends)):
            h, s, v = colorsys.rgb_to_hsv(*(level / 255.0 for level in pixel))
            exact = np.array(colorsys.hsv_to_rgb((h + turn) % 1.0, s, v)) * 255.999
            results.append(truncated(exact, exact, np.full(3, 1.07 / 32 * 257 / 256 + 0.0031)))
        low[place] = np.min([least for least, _ in results], axis=0)
        high[place] = np.max([most for _, most in results], axis=0)
    return low, high


@pytest.mark.parametrize(
    ("kind", "twin"), [("RandomBrightness", brightness), ("RandomContrast", contrast), ("RandomSaturation", saturation)]
)
@settings(max_examples=15)
@example(size=(3, 20), magnitude=1.7, seed=-10390310)  # a flat picture whose exact level is a whole number
@given(size=sizes, magnitude=st.sampled_from([0.0, 0.3, 0.8, 1.7]), seed=st.integers(-(2**63), 2**64 - 1))
def test_magnitudes(kind: str, twin: Callable[..., Any], size: tuple[int, int], magnitude: float, seed: int) -> None:
    x, batch = pictures(6, *size, seed=abs(seed) % 997), info(6, seed=seed)
    out = getattr(T, kind)(magnitude, p=0.7).apply(x, batch)
    for i in range(6):
        wanted = (x[i], x[i])
        if draw(batch, i, 0) < 0.7:
            wanted = twin(wanted, between(max(0, 1 - magnitude), 1 + magnitude, draw(batch, i, 1)))
        assert allowed(out[i], wanted), i


@settings(max_examples=15)
@given(size=sizes, seed=st.integers(0, 10**6))
def test_colour_jitter_in_random_order(size: tuple[int, int], seed: int) -> None:
    x, batch = pictures(6, *size, seed=seed), info(6, seed=seed)
    out = T.ColorJitter(0.4, (0.5, 2.0), 0.3, 0.2, p=0.8).apply(x, batch)
    for i in range(6):
        wanted: Levels = (x[i], x[i])
        if draw(batch, i, 0) < 0.8:
            order = [0, 1, 2, 3]
            for k, last in enumerate((3, 2, 1)):
                other = int(draw(batch, i, 1 + k) * (last + 1))
                order[last], order[other] = order[other], order[last]
            for step in order:
                u = draw(batch, i, 4 + step)
                low, high = ((0.6, 1.4), (0.5, 2.0), (0.7, 1.3), (-0.2, 0.2))[step]
                wanted = (brightness, contrast, saturation, hue)[step](wanted, between(low, high, u))
        assert allowed(out[i], wanted), i


@settings(max_examples=10)
@given(size=sizes, turn=st.floats(-0.5, 0.5), seed=st.integers(0, 10**6))
def test_hue_alone(size: tuple[int, int], turn: float, seed: int) -> None:
    x = pictures(6, *size, seed=seed)
    out = T.ColorJitter(hue=(turn, turn)).apply(x, info(6))
    assert all(allowed(out[i], hue((x[i], x[i]), turn)) for i in range(6))


def test_no_turn_changes_nothing() -> None:
    levels = np.arange(256, dtype=np.uint8)
    x = np.stack([levels, levels[::-1], np.roll(levels, 77)], axis=1)[None, None]
    assert np.array_equal(T.ColorJitter(hue=(0.0, 1e-9)).apply(x, info(1)), x)
    assert np.array_equal(T.ColorJitter(0.0, 0, 0, 0).apply(x, info(1)), x)


PILLOW: list[tuple[Any, Callable[[Image.Image], Image.Image]]] = [
    (T.RandomEqualize(1), ImageOps.equalize),
    (T.RandomAutocontrast(1), ImageOps.autocontrast),
    (T.RandomSolarize(100, 1), lambda image: ImageOps.solarize(image, 100)),
    (T.RandomSolarization(1, 255), lambda image: ImageOps.solarize(image, 255)),
    (T.RandomInvert(1), ImageOps.invert),
    (T.RandomPosterize(3, 1), lambda image: ImageOps.posterize(image, 3)),
    (T.RandomVerticalFlip(1), ImageOps.flip),
    (T.RandomHorizontalFlip(1), ImageOps.mirror),
    (T.RandomHorizontalFlip(0), lambda image: image),
]


def undecided(op: Any, x: Picture) -> NDArray[np.bool_]:
    """Return where an operation's level may be one off Pillow's.

    That is where the stretched level is a whole number, which rounding errors (in float32 here, in float64 there) may
    miss from below.
    """
    if not isinstance(op, T.RandomAutocontrast):
        return np.zeros(x.shape, bool)
    low, high = x.min(axis=(0, 1)).astype(int), x.max(axis=(0, 1)).astype(int)
    return (x - low) * 255 % np.maximum(1, high - low) == 0


@pytest.mark.parametrize(("op", "twin"), PILLOW, ids=[repr(op) for op, _ in PILLOW])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (8, 1), (17, 30), (64, 48)])
def test_what_pillow_does(op: Any, twin: Callable[[Image.Image], Image.Image], size: tuple[int, int]) -> None:
    x = pictures(6, *size)
    before = x.copy()
    out = op.apply(x, info(6))
    for i in range(6):
        wanted = np.asarray(twin(Image.fromarray(x[i]))).astype(int)
        assert (np.abs(out[i].astype(int) - wanted) <= undecided(op, x[i])).all(), i
    assert np.array_equal(x, before)


def test_grayscale_and_its_probability() -> None:
    x, batch = pictures(400, 3, 4), info(400)
    out = T.RandomGrayscale(0.3).apply(x, batch)
    done = np.array([draw(batch, i, 0) < 0.3 for i in range(400)])
    assert 80 < done.sum() < 160
    low, high = luma((x[done], x[done]))
    assert allowed(out[done], (low[..., None], high[..., None])) and np.array_equal(out[~done], x[~done])


def blur_error(weights: NDArray[np.float64]) -> float:
    """Return how far from the exact one a level may be after one pass of a blur, before it is rounded."""
    half = weights[len(weights) // 2 :]
    used = half >= LEAST_WEIGHT
    if used[1:].sum() > FARTHEST:  # each term is rounded in the weight, the product and each sum, in float32
        return float(255 * ((len(weights) + 6) * U + len(weights) * NEGLIGIBLE))
    # weights are 65536ths and levels 128ths, products lose up to one of these, of which half is given back
    kept = np.where(used, np.rint(half * 65536) / 65536, 0)[1:]
    return float(255 * (2 * np.abs(half[1:] - kept).sum() + 2.0**-16) * 2 + (used.sum() / 2 + 1) / 128)


@settings(max_examples=12)
@given(size=sizes, kernel=st.sampled_from([1, 3, (5, 9), 23]), sigma=st.sampled_from([0.1, (0.1, 2.0), (3.0, 8.0)]))
def test_blur(size: tuple[int, int], kernel: Any, sigma: Any) -> None:
    x, batch = pictures(6, *size), info(6)
    out = T.GaussianBlur(kernel, sigma).apply(x, batch)
    down, across = (kernel, kernel) if isinstance(kernel, int) else kernel
    low, high = (sigma, sigma) if isinstance(sigma, float) else sigma
    for i in range(6):
        s = between(low, high, draw(batch, i, 1))
        rows, columns = (np.exp(-0.5 * ((np.arange(n) - n // 2) / s) ** 2) for n in (down, across))
        weights = np.outer(rows / rows.sum(), columns / columns.sum())
        border = ((down // 2,) * 2, (across // 2,) * 2, (0, 0))
        padded = np.pad(x[i].astype(np.float64), border, mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (down, across), axis=(0, 1))
        exact = (windows * weights).sum(axis=(3, 4))
        error = sum(blur_error(line / line.sum()) for line in (rows, columns))
        assert allowed(out[i], (np.rint(exact - error), np.rint(exact + error))), (i, s)


def smooth(height: int, width: int) -> Picture:
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3)).astype(np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))[None].copy()


def psnr(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2))))


@pytest.mark.parametrize("size", [40, (30, 50), (200, 7), (1, 1)])
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_resize(size: Any, name: str) -> None:
    for x in (smooth(60, 80), smooth(81, 33), smooth(1, 9)):
        out = T.Resize(size, name).apply(x, info(1))
        height, width = x.shape[1:3]
        if isinstance(size, int):
            scale = size / min(height, width)
            wanted_size = (size, int(width * scale)) if height <= width else (int(height * scale), size)
        else:
            wanted_size = size
        assert out.shape[1:3] == wanted_size
        method = Image.Resampling[name.upper()]
        wanted = Image.fromarray(x[0]).resize(wanted_size[::-1], method)
        assert psnr(out[0], np.asarray(wanted)) > 44


def test_random_resized_crop() -> None:
    from ffprep.kernels.image.crop import TRIES

    x, batch = np.repeat(smooth(60, 80), 20, axis=0), info(20)
    out = T.RandomResizedCrop((0.3, 1.0), (0.75, 1.33), 24, interpolation="bilinear").apply(x, batch)
    assert out.shape == (20, 24, 24, 3)
    for i in range(20):
        for t in range(TRIES):
            area = 60 * 80 * between(0.3, 1.0, draw(batch, i, 2 * t))
            aspect = np.exp(between(np.log(0.75), np.log(1.33), draw(batch, i, 2 * t + 1)))
            w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
            if w <= 80 and h <= 60:
                break
        else:
            raise AssertionError("no try fits")
        y, z = int(draw(batch, i, 20) * (60 - h + 1)), int(draw(batch, i, 21) * (80 - w + 1))
        crop = Image.fromarray(x[i, y : y + h, z : z + w])
        assert psnr(out[i], np.asarray(crop.resize((24, 24), Image.Resampling.BILINEAR))) > 44


LAYOUTS = [T.Cutout(3), T.RandomCrop(6, 2), T.RandomHorizontalFlip(0.5), T.ColorJitter(0.4, 0.4, 0.4, 0.1)]


@pytest.mark.parametrize("op", LAYOUTS, ids=repr)
def test_arrays_and_tensors_in_both_layouts(op: Any) -> None:
    x, batch = pictures(8, 9, 11), info(8)
    wanted = op.apply(x, batch)
    tensor = torch.from_numpy(x)
    assert torch.equal(op.apply(tensor, batch), torch.from_numpy(wanted))
    last = tensor.permute(0, 3, 1, 2)
    first = last.contiguous()
    for given_one, form in ((last, torch.channels_last), (first, torch.contiguous_format)):
        out = op.apply(given_one, batch)
        assert torch.equal(out.permute(0, 2, 3, 1), torch.from_numpy(wanted)) and out.is_contiguous(memory_format=form)
    assert np.array_equal(op.apply(first.numpy(), batch), wanted.transpose(0, 3, 1, 2))
    if not op.levels:
        halves = op.apply(first.to(torch.bfloat16), batch)
        assert halves.dtype == torch.bfloat16 and torch.equal(
            halves.permute(0, 2, 3, 1).byte(), torch.from_numpy(wanted)
        )


def test_a_colour_of_bfloat16() -> None:
    x = torch.zeros(1, 3, 4, 4, dtype=torch.bfloat16)
    out = T.Cutout(4, fill=(0.1, 1 / 3, -5e7)).apply(x, info(1))
    assert torch.equal(out[0, :, 0, 0], torch.tensor([0.1, 1 / 3, -5e7]).bfloat16())


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: T.RandomBrightness(-0.1), "magnitude is -0.1"),
    (lambda: T.RandomContrast(0.2, p=1.2), "p is 1.2"),
    (lambda: T.ColorJitter(hue=0.6), "hue is 0.6"),
    (lambda: T.ColorJitter(brightness=(1.2, 0.8)), "brightness"),
    (lambda: T.ColorJitter(contrast=(1, 2, 3)), "pair"),
    (lambda: T.RandomSolarize(300), "threshold is 300"),
    (lambda: T.RandomPosterize(9), "bits is 9"),
    (lambda: T.GaussianBlur(4), "odd"),
    (lambda: T.GaussianBlur(3, (2, 1)), "sigma"),
    (lambda: T.RandomTranslate(-1), "padding is -1"),
    (lambda: T.RandomCrop(5, padding_mode="wrap"), "padding_mode"),
    (lambda: T.RandomCrop(5, padding=(1, 2, 3)), "padding"),
    (lambda: T.Cutout(0), "crop_size is 0"),
    (lambda: T.RandomErasing(value="noise"), "value is 'noise'"),
    (lambda: T.RandomErasing(scale=(0.5, 0.2)), "scale"),
    (lambda: T.RandomResizedCrop((0.0, 1.0), (1, 1), 5), "scale"),
    (lambda: T.Resize(0), "0"),
    (lambda: T.Resize(5, "lanczos"), "lanczos"),
    (lambda: T.Cutout(12).apply(pictures(1, 9, 11), info(1)), "does not fit images of 9x11"),
    (lambda: T.Cutout(2, fill=300).apply(pictures(1, 9, 11), info(1)), "does not fit uint8"),
    (lambda: T.Cutout(2, fill=(1, 2)).apply(pictures(1, 9, 11), info(1)), "2 channels"),
    (lambda: T.RandomGrayscale(1).apply(pictures(1, 9, 11).astype(np.float32), info(1)), "uint8 images of 3 channels"),
    (lambda: T.RandomGrayscale(1).apply(pictures(1, 9, 11)[0], info(1)), "four dimensions"),
    (lambda: T.RandomGrayscale(1).apply([1, 2], info(1)), "not on list"),
    (lambda: T.RandomGrayscale(1).apply(torch.zeros(1, 3, 4, 4, device="meta"), info(1)), "runs on the CPU"),
]


@pytest.mark.parametrize(("make", "complaint"), WRONG, ids=[complaint for _, complaint in WRONG])
def test_what_cannot_be_is_refused(make: Callable[[], Any], complaint: str) -> None:
    with pytest.raises(OptionError, match=complaint.replace("(", r"\(")):
        make()
