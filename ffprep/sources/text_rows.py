"""Rows of one or two texts and a label, as samples with a fixed number of tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ffprep.errors import SourceError
from ffprep.fields import BytesField, Field, FloatField, IntField, NDArrayField
from ffprep.sources.reading.labelled_texts import Labels, TextTable
from ffprep.sources.reading.left_out import LeftOut
from ffprep.sources.reading.load_cache import LoadCache
from ffprep.text.tokens.sequences import EncodedRows, encode_rows
from ffprep.text.tokens.vocabulary import Vocabulary

CHUNK = 1024
"""Rows that are tokenised together."""
KEPT_BYTES = 1 << 28
"""The most bytes of tokens kept in memory; further rows are tokenised again when they are written."""


class TextRows:
    """A source of rows of texts, with the fields ``tokens``, ``length``, ``label`` and, on request, the texts.

    Parameters
    ----------
    name : str
        Name of the data set.
    table : TextTable
        The rows.
    labels : Labels or None
    vocabulary : Vocabulary
    length : int
        Tokens per row: ``<s> a </s>`` or ``<s> a </s> b </s>``, cut or filled up with ``<pad>``.
    keep_text : bool
        Whether to store the texts as well, in the field ``text`` and, for pairs, ``text_pair``.
    facts : mapping
        Further entries of the manifest.
    notes : sequence of str
        What the user should know before the work begins.

    Raises
    ------
    SourceError
        When there are no rows.
    """

    def __init__(
        self,
        name: str,
        table: TextTable,
        labels: Labels | None,
        vocabulary: Vocabulary,
        length: int,
        keep_text: bool = False,
        facts: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        if len(table.first) == 0:
            raise SourceError("; ".join(filter(None, (f"{name}: not a single row", table.left_out.summary()))))
        self.name = name
        self.notes = list(notes)
        self.table = table
        self._labels = labels
        self._vocabulary = vocabulary
        self._length = length
        self._keep_text = keep_text
        self._facts = dict(facts or {})
        self._fields: dict[str, Field] = {"tokens": NDArrayField(vocabulary.dtype, (length,)), "length": IntField()}
        if labels is not None:
            self._fields["label"] = FloatField() if labels.values.dtype.kind == "f" else IntField()
        if keep_text:
            self._fields["text"] = BytesField()
            if table.second is not None:
                self._fields["text_pair"] = BytesField()
        self._chunks = LoadCache[EncodedRows](max(16, KEPT_BYTES // (vocabulary.dtype.itemsize * CHUNK * length)))
        self.cut_rows, self.cut_tokens = self._count_cuts()

    def _encode(self, chunk: int) -> EncodedRows:
        rows = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
        second = self.table.second[rows] if self.table.second is not None else None
        return encode_rows(self._vocabulary, self.table.first[rows], second, self._length)

    def _count_cuts(self) -> tuple[int, int]:
        rows = tokens = 0
        for chunk in range(-(-len(self) // CHUNK)):
            cut = self._chunks.get(chunk, self._encode).cut
            rows += int(np.count_nonzero(cut))
            tokens += int(cut.sum())
        return rows, tokens

    @property
    def fields(self) -> Mapping[str, Field]:
        return self._fields

    @property
    def left_out(self) -> LeftOut:
        """The rows that were left out."""
        return self.table.left_out

    def __len__(self) -> int:
        return len(self.table.first)

    def sample(self, index: int) -> tuple[Any, ...]:
        """Tokens of shape (length,), their number without padding, the label, and the texts as UTF-8."""
        chunk, row = divmod(index, CHUNK)
        encoded = self._chunks.get(chunk, self._encode)
        values: list[Any] = [encoded.tokens[row], int(encoded.lengths[row])]
        if self._labels is not None:
            values.append(self._labels.values[index].item())
        if self._keep_text:
            values.append(self.table.first[index].encode("utf-8"))
            if self.table.second is not None:
                values.append(self.table.second[index].encode("utf-8"))
        return tuple(values)

    def sample_name(self, index: int) -> str:
        return self.table.names[index]

    def manifest(self) -> dict[str, Any]:
        """What the file records about its rows."""
        facts: dict[str, Any] = {
            **self._facts,
            "vocabulary": self._vocabulary.manifest(),
            "rows": {
                "length": self._length,
                "pair": self.table.second is not None,
                "truncation": "longest first" if self.table.second is not None else "end",
                "cut_rows": self.cut_rows,
                "cut_tokens": self.cut_tokens,
                "bad": len(self.left_out),
                "bad_rows": self.left_out.rows,
                "invalid": self.table.invalid,
            },
        }
        if self._labels is not None and self._labels.names:
            facts["labels"] = list(self._labels.names)
        return facts

    def summary(self) -> str:
        """One line about what was read, for the screen."""
        parts = [f"{len(self):,} rows"]
        if self._labels is not None and self._labels.values.dtype.kind == "i":
            counts = Counter(self._labels.values.tolist())
            names = self._labels.names
            shown = [f"{names[k] if 0 <= k < len(names) else k} {n:,}" for k, n in sorted(counts.items())[:8]]
            parts.append("labels " + ", ".join(shown) + (", ..." if len(counts) > 8 else ""))
        if self._labels is not None and 0 < self._labels.missing < len(self):
            parts.append(f"{self._labels.missing:,} without a label (-1)")
        if self.cut_rows:
            parts.append(f"{self.cut_rows:,} cut to {self._length} tokens")
        if self.left_out:
            parts.append(self.left_out.summary())
        return "; ".join(parts)
