"""Loaders of images with captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder, ResizeRGBImageDecoder, Size
from ffprep.loader import Loader, OrderOption, WeightedOrder
from ffprep.presets.images import IMAGENET_MEAN, IMAGENET_STD, PathLike, image_pipeline
from ffprep.presets.text import number_pipelines


def image_text_train(
    path: PathLike,
    batch_size: int = 256,
    num_workers: int = -1,
    seed: int | None = None,
    *,
    size: Size = 224,
    scale: Sequence[float] = (0.9, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    flip: float = 0.5,
    interpolation: str = "bilinear",
    exact: bool = False,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dtype: Any = np.float32,
    channels_last: bool = False,
    device: Any = None,
    order: OrderOption | WeightedOrder = OrderOption.RANDOM,
    **options: Any,
) -> Loader:
    """Return a loader of images with their captions; crops keep at least `scale` of the image, so that
    these fit.

    Parameters
    ----------
    path : str or Path
        A file with the fields ``image``, ``tokens``, ``length`` and ``image_id``, of pairs or grouped.
    size, scale, ratio, flip, interpolation, exact, mean, std, dtype, channels_last, device, order, **options
        As for `imagenet_train`.

    Returns
    -------
    Loader of (images, tokens, lengths, image ids, ...)
        One member a field: tokens int64 (batch, length), or (batch, captions, length) where they are grouped.
    """
    decoder = RandomResizedCropRGBImageDecoder(size, scale, ratio, interpolation, exact)
    image = image_pipeline(
        decoder, flip=flip, mean=mean, std=std, dtype=dtype, channels_last=channels_last, device=device
    )
    pipelines = {**number_pipelines(path, device), "image": image}
    return Loader(path, batch_size, num_workers, order=order, seed=seed, pipelines=pipelines, **options)


def image_text_val(
    path: PathLike,
    batch_size: int = 256,
    num_workers: int = -1,
    *,
    size: Size = 224,
    interpolation: str = "bilinear",
    exact: bool = True,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dtype: Any = np.float32,
    channels_last: bool = False,
    device: Any = None,
    **options: Any,
) -> Loader:
    """Return a loader of whole images with their captions, each sample exactly once, in the file's order.

    Parameters
    ----------
    path, size, interpolation, exact, mean, std, dtype, channels_last, device, batch_size, num_workers, **options
        As for `image_text_train`.
    """
    decoder = ResizeRGBImageDecoder(size, interpolation, exact)
    image = image_pipeline(decoder, mean=mean, std=std, dtype=dtype, channels_last=channels_last, device=device)
    pipelines = {**number_pipelines(path, device), "image": image}
    options = {"drop_last": False, "seed": 0, **options}
    return Loader(path, batch_size, num_workers, pipelines=pipelines, **options)
