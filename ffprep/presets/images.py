"""Loaders of labelled images, and the image pipeline of all presets."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.beton.sets import SetFile, files_of
from ffprep.errors import OptionError
from ffprep.fields.decoders import (
    Decoder,
    IntDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizeCenterCropRGBImageDecoder,
    ResizeRGBImageDecoder,
    Size,
    size_pair,
)
from ffprep.loader import ClipOrder, Loader, NodeOrder, OrderOption, RepeatedOrder, WeightedOrder
from ffprep.loader.plan.options import one_of, paths_of
from ffprep.pipeline.form import dtype_name
from ffprep.presets.kinds import check_fields
from ffprep.presets.options import EvaluationOptions, Interpolation, LoaderOptions, further_options
from ffprep.remote import is_url
from ffprep.transforms import (
    Convert,
    Grayscale,
    NormalizeImage,
    RandomHorizontalFlip,
    Squeeze,
    ToDevice,
    ToTensor,
    ToTorchImage,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ffprep.presets.options import Device, DType, Labelled

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""For the red, green and blue channel, in units of 0 to 1."""

PathLike = str | os.PathLike[str]
Paths = PathLike | Sequence[PathLike]
"""One file, or several that are loaded together: each an index, a folder or a pattern, too."""


def listed(path: Paths, options: Mapping[str, Any] | None = None) -> list[SetFile]:
    """Return the files that one path or several stand for; opening them compares them with their index.

    Pages of remote files are kept where a loader with these options keeps them.
    """
    given = options or {}
    return files_of(paths_of(path), given.get("cache"), given.get("cache_limit"))


def asked_once(path: Paths, options: Mapping[str, Any]) -> Paths:
    """Return the files instead of their URLs, so that the store is asked about them once; local paths as they are."""
    given = paths_of(path)
    return listed(path, options) if any(map(is_url, [given] if isinstance(given, str) else given)) else path


def image_pipeline(
    decoder: Decoder,
    *,
    flip: float = 0.0,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dtype: DType = np.float32,
    channels_last: bool = False,
    device: Device = None,
    grey: bool = False,
) -> list[Any]:
    """Return a pipeline of decoder, flip, normalisation and layout, which the workers do in one pass.

    Parameters
    ----------
    decoder : Decoder
    flip : float
        Probability of a horizontal flip.
    mean, std : three floats each, or one for grey images
        In units of 0 to 1; larger means get a warning. A mean of None gives levels from 0 to 255 in `dtype`.
    dtype : numpy or torch dtype, or its name
        float32, float16 or bfloat16; or uint8: levels from 0 to 255 whatever the mean, for `normalized` on a device.
    channels_last : bool
    device : torch.device, optional
    grey : bool
        Give images of one channel, normalised with one mean and one standard deviation.
    """
    pipeline: list[Any] = [decoder, *([Grayscale()] if grey else [])]
    if flip:
        pipeline.append(RandomHorizontalFlip(flip))
    if mean is not None and dtype_name(dtype) != "uint8":
        scale = 255.0
        if np.max(mean) > 1:
            warnings.warn(
                f"a preset's mean is in units of 0 to 1, not {np.ravel(mean).tolist()}; divide mean and std by 255",
                UserWarning,
                stacklevel=3,
            )
        pipeline.append(NormalizeImage((scale * np.asarray(mean)).tolist(), (scale * np.asarray(std)).tolist(), dtype))
    else:
        pipeline.append(Convert(dtype))
    pipeline.append(ToTensor())
    if device is not None:
        pipeline.append(ToDevice(device))
    pipeline.append(ToTorchImage(channels_last=channels_last))
    return pipeline


