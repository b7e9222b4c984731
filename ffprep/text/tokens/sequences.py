"""One text or two as a row of a fixed number of tokens.

::

    <s> a </s> <pad> <pad> ...
    <s> a </s> b </s> <pad> ...

Too long a pair loses tokens from the end of the longer text, one at a time, from the second where both have
the same length; a single text loses its end. The marks always stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.text.tokens.vocabulary import Tokens, Vocabulary

Lengths = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Encoded texts.

    Attributes
    ----------
    tokens : (n, length) uint16
        Rows filled up with ``<pad>``.
    lengths : (n,) int64
        Tokens of each row before the padding, marks included.
    cut : (n,) int64
        Tokens each row lost because it was too long.
    """

    tokens: Tokens
    lengths: Lengths
    cut: Lengths


def shares(first: Lengths, second: Lengths, room: int) -> tuple[Lengths, Lengths]:
    """How many tokens of each of two texts fit into ``room``, cutting the longer one first.

    Parameters
    ----------
    first, second : (n,) int64
        Lengths in tokens.
    room : int
        Tokens for both together.

    Returns
    -------
    first, second : (n,) int64
        Their sum is ``min(first + second, room)``. Equal texts give up tokens in turns, the second one first.
    """
    excess = np.maximum(first + second - room, 0)
    down = np.minimum(excess, np.abs(first - second))
    evenly = excess - down
    longer = first > second
    return (
        first - np.where(longer, down, 0) - evenly // 2,
        second - np.where(longer, 0, down) - (evenly + 1) // 2,
    )


def encode_rows(vocabulary: Vocabulary, first: Sequence[str], second: Sequence[str] | None, length: int) -> Rows:
    """Texts, or pairs of texts, as rows.

    Parameters
    ----------
    vocabulary : Vocabulary
    first : sequence of str
    second : sequence of str, optional
        The other text of each pair, which may be empty.
    length : int
        Tokens in a row; at least 2 for single texts and 3 for pairs.

    Raises
    ------
    OptionError
        When the marks alone do not fit.
    """
    marks = 2 if second is None else 3
    if length < marks:
        raise OptionError(f"length {length}: the marks around the text alone take {marks} tokens")
    count = len(first)
    ids, ends = vocabulary.encode_batch([*first, *(second or ())])
    starts = np.concatenate([[0], ends + 1])[: len(ends)].astype(np.int64)
    sizes = ends - starts
    kept_first = np.minimum(sizes[:count], length - marks)
    kept_second = np.zeros(0, np.int64)
    if second is not None:
        kept_first, kept_second = shares(sizes[:count], sizes[count:], length - marks)
    tokens = np.full((count, length), vocabulary.pad, np.uint16)
    tokens[:, 0] = vocabulary.bos
    _place(tokens, ids, starts[:count], kept_first, np.ones(count, np.int64))
    rows = np.arange(count)
    tokens[rows, 1 + kept_first] = vocabulary.eos
    lengths = kept_first + 2
    if second is not None:
        _place(tokens, ids, starts[count:], kept_second, lengths)
        lengths = lengths + kept_second + 1
        tokens[rows, lengths - 1] = vocabulary.eos
        return Rows(tokens, lengths, sizes[:count] + sizes[count:] - kept_first - kept_second)
    return Rows(tokens, lengths, sizes - kept_first)


def _place(tokens: Tokens, ids: Tokens, starts: Lengths, sizes: Lengths, at: Lengths) -> None:
    """Copy ``ids[starts[r] : starts[r] + sizes[r]]`` to row r from column ``at[r]`` on, for all rows."""
    row = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    tokens[row, at[row] + within] = ids[starts[row] + within]


def split_row(vocabulary: Vocabulary, row: npt.NDArray[np.integer], length: int, pair: bool) -> tuple[str, ...]:
    """Texts of a row: one, or two where ``pair`` says so. What was cut off is not there any more."""
    body = np.asarray(row)[1 : int(length)]
    ends = np.flatnonzero(body == vocabulary.eos)
    if not pair:
        return (vocabulary.decode(body[: ends[0]]),)
    return vocabulary.decode(body[: ends[0]]), vocabulary.decode(body[ends[0] + 1 : ends[1]])
