"""AutoAugment: rows of two steps that were found by search, of which one is drawn for each image.

Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data", 2018. A step is written as in the papers:
operation, probability in tenths, magnitude. The tables are data of the paper and of its authors' code.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from ffprep.errors import OptionError
from ffprep.transforms.policies.policy import Policy, PolicyStep
from ffprep.transforms.policies.spaces import torchvision_space

IMAGENET = """
Posterize 4 8, Rotate 6 9; Solarize 6 5, AutoContrast 6 5; Equalize 8 8, Equalize 6 3; Posterize 6 7, Posterize 6 6;
Equalize 4 7, Solarize 2 4; Equalize 4 4, Rotate 8 8; Solarize 6 3, Equalize 6 7; Posterize 8 5, Equalize 10 2;
Rotate 2 3, Solarize 6 8; Equalize 6 8, Posterize 4 6; Rotate 8 8, Color 4 0; Rotate 4 9, Equalize 6 2;
Equalize 0 7, Equalize 8 8; Invert 6 4, Equalize 10 8; Color 6 4, Contrast 10 8; Rotate 8 8, Color 10 2;
Color 8 8, Solarize 8 7; Sharpness 4 7, Invert 6 8; ShearX 6 5, Equalize 10 9; Color 4 0, Equalize 6 3;
Equalize 4 7, Solarize 2 4; Solarize 6 5, AutoContrast 6 5; Invert 6 4, Equalize 10 8; Color 6 4, Contrast 10 8;
Equalize 8 8, Equalize 6 3
"""
CIFAR10 = """
Invert 1 7, Contrast 2 6; Rotate 7 2, TranslateX 3 9; Sharpness 8 1, Sharpness 9 3; ShearY 5 8, TranslateY 7 9;
AutoContrast 5 8, Equalize 9 2; ShearY 2 7, Posterize 3 7; Color 4 3, Brightness 6 7; Sharpness 3 9, Brightness 7 9;
Equalize 6 5, Equalize 5 1; Contrast 6 7, Sharpness 6 5; Color 7 7, TranslateX 5 8; Equalize 3 7, AutoContrast 4 8;
TranslateY 4 3, Sharpness 2 6; Brightness 9 6, Color 2 8; Solarize 5 2, Invert 0 3; Equalize 2 0, AutoContrast 6 0;
Equalize 2 8, Equalize 6 4; Color 9 9, Equalize 6 6; AutoContrast 8 4, Solarize 2 8; Brightness 1 3, Color 7 0;
Solarize 4 5, AutoContrast 9 3; TranslateY 9 9, TranslateY 7 9; AutoContrast 9 2, Solarize 8 3;
Equalize 8 8, Invert 1 3; TranslateY 7 9, AutoContrast 9 1
"""
SVHN = """
ShearX 9 4, Invert 2 3; ShearY 9 8, Invert 7 5; Equalize 6 5, Solarize 6 6; Invert 9 3, Equalize 6 3;
Equalize 6 1, Rotate 9 3; ShearX 9 4, AutoContrast 8 3; ShearY 9 8, Invert 4 5; ShearY 9 5, Solarize 2 6;
Invert 9 6, AutoContrast 8 1; Equalize 6 3, Rotate 9 3; ShearX 9 4, Solarize 3 3; ShearY 8 8, Invert 7 4;
Equalize 9 5, TranslateY 6 6; Invert 9 4, Equalize 6 7; Contrast 3 3, Rotate 8 4; Invert 8 5, TranslateY 0 2;
ShearY 7 6, Solarize 4 8; Invert 6 4, Rotate 8 4; ShearY 3 7, TranslateX 9 3; ShearX 1 6, Invert 6 5;
Solarize 7 2, TranslateY 6 7; ShearY 8 4, Invert 8 8; ShearX 7 9, TranslateY 8 3; ShearY 8 5, AutoContrast 7 3;
ShearX 7 2, Invert 1 5
"""
V0 = """
Equalize 8 1, ShearY 8 4; Color 4 9, Equalize 6 3; Color 4 1, Rotate 6 8; Solarize 8 3, Equalize 4 7;
Solarize 4 2, Solarize 6 2; Color 2 0, Equalize 8 8; Equalize 4 8, SolarizeAdd 8 3; ShearX 2 9, Rotate 6 8;
Color 6 1, Equalize 10 2; Invert 4 9, Rotate 6 0; Equalize 10 9, ShearY 6 3; Color 4 7, Equalize 6 0;
Posterize 4 6, AutoContrast 4 7; Solarize 6 8, Color 6 9; Solarize 2 4, Rotate 8 9; Rotate 10 7, TranslateYRel 8 9;
ShearX 0 0, Solarize 8 4; ShearY 8 0, Color 6 4; Color 10 0, Rotate 6 2; Equalize 8 4, Equalize 0 8;
Equalize 10 4, AutoContrast 6 2; ShearY 4 7, SolarizeAdd 6 7; Posterize 8 2, Solarize 6 10; Solarize 6 8, Equalize 6 1;
Color 8 6, Rotate 4 5
"""


def read_rows(table: str, names: dict[str, str] | None = None) -> list[list[PolicyStep]]:
    """Return the rows of a table, with operations renamed as `names` says."""
    names = names or {}
    rows = []
    for line in table.replace("\n", " ").split(";"):
        steps = [part.split() for part in line.split(",")]
        rows.append([PolicyStep(names.get(name, name), int(p) / 10, float(m)) for name, p, m in steps])
    return rows


class AutoAugmentPolicy(Enum):
    """The policies of `AutoAugment`, by the data set on which they were found."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


class AutoAugment(Policy):
    """``torchvision.transforms.AutoAugment``.

    Parameters
    ----------
    policy : {'imagenet', 'cifar10', 'svhn'}
        Or a member of `AutoAugmentPolicy`, or of torchvision's.
    interpolation : {'nearest', 'bilinear', 'bicubic', 'random'}
        Names, torchvision's ``InterpolationMode`` or Pillow's numbers.
    fill : float or sequence of three, optional
        Levels of what lies outside the image; black by default.
    """

    def __init__(
        self, policy: AutoAugmentPolicy | str = "imagenet", interpolation: Any = "nearest", fill: Any = None
    ) -> None:
        name = getattr(policy, "value", policy)
        tables = {"imagenet": IMAGENET, "cifar10": CIFAR10, "svhn": SVHN}
        if name not in tables:
            raise OptionError(f"policy is {policy!r}; choose one of {', '.join(tables)}")
        space = torchvision_space(10, interpolation=interpolation, fill=fill)
        rows = read_rows(tables[name])
        used = {step.candidate for row in rows for step in row}
        super().__init__([candidate for candidate in space.values() if candidate.name in used], rows)
        self.policy = str(name)

    def __repr__(self) -> str:
        return f"AutoAugment({self.policy!r})"
