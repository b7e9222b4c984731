"""Rows of one or two texts and a label, from any table, as samples of a fixed number of tokens."""

from __future__ import annotations

import glob
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.errors import OptionError, SourceError
from ffprep.fields import BytesField, Field, FloatField, IntField, NDArrayField
from ffprep.sources.openwebtext import natural
from ffprep.sources.reading.text_table import Labels, TextTable, read_labels, read_table
from ffprep.text.documents.tables import Dialect, Part, format_of, hub_rows, parts_of
from ffprep.text.tokens.sequences import Rows as EncodedRows
from ffprep.text.tokens.sequences import encode_rows
from ffprep.text.tokens.vocabulary import Vocabulary

CHUNK = 1024
"""Rows that are tokenised together."""
KEPT_BYTES = 1 << 28
"""Tokens kept in memory; rows beyond are tokenised again when they are written."""


class TextRows:
    """Rows of texts as a source of samples: ``tokens``, ``length``, ``label`` and, on request, the texts.

    Parameters
    ----------
    name : str
        The data set.
    table : TextTable
        The rows.
    labels : Labels or None
    vocabulary : Vocabulary
    length : int
        Tokens in a row: ``<s> a </s>`` or ``<s> a </s> b </s>``, cut or filled up with ``<pad>``.
    keep_text : bool
        Store the texts, too: fields ``text`` and, for pairs, ``text_pair``.
    facts : mapping
        More for the manifest.

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
    ) -> None:
        if len(table.first) == 0:
            raise SourceError(f"{name}: not a single row{_reason(table)}")
        self.name = name
        self.table = table
        self._labels = labels
        self._vocabulary = vocabulary
        self._length = length
        self._keep_text = keep_text
        self._facts = dict(facts or {})
        self._fields: dict[str, Field] = {"tokens": NDArrayField("<u2", (length,)), "length": IntField()}
        if labels is not None:
            self._fields["label"] = FloatField() if labels.values.dtype.kind == "f" else IntField()
        if keep_text:
            self._fields["text"] = BytesField()
            if table.second is not None:
                self._fields["text_pair"] = BytesField()
        self._chunks = _Chunks(self._encode, max(16, KEPT_BYTES // (2 * CHUNK * length)))
        self.cut_rows, self.cut_tokens = self._count_cuts()

    def _encode(self, chunk: int) -> EncodedRows:
        rows = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
        second = self.table.second[rows] if self.table.second is not None else None
        return encode_rows(self._vocabulary, self.table.first[rows], second, self._length)

    def _count_cuts(self) -> tuple[int, int]:
        rows = tokens = 0
        for chunk in range(-(-len(self) // CHUNK)):
            cut = self._chunks.get(chunk).cut
            rows += int(np.count_nonzero(cut))
            tokens += int(cut.sum())
        return rows, tokens

    @property
    def fields(self) -> Mapping[str, Field]:
        return self._fields

    def __len__(self) -> int:
        return len(self.table.first)

    def sample(self, index: int) -> tuple[Any, ...]:
        """Tokens of shape (length,), the true length, the label, and the texts as UTF-8."""
        chunk, row = divmod(index, CHUNK)
        encoded = self._chunks.get(chunk)
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
        """What the file says about its rows."""
        facts: dict[str, Any] = {
            **self._facts,
            "vocabulary": self._vocabulary.manifest(),
            "rows": {
                "length": self._length,
                "pair": self.table.second is not None,
                "truncation": "longest first" if self.table.second is not None else "end",
                "cut_rows": self.cut_rows,
                "cut_tokens": self.cut_tokens,
                "bad": self.table.bad,
                "bad_rows": self.table.bad_rows,
                "invalid": self.table.invalid,
            },
        }
        if self._labels is not None and self._labels.names:
            facts["labels"] = list(self._labels.names)
        return facts

    def summary(self) -> str:
        """One line on what was read, for the screen."""
        parts = [f"{len(self):,} rows"]
        if self._labels is not None and self._labels.values.dtype.kind == "i":
            counts = Counter(self._labels.values.tolist())
            names = self._labels.names
            shown = [f"{names[k] if 0 <= k < len(names) else k} {n:,}" for k, n in sorted(counts.items())[:8]]
            parts.append("labels " + ", ".join(shown) + (", ..." if len(counts) > 8 else ""))
        if self.cut_rows:
            parts.append(f"{self.cut_rows:,} cut to {self._length} tokens")
        if self.table.bad:
            parts.append(f"{self.table.bad:,} left out{_reason(self.table)}")
        return "; ".join(parts)


def _reason(table: TextTable) -> str:
    return f" (first {table.bad_rows[0][0]}: {table.bad_rows[0][1]})" if table.bad_rows else ""


class _Chunks:
    """Chunks of encoded rows, the last few kept; one that several threads ask for is made once."""

    def __init__(self, make: Any, keep: int) -> None:
        self._make = make
        self._keep = keep
        self._entries: OrderedDict[int, _Chunk] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, number: int) -> EncodedRows:
        with self._lock:
            entry = self._entries.setdefault(number, _Chunk())
            self._entries.move_to_end(number)
            while len(self._entries) > self._keep:
                self._entries.popitem(last=False)
        with entry.lock:
            if entry.rows is None:
                entry.rows = self._make(number)
            return entry.rows

    def __reduce__(self) -> tuple[Any, ...]:
        return _Chunks, (self._make, self._keep)


class _Chunk:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rows: EncodedRows | None = None


# any table


@dataclass(frozen=True)
class TableChoice:
    """Where the texts are.

    Attributes
    ----------
    files : tuple of str
        Files, folders, patterns such as ``data/*.jsonl``, or one hub data set.
    text : str
        Column of the text.
    text_pair, label : str or None
        Columns of the other text and of the label.
    labels : tuple of str
        Names of the labels in the order of their numbers.
    label_kind : {"auto", "int", "float"}
    format : str or None
        ``jsonl``, ``csv``, ``tsv`` or ``parquet``; by default by the names of the files.
    delimiter : str or None
        Between the values of csv and tsv files, where it is not a comma or a tab.
    quotes : bool or None
        Whether ``"`` quotes values; by default in csv files only.
    columns : tuple of str
        Names of the columns of files without a header.
    split, config : str or None
        Of a hub data set.
    """

    files: tuple[str, ...]
    text: str
    text_pair: str | None = None
    label: str | None = None
    labels: tuple[str, ...] = ()
    label_kind: str = "auto"
    format: str | None = None
    delimiter: str | None = None
    quotes: bool | None = None
    columns: tuple[str, ...] = ()
    split: str | None = None
    config: str | None = None

    @property
    def wanted(self) -> list[str]:
        """Columns to read."""
        return [name for name in (self.text, self.text_pair, self.label) if name is not None]


def open_table(choice: TableChoice, columns: Sequence[str]) -> list[Part]:
    """The parts of all files of a choice, in natural order of the files' names as they were given.

    Raises
    ------
    SourceError
        When there is no such file, or one of unknown format.
    """
    parts: list[Part] = []
    paths = [path for pattern in choice.files for path in _matching(pattern)]
    if not paths and len(choice.files) == 1:
        return [_hub_part(choice, columns)]
    for path in paths:
        kind = choice.format or format_of(path)
        if kind is None:
            raise SourceError(f"{path}: jsonl, csv, tsv or parquet? Give --format")
        parts += parts_of(path, path.name, columns, kind, _dialect(choice, kind))
    if not parts:
        raise SourceError(f"{', '.join(choice.files)}: no such files")
    return parts


def _matching(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        return sorted((p for p in path.iterdir() if format_of(p)), key=lambda p: natural(p.name))
    if path.exists():
        return [path]
    return sorted(map(Path, glob.glob(pattern, recursive=True)), key=lambda p: natural(str(p)))  # noqa: PTH207


def _dialect(choice: TableChoice, kind: str) -> Dialect | None:
    if kind not in ("csv", "tsv"):
        return None
    quoted = choice.quotes if choice.quotes is not None else kind == "csv"
    delimiter = choice.delimiter or ("," if kind == "csv" else "\t")
    return Dialect(delimiter, quoted, not choice.columns, choice.columns)


def _hub_part(choice: TableChoice, columns: Sequence[str]) -> Part:
    dataset = load_hub(choice.files[0], choice.config, choice.split or "train")
    label = f"{choice.files[0]} {choice.config or ''}".strip()
    return Part(f"{label} [{len(dataset)}]", len(dataset), lambda: hub_rows(dataset, label, columns))


def load_hub(repository: str, config: str | None, split: str) -> Any:
    """A split of a hub data set, in the client's cache.

    Raises
    ------
    SourceError
        When it is not given.
    """
    try:
        import datasets
    except ImportError:
        raise OptionError("hub data sets need datasets: pip install 'ffprep[convert]'") from None
    try:
        return datasets.load_dataset(repository, config, split=split)
    except Exception as error:  # the client raises errors of many libraries
        reason = str(error).split("\n", 1)[0]
        raise SourceError(f"{repository}: neither a file here nor a data set the hub gives: {reason}") from None


def open_rows(
    choice: TableChoice, vocabulary: Vocabulary, length: int, keep_text: bool = False, skip: bool = False
) -> TextRows:
    """A source of the rows of a choice.

    Raises
    ------
    SourceError
        When files, rows or labels are not what the choice says.
    """
    parts = open_table(choice, choice.wanted)
    rows = (row for part in parts for row in part.read())
    table = read_table(rows, choice.text_pair is not None, choice.label is not None, skip)
    labels = None
    if choice.label is not None:
        try:
            labels = read_labels(table.labels, choice.labels, choice.label_kind)
        except SourceError as error:
            raise SourceError(f"{', '.join(choice.files)}: column {choice.label!r}, {error}") from None
    facts = {"columns": choice.wanted, "files": len(parts)}
    return TextRows("text", table, labels, vocabulary, length, keep_text, facts)
