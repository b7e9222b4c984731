"""Encodes a text, or a pair of texts, as a row with a fixed number of tokens.

::

    <s> a </s> <pad> <pad> ...
    <s> a </s> b </s> <pad> ...

The marks are those of the vocabulary (:meth:`Vocabulary.marks`): BERT's are ``[CLS] a [SEP] b [SEP]``, T5's ``a </s>``.
A text that is too long loses its end. A pair that is too long loses one token after the other from the end of whichever
text is longer, or of the second one if both have the same length. The marks always stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.text.tokens.vocabulary import Tokens, Vocabulary

Lengths = npt.NDArray[np.int64]


class EncodedRows(NamedTuple):
    """Encoded texts.

    Attributes
    ----------
    tokens : (n, length) of the vocabulary's dtype
        The rows, filled up with ``<pad>``.
    lengths : (n,) int64
        Number of tokens in each row before the padding, including marks.
    cut : (n,) int64
        Number of tokens that each row lost because it was too long.
    """

    tokens: Tokens
    lengths: Lengths
    cut: Lengths


def fitting_lengths(first: Lengths, second: Lengths, room: int) -> tuple[Lengths, Lengths]:
    """Number of tokens of each text of a pair that fit into ``room``, if the longer text is cut first.

    Parameters
    ----------
    first, second : (n,) int64
        Lengths of the texts in tokens.
    room : int
        The most tokens of both texts together.

    Returns
    -------
    first, second : (n,) int64
        Their sum is ``min(first + second, room)``. Texts of equal length lose tokens in turns, the second one first.
    """
    excess = np.maximum(first + second - room, 0)
    from_longer = np.minimum(excess, np.abs(first - second))
    from_both = excess - from_longer
    first_longer = first > second
    return (
        first - np.where(first_longer, from_longer, 0) - from_both // 2,
        second - np.where(first_longer, 0, from_longer) - (from_both + 1) // 2,
    )


def encode_rows(vocabulary: Vocabulary, first: Sequence[str], second: Sequence[str] | None, length: int) -> EncodedRows:
    """Encode texts, or pairs of texts, as rows.

    Parameters
    ----------
    vocabulary : Vocabulary
    first : sequence of str
        The texts, or the first text of each pair.
    second : sequence of str, optional
        The second text of each pair; it may be empty.
    length : int
        Tokens per row: at least those of the marks, which are 2 for single texts and 3 for pairs of GPT-2's tokens.

    Raises
    ------
    OptionError
        When a row has no room for the marks.
    """
    around = vocabulary.marks(second is not None)
    marks = sum(map(len, around))
    if length < marks:
        raise OptionError(f"length {length}: the marks around the text alone take {marks} tokens")
    count = len(first)
    ids, ends = vocabulary.encode_batch([*first, *(second or ())])
    starts = np.concatenate([[0], ends + 1])[: len(ends)].astype(np.int64)
    sizes = ends - starts
    kept_first = np.minimum(sizes[:count], length - marks)
    kept_second = np.zeros(0, np.int64)
    if second is not None:
        kept_first, kept_second = fitting_lengths(sizes[:count], sizes[count:], length - marks)
    tokens = np.full((count, length), vocabulary.pad, vocabulary.dtype)
    lengths = _mark(tokens, around[0], np.zeros(count, np.int64))
    _place(tokens, ids, starts[:count], kept_first, lengths)
    lengths = _mark(tokens, around[1], lengths + kept_first)
    if second is not None:
        _place(tokens, ids, starts[count:], kept_second, lengths)
        lengths = _mark(tokens, around[2], lengths + kept_second)
        return EncodedRows(tokens, lengths, sizes[:count] + sizes[count:] - kept_first - kept_second)
    return EncodedRows(tokens, lengths, sizes - kept_first)


def _mark(tokens: Tokens, marks: Sequence[int], at: Lengths) -> Lengths:
    """Write marks to every row r, from column ``at[r]`` on; return where they end."""
    for place, mark in enumerate(marks):
        tokens[np.arange(len(tokens)), at + place] = mark
    return at + len(marks)


def _place(tokens: Tokens, ids: Tokens, starts: Lengths, sizes: Lengths, at: Lengths) -> None:
    """Copy ``ids[starts[r] : starts[r] + sizes[r]]`` to row r, from column ``at[r]`` on, for all rows."""
    row = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    tokens[row, at[row] + within] = ids[starts[row] + within]


def split_row(vocabulary: Vocabulary, row: npt.NDArray[np.integer], length: int, pair: bool) -> tuple[str, ...]:
    """The text of a row or, with `pair`, its two texts, as far as they were not cut."""
    body = np.asarray(row)[len(vocabulary.marks(pair)[0]) : int(length)]
    ends = np.flatnonzero(body == vocabulary.eos)
    if not pair:
        return (vocabulary.decode(body[: ends[0]]),)
    return vocabulary.decode(body[: ends[0]]), vocabulary.decode(body[ends[0] + 1 : ends[1]])
