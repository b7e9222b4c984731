"""The decoder of each library alone: bytes of a JPEG in memory to RGB pixels of the whole image, in one thread.

Each runner returns a callable that decodes all images once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peers.common import images_of

Decode = Callable[[bytes], Any]


def _all(folder: str, decode: Decode) -> Callable[[], int]:
    data = [path.read_bytes() for path, _ in images_of(folder)]

    def run() -> int:
        for one in data:
            decode(one)
        return len(data)

    return run


def pillow(folder: str) -> Callable[[], int]:
    """Pillow, with the libjpeg-turbo of its wheel."""
    import io

    import numpy as np
    from PIL import Image

    return _all(folder, lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def torchvision(folder: str) -> Callable[[], int]:
    """torchvision's ``decode_jpeg`` on the CPU."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    torch.set_num_threads(1)
    return _all(
        folder, lambda data: decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
    )


def opencv(folder: str) -> Callable[[], int]:
    """OpenCV's ``imdecode``."""
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    return _all(folder, lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))


def simplejpeg(folder: str) -> Callable[[], int]:
    """simplejpeg, with its documented faster settings ``fastdct`` and ``fastupsample`` off, as is its default."""
    from simplejpeg import decode_jpeg

    return _all(folder, lambda data: decode_jpeg(data, "RGB"))


def turbojpeg(folder: str) -> Callable[[], int]:
    """PyTurboJPEG, which needs a libjpeg-turbo 3 of the system."""
    from turbojpeg import TJPF_RGB, TurboJPEG

    decoder = TurboJPEG()
    return _all(folder, lambda data: decoder.decode(data, TJPF_RGB))


def imagecodecs(folder: str) -> Callable[[], int]:
    """``imagecodecs.jpeg8_decode``."""
    from imagecodecs import jpeg8_decode

    return _all(folder, lambda data: jpeg8_decode(data, outcolorspace="rgb"))


def kornia(folder: str) -> Callable[[], int]:
    """kornia-rs by its libjpeg-turbo."""
    from kornia_rs.io import decode_image_jpegturbo

    return _all(folder, lambda data: decode_image_jpegturbo(data, "rgb"))


def ours(folder: str) -> Callable[[], int]:
    """ffprep's C library with its conversion to RGB, by the function that stands in for stock ffcv's ``imdecode``."""
    import numpy as np

    from ffprep.jpeg import read_header
    from ffprep.libffcv import imdecode

    arrays = [np.frombuffer(path.read_bytes(), np.uint8) for path, _ in images_of(folder)]
    sizes = [(header.height, header.width) for header in map(read_header, arrays)]

    def run() -> int:
        for data, (height, width) in zip(arrays, sizes, strict=True):
            if imdecode(data, np.empty((height, width, 3), np.uint8), height, width):
                raise ValueError("an image cannot be decoded")
        return len(arrays)

    return run
