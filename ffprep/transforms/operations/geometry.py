"""Rotating, shearing, shifting and tilting images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ffprep.errors import OptionError
from ffprep.transforms.bases.transform import probability
from ffprep.transforms.bases.two_forms import TwoForms
from ffprep.transforms.image import ImageOp, Numbers
from ffprep.transforms.operations.compose import RandomApply

INTERPOLATIONS = {"nearest": 0, "bilinear": 1, "bicubic": 2, "random": 3}
"""Numbers of the kernels' interpolations; ``random`` is bilinear or bicubic, drawn for each image, as in timm."""
BORDER = 2
"""Pixels that the kernels put around an image to blend them."""
ALL = 5.0
"""Number of the kernel's movement that draws all of them."""
_PILLOW = {0: "nearest", 2: "bilinear", 3: "bicubic"}


def interpolation_name(value: Any) -> str:
    """Return the name of an interpolation that is given as a name, as torchvision's enum or as Pillow's number.

    Raises
    ------
    OptionError
        It is none of nearest, bilinear, bicubic and random.
    """
    given = getattr(value, "value", value)
    name = _PILLOW.get(given, "") if isinstance(given, int) else str(given).lower()
    if name not in INTERPOLATIONS:
        raise OptionError(f"interpolation is {value!r}; choose one of {', '.join(INTERPOLATIONS)}")
    return name


def fill_colour(fill: Any) -> tuple[float, float, float]:
    """Return a colour as three levels, from one level, three, or None for black.

    Raises
    ------
    OptionError
        It is not one or three levels from 0 to 255.
    """
    values = np.asarray(0 if fill is None else fill, np.float64).reshape(-1)
    if values.size == 1:
        values = np.repeat(values, 3)
    if values.size != 3 or not ((values >= 0) & (values <= 255)).all():
        raise OptionError(f"fill is {fill!r}; give one level or three, each from 0 to 255")
    return float(values[0]), float(values[1]), float(values[2])


class Warp(ImageOp):
    """An operation that shows the image through a map of coordinates."""

    moves: ClassVar[bool] = True
    followed: ClassVar[Mapping[str, tuple[str, str]]] = {
        "labels": ("follow", "move_labels"),
        "points": ("follow", "move_points"),
    }

    def __init__(self, interpolation: Any = "nearest", fill: Any = 0) -> None:
        self.interpolation = interpolation_name(interpolation)
        self.fill = fill_colour(fill)

    def work(self, height: int, width: int) -> int:
        return 0 if self.interpolation == "nearest" else 8 * (height + 2 * BORDER) * (width + 2 * BORDER)

    @property
    def _look(self) -> list[float]:
        return [float(INTERPOLATIONS[self.interpolation]), *self.fill]


class _Move(Warp):
    """One movement by a fixed amount, about Pillow's coordinates."""

    function: ClassVar[tuple[str, str]] = ("warp", "move")
    kind: ClassVar[int]

    def __init__(self, value: float, interpolation: Any = "nearest", fill: Any = 0) -> None:
        super().__init__(interpolation, fill)
        if not np.isfinite(value):
            raise OptionError(f"{type(self).__name__} needs a finite number, not {value}")
        self.value = float(value)

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([self.value, self.kind, *self._look])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value:g}, {self.interpolation!r}, fill={self.fill})"


class Rotate(TwoForms, _Move):
    """Rotate against the clock about the image's centre, as Pillow's ``Image.rotate`` does.

    With FFCV-SSL's arguments, ``Rotate(rotate_prob, angle, seed=None)``, it is a `RandomRotation` by up to `angle`
    radians in either direction, of images chosen with that probability. Give at least the angle by name.

    Parameters
    ----------
    value : float
        Degrees.
    interpolation : {'nearest', 'bilinear', 'bicubic', 'random'}
        Names, torchvision's ``InterpolationMode`` or Pillow's numbers.
    fill : float or sequence of three
        Levels of what lies outside the image.
    """

    kind: ClassVar[int] = 0

    @classmethod
    def _of_ffcv_ssl(cls, *arguments: Any, **named: Any) -> Any:
        by_name = "rotate_prob" in named or "angle" in named
        if by_name or (len(arguments) > 1 and isinstance(arguments[1], float)):
            return _rotation(*arguments, **named)
        return None


class ShearX(_Move):
    """Shift each row in proportion to its distance from the top: ``x' = x + value y``, as in AutoAugment.

    Parameters
    ----------
    value : float
        Tangent of the angle.
    interpolation : str
        See `Rotate`.
    fill : float or sequence of three
    """

    kind: ClassVar[int] = 1


class ShearY(_Move):
    """Shift each column in proportion to its distance from the left: ``y' = y + value x``, as in AutoAugment.

    Parameters
    ----------
    value : float
        Tangent of the angle.
    interpolation : str
        See `Rotate`.
    fill : float or sequence of three
    """

    kind: ClassVar[int] = 2


class TranslateX(_Move):
    """Shift the image to the right.

    Parameters
    ----------
    value : float
        Pixels.
    interpolation : str
        See `Rotate`.
    fill : float or sequence of three
    """

    kind: ClassVar[int] = 3


