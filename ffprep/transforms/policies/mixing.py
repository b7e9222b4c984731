"""AugMix: an image blended with several augmented ones of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ffprep.errors import OptionError
from ffprep.transforms.image import ImageOp, Numbers
from ffprep.transforms.policies.policy import MOST, Candidate, Policy, PolicyStep
from ffprep.transforms.policies.spaces import ENHANCEMENTS, torchvision_space

_BINS = 10


class Mixing(Policy):
    """A blend of the image with chains of drawn candidates, with shares from a Dirichlet distribution.

    Parameters
    ----------
    candidates : sequence of Candidate
    magnitude : float
    width : int
        Chains.
    depth : int
        Candidates of a chain; 0 or less draws one to three.
    alpha : float
        Of the Dirichlet and Beta distributions.
    **how
        `noise`, `deviation` and `greatest` of `Policy`.
    """

    function: ClassVar[tuple[str, str]] = ("compose", "augmix")

    def __init__(
        self, candidates: Sequence[Candidate], magnitude: float, width: int, depth: int, alpha: float, **how: Any
    ) -> None:
        super().__init__(candidates, [[PolicyStep(magnitude=magnitude)]], **how)
        if not 1 <= width <= MOST or depth > MOST or not 0 < alpha < 1e6:
            raise OptionError(
                f"width is {width}, depth {depth}, alpha {alpha}; give 1 to {MOST} of both and alpha above 0"
            )
        self.width, self.depth, self.alpha = int(width), max(int(depth), 0), float(alpha)

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        out = super().numbers(height, width, dtype, channels)
        out[0], out[1], out[8], out[9] = self.width, self.depth, self.alpha, self._own_work(height, width)
        return out

    def follower(self, what: str, fill: int = 0) -> ImageOp | None:
        if super().follower(what, fill) is not None:
            raise OptionError(
                f"{self!r} blends an image with rotated and shifted ones of itself; nothing can follow that"
            )
        return None

    def work(self, height: int, width: int) -> int:
        size = -(-3 * height * width // 64) * 64
        return 16 * MOST + 2 * size + self._own_work(height, width) + 4 * size

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.width} x {self.depth or 'one to three'}, alpha={self.alpha:g})"


class AugMix(Mixing):
    """``torchvision.transforms.AugMix``.

    Hendrycks et al., "AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty", 2020.

    Parameters
    ----------
    severity : int
        Magnitudes are drawn from the first of ten bins, as many as this.
    mixture_width : int
        Chains.
    chain_depth : int
        Operations of a chain; -1 draws one to three.
    alpha : float
        Of the Dirichlet and Beta distributions.
    all_ops : bool
        Brightness, colour, contrast and sharpness too.
    interpolation : {'nearest', 'bilinear', 'bicubic', 'random'}
        Names, torchvision's ``InterpolationMode`` or Pillow's numbers.
    fill : float or sequence of three, optional
        Levels of what lies outside the image; black by default.
    """

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: Any = "bilinear",
        fill: Any = None,
    ) -> None:
        if not 1 <= severity <= _BINS:
            raise OptionError(f"severity is {severity}; give 1 to {_BINS}")
        space = torchvision_space(_BINS, interpolation=interpolation, fill=fill, shift=lambda side: side / 3.0, kept=4)
        left_out = {"Identity", "Invert", *(() if all_ops else ENHANCEMENTS)}
        kept = [candidate for name, candidate in space.items() if name not in left_out]
        super().__init__(kept, severity, mixture_width, chain_depth, alpha, noise="bins")
