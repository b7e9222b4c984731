"""What a sample's values are in words: names of classes, captions, tokens with the borders of documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.common.class_words import class_words
from ffprep.errors import FfprepError
from ffprep.text.blocks.blocks import source_facts
from ffprep.text.tokens.vocabulary import Vocabulary, from_manifest

LONGEST = 600
"""Characters of a value that are shown."""
_LONGEST_BLOCK = 4000
_NAMED = ("label", "labels")


class Words:
    """Values of one file in words.

    Parameters
    ----------
    reader : Reader
    names : mapping of str to str
        What stands for a class's name, such as ``{"n01440764": "tench"}``; see `ffprep.common.class_words`. Those that
        the file has recorded stand for the others.
    """

    def __init__(self, reader: Reader, names: Mapping[str, str]) -> None:
        self.reader = reader
        facts = source_facts(reader)
        classes = facts.get("classes", facts.get("labels"))
        self.classes: list[str] = [str(name) for name in classes] if isinstance(classes, list) else []
        self.names = {**class_words(facts), **names}
        self.vocabulary: Vocabulary | None = None
        try:
            self.vocabulary = from_manifest(facts.get("vocabulary"))
            self.vocabulary.decode(np.zeros(0, np.uint16))
        except (FfprepError, ValueError):
            self.vocabulary = None

    def label(self, value: int) -> str:
        """A class: its number, its name, and its name in words if that is known."""
        if not 0 <= value < len(self.classes):
            return str(value)
        name = self.classes[value]
        words = self.names.get(name)
        return f"{value} ({name})" + (f" {words}" if words else "")

    def value(self, name: str, value: Any) -> str:
        """Any value but an image, cut off where it is long."""
        text = self._whole(name, value)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."

    def documents(self, tokens: np.ndarray[Any, Any]) -> list[str] | None:
        """A block's text, in a piece for each document or part of one; None if its vocabulary is not known.

        A piece ends with the mark that ends its document, so that what is cut off by the block's own end can be told.
        """
        if self.vocabulary is None:
            return None
        row = _unpadded(tokens, self.vocabulary)
        ends = (np.flatnonzero(row == self.vocabulary.eos) + 1).tolist() if self.vocabulary.eos is not None else []
        try:
            pieces = [
                self.vocabulary.decode(row[a:b], specials=True)
                for a, b in zip([0, *ends], [*ends, len(row)], strict=True)
                if a < b
            ]
        except (FfprepError, ValueError):
            return None
        return [piece[:_LONGEST_BLOCK] for piece in pieces]

    def _whole(self, name: str, value: Any) -> str:
        if isinstance(value, int):
            return self.label(value) if name == "label" else str(value)
        if isinstance(value, bytes):
            return _readable(value)
        if isinstance(value, np.ndarray):
            if name == "tokens" and (words := self._decoded(value)) is not None:
                return words
            if name in _NAMED and self.classes and value.ndim == 1 and value.dtype.kind in "iu":
                return ", ".join(self.label(int(one)) for one in value[:60])
            return f"{value.dtype}{list(value.shape)} {np.array2string(value, threshold=60, separator=' ')}"
        if isinstance(value, float):
            return str(value)
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            return " / ".join(value)
        return json.dumps(value, ensure_ascii=False)

    def _decoded(self, tokens: np.ndarray[Any, Any]) -> str | None:
        """The text of tokens, with special tokens spelled out except padding; None if the vocabulary is not known."""
        if self.vocabulary is None or not tokens.shape[-1]:
            return None
        rows = tokens.reshape(-1, tokens.shape[-1])[: 1 + LONGEST // tokens.shape[-1]]
        try:
            return " / ".join(self.vocabulary.decode(_unpadded(row, self.vocabulary), specials=True) for row in rows)
        except (FfprepError, ValueError):
            return None


def _unpadded(row: np.ndarray[Any, Any], vocabulary: Vocabulary) -> np.ndarray[Any, Any]:
    """A row without the padding at its end; where the mark of the end serves as padding, one is kept."""
    filled = np.flatnonzero(row != vocabulary.pad)
    return row[: (int(filled[-1]) + 1 if len(filled) else 0) + (vocabulary.pad == vocabulary.eos)]


def _readable(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return f"{len(value):,} bytes: {value[:64].hex(' ')}{' ...' if len(value) > 64 else ''}"
