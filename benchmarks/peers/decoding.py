"""The decoder of each library alone, in one thread: bytes of a JPEG in memory to RGB pixels.

Each runner returns a callable that decodes all images of a folder once: whole, at their own size; or, with ``crop``,
one random resized crop of each (0.08 to 1 of the area) as 224x224 pixels. Libraries without a decoder of crops decode
the whole image; the crop is then resized by what the library has, or by OpenCV (INTER_AREA).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from peers.common import SIDE, images_of

from ffprep.inspect.timing.runners import random_crop

Box = tuple[int, int, int, int]


def _all(folder: str, crop: bool, whole: Callable[[bytes], Any], cut: Callable[[Any, Box], Any]) -> Callable[[], int]:
    """Decode everything by `whole`; for crops `cut` is given its result, and a box: x, y, width, height."""
    data = [path.read_bytes() for path, _ in images_of(folder)]
    boxes = _boxes(data)

    def run() -> int:
        if crop:
            for one, box in zip(data, boxes, strict=True):
                cut(whole(one), box)
        else:
            for one in data:
                whole(one)
        return len(data)

    return run


def _boxes(data: list[bytes]) -> list[Box]:
    """Draw a crop of each image; every library is given the same ones."""
    import numpy as np

    rng = np.random.default_rng(0)
    return [random_crop(rng, *_size(one), (0.08, 1.0)) for one in data]


def _size(data: bytes) -> tuple[int, int]:
    """Return a JPEG's width and height: of its first start of frame."""
    place = 2
    while place + 9 < len(data):
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(data[place + at : place + at + 2], "big") for at in (5, 7))
            return width, height
        place += 2 + length
    raise ValueError("no JPEG")


def _by_opencv(image: Any, box: Box) -> Any:
    import cv2

    x, y, w, h = box
    return cv2.resize(image[y : y + h, x : x + w], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def pillow(folder: str, crop: bool = False) -> Callable[[], int]:
    """Pillow, with the libjpeg-turbo of its wheel."""
    import numpy as np
    from PIL import Image

    def cut(image: Any, box: Box) -> Any:
        x, y, w, h = box
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h)))

    def whole(data: bytes) -> Any:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        return image if crop else np.asarray(image)

    return _all(folder, crop, whole, cut)


def torchvision(folder: str, crop: bool = False) -> Callable[[], int]:
    """torchvision's ``decode_jpeg`` on the CPU, and its ``resized_crop``."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms.v2.functional import resized_crop

    torch.set_num_threads(1)

    def whole(data: bytes) -> Any:
        return decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)

    def cut(image: Any, box: Box) -> Any:
        x, y, w, h = box
        return resized_crop(image, y, x, h, w, [SIDE, SIDE], antialias=True)

    return _all(folder, crop, whole, cut)


def opencv(folder: str, crop: bool = False) -> Callable[[], int]:
    """OpenCV's ``imdecode``."""
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION  # as everybody else takes the pixels
    return _all(folder, crop, lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), flags), _by_opencv)


def simplejpeg(folder: str, crop: bool = False) -> Callable[[], int]:
    """simplejpeg; its faster settings ``fastdct`` and ``fastupsample`` are off, as is its default."""
    from simplejpeg import decode_jpeg

    return _all(folder, crop, lambda data: decode_jpeg(data, "RGB"), _by_opencv)


def simplejpeg_fast(folder: str, crop: bool = False) -> Callable[[], int]:
    """simplejpeg with ``fastdct`` and ``fastupsample``, which give slightly other pixels."""
    from simplejpeg import decode_jpeg

    return _all(folder, crop, lambda data: decode_jpeg(data, "RGB", fastdct=True, fastupsample=True), _by_opencv)


def turbojpeg(folder: str, crop: bool = False) -> Callable[[], int]:
    """PyTurboJPEG, which needs a libjpeg-turbo of the system: its versions from 2 on need 3."""
    from turbojpeg import TJPF_RGB, TurboJPEG

    decoder = TurboJPEG()
    return _all(folder, crop, lambda data: decoder.decode(data, TJPF_RGB), _by_opencv)


