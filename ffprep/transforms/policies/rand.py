"""Policies that draw their steps: RandAugment, TrivialAugment, 3-Augment."""

from __future__ import annotations

from typing import Any

from ffprep.errors import OptionError
from ffprep.transforms.operations.blur import GaussianBlur
from ffprep.transforms.operations.enhance import Color, Solarize
from ffprep.transforms.policies.policy import Candidate, Policy, PolicyStep
from ffprep.transforms.policies.spaces import torchvision_space


class RandAugment(Policy):
    """``torchvision.transforms.RandAugment``: some operations, drawn, all of one magnitude.

    Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space", 2019.

    Parameters
    ----------
    num_ops : int
        Operations an image.
    magnitude : int
        Number of the bin, from 0.
    num_magnitude_bins : int
    interpolation : {'nearest', 'bilinear', 'bicubic', 'random'}
        Names, torchvision's ``InterpolationMode`` or Pillow's numbers.
    fill : float or sequence of three, optional
        Levels of what lies outside the image; black by default.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Any = "nearest",
        fill: Any = None,
    ) -> None:
        if not 0 <= magnitude < num_magnitude_bins or num_magnitude_bins < 2:
            raise OptionError(
                f"magnitude is {magnitude} of {num_magnitude_bins} bins; give one of at least two bins, counted from 0"
            )
        space = torchvision_space(num_magnitude_bins, interpolation=interpolation, fill=fill)
        del space["Invert"]
        super().__init__(list(space.values()), [[PolicyStep(magnitude=magnitude)] * num_ops])
        self.magnitude, self.bins = magnitude, num_magnitude_bins

    def __repr__(self) -> str:
        return f"RandAugment({len(self.rows[0])}, {self.magnitude}, {self.bins})"


class TrivialAugmentWide(Policy):
    """``torchvision.transforms.TrivialAugmentWide``: one operation of a drawn magnitude.

    Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", 2021.

    Parameters
    ----------
    num_magnitude_bins : int
    interpolation : {'nearest', 'bilinear', 'bicubic', 'random'}
        Names, torchvision's ``InterpolationMode`` or Pillow's numbers.
    fill : float or sequence of three, optional
        Levels of what lies outside the image; black by default.
    """

    def __init__(self, num_magnitude_bins: int = 31, interpolation: Any = "nearest", fill: Any = None) -> None:
        if num_magnitude_bins < 2:
            raise OptionError(f"num_magnitude_bins is {num_magnitude_bins}; give at least 2")
        space = torchvision_space(
            num_magnitude_bins,
            interpolation=interpolation,
            fill=fill,
            shear=0.99,
            shift=lambda side: 32.0,
            degrees=135.0,
            change=0.99,
            bits=6,
        )
        del space["Invert"]
        super().__init__(list(space.values()), [[PolicyStep(magnitude=num_magnitude_bins)]], noise="bins")
        self.bins = num_magnitude_bins

    def __repr__(self) -> str:
        return f"TrivialAugmentWide({self.bins})"


class ThreeAugment(Policy):
    """3-Augment: grey, solarised or blurred, with equal probabilities.

    Touvron et al., "DeiT III: Revenge of the ViT", 2022; the paper follows it with ``ColorJitter(0.3, 0.3, 0.3)``.

    Parameters
    ----------
    threshold : float
        Levels of at least this are inverted.
    sigma : (low, high)
        Range of the blur's standard deviation in pixels.
    """

    def __init__(self, threshold: float = 128.0, sigma: tuple[float, float] = (0.1, 2.0)) -> None:
        # Beyond three deviations a Gaussian has less than a level.
        reach = 2 * int(3 * sigma[1] + 0.5) + 1
        ops = {"Gray": Color(0), "Solarize": Solarize(threshold), "GaussianBlur": GaussianBlur(reach, sigma)}
        super().__init__([Candidate(name, op) for name, op in ops.items()], [[PolicyStep(name)] for name in ops])

    def __repr__(self) -> str:
        return "ThreeAugment()"
