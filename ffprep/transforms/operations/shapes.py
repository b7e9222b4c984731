"""Maps of coordinates that are given rather than drawn, and elastic deformation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ffprep.errors import OptionError
from ffprep.transforms.image import Numbers
from ffprep.transforms.operations.geometry import RandomAffine, RandomPerspective, Warp


class Affine(RandomAffine):
    """``torchvision.transforms.functional.affine``: a rotation, shift, scale and shear that are given.

    Parameters
    ----------
    angle : float
        Degrees, with the clock.
    translate : (across, down)
        Pixels; they are rounded to whole numbers.
    scale : float
    shear : float or (across, down)
        Degrees.
    interpolation : str
        See `Rotate`.
    fill : float or sequence of three
    center : (x, y), optional
        In pixels from the image's corner; its centre by default.
    """

    def __init__(
        self,
        angle: float,
        translate: Sequence[float] = (0, 0),
        scale: float = 1.0,
        shear: float | Sequence[float] = 0.0,
        interpolation: Any = "nearest",
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        across, down = (shear, 0.0) if isinstance(shear, (int, float)) else shear
        super().__init__(
            (angle, angle), None, (scale, scale), (across, across, down, down), interpolation, fill, center
        )
        if len(translate) != 2 or not np.isfinite(translate).all():
            raise OptionError(f"translate is {translate!r}; give two numbers of pixels")
        self.pixels = float(translate[0]), float(translate[1])

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        out = super().numbers(height, width, dtype, channels)
        out[10:14] = np.repeat(self.pixels, 2)
        return out

    def __repr__(self) -> str:
        return f"Affine({self.degrees[0]:g}, {self.pixels}, {self.scale[0]:g}, {self.interpolation!r})"


class Perspective(RandomPerspective):
    """``torchvision.transforms.functional.perspective``: four points are moved to four others.

    Parameters
    ----------
    startpoints, endpoints : four (x, y) each
        Pixels of the image, and where the result shows them.
    interpolation : str
        See `Rotate`.
    fill : float or sequence of three

    Raises
    ------
    OptionError
        They are not four points each, or no map sends the ones to the others.
    """

    def __init__(
        self,
        startpoints: Sequence[Sequence[float]],
        endpoints: Sequence[Sequence[float]],
        interpolation: Any = "bilinear",
        fill: Any = 0,
    ) -> None:
        super().__init__(0.0, 1.0, interpolation, fill)
        start, end = (np.asarray(points, np.float64) for points in (startpoints, endpoints))
        if start.shape != (4, 2) or end.shape != (4, 2):
            raise OptionError("Perspective needs four points (x, y) as startpoints, and four as endpoints")
        rows = []
        for (from_x, from_y), (to_x, to_y) in zip(start, end, strict=True):
            rows.append([to_x, to_y, 1, 0, 0, 0, -from_x * to_x, -from_x * to_y])
            rows.append([0, 0, 0, to_x, to_y, 1, -from_y * to_x, -from_y * to_y])
        try:
            self.map = np.linalg.solve(np.array(rows), start.ravel())
        except np.linalg.LinAlgError:
            self.map = np.full(8, np.nan)
        if not np.isfinite(self.map).all():
            raise OptionError(f"no map sends {startpoints!r} to {endpoints!r}; three of the points lie on a line")

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([2.0, 0.0, *self._look, *self.map])

    def __repr__(self) -> str:
        return f"Perspective({self.map.round(4).tolist()}, {self.interpolation!r}, fill={self.fill})"


class ElasticTransform(Warp):
    """``torchvision.transforms.v2.ElasticTransform``: each pixel is moved by noise that a Gaussian has smoothed.

    Boxes and keypoints are moved by the shift of the pixel that they lie on, taken back, as in torchvision, which is
    about right where shifts change slowly.

    Parameters
    ----------
    alpha : float or (across, down)
        Strength. In a square image noise of 1 moves a pixel by half of this, before it is smoothed.
    sigma : float or (across, down)
        Standard deviation of the Gaussian in pixels; 0 does not smooth.
    interpolation : str
        See `Rotate`.
    fill : float or sequence of three
        Levels of what lies outside the image.

    Notes
    -----
    It costs about as much as a Gaussian blur of 8 sigma pixels; what follows the image makes the noise anew.
    """

    function: ClassVar[tuple[str, str]] = ("elastic", "elastic")
    followed: ClassVar[Mapping[str, tuple[str, str]]] = {
        "labels": ("elastic", "elastic_labels"),
        "points": ("elastic", "elastic_points"),
    }

    def __init__(
        self,
        alpha: float | Sequence[float] = 50.0,
        sigma: float | Sequence[float] = 5.0,
        interpolation: Any = "bilinear",
        fill: Any = 0,
    ) -> None:
        super().__init__(interpolation, fill)
        self.alpha, self.sigma = _pair(alpha, "alpha"), _pair(sigma, "sigma")
        if max(self.sigma) > 100:
            raise OptionError(f"sigma is {sigma!r}; the largest is 100 pixels")

    @property
    def _radii(self) -> tuple[int, int]:
        # torchvision's kernel has int(8 sigma + 1) pixels, or one more to make the number odd.
        return int(8 * self.sigma[0] + 1) // 2, int(8 * self.sigma[1] + 1) // 2

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        # torchvision divides by the other side, and its coordinates go from -1 to 1.
        most = self.alpha[0] / height * width / 2, self.alpha[1] / width * height / 2
        return np.array([*most, *(max(sigma, 1e-3) for sigma in self.sigma), *self._radii, *self._look])

    def work(self, height: int, width: int) -> int:
        across, down = self._radii
        own = 12 * height * width + 4 * (width + 2 * across) + 4 * (across + down + 2) + 64
        return own + super().work(height, width)

    def __repr__(self) -> str:
        return f"ElasticTransform({self.alpha}, {self.sigma}, {self.interpolation!r}, fill={self.fill})"


def _pair(value: Any, name: str) -> tuple[float, float]:
    values = np.asarray(value, np.float64).reshape(-1)
    if values.size not in (1, 2) or not (np.isfinite(values) & (values >= 0)).all():
        raise OptionError(f"{name} is {value!r}; give one number from 0 on, or two")
    return float(values[0]), float(values[-1])
