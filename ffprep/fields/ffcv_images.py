"""What custom decoders and fields import from ``ffcv.fields.rgb_image``, beside its decoders and its field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.fields import pixels
from ffprep.fields.decoders import SimpleRGBImageDecoder
from ffprep.jpeg.ffcv_calls import imdecode, memcpy, resize_crop
from ffprep.kernels.jit import uncached
from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.compiler import Compiler
from ffprep.pipeline.state import State

__all__ = [
    "IMAGE_MODES",
    "ResizedCropRGBImageDecoder",
    "encode_jpeg",
    "get_center_crop",
    "get_random_crop",
    "imdecode",
    "memcpy",
    "resize_crop",
    "resizer",
]

IMAGE_MODES = {"jpg": 0, "raw": 1}
"""How an image is stored, by the number in its record."""


def encode_jpeg(numpy_image: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """Encode RGB pixels (height, width, 3) as a JPEG; return its bytes, uint8."""
    return np.frombuffer(pixels.jpeg_bytes(np.ascontiguousarray(numpy_image), int(quality), seekable=False), np.uint8)


def resizer(image: npt.NDArray[np.uint8], target_resolution: int | None) -> npt.NDArray[np.uint8]:
    """Shrink an image (height, width, 3) so that its longer side has at most that many pixels."""
    return pixels.shrink(image, target_resolution, None)


def get_random_crop(height: Any, width: Any, scale: Any, ratio: Any) -> tuple[int, int, int, int]:
    """Draw torchvision's random crop (top, left, height, width) with ``np.random``. Compiled code may call it.

    Parameters
    ----------
    height, width : int
        Of the image.
    scale, ratio : (low, high)
        Share of the image's area, and width over height.
    """
    for _ in range(10):
        area = height * width * np.random.uniform(scale[0], scale[1])  # noqa: NPY002
        aspect = np.exp(np.random.uniform(np.log(ratio[0]), np.log(ratio[1])))  # noqa: NPY002
        w = round(np.sqrt(area * aspect))
        h = round(np.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = int(np.random.uniform(0, height - h + 1))  # noqa: NPY002
            left = int(np.random.uniform(0, width - w + 1))  # noqa: NPY002
            return top, left, h, w
    h, w = int(height), int(width)
    if width / height < ratio[0]:
        h = round(w / ratio[0])
    elif width / height > ratio[1]:
        w = round(h * ratio[1])
    return (int(height) - h) // 2, (int(width) - w) // 2, h, w


def get_center_crop(height: Any, width: Any, _: Any, ratio: Any) -> tuple[int, int, int, int]:
    """Return the central square (top, left, side, side) of side ``int(ratio * min(height, width))``."""
    side = int(ratio * min(height, width))
    return (int(height) - side) // 2, (int(width) - side) // 2, side, side


compiled_random_crop = uncached(get_random_crop)
"""`get_random_crop` as ``ffcv.transforms.utils.fast_crop`` has it."""


@uncached
def compiled_center_crop(height: Any, width: Any, ratio: Any) -> tuple[int, int, int, int]:
    """Return the central square as ``ffcv.transforms.utils.fast_crop`` does, which takes one argument less."""
    side = int(ratio * min(height, width))
    return (int(height) - side) // 2, (int(width) - side) // 2, side, side


class ResizedCropRGBImageDecoder(SimpleRGBImageDecoder):
    """Base class of decoders whose crop is a function of their own, resized to one size.

    A subclass sets ``scale`` and ``ratio`` and has the property ``get_crop_generator``: a function
    ``f(height, width, scale, ratio) -> (top, left, height, width)`` that numba can compile. Whole images are decoded,
    as in ffcv; our own decoders, such as `RandomResizedCropRGBImageDecoder`, decode their crop alone.

    Parameters
    ----------
    output_size : (height, width)
    """

    scale: Any = None
    ratio: Any = None

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size
        self.metadata: Any = None
        self.memory_read: Any = None

    @property
    def get_crop_generator(self) -> Callable[..., Any]:
        raise NotImplementedError(f"{type(self).__name__} has no get_crop_generator")

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, Any]:
        """Declare the images of a batch, and room for the largest image of the file."""
        assert isinstance(self.output_size, (tuple, list))
        shape, byte = (int(self.output_size[0]), int(self.output_size[1]), 3), np.dtype("u1")
        largest = 3 * int(self.metadata["width"].max()) * int(self.metadata["height"].max())
        return replace(previous_state, jit_mode=True, shape=shape, dtype=byte), (
            AllocationQuery(shape, byte),
            AllocationQuery((largest,), byte),
        )

    def generate_code(self) -> Callable[..., Any]:
        """Return the code that decodes, crops and resizes the images of a batch."""
        jpeg, read, loop = IMAGE_MODES["jpg"], self.memory_read, Compiler.get_iterator()
        crop = Compiler.compile(self.get_crop_generator)
        scale, ratio = (np.array(v) if isinstance(v, (tuple, list)) else v for v in (self.scale, self.ratio))

        def decode(batch: Any, memory: Any, metadata: Any, storage: Any) -> Any:
            out, scratch = memory
            for row in loop(len(batch)):
                record = metadata[batch[row]]
                stored = read(record["data_ptr"], storage)
                height, width = np.int64(record["height"]), np.int64(record["width"])
                if record["mode"] == jpeg:
                    imdecode(stored, scratch[row], height, width)
                    image = scratch[row][: 3 * height * width].reshape(height, width, 3)
                else:
                    image = stored.reshape(height, width, 3)
                top, left, tall, wide = crop(height, width, scale, ratio)
                resize_crop(image, top, top + tall, left, left + wide, out[row])
            return out[: len(batch)]

        decode.is_parallel = True  # type: ignore[attr-defined]
        return decode
