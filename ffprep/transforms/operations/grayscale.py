"""Images of one channel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ffprep.errors import OptionError
from ffprep.pipeline.form import BatchInfo, ImageForm
from ffprep.transforms.bases.transform import Transform, is_tensor
from ffprep.transforms.image import channels_last

WEIGHTS = (0.299, 0.587, 0.114)
"""Of red, green and blue in luma: ITU-R BT.601, as in JFIF, Pillow and torchvision."""


class Grayscale(Transform):
    """Make grey images of one channel: ``torchvision.transforms.Grayscale``.

    Right after the decoder, with flips and `NormalizeImage` after it, JPEGs are decoded to their luma alone, which is
    stored in them, and nothing is made of their colours. After operations on colours, the luma of what they give is
    taken. `NormalizeImage` then takes one mean and one standard deviation.

    Parameters
    ----------
    num_output_channels : int
        1. For grey images of three channels there is ``RandomGrayscale(1)``.

    Raises
    ------
    OptionError
        Another number of channels.
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels != 1:
            raise OptionError(
                f"Grayscale gives 1 channel, not {num_output_channels!r}; RandomGrayscale(1) gives grey images of 3"
            )

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        if form.channels == 1:
            return form
        if form.dtype != "uint8" or form.mean is not None:
            return None
        return replace(form, channels=1, luma=not form.ops)

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        if 1 in (x.shape[1], x.shape[-1]) and 3 not in (x.shape[1], x.shape[-1]):
            return x
        last = channels_last(x)
        if (x.shape[-1] if last else x.shape[1]) != 3:
            raise OptionError(f"{self!r} works on images of 3 channels, not on a batch of shape {tuple(x.shape)}")
        red, green, blue = (x[..., c : c + 1] if last else x[:, c : c + 1] for c in range(3))
        if not str(x.dtype).endswith("uint8"):
            return WEIGHTS[0] * red + WEIGHTS[1] * green + WEIGHTS[2] * blue
        if is_tensor(x):
            import torch

            red, green, blue = (part.to(torch.int32) for part in (red, green, blue))
            return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).to(torch.uint8)
        red, green, blue = (part.astype(np.int32) for part in (red, green, blue))
        return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)

    def __repr__(self) -> str:
        return "Grayscale()"
