"""Loaders of images with captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.beton.sets import each_opened
from ffprep.errors import OptionError
from ffprep.fields.decoders import (
    CaptionLengthDecoder,
    CaptionMaskDecoder,
    CaptionTextDecoder,
    CaptionTokensDecoder,
    FileDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizeRGBImageDecoder,
    Size,
)
from ffprep.loader import Loader, NodeOrder, OrderOption, RepeatedOrder, WeightedOrder
from ffprep.pipeline.form import dtype_name
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.presets.images import IMAGENET_MEAN, IMAGENET_STD, PathLike, Paths, asked_once, image_pipeline, listed
from ffprep.presets.kinds import check_fields
from ffprep.presets.options import Captions, EvaluationOptions, Interpolation, LoaderOptions, further_options
from ffprep.presets.text import number_pipelines
from ffprep.text.blocks.blocks import source_facts
from ffprep.text.tokens.vocabulary import check_vocabulary
from ffprep.transforms import Convert, ToDevice, ToTensor

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ffprep.presets.options import Captioned, Device, DType

OWN_FIELDS = ("image", "tokens", "length", "captions", "caption")


def caption_pipelines(
    path: Paths,
    captions: str,
    *,
    token_dtype: DType = np.int64,
    mask: bool = False,
    trim: bool = False,
    text: bool = False,
    file: bool = False,
    vocabulary: str | None = None,
    device: Device = None,
) -> dict[str, Any]:
    """Return pipelines for all fields of caption files except the images.

    Parameters
    ----------
    path : str or Path, or a sequence of them
        Files of pairs or of groups, or both kinds.
    captions, token_dtype, mask, trim, text, file, vocabulary, device
        See `image_text_train`.

    Raises
    ------
    OptionError
        The tokens have another vocabulary, or a file has no captions or no text.
    """
    paths = listed(path)
    names = list(each_opened(lambda each: _field_names(each, vocabulary), paths))
    moved = [] if device is None else [ToDevice(device)]
    native = dtype_name(token_dtype)
    convert = [] if native in ("int64", "int32", "uint16") else [Convert(token_dtype)]
    shared = {name for name in names[0] if all(name in others for others in names[1:])}
    numbers = number_pipelines(paths[0], device)
    pipelines: dict[str, Any] = {
        name: pipeline if name in shared else None for name, pipeline in numbers.items() if name not in OWN_FIELDS
    }
    for name in {name for some in names for name in some} - shared:
        pipelines[name] = None
    pipelines["tokens"] = [
        CaptionTokensDecoder(captions, np.int32 if convert else native, trim=trim),
        ToTensor(),
        *convert,
        *moved,
    ]
    pipelines["length"] = [CaptionLengthDecoder(captions), ToTensor(), *moved]
    if "captions" in shared:
        pipelines["captions"] = numbers["captions"] if captions == "all" else None
    if text:
        lacking = [each for each, some in zip(paths, names, strict=True) if "caption" not in some]
        if lacking:
            raise OptionError(
                f"{lacking[0]}: has no text of its captions; convert with --keep-text, or leave out text=True"
            )
        pipelines["caption"] = [CaptionTextDecoder(captions)]
    else:
        pipelines["caption"] = None
    if mask:
        decoder = CaptionMaskDecoder(captions, trim=trim)
        pipelines["attention_mask"] = PipelineSpec("length", decoder, [ToTensor(), *moved])
    if file:
        pipelines["file"] = [FileDecoder(), ToTensor(), *moved]
    return pipelines


def _field_names(path: PathLike, vocabulary: str | None) -> list[str]:
    with Reader(path, check=False) as reader:
        check_fields(reader, ("image", "tokens", "length"), "images with captions")
        if vocabulary is not None:
            check_vocabulary(source_facts(reader).get("vocabulary"), vocabulary, str(path))
        return list(reader.fields)


def image_text_train(
    path: Paths,
    batch_size: int = 256,
    num_workers: int = -1,
    seed: int | None = None,
    *,
    size: Size = 224,
    scale: Sequence[float] = (0.9, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    flip: float = 0.5,
    interpolation: Interpolation = "bilinear",
    exact: bool = False,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dtype: DType = np.float32,
    channels_last: bool = False,
    captions: Captions = "random",
    token_dtype: DType = np.int64,
    mask: bool = False,
    trim: bool = False,
    text: bool = False,
    file: bool = False,
    vocabulary: str | None = None,
    device: Device = None,
    order: OrderOption | WeightedOrder | NodeOrder | RepeatedOrder = OrderOption.RANDOM,
    **options: Unpack[LoaderOptions],
) -> Loader[Captioned]:
    """Return a loader of images with their captions.

    By default, crops keep at least 0.9 of the image's area, so that the captions still fit. Half of the images are
    flipped, as CLIP-like recipes do, although a caption may say "left" or "right" and text in the image is mirrored:
    give ``flip=0.0`` where that matters.

    Parameters
    ----------
    path : str or Path, or a sequence of them
        Files with the fields ``image``, ``tokens``, ``length`` and ``image_id``, of pairs or of groups, or both kinds;
        for their shares see ``weights`` of `Loader`.
    size, scale, ratio, flip, interpolation, exact, mean, std, dtype, channels_last, device, order, **options
        As for `imagenet_train`.
    captions : {'random', 'first', 'all'}
        Which captions to take if an image has several: one at random in every epoch, a function of (seed, epoch,
        sample) like the crop; the first; or all of them.
    token_dtype : numpy or torch dtype
        int64, int32 or another.
    mask : bool
        Yield an attention mask as well: bool, True where a caption has a token.
    trim : bool
        Cut off tokens and mask after the longest caption of the batch. They are then views of rows of the full length,
        which need no copy and are not contiguous.
    text : bool
        Yield the text of the captions as well, a list of str; the files must hold it.
    file : bool
        Yield the number of each sample's file as well, from 0: image ids of different data sets may be equal.
    vocabulary : str, optional
        Vocabulary that the tokens must have: ``fairseq``, ``gpt2``, the path of a fairseq dict.txt, or a tokenizer as
        for ``--tokenizer``. Several files
        must have the same one in any case.

    Returns
    -------
    Loader of (images, tokens, lengths, image ids, ...)
        Images (batch, 3, height, width); tokens (batch, length), filled up with ``<pad>`` to the greatest length that
        the files store; lengths and image ids, int64 (batch,). Then what else was asked for: text, mask, file. With
        ``captions='all'`` tokens are (batch, captions, length) and lengths (batch, captions), 0 for captions that an
        image does not have; if all files store the number of captions, that follows the lengths.

    Raises
    ------
    OptionError
        The tokens have another vocabulary, or the files have no captions or no text.
    """
    further = further_options(image_text_train, options)
    decoder = RandomResizedCropRGBImageDecoder(size, scale, ratio, interpolation, exact)
    image = image_pipeline(
        decoder, flip=flip, mean=mean, std=std, dtype=dtype, channels_last=channels_last, device=device
    )
    path = asked_once(path, options)
    words = caption_pipelines(
        listed(path, options),
        captions,
        token_dtype=token_dtype,
        mask=mask,
        trim=trim,
        text=text,
        file=file,
        vocabulary=vocabulary,
        device=device,
    )
    pipelines = {**words, "image": image}
    return Loader(path, batch_size, num_workers, order=order, seed=seed, pipelines=pipelines, **further)


def image_text_val(
    path: Paths,
    batch_size: int = 256,
    num_workers: int = -1,
    *,
    size: Size = 224,
    interpolation: Interpolation = "bilinear",
    exact: bool = True,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dtype: DType = np.float32,
    channels_last: bool = False,
    captions: Captions = "all",
    token_dtype: DType = np.int64,
    mask: bool = False,
    trim: bool = False,
    text: bool = False,
    file: bool = False,
    vocabulary: str | None = None,
    device: Device = None,
    **options: Unpack[EvaluationOptions],
) -> Loader[Captioned]:
    """Return a loader of whole images with their captions, each sample exactly once, in the file's order.

    Parameters
    ----------
    path, captions, token_dtype, mask, trim, text, file, vocabulary
        As for `image_text_train`. Retrieval needs all captions of an image together with its id, as is the default.
    size, interpolation, exact, mean, std, dtype, channels_last, device, batch_size, num_workers, **options
        As for `imagenet_val`.
    """
    further = further_options(image_text_val, options, drop_last=False, seed=0)
    decoder = ResizeRGBImageDecoder(size, interpolation, exact)
    image = image_pipeline(decoder, mean=mean, std=std, dtype=dtype, channels_last=channels_last, device=device)
    path = asked_once(path, options)
    words = caption_pipelines(
        listed(path, options),
        captions,
        token_dtype=token_dtype,
        mask=mask,
        trim=trim,
        text=text,
        file=file,
        vocabulary=vocabulary,
        device=device,
    )
    pipelines = {**words, "image": image}
    return Loader(path, batch_size, num_workers, pipelines=pipelines, **further)
