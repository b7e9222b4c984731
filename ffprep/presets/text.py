"""Loaders of tokens, numbers and arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.beton.sets import each_opened
from ffprep.errors import OptionError
from ffprep.fields import BytesField, NDArrayField, RGBImageField
from ffprep.fields.decoders import STORED_TOKENS, BytesDecoder, NDArrayDecoder, TokensDecoder
from ffprep.loader import Loader, NodeOrder, OrderOption, RepeatedOrder, WeightedOrder
from ffprep.loader.block_loader import BlockLoader
from ffprep.loader.plan.options import whole_number
from ffprep.presets.images import PathLike, Paths, asked_once, listed, scalar_pipeline
from ffprep.presets.kinds import preset_for
from ffprep.presets.options import LoaderOptions, further_options
from ffprep.text.blocks.blocks import open_blocks, source_facts
from ffprep.text.tokens.vocabulary import check_vocabulary
from ffprep.transforms import Convert, Squeeze, ToDevice, ToTensor

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ffprep.presets.options import Blocks, Device, DType


def array_pipeline(device: Any = None, dtype: Any = np.int64) -> list[Any]:
    """Return a pipeline for stored arrays, converted to `dtype`; torch's embeddings take int64 and int32."""
    return [NDArrayDecoder(), ToTensor(), Convert(dtype), *([] if device is None else [ToDevice(device)])]


def tokens_pipeline(dtype: Any) -> list[Any]:
    """Return a pipeline for tokens. The workers write them as int64, int32 or uint16; others are converted."""
    name = str(dtype).removeprefix("torch.") if not isinstance(dtype, type) else np.dtype(dtype).name
    if name in ("int64", "int32", "uint16"):
        return [TokensDecoder(name), ToTensor()]
    return [TokensDecoder(np.int32), ToTensor(), Convert(dtype)]


def holds_tokens(name: str, field: NDArrayField) -> bool:
    """Return whether an array is of tokens: of 16 bits, or of 32 and called so."""
    return field.dtype == STORED_TOKENS[0] or (name == "tokens" and field.dtype in STORED_TOKENS)


def number_pipelines(path: Paths, device: Any = None, dtype: Any = np.int64) -> dict[str, list[Any]]:
    """Return pipelines for all fields of a file except images: numbers (batch,), arrays as `dtype`, byte strings.

    Byte strings come as `Ragged` (data, lengths). If several files are given, the fields are those of the first.
    """
    moved = [] if device is None else [ToDevice(device)]
    pipelines: dict[str, list[Any]] = {}
    with Reader(listed(path)[0], check=False) as reader:
        for name, field in reader.fields.items():
            if isinstance(field, NDArrayField) and holds_tokens(name, field):
                pipelines[name] = [*tokens_pipeline(dtype), *moved]
            elif isinstance(field, NDArrayField):
                pipelines[name] = array_pipeline(device, dtype)
            elif isinstance(field, BytesField):
                pipelines[name] = [BytesDecoder(lengths=True), ToTensor(), *moved]
            elif not isinstance(field, RGBImageField):
                pipelines[name] = scalar_pipeline(field.get_decoder_class()(), device)
    return pipelines


def text_blocks(
    path: Paths,
    batch_size: int = 256,
    num_workers: int = -1,
    seed: int | None = None,
    *,
    block: int | None = None,
    vocabulary: str | None = None,
    dtype: DType = np.int64,
    device: Device = None,
    order: OrderOption | WeightedOrder | NodeOrder | RepeatedOrder = OrderOption.RANDOM,
    **options: Unpack[LoaderOptions],
) -> Loader[Blocks]:
    """Return a loader of token blocks, or of any file of numbers and arrays; `text_rows` is for GLUE's.

    Blocks are shuffled one by one, though the file stores many in a sample. The workers widen tokens while they gather
    them.

    Parameters
    ----------
    path : str or Path, or a sequence of them
    block : int, optional
        Number of tokens that a block must have.
    vocabulary : str, optional
        Vocabulary that the tokens must have: ``fairseq``, ``gpt2``, the path of a fairseq dict.txt, or a tokenizer as
        for ``--tokenizer``.
    dtype : numpy or torch dtype
        Of the tokens, and of other stored arrays.
    device, batch_size, num_workers, seed, order, **options
        As for `imagenet_train`.

    Returns
    -------
    Loader of tuples with one member for each field
        Tokens (batch, block), and if documents were padded also their lengths (batch,). For files of blocks it is a
        `BlockLoader`, whose ``vocabulary`` has the ids of the special tokens.

    Raises
    ------
    OptionError
        The file has blocks of another size, or tokens of another vocabulary.
    """
    further = further_options(text_blocks, options)
    block = None if block is None else whole_number(block, "block")
    path = asked_once(path, options)
    files = listed(path, options)
    forms = set(each_opened(lambda each: _block_form(each, block, vocabulary), files))
    if forms == {None}:
        pipelines = number_pipelines(files, device, dtype)
        return Loader(path, batch_size, num_workers, order=order, seed=seed, pipelines=pipelines, **further)
    if None in forms:
        raise OptionError(f"of {', '.join(map(str, files))} only some hold blocks of tokens; load them separately")
    moved = [] if device is None else [ToDevice(device)]
    tokens = [*tokens_pipeline(dtype), *moved]
    padded = {"length": [TokensDecoder(np.int64), ToTensor(), Squeeze(1), *moved]}
    pipelines = {"tokens": tokens, **(padded if forms != {False} else {})}
    return BlockLoader(path, batch_size, num_workers, order=order, seed=seed, pipelines=pipelines, **further)


def _block_form(path: PathLike, block: int | None, vocabulary: str | None) -> bool | None:
    """Check a file of blocks; return whether its blocks are padded, or None if it holds no blocks."""
    with Reader(path, check=False) as reader:
        if vocabulary is not None:
            check_vocabulary(source_facts(reader).get("vocabulary"), vocabulary, str(path))
        image = next((name for name, field in reader.fields.items() if isinstance(field, RGBImageField)), None)
        if image is not None:
            raise OptionError(f"{path}: holds images ({image}); load it with {preset_for(reader)}")
        grouped = "blocks" in source_facts(reader)
        blocks = open_blocks(reader) if grouped or block is not None else None
    if block is not None and blocks is not None and blocks.block != block:
        raise OptionError(f"{path}: has blocks of {blocks.block} tokens, not of {block}")
    return blocks.padded if blocks is not None and grouped else None
