"""Operations of policies against Pillow, which is their specification: the levels to the bit, nearest pixels too.

Blended pixels differ by one level at most: the kernel's weights are whole numbers of 2**-12 or 2**-11, and both
drop the fraction of a sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from ffprep import transforms as T
from ffprep.errors import OptionError
from ffprep.kernels.random import uniforms
from ffprep.pipeline.form import BatchInfo

Picture = NDArray[np.uint8]
WAYS = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
FILL = (9, 200, 77)
AFFINE, PERSPECTIVE = Image.Transform.AFFINE, Image.Transform.PERSPECTIVE
sizes = st.tuples(st.integers(1, 21), st.integers(1, 27))
picture_seeds = st.integers(0, 10**6)


def pictures(n: int, size: tuple[int, int], seed: int) -> Picture:
    """Noise, flat, and narrow in its levels."""
    out = np.random.default_rng(seed).integers(0, 256, (n, *size, 3)).astype(np.uint8)
    out[1::3] = out[1::3] // 5 + 60
    out[2::3] = out[2::3, :1, :1]
    return out


def info(n: int, seed: int = 5) -> BatchInfo:
    return BatchInfo(np.arange(700, 700 + n), 3, seed, 41)


def by_pillow(x: Picture, function: Callable[[Any], Any]) -> Picture:
    return np.stack([np.asarray(function(Image.fromarray(image))) for image in x])


def apart(a: Picture, b: Picture) -> int:
    return int(np.abs(a.astype(int) - b).max(initial=0))


@pytest.mark.parametrize("kind", ["Brightness", "Contrast", "Color", "Sharpness"])
@settings(max_examples=25)
@given(size=sizes, factor=st.sampled_from([0.0, 0.1, 0.73, 1.0, 1.27, 1.9, 3.5]), seed=picture_seeds)
def test_enhancements(kind: str, size: tuple[int, int], factor: float, seed: int) -> None:
    x = pictures(3, size, seed)
    expected = by_pillow(x, lambda image: getattr(ImageEnhance, kind)(image).enhance(factor))
    assert (getattr(T, kind)(factor).apply(x, info(3)) == expected).all()


@settings(max_examples=25)
@given(size=sizes, bits=st.integers(1, 8), threshold=st.integers(0, 256), more=st.integers(0, 110), seed=picture_seeds)
def test_levels(size: tuple[int, int], bits: int, threshold: int, more: int, seed: int) -> None:
    x, batch = pictures(3, size, seed), info(3)
    added = [min(255, v + more) if v < threshold else v for v in range(256)] * 3
    assert (T.Posterize(bits).apply(x, batch) == by_pillow(x, lambda i: ImageOps.posterize(i, bits))).all()
    assert (T.Solarize(threshold).apply(x, batch) == by_pillow(x, lambda i: ImageOps.solarize(i, threshold))).all()
    assert (T.SolarizeAdd(more, threshold).apply(x, batch) == by_pillow(x, lambda i: i.point(added))).all()
    assert (T.Invert().apply(x, batch) == by_pillow(x, ImageOps.invert)).all()
    assert (T.AutoContrast().apply(x, batch) == by_pillow(x, ImageOps.autocontrast)).all()
    assert (T.Equalize().apply(x, batch) == by_pillow(x, ImageOps.equalize)).all()


MOVES: dict[str, Callable[[float], tuple[float, ...]]] = {
    "ShearX": lambda v: (1, v, 0, 0, 1, 0),
    "ShearY": lambda v: (1, 0, 0, v, 1, 0),
    "TranslateX": lambda v: (1, 0, -10 * v, 0, 1, 0),
    "TranslateY": lambda v: (1, 0, 0, 0, 1, -10 * v),
}


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=20)
@given(size=sizes, value=st.sampled_from([0.0, 0.3, -0.3, 0.173, -0.99, 1.6]), seed=picture_seeds)
def test_shears_and_shifts(way: str, size: tuple[int, int], value: float, seed: int) -> None:
    x = pictures(3, size, seed)
    for kind, matrix in MOVES.items():
        given_value = 10 * value if kind.startswith("Translate") else value
        out = getattr(T, kind)(given_value, way, FILL).apply(x, info(3))
        expected = by_pillow(
            x,
            lambda i, m=matrix: i.transform(i.size, AFFINE, m(value), WAYS[way], fillcolor=FILL),  # type: ignore[misc]
        )
        assert apart(out, expected) <= (way != "nearest")


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=20)
@given(size=sizes, degrees=st.sampled_from([0.0, 30.0, -30.0, 17.3, 90.0, 135.0, 200.0]), seed=picture_seeds)
def test_rotation(way: str, size: tuple[int, int], degrees: float, seed: int) -> None:
    x = pictures(3, size, seed)
    out = T.Rotate(degrees, way, FILL).apply(x, info(3))
    expected = by_pillow(x, lambda i: i.rotate(degrees, WAYS[way], fillcolor=FILL))
    height, width = size
    turn = np.deg2rad(degrees)
    across, down = np.arange(width) + 0.5 - width / 2, (np.arange(height) + 0.5 - height / 2)[:, None]
    at_x = np.cos(turn) * across - np.sin(turn) * down + width / 2
    at_y = np.sin(turn) * across + np.cos(turn) * down + height / 2
    # Where a place lies on the edge of the image (or of a pixel, if one pixel is taken), rounding decides.
    edges = [at_x, at_y] if way == "nearest" else [at_x / width, at_y / height]
    clear = np.all([np.abs(edge - np.rint(edge)) > 1e-9 for edge in edges], axis=0) | (degrees == 0)
    assert apart(out[:, clear], expected[:, clear]) <= (way != "nearest")
    assert clear.mean() > 0.2 or degrees == 90.0 or min(size) < 4


def draws(batch: BatchInfo, k: int) -> NDArray[np.float64]:
    return uniforms(batch.seed, batch.epoch, batch.ids, batch.stream, k)


def affine_matrix(center: Any, angle: float, shift: Any, scale: float, shear: Any) -> NDArray[np.float64]:
    """The map from the result to the source: the inverse of centre, turn, shears, scale, shift and back."""

    def moved(x: float, y: float) -> NDArray[np.float64]:
        return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], float)

    turn, across, down = np.deg2rad(angle), np.deg2rad(shear[0]), np.deg2rad(shear[1])
    cos, sin = np.cos(turn - down) / np.cos(down), np.sin(turn - down) / np.cos(down)
    linear = np.array(
        [[cos, -cos * np.tan(across) - np.sin(turn), 0], [sin, -sin * np.tan(across) + np.cos(turn), 0], [0, 0, 1]]
    )
    forward = moved(center[0] + shift[0], center[1] + shift[1]) @ (linear * [[scale], [scale], [1]])
    return np.linalg.inv(forward @ moved(-center[0], -center[1]))[:2].ravel()


@settings(max_examples=20)
@given(size=st.tuples(st.integers(4, 21), st.integers(4, 27)), seed=st.integers(0, 2**63 - 1))
def test_random_affine_is_pillows_map_of_the_drawn_parameters(size: tuple[int, int], seed: int) -> None:
    x, batch = pictures(3, size, seed % 1000), info(3, seed)
    op = T.RandomAffine(40, (0.2, 0.3), (0.7, 1.4), (-20, 20, -10, 15), "bilinear", FILL)
    out = op.apply(x, batch)
    u = np.stack([draws(batch, k) for k in range(7)])
    h, w = size
    for i in range(3):
        shift = np.rint((-0.2 + 0.4 * u[2, i]) * w), np.rint((-0.3 + 0.6 * u[3, i]) * h)
        shear = -20 + 40 * u[5, i], -10 + 25 * u[6, i]
        m = affine_matrix((w / 2, h / 2), -40 + 80 * u[1, i], shift, 0.7 + 0.7 * u[4, i], shear)
        expected = Image.fromarray(x[i]).transform((w, h), AFFINE, tuple(m), WAYS["bilinear"], fillcolor=FILL)
        assert apart(out[i], np.asarray(expected)) <= 1


@settings(max_examples=20)
@given(size=st.tuples(st.integers(12, 21), st.integers(12, 27)), seed=st.integers(0, 2**63 - 1))
def test_perspective_is_pillows_map_of_the_drawn_corners(size: tuple[int, int], seed: int) -> None:
    x, batch = pictures(3, size, seed % 1000), info(3, seed)
    out = T.RandomPerspective(0.4, 0.8, "bicubic", FILL).apply(x, batch)
    h, w = size
    for i in range(3):
        u = [float(draws(batch, k)[i]) for k in range(10)]
        expected: Any = Image.fromarray(x[i])
        if u[1] < 0.8:
            corners = [(0, 0), (w - 1, 0), (w - 1, h - 1), (0, h - 1)]
            reach = int(0.4 * (w // 2)) + 1, int(0.4 * (h // 2)) + 1
            rows, right = [], []
            for k, (cx, cy) in enumerate(corners):
                dx, dy = int(u[2 + 2 * k] * reach[0]), int(u[3 + 2 * k] * reach[1])
                px, py = (cx - dx if cx else dx), (cy - dy if cy else dy)
                rows += [[px, py, 1, 0, 0, 0, -cx * px, -cx * py], [0, 0, 0, px, py, 1, -cy * px, -cy * py]]
                right += [cx, cy]
            m = np.linalg.lstsq(np.array(rows, float), np.array(right, float), rcond=None)[0]
            expected = expected.transform((w, h), PERSPECTIVE, tuple(m), WAYS["bicubic"], fillcolor=FILL)
        different = np.abs(out[i].astype(int) - np.asarray(expected)).max(axis=2) > 1
        # Places on the image's own border, such as its corners, are inside or outside by rounding.
        assert different.sum() <= 4


def test_rotation_turns_like_rotate() -> None:
    x = pictures(2, (9, 9), 1)
    fixed = T.RandomRotation((25, 25), "bilinear").apply(x, info(2))
    assert (fixed == T.Rotate(25, "bilinear").apply(x, info(2))).all()


def test_the_interpolation_may_be_drawn() -> None:
    x = pictures(40, (11, 13), 2)
    x[:] = x[:1]
    out = T.Rotate(20, "random").apply(x, info(40))
    both = [T.Rotate(20, way).apply(x, info(40)) for way in ("bilinear", "bicubic")]
    chosen = draws(info(40), 0) < 0.5
    assert 5 < chosen.sum() < 35
    assert (out == np.where(chosen[:, None, None, None], *both)).all()


def test_interpolations_by_other_names() -> None:
    class Way:
        value = "bicubic"

    assert T.Rotate(3, Way()).interpolation == "bicubic"
    assert [T.Rotate(3, number).interpolation for number in (0, 2, 3)] == ["nearest", "bilinear", "bicubic"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: T.Rotate(float("nan")),
        lambda: T.Rotate(1, "lanczos"),
        lambda: T.Rotate(1, fill=(1, 2)),
        lambda: T.ShearX(0.1, fill=256),
        lambda: T.Brightness(-0.1),
        lambda: T.Posterize(9),
        lambda: T.Solarize(300),
        lambda: T.SolarizeAdd(300),
        lambda: T.RandomAffine(-1),
        lambda: T.RandomAffine(1, translate=(0.1, 1.2)),
        lambda: T.RandomAffine(1, scale=(0, 1)),
        lambda: T.RandomAffine(1, shear=(1, 2, 3)),
        lambda: T.RandomPerspective(1.5),
    ],
)
def test_wrong_arguments(wrong: Callable[[], Any]) -> None:
    with pytest.raises(OptionError):
        wrong()
