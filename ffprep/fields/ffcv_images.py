"""What custom decoders and fields import from ``ffcv.fields.rgb_image``, beside its decoders and its field."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.fields import pixels
from ffprep.jpeg.ffcv_calls import imdecode, memcpy, resize_crop
from ffprep.kernels.both import portable_in_both

__all__ = [
    "IMAGE_MODES",
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


compiled_random_crop = portable_in_both(get_random_crop)
"""`get_random_crop` as ``ffcv.transforms.utils.fast_crop`` has it."""


@portable_in_both
def compiled_center_crop(height: Any, width: Any, ratio: Any) -> tuple[int, int, int, int]:
    """Return the central square as ``ffcv.transforms.utils.fast_crop`` does, which takes one argument less."""
    side = int(ratio * min(height, width))
    return (int(height) - side) // 2, (int(width) - side) // 2, side, side
