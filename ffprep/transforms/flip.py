"""Random flips."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ffprep.pipeline.form import BatchInfo, ImageForm
from ffprep.transforms.base import Transform, is_tensor, probability


class RandomHorizontalFlip(Transform):
    """Flip each image left to right with probability `flip_prob`.

    Parameters
    ----------
    flip_prob : float
        The draw is a function of (seed, epoch, sample).
    """

    def __init__(self, flip_prob: float = 0.5) -> None:
        self.flip_prob = probability(flip_prob, "flip_prob")

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        if form.flip is not None:
            return None
        return replace(form, flip=self.flip_prob, flip_stream=stream)

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        from ffprep.kernels.random import uniforms

        chosen = uniforms(batch.seed, batch.epoch, batch.keys, batch.stream, 0) < self.flip_prob
        if not is_tensor(x):
            out = np.array(x)
            out[chosen] = x[chosen][:, :, ::-1]
            return out
        import torch

        axis = 3 if x.shape[1] == 3 else 2
        mask = torch.from_numpy(chosen).to(x.device).view(-1, *([1] * (x.dim() - 1)))
        return torch.where(mask, x.flip(axis), x)

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip({self.flip_prob})"
