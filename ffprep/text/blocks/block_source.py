"""Makes samples of token blocks from the finished parts of a corpus, for writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ffprep.common.files.mapping import read_numbers
from ffprep.errors import SourceError
from ffprep.fields import Field, NDArrayField
from ffprep.text.blocks.blocks import best_per_sample
from ffprep.text.blocks.part_files import LENGTH, Part, Statistics
from ffprep.text.tokens.vocabulary import Tokens, Vocabulary


class BlockSource:
    """A source whose samples are the blocks of finished parts.

    Parameters
    ----------
    parts : sequence of Part
        In the order of the corpus.
    vocabulary : Vocabulary
        The vocabulary with which the parts were tokenised.
    block : int
        Tokens per block.
    per_sample : int, optional
        Blocks per sample; by default the number that makes the file smallest.
    name : str
        Name of the data set.
    facts : mapping
        Further entries of the manifest.
    units : sequence of str, optional
        What each part was made of, for messages.

    Raises
    ------
    SourceError
        When the tokens do not fill a single block.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        vocabulary: Vocabulary,
        block: int,
        per_sample: int | None = None,
        name: str = "text",
        facts: Mapping[str, Any] | None = None,
        units: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._parts = list(parts)
        self._vocabulary = vocabulary
        self._block = block
        self._facts = dict(facts or {})
        self._units = units
        self._padded = any(part.lengths_path is not None for part in parts)
        self._starts = np.cumsum([0, *(part.count for part in parts)])
        total = int(self._starts[-1])
        self.blocks, tail = divmod(total, block)
        self.statistics = Statistics()
        for part in parts:
            self.statistics.add(part.statistics)
        if self.blocks == 0:
            raise SourceError(
                f"{name}: {self.statistics.documents:,} documents with {total:,} tokens, fewer than a block of "
                f"{block}; give smaller blocks with --block, or more text"
            )
        self._dtype = vocabulary.dtype
        itemsize = self._dtype.itemsize
        self.per_sample = per_sample or best_per_sample(self.blocks, block, self._padded, itemsize=itemsize)
        self.tail = self._read(total - tail, tail).tolist()
        self._fields: dict[str, Field] = {"tokens": NDArrayField(self._dtype, (self.per_sample, block))}
        if self._padded:
            self._fields["length"] = NDArrayField(LENGTH, (self.per_sample,))

    @property
    def fields(self) -> Mapping[str, Field]:
        return self._fields

    def __len__(self) -> int:
        return -(-self.blocks // self.per_sample)

    def sample(self, index: int) -> tuple[Any, ...]:
        """Tokens of shape (per_sample, block) and, if blocks are padded, lengths of shape (per_sample,)."""
        first = index * self.per_sample
        count = min(self.per_sample, self.blocks - first)
        tokens = np.full((self.per_sample, self._block), self._vocabulary.pad, self._dtype)
        found = self._read(first * self._block, count * self._block)
        tokens[:count] = found.reshape(count, self._block)
        if not self._padded:
            return (tokens,)
        lengths = np.zeros(self.per_sample, LENGTH)
        lengths[:count] = self._read(first, count, lengths=True)
        return tokens, lengths

    def _read(self, start: int, count: int, lengths: bool = False) -> Tokens:
        """Read tokens ``start`` to ``start + count`` of all parts together, or that many blocks' lengths."""
        starts = self._starts // self._block if lengths else self._starts
        dtype = LENGTH if lengths else self._dtype
        number = int(np.searchsorted(starts, start, "right")) - 1
        pieces: list[Tokens] = []
        while count > 0:
            within = start - int(starts[number])
            some = min(count, int(starts[number + 1]) - start)
            pieces.append(self._read_part(number, within, some, lengths))
            start, count, number = start + some, count - some, number + 1
        return np.concatenate(pieces) if pieces else np.empty(0, dtype)

    def _read_part(self, number: int, start: int, count: int, lengths: bool) -> Tokens:
        part = self._parts[number]
        path, dtype = (part.lengths_path, LENGTH) if lengths else (part.path, self._dtype)
        assert path is not None
        return read_numbers(path, dtype, count, dtype.itemsize * start)

    def unit_at(self, index: int, token: int) -> str:
        """Say which unit a token of a sample comes from, counted from the sample's beginning."""
        place = index * self.per_sample * self._block + token
        number = int(np.searchsorted(self._starts, place, "right")) - 1
        return self._units[number] if number < len(self._units) else ""

    def sample_name(self, index: int) -> str:
        first = index * self.per_sample
        return f"blocks {first}-{min(first + self.per_sample, self.blocks) - 1}"

    def manifest(self) -> dict[str, Any]:
        """What the file records about its blocks, including the tokens after the last whole block."""
        return {
            **self._facts,
            "vocabulary": self._vocabulary.manifest(),
            "blocks": {
                "block": self._block,
                "count": self.blocks,
                "per_sample": self.per_sample,
                "padded": self._padded,
                "tail": self.tail,
            },
            "text": self.statistics.as_dict(),
        }
