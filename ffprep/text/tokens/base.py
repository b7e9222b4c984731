"""What every vocabulary can do: turn text into ids and ids into text, and name its special tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[Any]
"""Ids of tokens: little-endian uint16, or int32 where the vocabulary has more than 65,536 of them."""

Ids = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Vocabulary(ABC):
    """The ids of a tokenizer's tokens.

    Attributes
    ----------
    kind : str
        What the ids are: of GPT-2's tokens ``"fairseq"``, ``"dict"`` or ``"gpt2"``; of another tokenizer the library
        that reads it, ``"tiktoken"``, ``"tokenizers"`` or ``"sentencepiece"``.
    size : int
        Number of ids: one more than the largest.
    bos : int or None
        Id before a row of text; None if the tokenizer has no such token.
    pad, eos : int
        Ids that fill up rows, and that end rows and documents.
    unk, mask : int or None
        Ids of unknown and of masked tokens.
    """

    kind: str
    size: int
    bos: int | None
    pad: int
    eos: int
    unk: int | None
    mask: int | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type in which files store the ids: ``<u2``, or ``<i4`` if the vocabulary has more than 65,536 ids."""
        return np.dtype("<u2") if self.size <= 1 << 16 else np.dtype("<i4")

    @property
    def label(self) -> str:
        """A name for messages."""
        return self.kind

    @property
    @abstractmethod
    def specials(self) -> Mapping[str, int]:
        """Ids of the special tokens, by the names that they have in the vocabulary."""

    def marks(self, pair: bool) -> tuple[Ids, ...]:
        """Ids around the text of a row: before and after it or, with `pair`, before, between and after two texts."""
        before = () if self.bos is None else (self.bos,)
        return (before, (self.eos,), (self.eos,)) if pair else (before, (self.eos,))

    @abstractmethod
    def same_as(self, other: Vocabulary) -> bool:
        """Whether both vocabularies give the same ids for every text and have the same special tokens."""

    @abstractmethod
    def encode_batch(self, texts: Sequence[str]) -> tuple[Tokens, npt.NDArray[np.int64]]:
        """Ids of all texts one after the other, and where each text ends.

        Returns
        -------
        ids : (n,) of `dtype`
            With `eos` after every text.
        ends : (len(texts),) int64
            Position of each text's `eos` in ``ids``.
        """

    def encode_stream(self, texts: Sequence[str]) -> Tokens:
        """Ids of all texts one after the other, each followed by `eos`.

        Returns
        -------
        (n,) of `dtype`
        """
        return self.encode_batch(texts)[0]

    def encode(self, text: str) -> Tokens:
        """Ids of a text, without special tokens.

        Returns
        -------
        (n,) of `dtype`
        """
        return self.encode_stream([text])[:-1]

    @abstractmethod
    def decode(self, ids: npt.ArrayLike, specials: bool = False) -> str:
        """Text of some ids.

        Parameters
        ----------
        ids : (n,) integers
        specials : bool
            Whether to spell out special tokens and ids without a text (``</s>``, ``<50000>``) or to leave them out.

        Raises
        ------
        ValueError
            When an id is not in the vocabulary.
        """

    def decode_documents(self, ids: npt.ArrayLike) -> list[str]:
        """Texts of a stream in which `eos` follows every document; the last document may lack it."""
        numbers = np.asarray(ids)
        ends = np.flatnonzero(numbers == self.eos)
        starts = np.concatenate([[0], ends + 1])
        stops = np.concatenate([ends, [len(numbers)]])
        spans = [(a, b) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        if spans[-1][0] == spans[-1][1]:
            spans.pop()
        return [self.decode(numbers[a:b]) for a, b in spans]

    @abstractmethod
    def manifest(self) -> dict[str, Any]:
        """The record of this vocabulary in a file's manifest, which ``from_manifest`` reads."""

    def in_range(self, ids: npt.ArrayLike) -> npt.NDArray[Any]:
        """The ids as an array.

        Raises
        ------
        ValueError
            When one is not in the vocabulary.
        """
        numbers = np.asarray(ids)
        if numbers.size and (int(numbers.min()) < 0 or int(numbers.max()) >= self.size):
            raise ValueError(f"ids go from {numbers.min()} to {numbers.max()}; this vocabulary has {self.size}")
        return numbers


def replace_surrogates(text: str) -> tuple[str, int]:
    """Join surrogate pairs into characters and replace lone ones by U+FFFD; also returns the number of the latter."""
    fixed = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return fixed, fixed.count("\ufffd") - text.count("\ufffd")
