"""Conversions: to tensors, to another dtype, to another layout, to another device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ffprep.errors import OptionError
from ffprep.pipeline.form import FUSED_DTYPES, BatchInfo, ImageForm, dtype_name, torch_dtype
from ffprep.transforms.bases.transform import Transform, each, is_tensor


class ToTensor(Transform):
    """Yield batches as torch tensors, without a copy."""

    any_device: ClassVar[bool] = True
    light: ClassVar[bool] = True

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        return replace(form, tensor=True)

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        return each(x, as_tensor)

    def __repr__(self) -> str:
        return "ToTensor()"


def as_tensor(x: Any) -> Any:
    """Return a tensor over the memory of a numpy array; tensors are returned as they are.

    Raises
    ------
    OptionError
        torch has no such dtype, or x is no array.
    """
    import torch

    if is_tensor(x):
        return x
    if not isinstance(x, np.ndarray):
        raise OptionError(f"ToTensor needs an array, not {type(x).__name__}")
    try:
        return torch.from_numpy(x)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"ToTensor cannot take {x.dtype.str}: {error}; leave ToTensor() out or Convert() first"
        ) from None


class ToDevice(Transform):
    """Move tensors to a device, in a stream beside the training.

    Wherever it stands among flip, normalisation, conversion and layout, images are copied as uint8; normalisation,
    conversion and layout are then done on the device. In that case pixels are rounded to whole levels before they are
    normalised, as in torchvision; on the host, only the result is rounded.

    Parameters
    ----------
    device : torch.device, str or int
        A number means the CUDA device of that number, ``cuda`` the device that is current when an epoch begins.
    non_blocking : bool
        Accepted for ffcv's sake. Copies never hold up the training thread in any case.
    """

    def __init__(self, device: Any, non_blocking: bool = True) -> None:
        self.device = device
        self.non_blocking = non_blocking

    @property
    def target(self) -> str | None:
        """The device's name; None for the host."""
        name = f"cuda:{self.device}" if isinstance(self.device, int) else str(self.device)
        return None if name.partition(":")[0] == "cpu" else name

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        if self.target is None and form.device is None:
            return replace(form, tensor=True)
        return replace(form, tensor=True, device=self.target) if form.device in (None, self.target) else None

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        return each(x, lambda y: as_tensor(y).to(self.target or "cpu"))

    def __repr__(self) -> str:
        return f"ToDevice({self.device!r})"


class ToTorchImage(Transform):
    """Give images the shape (batch, 3, height, width).

    Parameters
    ----------
    channels_last : bool
        Keep the three channels of a pixel together in memory (``torch.channels_last``); otherwise each channel is
        a plane of its own.
    convert_back_int16 : bool
        Accepted for ffcv's sake, where float16 is passed on as int16. int16 images are read as float16.
    """

    any_device: ClassVar[bool] = True

    def __init__(self, channels_last: bool = True, convert_back_int16: bool = True) -> None:
        self.channels_last = channels_last
        self.convert_back_int16 = convert_back_int16

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        if form.channels_first:
            raise OptionError("ToTorchImage stands after another one; images have (channels, height, width) once")
        return replace(form, channels_first=True, planar=not self.channels_last, tensor=True)

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        import torch

        images = as_tensor(x)
        if self.convert_back_int16 and images.dtype == torch.int16:
            images = images.view(torch.float16)
        images = images.permute(0, 3, 1, 2)
        return images if self.channels_last else images.contiguous()

    def __repr__(self) -> str:
        return f"ToTorchImage(channels_last={self.channels_last})"


class Convert(Transform):
    """Convert to another dtype.

    Parameters
    ----------
    target_dtype : numpy or torch dtype
    """

    any_device: ClassVar[bool] = True

    def __init__(self, target_dtype: Any) -> None:
        self.target_dtype = dtype_name(target_dtype)

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        if self.target_dtype == form.dtype:
            return form
        widens = form.dtype == "uint8" or form.dtype == "float32"
        if not widens or self.target_dtype not in FUSED_DTYPES or self.target_dtype == "uint8":
            return None
        return replace(form, dtype=self.target_dtype)

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        def convert(y: Any) -> Any:
            if is_tensor(y) or self.target_dtype == "bfloat16":
                return as_tensor(y).to(torch_dtype(self.target_dtype))
            return y.astype(self.target_dtype, copy=False)

        return each(x, convert)

    def __repr__(self) -> str:
        return f"Convert({self.target_dtype})"


class View(Transform):
    """Read the same memory as another dtype.

    Parameters
    ----------
    target_dtype : numpy or torch dtype
    """

    light: ClassVar[bool] = True

    def __init__(self, target_dtype: Any) -> None:
        self.target_dtype = dtype_name(target_dtype)

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        if is_tensor(x):
            return x.view(torch_dtype(self.target_dtype))
        return x.view(self.target_dtype)

    def __repr__(self) -> str:
        return f"View({self.target_dtype})"
