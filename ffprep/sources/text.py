"""Texts and labels from tables of any format, local or on the hub."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffprep.common.names import Clutter
from ffprep.errors import SourceError
from ffprep.sources.reading.hub import load_dataset
from ffprep.sources.reading.labelled_texts import label_rows, read_table
from ffprep.sources.text_rows import TextRows
from ffprep.text.documents.delimited import Dialect
from ffprep.text.documents.documents import natural
from ffprep.text.documents.table_parts import TablePart, format_of, parts_of
from ffprep.text.documents.table_rows import hub_rows
from ffprep.text.tokens.vocabulary import Vocabulary


@dataclass(frozen=True)
class TableChoice:
    """Which texts to read, and how.

    Attributes
    ----------
    files : tuple of str
        Files, folders, patterns such as ``data/*.jsonl``, or a single data set on the hub.
    text : str
        Column of the text.
    text_pair, label : str or None
        Columns of the second text and of the label.
    labels : tuple of str
        Names of the labels in the order of their numbers.
    label_kind : {"auto", "int", "float"}
        See `read_labels`.
    format : str or None
        ``jsonl``, ``csv``, ``tsv`` or ``parquet``; by default as the names of the files tell.
    delimiter : str or None
        Delimiter of csv and tsv files, if it is not a comma or a tab.
    quotes : bool or None
        Whether ``"`` quotes values; by default only in csv files.
    columns : tuple of str
        Names of the columns in files without a header.
    split, config : str or None
        Split and configuration of a data set on the hub.
    all_files : bool
        Whether to take what systems leave behind (`ffprep.common.names.is_clutter`).
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
    all_files: bool = False

    @property
    def facts(self) -> dict[str, Any]:
        """What was said about the form of the tables, as JSON values for the manifest; empty if nothing was."""
        named = {name: getattr(self, name) for name in ("format", "delimiter", "quotes", "split", "config")}
        found: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        if self.columns:
            found["columns"] = list(self.columns)
        return {**({"table": found} if found else {}), **Clutter(self.all_files).facts}

    @property
    def wanted(self) -> list[str]:
        """Columns to read."""
        return [name for name in (self.text, self.text_pair, self.label) if name is not None]


def open_table(choice: TableChoice, columns: Sequence[str]) -> tuple[list[TablePart], list[str]]:
    """The parts of all chosen files, in the order in which these were given, and in natural order within folders.

    Returns
    -------
    parts : list of TablePart
    notes : list of str
        What the user should know of the choice.

    Raises
    ------
    SourceError
        When there is no such file, or the format of one is unknown.
    """
    parts: list[TablePart] = []
    clutter = Clutter(choice.all_files)
    paths = [path for pattern in choice.files for path in _matching(pattern, clutter)]
    if not paths and not clutter.left_out and len(choice.files) == 1 and _may_be_hub(choice.files[0]):
        return [_hub_part(choice, columns)], []
    for path in paths:
        kind = choice.format or format_of(path)
        if kind is None:
            raise SourceError(f"{path}: jsonl, csv, tsv or parquet? Give --format")
        parts += parts_of(path, path.name, columns, kind, _dialect(choice, kind))
    if not parts:
        raise SourceError("; ".join([f"{', '.join(choice.files)}: no such files; check the name", *clutter.notes()]))
    return parts, clutter.notes()


def _may_be_hub(name: str) -> bool:
    """Whether a name that is no file's may be a data set's; a pattern, a path or a table's name is not."""
    return name.count("/") < 2 and name[:1] not in "./~" and not glob.has_magic(name) and format_of(Path(name)) is None


def _matching(pattern: str, clutter: Clutter) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        names = sorted((p.name for p in path.iterdir() if format_of(p)), key=natural)
        return [path / name for name in names if not clutter.leaves_out(name)]
    if path.exists():
        return [path]
    named = set(path.parts)  # what the user wrote is meant, even if it is .cache
    found = sorted(map(Path, glob.glob(pattern, recursive=True)), key=lambda p: natural(str(p)))  # noqa: PTH207
    return [p for p in found if not clutter.leaves_out("/".join(part for part in p.parts if part not in named))]


def _dialect(choice: TableChoice, kind: str) -> Dialect | None:
    if kind not in ("csv", "tsv"):
        return None
    quoted = choice.quotes if choice.quotes is not None else kind == "csv"
    delimiter = choice.delimiter or ("," if kind == "csv" else "\t")
    return Dialect(delimiter, quoted, not choice.columns, choice.columns)


def _hub_part(choice: TableChoice, columns: Sequence[str]) -> TablePart:
    dataset = load_dataset(choice.files[0], choice.config, split=choice.split or "train")
    label = f"{choice.files[0]} {choice.config or ''}".strip()
    return TablePart(f"{label} [{len(dataset)}]", len(dataset), lambda: hub_rows(dataset, label, columns))


def open_rows(
    choice: TableChoice, vocabulary: Vocabulary, length: int, keep_text: bool = False, skip: bool = False
) -> TextRows:
    """Open the chosen rows as a source.

    Raises
    ------
    SourceError
        When files, rows or labels are not as the choice says.
    """
    parts, notes = open_table(choice, choice.wanted)
    rows = (row for part in parts for row in part.read())
    table = read_table(rows, choice.text_pair is not None, choice.label is not None, skip)
    labels = None
    if choice.label is not None:
        table, labels = label_rows(table, choice.labels, choice.label_kind, skip=skip)
    facts = {"columns": choice.wanted, "files": len(parts), **choice.facts}
    return TextRows("text", table, labels, vocabulary, length, keep_text, facts, notes)
