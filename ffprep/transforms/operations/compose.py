"""Operations made of others: all with a probability, one of several, all in random order."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import numpy as np

from ffprep.errors import OptionError
from ffprep.transforms.bases.transform import probability
from ffprep.transforms.image import ImageOp, Numbers

MOST = 64
"""Most operations of a composition."""
_HEAD, _MEMBER = 3, 4


class _Nothing(ImageOp):
    """Stands for a member that nothing has to follow."""

    function: ClassVar[tuple[str, str]] = ("follow", "nothing")
    levels: ClassVar[bool] = False

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.zeros(1)


class _Composition(ImageOp):
    """Operations on images that another one carries out in the same thread, in place.

    Raises
    ------
    OptionError
        A member is no operation on images, or changes their size.
    """

    function: ClassVar[tuple[str, str]] = ("compose", "compose")
    way: ClassVar[int]

    def __init__(self, transforms: Sequence[ImageOp], weights: Sequence[float] | None = None, p: float = 1.0) -> None:
        name = type(self).__name__
        self.transforms = list(transforms)
        if not 1 <= len(self.transforms) <= MOST:
            raise OptionError(f"{name} has {len(self.transforms)} operations; give 1 to {MOST}")
        for member in self.transforms:
            if not isinstance(member, ImageOp) or member.by_sample:
                raise OptionError(f"{name} takes operations that work on one image in the threads, not {member!r}")
        self.weights = [1.0] * len(self.transforms) if weights is None else [float(weight) for weight in weights]
        if len(self.weights) != len(self.transforms) or min(self.weights) < 0 or not 0 < sum(self.weights) < np.inf:
            raise OptionError(f"{name} needs a weight from 0 for each of its operations, not {weights!r}")
        self.p = probability(p, "p")
        self.levels = any(member.levels for member in self.transforms)  # type: ignore[misc]
        self.pixelwise = all(member.pixelwise for member in self.transforms)  # type: ignore[misc]

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        parts = []
        place = _HEAD + _MEMBER * len(self.transforms)
        head = [float(self.way), float(len(self.transforms)), self.p]
        for member, weight in zip(self.transforms, self.weights, strict=True):
            if member.size(height, width) != (height, width):
                raise OptionError(f"{member!r} changes the size of images; it cannot be part of {type(self).__name__}")
            own = member.numbers(height, width, dtype, channels)
            head += [float(member.entry()), float(member.moves), float(place), weight]
            parts.append(own)
            place += len(own)
        return np.concatenate([head, *parts])

    def follower(self, what: str, fill: int = 0) -> ImageOp | None:
        followers = [member.follower(what, fill) for member in self.transforms]
        if not any(followers):
            return None
        other: Any = copy.copy(self)
        other.transforms, other.levels = [follower or _Nothing() for follower in followers], False
        return cast(ImageOp, other)

    def work(self, height: int, width: int) -> int:
        most = max(member.work(height, width) for member in self.transforms)
        # Pixels of other types than bytes come only with finished batches, and have 8 bytes for each of 4 channels.
        pixel = 3 if self.levels else 32
        return 8 * MOST + -(-pixel * height * width // 64) * 64 + most

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.transforms!r})"


class RandomApply(_Composition):
    """``torchvision.transforms.RandomApply``: all operations, one after the other, or none.

    Parameters
    ----------
    transforms : sequence of operations
        Operations on images that keep their size.
    p : float
        Probability that an image is changed.
    """

    way: ClassVar[int] = 0

    def __init__(self, transforms: Sequence[ImageOp], p: float = 0.5) -> None:
        super().__init__(transforms, p=p)

    def __repr__(self) -> str:
        return f"RandomApply({self.transforms!r}, p={self.p:g})"


class RandomChoice(_Composition):
    """``torchvision.transforms.RandomChoice``: one of several operations.

    Parameters
    ----------
    transforms : sequence of operations
        Operations on images that keep their size.
    p : sequence of float, optional
        Weight of each; equal by default.
    """

    way: ClassVar[int] = 1

    def __init__(self, transforms: Sequence[ImageOp], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms, p)


class RandomOrder(_Composition):
    """``torchvision.transforms.RandomOrder``: all operations, in an order that is drawn for each image.

    Parameters
    ----------
    transforms : sequence of operations
        Operations on images that keep their size.
    """

    way: ClassVar[int] = 2

    def __init__(self, transforms: Sequence[ImageOp]) -> None:
        super().__init__(transforms)
