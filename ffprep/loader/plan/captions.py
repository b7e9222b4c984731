"""Captions in batches, in one form whether files hold pairs (one caption a sample) or groups (several an image)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.errors import OptionError
from ffprep.fields import Field, IntField, JSONField, NDArrayField
from ffprep.fields.decoders import (
    STORED_TOKENS,
    CaptionDecoder,
    CaptionLengthDecoder,
    CaptionTokensDecoder,
    Ragged,
)
from ffprep.kernels.random import uniforms
from ffprep.loader.files import Files
from ffprep.loader.plan.documents import document_error, parse_row
from ffprep.loader.plan.outputs import CaptionChoice, NativeOp
from ffprep.pipeline.form import BatchInfo

STREAM = zlib.crc32(b"caption") & 0x7FFFFFFF
"""Random stream of the choice among an image's captions; all caption decoders use it, so they choose the same one."""


class CaptionForm(NamedTuple):
    """How a field stores captions, or their lengths.

    Attributes
    ----------
    rows : int
        Rows of a sample.
    columns : int
        Elements of a row.
    itemsize : int
        Bytes of an element.
    grouped : bool
        Whether an image has several captions.
    """

    rows: int
    columns: int
    itemsize: int
    grouped: bool


def check_tokens(stored: np.dtype[Any], dtype: np.dtype[Any], where: str) -> None:
    """Check that stored tokens can be given out as a type.

    Raises
    ------
    OptionError
        They are no tokens, or the type is too narrow for them.
    """
    if stored not in STORED_TOKENS:
        raise OptionError(f"{where}: holds {stored}; tokens are uint16 or int32")
    if dtype.itemsize < stored.itemsize:
        raise OptionError(f"{where}: holds {stored}, for which {dtype} is too narrow; choose int64 or int32")


def caption_form(field: Field, tokens: bool) -> CaptionForm:
    """Return how a field stores captions, or their lengths.

    Parameters
    ----------
    field : Field
    tokens : bool
        Whether to look for the captions' tokens rather than their lengths.

    Raises
    ------
    OptionError
        The field stores neither.
    """
    if isinstance(field, IntField) and not tokens:
        return CaptionForm(1, 1, 8, False)
    if isinstance(field, NDArrayField):
        shape = tuple(int(side) for side in field.shape)
        dtype = np.dtype(field.dtype)
        if tokens and len(shape) in (1, 2) and dtype in STORED_TOKENS:
            grouped = len(shape) == 2
            return CaptionForm(shape[0] if grouped else 1, shape[-1], dtype.itemsize, grouped)
        if not tokens and len(shape) == 1 and dtype in (np.dtype("<i4"), np.dtype("<i8")):
            return CaptionForm(shape[0], 1, dtype.itemsize, True)
    wanted = (
        "(length,) or (captions, length) of uint16 or int32" if tokens else "whole numbers, one an image or a caption"
    )
    raise OptionError(f"{type(field).__name__} holds no {'captions' if tokens else 'lengths of captions'}: {wanted}")


def plan_captions(source: str, decoder: CaptionDecoder, files: Files) -> tuple[tuple[NativeOp, ...], Any]:
    """Plan the reading of captions.

    Returns
    -------
    natives : tuple of NativeOp
    wrap : callable of (arrays, BatchInfo)
        Makes the output of the arrays that these fill.

    Raises
    ------
    OptionError
        The files hold nothing that the decoder could read.
    """
    if isinstance(decoder, CaptionTokensDecoder):
        for reader in files.readers:
            if source in reader.fields and decoder.dtype.itemsize < _form_in(reader, source, True).itemsize:
                check_tokens(np.dtype("<i4"), decoder.dtype, f"{reader.path}, field {source!r}")
        tokens, _ = _caption_op(source, decoder, files, decoder.dtype, True)
        if not decoder.trim:
            return (tokens,), lambda arrays, batch: arrays[0]
        return (tokens, _lengths("length", decoder, files)), _trimmed
    lengths = _lengths(source, decoder, files)
    if isinstance(decoder, CaptionLengthDecoder):
        return (lengths,), lambda arrays, batch: arrays[0]
    _, columns = _caption_op("tokens", decoder, files, np.dtype(np.int64), True)

    def mask(arrays: Sequence[npt.NDArray[Any]], batch: BatchInfo) -> Any:
        width = _longest(arrays[0]) if decoder.trim else columns
        return np.arange(width) < arrays[0][..., None]

    return (lengths,), mask


def text_of_captions(source: str, which: str, files: Files) -> Callable[[Ragged, BatchInfo], list[Any]]:
    """Return the function that makes captions of stored bytes: a text in pairs, a JSON list of texts in groups.

    Parameters
    ----------
    source : str
        Field with the texts.
    which : str
        ``all``, ``first`` or ``random``.
    files : Files
    """
    lists = np.array([isinstance(reader.fields[source], JSONField) for reader in files.readers])

    def texts(x: Ragged, batch: BatchInfo) -> list[Any]:
        rows = []
        kinds = lists[files.file_of(batch.ids)]
        for n, (row, length, is_list) in enumerate(zip(x.data, x.lengths, kinds, strict=True)):
            if not is_list:
                rows.append([row[:length].tobytes().decode("utf-8", "replace")])
                continue
            found = parse_row(row, int(length), n, batch, source, files)
            if not isinstance(found, (list, type(None))):
                raise document_error("no list of captions", n, batch, source, files)
            rows.append([str(text) for text in found or ()])
        if which == "all":
            return rows
        draws = uniforms(batch.seed, batch.epoch, batch.keys, STREAM, 0) if which == "random" else np.zeros(len(rows))
        return [some[int(draw * len(some))] if some else "" for some, draw in zip(rows, draws, strict=True)]

    return texts


def _trimmed(arrays: Sequence[npt.NDArray[Any]], batch: BatchInfo) -> Any:
    return arrays[0][..., : _longest(arrays[1])]


def _longest(lengths: npt.NDArray[Any]) -> int:
    return max(1, int(lengths.max(initial=0)))


def _lengths(source: str, decoder: CaptionDecoder, files: Files) -> NativeOp:
    return _caption_op(source, decoder, files, np.dtype(np.int64), False)[0]


def _caption_op(
    source: str, decoder: CaptionDecoder, files: Files, dtype: np.dtype[Any], tokens: bool
) -> tuple[NativeOp, int]:
    """Return the operation that reads captions or their lengths, and the most elements that a file has in a row."""
    forms = [_form_in(reader, source, tokens) for reader in files.readers]
    columns = max(form.columns for form in forms)
    several = decoder.captions == "all" and any(form.grouped for form in forms)
    shape = (max(form.rows for form in forms),) if several else ()
    fill = 0
    if tokens:
        shape = (*shape, columns)
        vocabulary = files.vocabulary()
        fill = 0 if vocabulary is None else vocabulary.pad
    choice = CaptionChoice(decoder.captions, columns, tokens)
    op = NativeOp("captions", source, [(shape, dtype)], fill=fill.to_bytes(8, "little"), captions=choice)
    return op, columns


def _form_in(reader: Reader, source: str, tokens: bool) -> CaptionForm:
    if source not in reader.fields:
        raise OptionError(
            f"{reader.path}: has no field {source!r}, which captions need; it has {', '.join(reader.fields)}"
        )
    try:
        return caption_form(reader.fields[source], tokens)
    except OptionError as error:
        raise OptionError(f"{reader.path}, field {source!r}: {error}") from None
