"""Table files as parts that workers can read at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from ffprep.common.files.source_files import check_regular, open_binary
from ffprep.text.documents.delimited import CSV, TSV, Dialect, delimited_rows
from ffprep.text.documents.streams import SUFFIXES, compression
from ffprep.text.documents.table_rows import HEAD, Rows, is_array, json_rows, open_parquet, parquet_rows

SPLIT = 1 << 25
"""Bytes of a table that make up a part."""

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}


def format_of(path: Path) -> str | None:
    """Format of a file by its name: ``jsonl``, ``csv``, ``tsv``, ``parquet`` or None; it may be compressed."""
    name = path.name.lower()
    suffix = Path(name).suffix
    return FORMATS.get(Path(name.removesuffix(suffix)).suffix if suffix in SUFFIXES else suffix)


@dataclass(frozen=True)
class TablePart:
    """A table or a part of one, which one worker reads.

    Attributes
    ----------
    key : str
        Name, place and size; a changed file has another key.
    size : int
        Size in bytes.
    read : callable
        Returns an iterator over the rows.
    path : Path, optional
        The file, if it is on this machine.
    """

    key: str
    size: int
    read: Callable[[], Rows]
    path: Path | None = None


def parts_of(
    path: Path, name: str, columns: Sequence[str], kind: str, dialect: Dialect | None = None
) -> list[TablePart]:
    """Divide a table into parts that can be read at the same time, if its format allows this.

    Parameters
    ----------
    path : Path
    name : str
        Path of the table within its source.
    columns : sequence of str
        Columns to read.
    kind : str
        ``jsonl``, ``csv``, ``tsv`` or ``parquet``.
    dialect : Dialect, optional
        How delimited text is written; by default `CSV` or `TSV`, according to `kind`.
    """
    size = check_regular(path).st_size
    if kind == "parquet":
        return _parquet_parts(path, name, columns, size)
    if kind == "jsonl":
        with open_binary(path) as file:
            head = file.read(HEAD)
        whole = compression(head) is not None or is_array(head) or size <= SPLIT
        if whole:
            return [TablePart(f"{name} [{size}]", size, partial(json_rows, path, columns), path)]
        starts = [*range(0, size, SPLIT), size]
        return [
            TablePart(f"{name} {a}-{b} [{size}]", b - a, partial(json_rows, path, columns, a, b), path)
            for a, b in pairwise(starts)
        ]
    written = dialect or (CSV if kind == "csv" else TSV)
    return [TablePart(f"{name} [{size}]", size, partial(delimited_rows, path, columns, written), path)]


def _parquet_parts(path: Path, name: str, columns: Sequence[str], size: int) -> list[TablePart]:
    metadata = open_parquet(path).metadata
    parts: list[TablePart] = []
    groups: list[int] = []
    total = 0
    for group in range(metadata.num_row_groups):
        groups.append(group)
        total += metadata.row_group(group).total_byte_size
        if total >= SPLIT or group == metadata.num_row_groups - 1:
            key = f"{name} groups {groups[0]}-{groups[-1]} [{size}]"
            parts.append(TablePart(key, total, partial(parquet_rows, path, columns, tuple(groups)), path))
            groups, total = [], 0
    return parts