class TranslateY(_Move):
    """Shift the image down.

    Parameters
    ----------
    value : float
        Pixels.
    interpolation : str
        See `Rotate`.
    fill : float or sequence of three
    """

    kind: ClassVar[int] = 4


class RandomAffine(Warp):
    """``torchvision.transforms.RandomAffine``: rotation, shift, scale and shear, each drawn uniformly.

    Parameters
    ----------
    degrees : float or (low, high)
        A number x stands for ``(-x, x)``.
    translate : (across, down), optional
        Greatest shifts, as shares of width and height; they are rounded to whole pixels.
    scale : (low, high), optional
    shear : float, (low, high) or (x low, x high, y low, y high), optional
        Degrees; with one or two numbers only across.
    interpolation : str
        See `Rotate`.
    fill : float or sequence of three
    center : (x, y), optional
        In pixels from the image's corner; its centre by default.
    """

    function: ClassVar[tuple[str, str]] = ("warp", "move")

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: Any = "nearest",
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        super().__init__(interpolation, fill)
        self.degrees = _range(degrees, "degrees")
        self.translate = tuple(float(share) for share in translate) if translate is not None else (0.0, 0.0)
        if len(self.translate) != 2 or not all(0 <= share <= 1 for share in self.translate):
            raise OptionError(f"translate is {translate!r}; give two shares of width and height, each from 0 to 1")
        self.scale = _range(scale, "scale") if scale is not None else (1.0, 1.0)
        if self.scale[0] <= 0:
            raise OptionError(f"scale is {scale!r}; it must be greater than 0")
        parts = (0.0,) if shear is None else tuple(np.asarray(shear, np.float64).reshape(-1))
        self.shear = _range(parts[0] if len(parts) == 1 else parts[:2], "shear"), (0.0, 0.0)
        if len(parts) == 4:
            self.shear = self.shear[0], _range(parts[2:], "shear")
        if len(parts) not in (1, 2, 4) or any(abs(part) >= 90 for part in parts):
            raise OptionError(f"shear is {shear!r}; give one, two or four numbers of degrees below 90")
        self.center = (float(center[0]), float(center[1])) if center is not None else None

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        across, down = self.translate[0] * width, self.translate[1] * height
        center = self.center or (width / 2, height / 2)
        shifts = (-across, across, -down, down)
        ranges = (*self.degrees, *shifts, *self.scale, *self.shear[0], *self.shear[1])
        return np.array([0.0, ALL, *self._look, *center, *ranges])

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.degrees}, {self.translate}, {self.scale}, {self.shear}, "
            f"{self.interpolation!r}, fill={self.fill})"
        )


class RandomRotation(RandomAffine):
    """``torchvision.transforms.RandomRotation`` in the image's own size.

    Parameters
    ----------
    degrees : float or (low, high)
        A number x stands for ``(-x, x)``.
    interpolation : str
        See `Rotate`.
    fill : float or sequence of three
    center : (x, y), optional
        In pixels from the image's corner; its centre by default.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: Any = "nearest",
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        super().__init__(degrees, interpolation=interpolation, fill=fill, center=center)
        # Pillow and torchvision turn against the clock here, and with it in RandomAffine.
        self.degrees = -self.degrees[1], -self.degrees[0]


def _rotation(rotate_prob: float = 0.5, angle: float = 0.2, seed: int | None = None) -> RandomApply:
    rotation = RandomApply([RandomRotation(float(np.degrees(angle)))], rotate_prob)
    rotation.seed = seed
    return rotation


class RandomPerspective(Warp):
    """``torchvision.transforms.RandomPerspective``: the four corners move inwards, each by an amount of its own.

    Parameters
    ----------
    distortion_scale : float
        How far they may move, as a share of half a side, 0 to 1.
    p : float
        Probability that an image is changed.
    interpolation : str
        See `Rotate`.
    fill : float or sequence of three
    """

    function: ClassVar[tuple[str, str]] = ("warp", "perspective")
    followed: ClassVar[Mapping[str, tuple[str, str]]] = {
        "labels": ("follow", "tilt_labels"),
        "points": ("follow", "tilt_points"),
    }

    def __init__(
        self, distortion_scale: float = 0.5, p: float = 0.5, interpolation: Any = "bilinear", fill: Any = 0
    ) -> None:
        super().__init__(interpolation, fill)
        self.distortion_scale = probability(distortion_scale, "distortion_scale")
        self.p = probability(p, "p")

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([self.p, self.distortion_scale, *self._look])

    def work(self, height: int, width: int) -> int:
        return 72 * 8 + super().work(height, width)

    def __repr__(self) -> str:
        return f"RandomPerspective({self.distortion_scale:g}, p={self.p:g}, fill={self.fill})"


def _range(value: Any, name: str) -> tuple[float, float]:
    values = np.asarray(value, np.float64).reshape(-1)
    if values.size == 1:
        if values[0] < 0:
            raise OptionError(f"{name} is {value!r}; give a number from 0, or a pair (low, high)")
        values = np.array([-values[0], values[0]])
    if values.size != 2 or not np.isfinite(values).all() or values[0] > values[1]:
        raise OptionError(f"{name} is {value!r}; give a number or a pair (low, high)")
    return float(values[0]), float(values[1])
