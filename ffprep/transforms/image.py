"""Operations on one image at a time: in the loader's workers, before normalisation, or on finished batches."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from ffprep import abi
from ffprep.common.seeds import signed
from ffprep.errors import FfprepError, OptionError
from ffprep.kernels.jit import entry_address
from ffprep.pipeline.form import BatchInfo, ImageForm
from ffprep.transforms.base import Transform, is_tensor, probability

Numbers = npt.NDArray[np.float64]


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


def channels_last(x: Any) -> bool:
    """Return whether a batch of images has its channels last rather than second.

    A dimension of size 3 is taken for the channels. Where both could be, arrays have their channels last and tensors
    have them second.

    Raises
    ------
    OptionError
        The batch does not have four dimensions.
    """
    if len(x.shape) != 4:
        raise OptionError(f"images have four dimensions, this batch has the shape {tuple(x.shape)}")
    first, last = int(x.shape[1]), int(x.shape[3])
    if is_tensor(x):
        return first != 3 and (last == 3 or (last in (1, 4) and first not in (1, 4)))
    return last == 3 or first not in (1, 3)


def pixel_bytes(fill: Sequence[float] | float, dtype: str, channels: int = 3) -> bytes:
    """Return the bytes of one pixel of a colour, as images of this dtype and number of channels store it.

    Raises
    ------
    OptionError
        The colour has another number of channels, or a value that does not fit the dtype.
    """
    values = np.asarray(fill, np.float64).reshape(-1)
    if values.size == 1:
        values = np.repeat(values, channels)
    if values.size != channels:
        raise OptionError(f"the colour {fill!r} is for {values.size} channels, the images have {channels}")
    if dtype == "bfloat16":
        words = values.astype(np.float32).view(np.uint32)
        rounded = (words + 0x7FFF + ((words >> 16) & 1)) >> 16
        return rounded.astype(np.uint16).tobytes()
    kind = np.dtype(dtype)
    if kind.kind in "iu" and ((values < np.iinfo(kind).min) | (values > np.iinfo(kind).max)).any():
        raise OptionError(f"the colour {fill!r} does not fit {dtype}")
    return values.astype(kind).tobytes()


def with_pixel(numbers: Sequence[float], pixel: bytes) -> Numbers:
    """Return parameters followed by the bytes of a pixel, padded with zeros to a multiple of 8: float64."""
    return np.concatenate([np.asarray(numbers, np.float64), np.frombuffer(pixel.ljust(-(-len(pixel) // 8) * 8, b"\0"))])


def build_program(form: ImageForm) -> list[Any]:
    """Return the augmentation that does a form's operations, and the owners of the memory that it points into.

    The first member is an array of one ``abi.AUGMENTATION``.
    """
    from ffprep.kernels.image.job import RUN_SIGNATURE
    from ffprep.transforms.compiled.run import run_program

    steps = np.zeros(len(form.ops), abi.AUGMENTATION_STEP)
    kept: list[Any] = [steps]
    height, width = form.rendered_size
    largest, work = height * width, 0
    for step, (op, stream) in zip(steps, form.ops, strict=True):
        numbers = op.numbers(height, width, "uint8")
        step["entry"], step["stream"], step["numbers"] = op.entry(), stream, numbers.ctypes.data
        step["h"], step["w"] = height, width
        kept += [numbers, op]
        work = max(work, op.work(height, width))
        height, width = step["out_h"], step["out_w"] = op.size(height, width)
        step["moves"] = int(op.moves)
        largest = max(largest, height * width)
    table = element_table(form)
    buffer = -(-3 * largest // 64) * 64
    augmentation = np.zeros(1, abi.AUGMENTATION)
    augmentation["entry"] = entry_address(run_program, RUN_SIGNATURE)
    augmentation["scratch"] = 2 * buffer + work + 64
    augmentation["bytes"] = height * width * form.channels * table.itemsize
    augmentation["count"], augmentation["steps"] = len(form.ops), steps.ctypes.data
    augmentation["buffer"] = buffer
    augmentation["table"], augmentation["item"] = table.ctypes.data, table.itemsize
    augmentation["planar"], augmentation["grey"] = int(form.planar), int(form.channels == 1)
    augmentation["pixels"] = height * width
    return [augmentation, *kept, table]


def element_table(form: ImageForm) -> npt.NDArray[Any]:
    """Return the table by which levels become elements of the batch.

    For float32 it holds the scale of each channel and then the bias of each, shape (6,). For 16-bit dtypes it holds the
    element for each level in each channel, shape (3, 256). For uint8 it is not used.
    """
    mean = np.asarray(form.mean if form.mean is not None else (0.0,) * 3)
    std = np.asarray(form.std if form.std is not None else (1.0,) * 3)
    if form.dtype == "uint8":
        return np.zeros(1, np.uint8)
    if form.dtype == "float32":
        return np.concatenate([1.0 / std, -mean / std]).astype(np.float32)
    values = (np.arange(256.0)[None, :] - mean[:, None]) / std[:, None]
    if form.dtype == "bfloat16":
        return np.frombuffer(pixel_bytes(values.reshape(-1).tolist(), "bfloat16", 768), np.uint16).reshape(3, 256)
    return np.ascontiguousarray(values.astype(form.dtype))


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
