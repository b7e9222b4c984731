"""Random flips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ffprep.common.seeds import signed
from ffprep.kernels.random import uniforms
from ffprep.pipeline.form import BatchInfo, ImageForm
from ffprep.transforms.bases.transform import is_tensor, probability
from ffprep.transforms.image import ImageOp, Numbers, channels_last


class _Flip(ImageOp):
    levels: ClassVar[bool] = False
    any_device: ClassVar[bool] = True
    axis: ClassVar[int]

    def __init__(self, flip_prob: float = 0.5, seed: int | None = None) -> None:
        self.flip_prob = probability(flip_prob, "flip_prob")
        self.seed = seed

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([self.flip_prob])

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        if not is_tensor(x) or x.device.type == "cpu":
            return super().apply(x, batch)
        import torch

        chosen = uniforms(signed(batch.seed), batch.epoch, batch.keys, batch.stream, 0) < self.flip_prob
        mask = torch.from_numpy(chosen).to(x.device).view(-1, 1, 1, 1)
        return torch.where(mask, x.flip(self.axis + (0 if channels_last(x) else 1)), x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.flip_prob})"


class RandomHorizontalFlip(_Flip):
    """Flip each image left to right with probability `flip_prob`.

    Parameters
    ----------
    flip_prob : float
        Whether an image is flipped is a function of (seed, epoch, sample).
    seed : int, optional
        Operations of this class with the same seed draw alike in all outputs of a loader.

    Notes
    -----
    The first flip of a pipeline costs nothing, as the image is rendered mirrored, unless operations before it depend on
    the image's direction.
    """

    function: ClassVar[tuple[str, str]] = ("space", "flip_horizontal")
    followed: ClassVar[Mapping[str, tuple[str, str]]] = {
        "labels": ("space", "flip_horizontal"),
        "points": ("follow", "flip_points_horizontal"),
    }
    axis: ClassVar[int] = 2

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        if form.flip is None and all(op.pixelwise for op, _ in form.ops):
            return replace(form, flip=self.flip_prob, flip_stream=stream)
        return None if form.dtype != "uint8" else super().fuse(form, stream)


class RandomVerticalFlip(_Flip):
    """Flip each image upside down with probability `flip_prob`.

    Parameters
    ----------
    flip_prob : float
    seed : int, optional
        Operations of this class with the same seed draw alike in all outputs of a loader.
    """

    function: ClassVar[tuple[str, str]] = ("space", "flip_vertical")
    followed: ClassVar[Mapping[str, tuple[str, str]]] = {
        "labels": ("space", "flip_vertical"),
        "points": ("follow", "flip_points_vertical"),
    }
    axis: ClassVar[int] = 1
