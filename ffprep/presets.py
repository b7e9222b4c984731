"""Ready-made loaders for the data sets that ffprep converts: one call each.

Every function returns a :class:`ffprep.Loader`; what it does not name goes to `Loader` as a keyword.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.errors import OptionError
from ffprep.fields import BytesField, NDArrayField, RGBImageField
from ffprep.fields.decoders import (
    BytesDecoder,
    Decoder,
    IntDecoder,
    NDArrayDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizeCenterCropRGBImageDecoder,
    ResizeRGBImageDecoder,
    TokensDecoder,
)
from ffprep.loader import Loader, OrderOption
from ffprep.loader.block_loader import BlockLoader
from ffprep.text.blocks import open_blocks, source_facts
from ffprep.text.vocabulary import check_vocabulary
from ffprep.transforms import (
    Convert,
    NormalizeImage,
    RandomHorizontalFlip,
    Squeeze,
    ToDevice,
    ToTensor,
    ToTorchImage,
)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of the red, green and blue channel, in units of 0 to 1."""

PathLike = str | os.PathLike[str]


def image_pipeline(
    decoder: Decoder,
    *,
    flip: float = 0.0,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dtype: Any = np.float32,
    channels_last: bool = False,
    device: Any = None,
) -> list[Any]:
    """Return decoder, flip, normalisation and layout as a list that the loader runs in one pass.

    Parameters
    ----------
    decoder : Decoder
    flip : float
        Probability of a horizontal flip.
    mean, std : three floats each
        In units of 0 to 1; a mean of None gives pixels from 0 to 255 in `dtype`.
    dtype : numpy or torch dtype
        float32, float16, bfloat16, or uint8 with a mean of None.
    channels_last : bool
    device : torch.device, optional
    """
    pipeline: list[Any] = [decoder]
    if flip:
        pipeline.append(RandomHorizontalFlip(flip))
    if mean is not None:
        scale = 255.0
        pipeline.append(NormalizeImage(scale * np.asarray(mean), scale * np.asarray(std), dtype))
    else:
        pipeline.append(Convert(dtype))
    pipeline.append(ToTensor())
    if device is not None:
        pipeline.append(ToDevice(device))
    pipeline.append(ToTorchImage(channels_last=channels_last))
    return pipeline


def scalar_pipeline(decoder: Decoder, device: Any = None) -> list[Any]:
    """Return a pipeline that gives one number a sample, shape (batch,)."""
    return [decoder, ToTensor(), Squeeze(1), *([] if device is None else [ToDevice(device)])]


def array_pipeline(device: Any = None, dtype: Any = np.int64) -> list[Any]:
    """Return a pipeline for stored arrays such as tokens, converted to `dtype`, which torch's embeddings want."""
    return [NDArrayDecoder(), ToTensor(), Convert(dtype), *([] if device is None else [ToDevice(device)])]


def tokens_pipeline(dtype: Any) -> list[Any]:
    """Return a pipeline for 16-bit tokens, widened while they are gathered if `dtype` is int64, int32 or uint16."""
    name = str(dtype).removeprefix("torch.") if not isinstance(dtype, type) else np.dtype(dtype).name
    if name in ("int64", "int32", "uint16"):
        return [TokensDecoder(name), ToTensor()]
    return [TokensDecoder(np.int32), ToTensor(), Convert(dtype)]


def imagenet_train(
    path: PathLike,
    batch_size: int = 256,
    num_workers: int = -1,
    seed: int | None = None,
    *,
    size: int | tuple[int, int] = 224,
    scale: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    flip: float = 0.5,
    interpolation: str = "bilinear",
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dtype: Any = np.float32,
    channels_last: bool = False,
    device: Any = None,
    order: OrderOption = OrderOption.RANDOM,
    **options: Any,
) -> Loader:
    """Return a loader of training batches: random resized crop, random flip, normalised.

    Parameters
    ----------
    path : str or Path
        A file with the fields ``image`` and ``label``.
    size : int or (height, width)
    scale, ratio, interpolation
        See `RandomResizedCropRGBImageDecoder`.
    flip, mean, std, dtype, channels_last, device
        See `image_pipeline`.
    batch_size, num_workers, seed, order, **options
        See `Loader`.

    Returns
    -------
    Loader of (images, labels)
        Images (batch, 3, height, width), labels int64 (batch,).
    """
    decoder = RandomResizedCropRGBImageDecoder(size, scale, ratio, interpolation)
    image = image_pipeline(
        decoder, flip=flip, mean=mean, std=std, dtype=dtype, channels_last=channels_last, device=device
    )
    pipelines = {"image": image, "label": scalar_pipeline(IntDecoder(), device)}
    return Loader(path, batch_size, num_workers, order=order, seed=seed, pipelines=pipelines, **options)


def imagenet_val(
    path: PathLike,
    batch_size: int = 256,
    num_workers: int = -1,
    *,
    size: int | tuple[int, int] = 224,
    resize: int | None = None,
    interpolation: str = "bilinear",
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dtype: Any = np.float32,
    channels_last: bool = False,
    device: Any = None,
    **options: Any,
) -> Loader:
    """Return a loader of evaluation batches: each image exactly once, in the file's order, the last batch
    ragged.

    Parameters
    ----------
    path : str or Path
        A file with the fields ``image`` and ``label``.
    size : int or (height, width)
        The whole image is resized to this, whatever its shape, ...
    resize : int, optional
        ... or its shorter side is resized to this and the centre cut out, as torchvision's usual evaluation
        does.
    interpolation, mean, std, dtype, channels_last, device, batch_size, num_workers, **options
        As for `imagenet_train`.
    """
    decoder: Decoder
    if resize is None:
        decoder = ResizeRGBImageDecoder(size, interpolation)
    else:
        decoder = ResizeCenterCropRGBImageDecoder(size, resize, interpolation)
    image = image_pipeline(decoder, mean=mean, std=std, dtype=dtype, channels_last=channels_last, device=device)
    pipelines = {"image": image, "label": scalar_pipeline(IntDecoder(), device)}
    options = {"drop_last": False, "seed": 0, **options}
    return Loader(path, batch_size, num_workers, pipelines=pipelines, **options)


