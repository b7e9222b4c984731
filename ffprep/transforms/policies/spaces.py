"""The candidates of torchvision's and timm's policies: their operations and what a magnitude makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ffprep.transforms.operations.blur import GaussianBlur
from ffprep.transforms.operations.enhance import (
    AutoContrast,
    Brightness,
    Color,
    Contrast,
    Equalize,
    Invert,
    Posterize,
    Sharpness,
    Solarize,
    SolarizeAdd,
)
from ffprep.transforms.operations.geometry import Rotate, ShearX, ShearY, TranslateX, TranslateY
from ffprep.transforms.policies.policy import Candidate

ENHANCEMENTS = {"Brightness": Brightness, "Color": Color, "Contrast": Contrast, "Sharpness": Sharpness}


def _auto_augment_shift(side: int) -> float:
    """Return AutoAugment's greatest shift: 150 pixels of the 331 of its images."""
    return 150.0 / 331.0 * side


def torchvision_space(
    bins: int,
    *,
    interpolation: Any,
    fill: Any,
    shear: float = 0.3,
    shift: Callable[[int], float] = _auto_augment_shift,
    degrees: float = 30.0,
    change: float = 0.9,
    bits: float = 4,
    kept: int = 8,
) -> dict[str, Candidate]:
    """Return the candidates of a torchvision policy by name; a magnitude is the number of a bin, from 0.

    What is not given is as in AutoAugment and RandAugment.

    Parameters
    ----------
    bins : int
        How many bins there are.
    interpolation, fill
        As for `ffprep.transforms.Rotate`.
    shear, degrees, change, bits : float
        Of the last bin: tangent, angle, distance of an enhancement's factor from 1, bits taken away.
    shift : callable
        Pixels of the last bin, for an image's width or height.
    kept : int
        Bits of the first bin.
    """
    last = bins - 1
    how = {"interpolation": interpolation, "fill": fill}
    space = [
        Candidate("Identity"),
        Candidate("ShearX", ShearX(0, **how), shear / last, negative=0.5),
        Candidate("ShearY", ShearY(0, **how), shear / last, negative=0.5),
        Candidate("TranslateX", TranslateX(0, **how), lambda h, w: shift(w) / last, 0.0, "towards zero", negative=0.5),
        Candidate("TranslateY", TranslateY(0, **how), lambda h, w: shift(h) / last, 0.0, "towards zero", negative=0.5),
        Candidate("Rotate", Rotate(0, **how), degrees / last, negative=0.5),
        *(Candidate(name, kind(1), change / last, 1.0, negative=0.5) for name, kind in ENHANCEMENTS.items()),
        Candidate("Posterize", Posterize(8), -bits / last, float(kept), "nearest", 0.0, 8.0),
        Candidate("Solarize", Solarize(256), -255.0 / last, 255.0, least=0.0),
        Candidate("AutoContrast", AutoContrast()),
        Candidate("Equalize", Equalize()),
        Candidate("Invert", Invert()),
    ]
    return {candidate.name: candidate for candidate in space}


def timm_space(interpolation: Any, fill: Any, translate: float = 0.45) -> dict[str, Candidate]:
    """Return timm's candidates by name; a magnitude is a number from 0 to 10, or more.

    Parameters
    ----------
    interpolation, fill
        As for `ffprep.transforms.Rotate`.
    translate : float
        Greatest shift as a share of the image's side, at magnitude 10.
    """
    how = {"interpolation": interpolation, "fill": fill}
    zero, whole = "towards zero", 8.0
    space = [
        Candidate("AutoContrast", AutoContrast()),
        Candidate("Equalize", Equalize()),
        Candidate("Invert", Invert()),
        Candidate("Rotate", Rotate(0, **how), 3.0, negative=0.5),
        Candidate("Posterize", Posterize(8), 0.4, 0.0, zero, 0.0, whole),
        Candidate("PosterizeIncreasing", Posterize(8), -0.4, 4.0, zero, 0.0, whole),
        Candidate("PosterizeOriginal", Posterize(8), 0.4, 4.0, zero, 0.0, whole),
        Candidate("Solarize", Solarize(256), 25.6, 0.0, zero, 0.0, 256.0),
        Candidate("SolarizeIncreasing", Solarize(256), -25.6, 256.0, zero, 0.0, 256.0),
        Candidate("SolarizeAdd", SolarizeAdd(0), 11.0, 0.0, zero, 0.0, 128.0),
        *(Candidate(name, kind(1), 0.18, 0.1) for name, kind in ENHANCEMENTS.items()),
        *(
            Candidate(f"{name}Increasing", kind(1), 0.09, 1.0, least=0.1, negative=0.5)
            for name, kind in ENHANCEMENTS.items()
        ),
        Candidate("ShearX", ShearX(0, **how), 0.03, negative=0.5),
        Candidate("ShearY", ShearY(0, **how), 0.03, negative=0.5),
        Candidate("TranslateXRel", TranslateX(0, **how), lambda h, w: translate / 10 * w, negative=0.5),
        Candidate("TranslateYRel", TranslateY(0, **how), lambda h, w: translate / 10 * h, negative=0.5),
        Candidate("Desaturate", Color(1), -0.05, 0.5, least=0.0, most=1.0),
        Candidate("GaussianBlur", GaussianBlur(13)),
    ]
    return {candidate.name: candidate for candidate in space}
