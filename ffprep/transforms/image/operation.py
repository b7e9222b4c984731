"""Operations on one image at a time: in the loader's workers, before normalisation, or on finished batches."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from ffprep.common.seeds import signed
from ffprep.errors import FfprepError, OptionError
from ffprep.kernels.jit import entry_address
from ffprep.pipeline.form import BatchInfo, ImageForm
from ffprep.transforms.bases.transform import Transform, is_tensor, probability
from ffprep.transforms.image.pixels import Numbers, channels_last


class ImageOp(Transform):
    """A compiled operation on one image at a time.

    Placed after the decoder and before `NormalizeImage` and `Convert`, it runs in the loader's workers, on the image
    that has just been rendered. Elsewhere the loader's stage thread applies it to the finished batch, on the CPU.

    A subclass names its compiled function (`function`) and returns the parameters of that (`numbers`).

    Class attributes
    ----------------
    function : (module, name)
        Of the compiled function, in ``ffprep.transforms.compiled``.
    moves : bool
        The function writes its result to another buffer instead of working in place.
    levels : bool
        It needs uint8 RGB images. Other operations take pixels of any dtype and any number of channels.
    pixelwise : bool
        Mirroring an image before the operation gives the same pixels as mirroring the result.
    followed : dict
        Of an operation that moves pixels: its compiled functions for label masks and for lists of points, as (module,
        name) under ``labels`` and ``points``.
    by_sample : bool
        It needs the number of the sample, and not only the key of the sample's random draws. Workers pass on only the
        key, so such an operation is applied to finished batches.
    """

    function: ClassVar[tuple[str, str]]
    moves: ClassVar[bool] = False
    levels: ClassVar[bool] = True
    pixelwise: ClassVar[bool] = False
    followed: ClassVar[Mapping[str, tuple[str, str]]] = {}
    by_sample: ClassVar[bool] = False

    def entry(self) -> int:
        """Return the address of the compiled function."""
        from ffprep.transforms.compiled.run import OP_SIGNATURE

        module, name = self.function
        return entry_address(getattr(import_module(f"ffprep.transforms.compiled.{module}"), name), OP_SIGNATURE)

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        """Return the function's parameters for images of this size, dtype and number of channels: float64, (n,).

        Raises
        ------
        OptionError
            The operation cannot be applied to such images.
        """
        raise NotImplementedError

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the result for images of this size."""
        return height, width

    def work(self, height: int, width: int) -> int:
        """Return how many bytes of scratch memory the function needs for images of this size."""
        return 0

    def follower(self, what: str, fill: int = 0) -> ImageOp | None:
        """Return the operation that does to labels or points what this one does to images, drawn from the same stream.

        Parameters
        ----------
        what : {'labels', 'points'}
        fill : int
            Label of what lies outside the image.

        Returns
        -------
        ImageOp or None
            None if pixels stay where they are.

        Raises
        ------
        OptionError
            Nothing can follow this operation.
        """
        if what not in self.followed:
            return None
        other: Any = copy.copy(self)
        other.function, other.levels = self.followed[what], False
        other.moves = self.moves and what == "labels"
        if hasattr(other, "fill"):
            other.fill = (fill,) * len(other.fill) if isinstance(other.fill, tuple) else fill
        return cast(ImageOp, other)

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        if form.dtype != "uint8" or form.mean is not None:
            if self.levels:
                raise OptionError(f"{self!r} works on uint8 images; put it before NormalizeImage and Convert")
            if form.device is not None:
                raise OptionError(f"{self!r} runs on the CPU; put it before NormalizeImage, Convert and ToDevice")
            return None
        self.numbers(form.height, form.width, "uint8")
        if self.by_sample:
            return None
        height, width = self.size(form.height, form.width)
        ops = (*form.ops, (self, stream))
        return replace(form, ops=ops, rendered=form.rendered_size, height=height, width=width)

    def apply(self, x: Any, batch: BatchInfo) -> Any:
        return apply_to_batch(self, x, batch)


class ChanceOp(ImageOp):
    """An operation on levels whose only parameter is its probability.

    Parameters
    ----------
    p : float
        Probability that an image is changed.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, "p")

    def numbers(self, height: int, width: int, dtype: str, channels: int = 3) -> Numbers:
        return np.array([self.p])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p:g})"


def apply_to_batch(op: ImageOp, x: Any, batch: BatchInfo) -> Any:
    """Apply an operation to a batch of images in either layout; the result is new memory in the same layout and dtype.

    Raises
    ------
    OptionError
        The images are on another device, or have a dtype that the operation does not take.
    """
    if is_tensor(x):
        return _apply_to_tensor(op, x, batch)
    if not isinstance(x, np.ndarray):
        raise OptionError(f"{op!r} works on images, not on {type(x).__name__}")
    if channels_last(x):
        return _apply_to_rows(op, np.ascontiguousarray(x), str(x.dtype), batch)
    done = _apply_to_rows(op, np.ascontiguousarray(x.transpose(0, 2, 3, 1)), str(x.dtype), batch)
    return np.ascontiguousarray(done.transpose(0, 3, 1, 2))


def _apply_to_tensor(op: ImageOp, x: Any, batch: BatchInfo) -> Any:
    import torch

    if x.device.type != "cpu":
        raise OptionError(f"{op!r} runs on the CPU; put it before ToDevice({str(x.device)!r})")
    last = channels_last(x)
    rows = (x if last else x.permute(0, 2, 3, 1)).contiguous()
    name = str(x.dtype).removeprefix("torch.")
    stored = rows.view(torch.int16).numpy() if name == "bfloat16" else rows.numpy()
    done = torch.from_numpy(_apply_to_rows(op, stored, name, batch))
    if name == "bfloat16":
        done = done.view(torch.bfloat16)
    if last:
        return done
    done = done.permute(0, 3, 1, 2)
    return done if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous() else done.contiguous()


def _apply_to_rows(op: ImageOp, x: npt.NDArray[Any], dtype: str, batch: BatchInfo) -> npt.NDArray[Any]:
    """Apply an operation to images (batch, height, width, channels), C-contiguous; return a new array.

    `dtype` is the name of the images' dtype; bfloat16 is stored as 16-bit integers.
    """
    from ffprep.transforms.compiled.run import run_rows

    count, height, width, channels = x.shape
    if op.levels and (dtype != "uint8" or channels != 3):
        raise OptionError(f"{op!r} works on uint8 images of 3 channels, not on {dtype} of {channels}")
    ids = np.ascontiguousarray(batch.ids if op.by_sample else batch.keys, np.int64)
    if len(ids) != count:
        raise OptionError(f"{op!r}: {count} images, and a batch of {len(ids)} samples")
    numbers = op.numbers(height, width, dtype, channels)
    out_height, out_width = op.size(height, width)
    out = np.empty((count, out_height, out_width, channels), x.dtype) if op.moves else x.copy()
    source = x if op.moves else out
    work = np.empty(op.work(height, width) + 64, np.uint8)
    sizes = np.array([height, width, out_height, out_width, channels * x.itemsize], np.int64)
    status = run_rows(
        op.entry(), source.ctypes.data, out.ctypes.data, sizes, numbers.ctypes.data, work.ctypes.data,
        signed(batch.seed), batch.epoch, ids, batch.stream,
    )  # fmt: skip
    if status != 0:
        raise FfprepError(f"{op!r} failed with status {status}; report this as a bug")
    return out
