"""What a device does to images that were copied to it as uint8: normalisation, dtype and layout.

Copying one byte a value instead of two or four is what this saves. On the device two kernels do the rest: ``v - mean``
in float32, then ``/ std``, rounded to the final dtype and written in the final layout. On the host, the workers
normalise resized pixels without rounding them to whole levels first, so the results there differ from these by up to
half a level. torchvision and ffcv round as is done here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ffprep.pipeline.form import BatchInfo, ImageForm, torch_dtype


def on_host(form: ImageForm) -> ImageForm:
    """Return the form that images have when they leave the host: uint8, channels last, not normalised."""
    return replace(form, dtype="uint8", planar=False, channels_first=False, mean=None, std=None, tensor=True)


class Finish:
    """Turns uint8 images of shape (batch, height, width, channels) on a device into images of a form.

    Parameters
    ----------
    form : ImageForm
    """

    def __init__(self, form: ImageForm) -> None:
        self._form = form
        self._constants: tuple[Any, Any] | None = None

    def _mean_and_std(self, images: Any) -> tuple[Any, Any]:
        import torch

        if self._constants is None or self._constants[0].device != images.device:
            channels = self._form.channels
            shape = (1, channels, 1, 1) if self._form.channels_first else (channels,)
            mean, std = (
                torch.tensor(numbers[:channels], dtype=torch.float32, device=images.device).view(shape)
                for numbers in (self._form.mean or (), self._form.std or ())
            )
            self._constants = mean, std
        return self._constants

    def __call__(self, images: Any, batch: BatchInfo | None = None) -> Any:
        """Finish a batch of images; `batch` is ignored."""
        import torch

        form = self._form
        dtype = torch_dtype(form.dtype)
        shown = images.permute(0, 3, 1, 2) if form.channels_first else images
        if form.mean is None and form.dtype == "uint8" and not form.planar:
            return shown
        layout = torch.channels_last if form.channels_first and not form.planar else torch.contiguous_format
        out = torch.empty(shown.shape, dtype=dtype, device=images.device, memory_format=layout)
        if form.mean is None:
            return out.copy_(shown)
        mean, std = self._mean_and_std(images)
        return torch.div(torch.sub(shown, mean), std, out=out)

    def __repr__(self) -> str:
        return f"Finish({self._form})"