def normalized(
    images: Any, dtype: Any = None, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> Any:
    """Normalise images of a preset with ``dtype="uint8"``, on the device where they are.

    Parameters
    ----------
    images : tensor of uint8, shape (batch, 3, height, width)
    dtype : torch dtype, optional
        Of the result; float32 by default.
    mean, std : three floats each
        In units of 0 to 1.

    Returns
    -------
    tensor of the same shape and memory format
    """
    import torch

    constants = torch.tensor([mean, std], dtype=torch.float32, device=images.device).mul_(255).view(2, 3, 1, 1)
    out = torch.empty_like(images, dtype=dtype or torch.float32)
    return torch.div(torch.sub(images, constants[0]), constants[1], out=out)


def scalar_pipeline(decoder: Decoder, device: Device = None) -> list[Any]:
    """Return a pipeline that gives one number for each sample, shape (batch,)."""
    return [decoder, ToTensor(), Squeeze(1), *([] if device is None else [ToDevice(device)])]


def _check_labelled(path: Paths, options: Mapping[str, Any]) -> None:
    """Check the first file; the loader compares the others with it."""
    if files := listed(path, options):
        with Reader(files[0], check=False) as reader:
            check_fields(reader, ("image", "label"), "labelled images")


def imagenet_train(
    path: Paths,
    batch_size: int = 256,
    num_workers: int = -1,
    seed: int | None = None,
    *,
    size: Size = 224,
    scale: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    flip: float = 0.5,
    interpolation: Interpolation = "bilinear",
    exact: bool = False,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dtype: DType = np.float32,
    channels_last: bool = False,
    device: Device = None,
    grey: bool = False,
    order: OrderOption | WeightedOrder | NodeOrder | RepeatedOrder | ClipOrder = OrderOption.RANDOM,
    **options: Unpack[LoaderOptions],
) -> Loader[Labelled]:
    """Return a loader of training batches: random resized crop, random flip, normalised.

    Parameters
    ----------
    path : str or Path, or a sequence of them
        Files with the fields ``image`` and ``label``.
    size : int, (height, width), or a function of the epoch such as `ProgressiveSize`
    scale, ratio, interpolation, exact
        See `RandomResizedCropRGBImageDecoder`.
    flip, mean, std, dtype, channels_last, device, grey
        See `image_pipeline`.
    batch_size, num_workers, seed, order, **options
        See `Loader`.

    Returns
    -------
    Loader of (images, labels)
        Images (batch, 3, height, width), grey ones (batch, 1, height, width), labels int64 (batch,).
    """
    further = further_options(imagenet_train, options)
    path = asked_once(path, options)
    _check_labelled(path, options)
    decoder = RandomResizedCropRGBImageDecoder(size, scale, ratio, interpolation, exact)
    image = image_pipeline(
        decoder, flip=flip, mean=mean, std=std, dtype=dtype, channels_last=channels_last, device=device, grey=grey
    )
    pipelines = {"image": image, "label": scalar_pipeline(IntDecoder(), device)}
    return Loader(path, batch_size, num_workers, order=order, seed=seed, pipelines=pipelines, **further)


def imagenet_val(
    path: Paths,
    batch_size: int = 256,
    num_workers: int = -1,
    *,
    size: Size = 224,
    resize: int | None = None,
    crop: Literal["whole", "center"] = "whole",
    interpolation: Interpolation = "bilinear",
    exact: bool = True,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dtype: DType = np.float32,
    channels_last: bool = False,
    device: Device = None,
    grey: bool = False,
    **options: Unpack[EvaluationOptions],
) -> Loader[Labelled]:
    """Return a loader of evaluation batches: each image exactly once, in the file's order.

    The last batch may be shorter than the others.

    Parameters
    ----------
    path : str or Path, or a sequence of them
        Files with the fields ``image`` and ``label``.
    size : int or (height, width)
        Size of the result. By default the whole image is resized to this, whatever its shape.
    resize : int, optional
        Resize the image's shorter side to this and take the centre, as evaluations with torchvision usually do.
    crop : {'whole', 'center'}
        ``'center'`` is torchvision's usual evaluation: `resize` is then 256 / 224 of the size by default, 256 for 224.
    exact : bool
        False takes the short cut of `ImageDecoder` for large images, as training does.
    interpolation, mean, std, dtype, channels_last, device, grey, batch_size, num_workers, **options
        As for `imagenet_train`.
    """
    further = further_options(imagenet_val, options, drop_last=False, seed=0)
    path = asked_once(path, options)
    _check_labelled(path, options)
    decoder: Decoder
    if one_of(crop, ("whole", "center"), "crop") == "center" and resize is None:
        if callable(size):
            raise OptionError("crop='center' with a size that depends on the epoch needs resize as well")
        resize = round(min(size_pair(size)) * 256 / 224)
    if resize is None:
        decoder = ResizeRGBImageDecoder(size, interpolation, exact)
    else:
        decoder = ResizeCenterCropRGBImageDecoder(size, resize, interpolation, exact)
    image = image_pipeline(
        decoder, mean=mean, std=std, dtype=dtype, channels_last=channels_last, device=device, grey=grey
    )
    pipelines = {"image": image, "label": scalar_pipeline(IntDecoder(), device)}
    return Loader(path, batch_size, num_workers, pipelines=pipelines, **further)
