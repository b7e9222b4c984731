"""Normalising images, channel by channel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.pipeline.form import BatchInfo, ImageForm, dtype_name, torch_dtype
from ffprep.transforms.bases.transform import Transform, is_tensor
from ffprep.transforms.image import channels_last, element_table

FUSED_TYPES = ("float32", "float16", "bfloat16")


def three(value: Any, name: str) -> tuple[float, float, float]:
    """Return one number for each of three channels; `value` may be a single number for all. Messages call it `name`.

    Raises
    ------
    OptionError
        There is another number of values, or one is not finite.
    """
    numbers = np.asarray(value, np.float64).reshape(-1)
    if numbers.size == 1:
        numbers = np.repeat(numbers, 3)
    if numbers.size != 3 or not np.isfinite(numbers).all():
        raise OptionError(f"{name} must be one finite number for each of 3 channels, got {value!r}")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


class NormalizeImage(Transform):
    """Turn uint8 images into ``(v - mean) / std`` of a floating-point type.

    Parameters
    ----------
    mean, std : sequences of three floats
        In units of 0 to 255, as for ffcv: ImageNet's are ``np.array([0.485, 0.456, 0.406]) * 255`` and
        ``np.array([0.229, 0.224, 0.225]) * 255``. Numbers as torchvision takes them, up to 1, get a warning.
    type : dtype
        ``np.float32``, ``np.float16`` and ``torch.bfloat16`` cost nothing extra; other floating-point types are
        computed from the finished batch.
    """

    any_device: ClassVar[bool] = True

    def __init__(
        self,
        mean: Sequence[float] | npt.NDArray[np.floating[Any]],
        std: Sequence[float] | npt.NDArray[np.floating[Any]],
        type: Any,
    ) -> None:
        self.mean = three(mean, "mean")
        self.std = three(std, "std")
        if min(abs(s) for s in self.std) == 0:
            raise OptionError("std holds a zero; each channel is divided by it")
        self.type = dtype_name(type)
        self._warned = False
        if self.type != "bfloat16" and not np.issubdtype(np.dtype(self.type), np.floating):
            raise OptionError(f"NormalizeImage cannot write {self.type}; use a floating-point type")

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        if form.dtype != "uint8" or form.mean is not None or self.type not in FUSED_TYPES:
            return None
        self._check_units()
        if form.channels == 1 and (len(set(self.mean)) > 1 or len(set(self.std)) > 1):
            raise OptionError(f"{self!r}: grey images have one channel; give one mean and one std")
        return replace(form, dtype=self.type, mean=self.mean, std=self.std)

    def _check_units(self) -> None:
        """Warn, once, if levels from 0 to 255 are normalised by numbers for levels from 0 to 1."""
        small_mean = 0 < max(map(abs, self.mean)) <= 1
        small_std = max(map(abs, self.std)) < 1
        if (small_mean or small_std) and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self!r}: mean and std are for levels from 0 to 255; multiply both by 255 if they are torchvision's, "
                "for levels from 0 to 1",
                UserWarning,
                stacklevel=3,
            )

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        if str(x.dtype).endswith("uint8"):
            self._check_units()
        done = self._apply_compiled(x)
        if done is not None:
            return done
        if not is_tensor(x):
            wide = np.float64 if self.type == "float64" else np.float32
            return ((x - np.asarray(self.mean, wide)) / np.asarray(self.std, wide)).astype(self.type)
        import torch

        target = torch_dtype(self.type)
        wide_type = torch.float64 if target == torch.float64 else torch.float32
        shape = (1, 3, 1, 1) if x.dim() == 4 and x.shape[1] == 3 else (3,)
        mean = torch.tensor(self.mean, dtype=wide_type, device=x.device).view(shape)
        std = torch.tensor(self.std, dtype=wide_type, device=x.device).view(shape)
        return ((x - mean) / std).to(target)

    def _apply_compiled(self, x: Any) -> Any:
        """Return the result for uint8 images on the CPU whose channels lie together in memory, None for others."""
        tensor = is_tensor(x)
        if not str(x.dtype).endswith("uint8") or len(x.shape) != 4 or self.type not in FUSED_TYPES:
            return None
        if (tensor and x.device.type != "cpu") or (not tensor and self.type == "bfloat16"):
            return None
        last = channels_last(x)
        rows = x if last else (x.permute(0, 2, 3, 1) if tensor else x.transpose(0, 2, 3, 1))
        dense = rows.is_contiguous() if tensor else rows.flags.c_contiguous
        if not dense or rows.shape[3] != 3:
            return None
        from ffprep.transforms.compiled.run import finish_rows

        images = rows.numpy() if tensor else rows
        count, height, width, _ = images.shape
        form = ImageForm(height, width, dtype=self.type, mean=self.mean, std=self.std)
        table = element_table(form)
        out = np.empty(images.shape, table.dtype)
        finish_rows(images.ctypes.data, out.ctypes.data, count, height * width, table.ctypes.data, table.itemsize)
        if not tensor:
            return out if last else out.transpose(0, 3, 1, 2)
        import torch

        made = torch.from_numpy(out.view(np.int16)).view(torch.bfloat16) if self.type == "bfloat16" else None
        made = torch.from_numpy(out) if made is None else made
        return made if last else made.permute(0, 3, 1, 2)

    def __repr__(self) -> str:
        return f"NormalizeImage({self.mean}, {self.std}, {self.type})"
