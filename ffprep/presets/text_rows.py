"""The loader of rows of text with labels, such as GLUE's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.beton.sets import each_opened
from ffprep.errors import OptionError
from ffprep.fields import FloatField, IntField
from ffprep.fields.decoders import (
    CaptionLengthDecoder,
    CaptionMaskDecoder,
    CaptionTextDecoder,
    CaptionTokensDecoder,
    FileDecoder,
    FloatDecoder,
    IntDecoder,
)
from ffprep.loader import Loader, NodeOrder, OrderOption, RepeatedOrder, WeightedOrder
from ffprep.pipeline.form import dtype_name
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.presets.images import PathLike, Paths, asked_once, listed
from ffprep.presets.kinds import check_fields, preset_for
from ffprep.presets.options import LoaderOptions, further_options
from ffprep.text.blocks.blocks import source_facts
from ffprep.text.tokens.vocabulary import check_vocabulary
from ffprep.transforms import Convert, Squeeze, ToDevice, ToTensor

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ffprep.presets.options import Device, DType, Rows

TEXTS = ("text", "text_pair")


def text_rows(
    path: Paths,
    batch_size: int = 256,
    num_workers: int = -1,
    seed: int | None = None,
    *,
    token_dtype: DType = np.int64,
    label_dtype: DType | None = None,
    mask: bool = True,
    trim: bool = False,
    text: bool = False,
    file: bool = False,
    vocabulary: str | None = None,
    device: Device = None,
    order: OrderOption | WeightedOrder | NodeOrder | RepeatedOrder = OrderOption.RANDOM,
    **options: Unpack[LoaderOptions],
) -> Loader[Rows]:
    """Return a loader of rows of one or two texts with their labels: of ``convert glue`` and ``convert text``.

    For an evaluation give ``order=OrderOption.SEQUENTIAL`` and ``drop_last=False``.

    Parameters
    ----------
    path : str or Path, or a sequence of them
        Files with the fields ``tokens`` and ``length``; rows of files that differ in length are padded to the greatest.
    token_dtype : numpy or torch dtype
        int64, int32 or another.
    label_dtype : numpy or torch dtype, optional
        By default int64 for classes and float32 for scores.
    mask : bool
        Yield an attention mask as well: bool, True where a row has a token.
    trim : bool
        Cut off tokens and mask after the longest row of the batch; they are then views, and not contiguous.
    text : bool
        Yield the texts as well, lists of str; the files must hold them (``--keep-text``).
    file : bool
        Yield the number of each row's file as well, from 0.
    vocabulary : str, optional
        Vocabulary that the tokens must have: ``fairseq``, ``gpt2``, the path of a fairseq dict.txt, or a tokenizer as
        for ``--tokenizer``. Several files must have the same one in any case.
    device, batch_size, num_workers, seed, order, **options
        As for `imagenet_train`.

    Returns
    -------
    Loader of (tokens, lengths, labels, ...)
        Tokens (batch, length), filled up with ``<pad>``; lengths, int64 (batch,), with marks; labels (batch,): int64,
        or float32 where they are scores, and none if the files have none. Then what was asked for: text, mask, file.
        Its ``vocabulary`` has the ids of the special tokens.

    Raises
    ------
    OptionError
        The files have no such rows, no text, or another vocabulary.
    """
    further = further_options(text_rows, options)
    path = asked_once(path, options)
    files = listed(path, options)
    forms = list(each_opened(lambda each: _row_form(each, vocabulary, text), files))
    if any(form != forms[0] for form in forms):
        raise OptionError(
            f"of {', '.join(map(str, files))} not all have the same labels and texts; load them separately"
        )
    moved = [] if device is None else [ToDevice(device)]
    native = dtype_name(token_dtype)
    convert = [] if native in ("int64", "int32", "uint16") else [Convert(token_dtype)]
    tokens = CaptionTokensDecoder("first", np.int32 if convert else native, trim=trim)
    pipelines: dict[str, Any] = {
        "tokens": [tokens, ToTensor(), *convert, *moved],
        "length": [CaptionLengthDecoder("first"), ToTensor(), *moved],
    }
    for name, scores in forms[0].items():
        pipelines[name] = None
        if name in TEXTS and text:
            pipelines[name] = [CaptionTextDecoder("first")]
        elif name not in TEXTS:
            dtype = label_dtype if label_dtype is not None else np.float32 if scores else None
            decoder = FloatDecoder() if scores else IntDecoder()
            pipelines[name] = [
                decoder,
                ToTensor(),
                Squeeze(1),
                *([Convert(dtype)] if dtype is not None else []),
                *moved,
            ]
    if mask:
        pipelines["attention_mask"] = PipelineSpec(
            "length", CaptionMaskDecoder("first", trim=trim), [ToTensor(), *moved]
        )
    if file:
        pipelines["file"] = [FileDecoder(), ToTensor(), *moved]
    return Loader(path, batch_size, num_workers, order=order, seed=seed, pipelines=pipelines, **further)


def _row_form(path: PathLike, vocabulary: str | None, text: bool) -> dict[str, bool]:
    """Check a file of rows; return its fields besides tokens and lengths, and whether each holds fractions."""
    with Reader(path, check=False) as reader:
        fields = reader.fields
        if "blocks" in source_facts(reader):
            raise OptionError(f"{path}: holds blocks of tokens, not rows; load it with text_blocks")
        if "tokens" not in fields or not isinstance(fields.get("length"), IntField):
            check_fields(reader, ("tokens", "length"), "rows of text")
            raise OptionError(f"{path}: its lengths are no whole numbers; it is not a file of rows of text")
        if "image" in fields:
            raise OptionError(f"{path}: holds images; load it with {preset_for(reader)}")
        if text and "text" not in fields:
            raise OptionError(f"{path}: has no texts; convert with --keep-text, or leave out text=True")
        if vocabulary is not None:
            check_vocabulary(source_facts(reader).get("vocabulary"), vocabulary, str(path))
        known = {"tokens", "length"}
        return {
            name: isinstance(field, FloatField)
            for name, field in fields.items()
            if name not in known and (name in TEXTS or isinstance(field, (IntField, FloatField)))
        }