def imagecodecs(folder: str, crop: bool = False) -> Callable[[], int]:
    """``imagecodecs.jpeg8_decode``."""
    from imagecodecs import jpeg8_decode

    return _all(folder, crop, lambda data: jpeg8_decode(data, outcolorspace="rgb"), _by_opencv)


def kornia(folder: str, crop: bool = False) -> Callable[[], int]:
    """kornia-rs by its libjpeg-turbo, and its resize."""
    import kornia_rs
    import numpy as np

    def cut(image: Any, box: Box) -> Any:
        x, y, w, h = box
        return kornia_rs.imgproc.resize(np.ascontiguousarray(image[y : y + h, x : x + w]), (SIDE, SIDE), "bilinear")

    return _all(folder, crop, lambda data: kornia_rs.io.decode_image_jpegturbo(data, "rgb"), cut)


def tensorflow(folder: str, crop: bool = True) -> Callable[[], int]:
    """TensorFlow's ``decode_and_crop_jpeg``: libjpeg-turbo's cropping and skipping of scan lines, then its resize."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    @tf.function(input_signature=[tf.TensorSpec((), tf.string), tf.TensorSpec((4,), tf.int32)])
    def cut(data: Any, place: Any) -> Any:
        options = {"channels": 3, "dct_method": "INTEGER_FAST", "fancy_upscaling": False}
        image = tf.image.decode_and_crop_jpeg(data, place, **options)
        return tf.cast(tf.image.resize(image, (SIDE, SIDE), antialias=True), tf.uint8)

    data = [path.read_bytes() for path, _ in images_of(folder)]
    places = [tf.constant((y, x, h, w), tf.int32) for x, y, w, h in _boxes(data)]
    tensors = [tf.constant(one) for one in data]

    def run() -> int:
        for one, place in zip(tensors, places, strict=True):
            cut(one, place).numpy()
        return len(tensors)

    return run


def turboloader(folder: str, crop: bool = True) -> Callable[[], int]:
    """TurboLoader's ``decode_jpeg_region``, by which ``train_aug`` decodes a crop; the resize is left out."""
    from turboloader import decode_jpeg_region

    data = [path.read_bytes() for path, _ in images_of(folder)]
    jobs = [(one, *_size(one), *box) for one, box in zip(data, _boxes(data), strict=True)]  # at its full resolution

    def run() -> int:
        for job in jobs:
            decode_jpeg_region(*job)
        return len(jobs)

    return run


def ours(folder: str, crop: bool = False, seekable: bool = False) -> Callable[[], int]:
    """ffprep's C library and renderers, called for one image at a time, as stock ffcv's loader calls them.

    Crops are drawn inside, from the same distribution. With `seekable` the JPEGs are rewritten beforehand, as a
    conversion does it; the pixels are the same.
    """
    import ctypes

    import numpy as np

    from ffprep.jpeg import read_header, rewrite
    from ffprep.jpeg.one_image import SIGNATURE, Work, entry
    from ffprep.kernels.image.job import image_spec

    files = [path.read_bytes() for path, _ in images_of(folder)]
    if seekable:
        files = [bytes(rewrite(one)) if read_header(one).single_scan else one for one in files]
    arrays = [np.frombuffer(one, np.uint8) for one in files]
    sizes = [(header.height, header.width) for header in map(read_header, files)]
    work = Work()
    options: dict[str, Any] = {"crop": "random", "filter": "bilinear", "reduce": True} if crop else {"filter": "area"}
    work.set(image_spec((SIDE, SIDE) if crop else (1, 1), format="u8_hwc", **options))
    call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * SIGNATURE.count("int64,"), ctypes.c_int64)(entry())
    place = work.block.ctypes.data

    def run() -> int:
        for number, (data, (height, width)) in enumerate(zip(arrays, sizes, strict=True)):
            out_h, out_w = (SIDE, SIDE) if crop else (height, width)
            out = np.empty((out_h, out_w, 3), np.uint8)
            asked = (place, data.ctypes.data, data.size, width, height, 0, number, out.ctypes.data, out_h, out_w)
            if call(*asked):
                raise ValueError("an image cannot be decoded")
        return len(arrays)

    return run
