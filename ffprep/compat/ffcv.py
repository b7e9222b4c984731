"""ffprep's image decoders inside a stock ``ffcv.Loader``: crop-only decoding and fused resizing there, too.

Replace the decoder that begins a pipeline, and leave the rest as it is::

    from ffprep.compat.ffcv import RandomResizedCropRGBImageDecoder

They need none of the scratch memory that stock's need, draw by (seed, epoch, sample), and leave an image that cannot be
decoded black and counted rather than showing another one. The other way round needs nothing: stock ffcv's operations
run in ``ffprep.Loader`` as they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import DecodeError, OptionError
from ffprep.fields import decoders
from ffprep.jpeg import one_image as compiled
from ffprep.jpeg import status as jpeg_status
from ffprep.kernels.memory import call_entry
from ffprep.loader.engine.program import spec_of
from ffprep.loader.epoch.scheduler import OWN_CODES
from ffprep.pipeline.form import ImageForm
from ffprep.transforms import NormalizeImage
from ffprep.transforms.bases.transform import probability

try:
    from ffcv.fields.rgb_image import SimpleRGBImageDecoder
    from ffcv.pipeline.allocation_query import AllocationQuery
    from ffcv.pipeline.compiler import Compiler
except ImportError as error:
    raise ImportError("ffprep.compat.ffcv needs stock ffcv: pip install 'ffprep[ffcv]'") from error

__all__ = [
    "CenterCropRGBImageDecoder",
    "RandomResizedCropRGBImageDecoder",
    "ResizeCenterCropRGBImageDecoder",
    "ResizeRGBImageDecoder",
]

CROP_STREAM, FLIP_STREAM = 1, 2


class _StockDecoder(SimpleRGBImageDecoder):
    """What the decoders below have in common.

    Parameters
    ----------
    decoder : ImageDecoder
        What it does.
    seed : int
        Key of the draws, which are a function of (seed, epoch, sample), for any number of workers.
    flip_prob : float
        Probability of a horizontal flip: replaces the transform after the decoder, and its pass over the batch.
    mean, std, dtype
        Normalise to float32 or float16: replaces stock's ``NormalizeImage(mean, std, dtype)`` after the decoder.
    """

    def __init__(
        self,
        decoder: decoders.ImageDecoder,
        seed: int = 0,
        flip_prob: float = 0.0,
        mean: Sequence[float] | npt.NDArray[Any] | None = None,
        std: Sequence[float] | npt.NDArray[Any] = (255.0, 255.0, 255.0),
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self._decoder = decoder
        self._work = compiled.Work()
        self.seed = seed
        flip = probability(flip_prob, "flip_prob")
        form = ImageForm(1, 1, flip=flip or None, flip_stream=FLIP_STREAM)
        if mean is not None:
            normal = NormalizeImage(mean, std, dtype).fuse(form, 0)
            if normal is None or normal.dtype == "bfloat16":
                raise OptionError(f"dtype is {dtype!r}; use np.float32 or np.float16")
            form = normal
        self._form = form
        self.epoch = -2

    @property
    def output_size(self) -> decoders.Size:
        """(height, width), or a function of the epoch; may be set anew between epochs."""
        assert self._decoder.output_size is not None
        return self._decoder.output_size

    @output_size.setter
    def output_size(self, size: decoders.Size) -> None:
        self._decoder.output_size = size

    def set_epoch(self, epoch: int) -> None:
        """Let the next epoch be this one, for the draws; otherwise they are counted as stock ffcv begins them."""
        self.epoch = epoch - 1

    @property
    def failures(self) -> list[tuple[int, str]]:
        """Samples of this epoch that could not be decoded, and why: the first 32 of them."""
        return [(sample, _sentence(status)) for sample, status in self._work.failures()[1]]

    def check(self) -> None:
        """Raise an error if an image of this epoch could not be decoded.

        Raises
        ------
        DecodeError
        """
        count, first = self._work.failures()
        if count:
            raise DecodeError(f"{count} images could not be decoded and are black: {_examples(first)}")

    def declare_state_and_memory(self, previous_state: Any) -> tuple[Any, Any]:
        """Stock ffcv calls this when the loader is made and at the beginning of each epoch."""
        count, first = self._work.failures()
        if count:
            warnings.warn(f"{count} images could not be decoded and are black: {_examples(first)}", stacklevel=2)
            self._work.forget_failures()
        self.epoch += 1
        height, width = decoders.size_at(self.output_size, max(0, self.epoch))
        form = replace(self._form, height=height, width=width)
        self._work.set(spec_of(form, self._decoder, CROP_STREAM, 0, self.seed, max(0, self.epoch)))
        # stock keeps half precision as int16, which its ToTorchImage turns back
        kind = np.dtype({"uint8": "u1", "float16": "i2"}.get(form.dtype, form.dtype))
        state = replace(previous_state, jit_mode=True, shape=(height, width, 3), dtype=kind)
        return state, AllocationQuery((height, width, 3), kind)

    def generate_code(self) -> Callable[..., Any]:
        read = self.memory_read
        loop = Compiler.get_iterator()
        entry, work = compiled.entry(), self._work.block.ctypes.data

        def decode(batch: Any, out: Any, metadata: Any, storage: Any) -> Any:
            for i in loop(len(batch)):
                sample = batch[i]
                record = metadata[sample]
                data = read(record["data_ptr"], storage)
                call_entry(
                    entry,
                    (
                        np.int64(work),
                        np.int64(data.ctypes.data),
                        np.int64(data.size),
                        np.int64(record["width"]),
                        np.int64(record["height"]),
                        np.int64(record["mode"]),
                        np.int64(sample),
                        np.int64(out[i].ctypes.data),
                        np.int64(out.shape[1]),
                        np.int64(out.shape[2]),
                    ),
                )
            return out[: len(batch)]

        decode.is_parallel = True  # type: ignore[attr-defined]
        return decode


def _sentence(status: int) -> str:
    return OWN_CODES[status][0] if status in OWN_CODES else jpeg_status.sentence(status)


def _examples(failures: Sequence[tuple[int, int]]) -> str:
    shown = "; ".join(f"sample {sample}: {_sentence(status)}" for sample, status in failures[:3])
    return shown if len(failures) <= 3 else f"{shown}; ..."


class RandomResizedCropRGBImageDecoder(_StockDecoder):
    """A random crop, resized; see `ffprep.fields.decoders.RandomResizedCropRGBImageDecoder`.

    Parameters
    ----------
    output_size : (height, width) or int
    scale, ratio : (low, high)
    interpolation : {'bilinear', 'bicubic', 'area'}
        Antialiased, as torchvision's; or ``area``, which stock ffcv's own decoders use.
    **options
        ``seed``, the key of the draws, which are a function of (seed, epoch, sample), for any number of workers;
        ``flip_prob``, the probability of a horizontal flip: replaces stock's later transform and its pass over the
        batch; ``mean``, ``std`` and ``dtype`` to normalise to float32 or float16, as stock's
        ``NormalizeImage(mean, std, dtype)`` would later, which they replace.
    """

    def __init__(
        self,
        output_size: decoders.Size,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (0.75, 4 / 3),
        interpolation: str = "bilinear",
        **options: Any,
    ) -> None:
        super().__init__(decoders.RandomResizedCropRGBImageDecoder(output_size, scale, ratio, interpolation), **options)


class CenterCropRGBImageDecoder(_StockDecoder):
    """The central square of side ``int(ratio * min(height, width))``, resized.

    Parameters
    ----------
    output_size : (height, width) or int
    ratio : float
    interpolation, **options
        See `RandomResizedCropRGBImageDecoder`.
    """

    def __init__(
        self,
        output_size: decoders.Size,
        ratio: float,
        interpolation: str = "bilinear",
        **options: Any,
    ) -> None:
        super().__init__(decoders.CenterCropRGBImageDecoder(output_size, ratio, interpolation), **options)


class ResizeRGBImageDecoder(_StockDecoder):
    """The whole image resized to one size; stock ffcv has no such decoder.

    Parameters
    ----------
    output_size : (height, width) or int
    interpolation, **options
        See `RandomResizedCropRGBImageDecoder`.
    """

    def __init__(
        self,
        output_size: decoders.Size,
        interpolation: str = "bilinear",
        **options: Any,
    ) -> None:
        super().__init__(decoders.ResizeRGBImageDecoder(output_size, interpolation), **options)


class ResizeCenterCropRGBImageDecoder(_StockDecoder):
    """torchvision's ``Resize(resize)`` and ``CenterCrop(output_size)``; stock ffcv has no such decoder.

    Parameters
    ----------
    output_size : (height, width) or int
    resize : int
    interpolation, **options
        See `RandomResizedCropRGBImageDecoder`.
    """

    def __init__(
        self,
        output_size: decoders.Size,
        resize: int,
        interpolation: str = "bilinear",
        **options: Any,
    ) -> None:
        super().__init__(decoders.ResizeCenterCropRGBImageDecoder(output_size, resize, interpolation), **options)