def number_pipelines(path: PathLike, device: Any = None, dtype: Any = np.int64) -> dict[str, list[Any]]:
    """Return pipelines for every field of a file that holds no image: numbers (batch,), arrays as `dtype`,
    bytes.

    Byte strings come as `Ragged` (data, lengths).
    """
    moved = [] if device is None else [ToDevice(device)]
    pipelines: dict[str, list[Any]] = {}
    with Reader(path, check=False) as reader:
        for name, field in reader.fields.items():
            if isinstance(field, NDArrayField) and field.dtype == np.dtype("<u2"):
                pipelines[name] = [*tokens_pipeline(dtype), *moved]
            elif isinstance(field, NDArrayField):
                pipelines[name] = array_pipeline(device, dtype)
            elif isinstance(field, BytesField):
                pipelines[name] = [BytesDecoder(lengths=True), ToTensor(), *moved]
            elif not isinstance(field, RGBImageField):
                pipelines[name] = scalar_pipeline(field.get_decoder_class()(), device)
    return pipelines


def image_text_train(
    path: PathLike,
    batch_size: int = 256,
    num_workers: int = -1,
    seed: int | None = None,
    *,
    size: int | tuple[int, int] = 224,
    scale: Sequence[float] = (0.9, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    flip: float = 0.5,
    interpolation: str = "bilinear",
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dtype: Any = np.float32,
    channels_last: bool = False,
    device: Any = None,
    order: OrderOption = OrderOption.RANDOM,
    **options: Any,
) -> Loader:
    """Return a loader of images with their captions; crops keep at least `scale` of the image, so that
    these fit.

    Parameters
    ----------
    path : str or Path
        A file with the fields ``image``, ``tokens``, ``length`` and ``image_id``, of pairs or grouped.
    size, scale, ratio, flip, interpolation, mean, std, dtype, channels_last, device, order, **options
        As for `imagenet_train`.

    Returns
    -------
    Loader of (images, tokens, lengths, image ids, ...)
        One member a field: tokens int64 (batch, length), or (batch, captions, length) where they are grouped.
    """
    decoder = RandomResizedCropRGBImageDecoder(size, scale, ratio, interpolation)
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
    size: int | tuple[int, int] = 224,
    interpolation: str = "bilinear",
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
    path, size, interpolation, mean, std, dtype, channels_last, device, batch_size, num_workers, **options
        As for `image_text_train`.
    """
    decoder = ResizeRGBImageDecoder(size, interpolation)
    image = image_pipeline(decoder, mean=mean, std=std, dtype=dtype, channels_last=channels_last, device=device)
    pipelines = {**number_pipelines(path, device), "image": image}
    options = {"drop_last": False, "seed": 0, **options}
    return Loader(path, batch_size, num_workers, pipelines=pipelines, **options)


def text_blocks(
    path: PathLike,
    batch_size: int = 256,
    num_workers: int = -1,
    seed: int | None = None,
    *,
    block: int | None = None,
    vocabulary: str | None = None,
    dtype: Any = np.int64,
    device: Any = None,
    order: OrderOption = OrderOption.RANDOM,
    **options: Any,
) -> Loader:
    """Return a loader of token blocks, or of any file of numbers and arrays such as GLUE's.

    Blocks come one by one in random order, though the file keeps many in a sample; they are widened to
    `dtype` in the same pass that gathers them.

    Parameters
    ----------
    path : str or Path
    block : int, optional
        Tokens a block must have; an error if the file has others.
    vocabulary : str, optional
        Numbering that the tokens must have: ``fairseq``, ``gpt2`` or the path of a fairseq dict.txt; an
        error if the file has another.
    dtype : numpy or torch dtype
        What stored arrays are converted to.
    device, batch_size, num_workers, seed, order, **options
        As for `imagenet_train`.

    Returns
    -------
    Loader of tuples, one member a field
        Tokens (batch, block); where documents were padded, also their lengths (batch,). Of blocks it is a
        `BlockLoader`, whose ``vocabulary`` has the ids of the special tokens.

    Raises
    ------
    OptionError
        The file has blocks of another size, or tokens of another numbering.
    """
    with Reader(path, check=False) as reader:
        if vocabulary is not None:
            check_vocabulary(source_facts(reader).get("vocabulary"), vocabulary, str(path))
        grouped = "blocks" in source_facts(reader)
        blocks = open_blocks(reader) if grouped or block is not None else None
    if block is not None and blocks is not None and blocks.block != block:
        raise OptionError(f"{path}: has blocks of {blocks.block} tokens, not of {block}")
    if blocks is None or not grouped:
        pipelines = number_pipelines(path, device, dtype)
        return Loader(path, batch_size, num_workers, order=order, seed=seed, pipelines=pipelines, **options)
    moved = [] if device is None else [ToDevice(device)]
    tokens = [*tokens_pipeline(dtype), *moved]
    padded = {"length": [TokensDecoder(np.int64), ToTensor(), Squeeze(1), *moved]}
    pipelines = {"tokens": tokens, **(padded if blocks.padded else {})}
    return BlockLoader(path, batch_size, num_workers, order=order, seed=seed, pipelines=pipelines, **options)
