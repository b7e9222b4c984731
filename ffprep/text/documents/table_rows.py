"""Rows of JSON lines, delimited text, parquet files and hub data sets: the columns asked for, row by row.

A row that cannot be used is reported as such and the next one is read; a file that cannot be read is an
error. Bytes that are no UTF-8 become lone surrogates here, which cleaning replaces and counts.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ffprep.errors import OptionError, SourceError
from ffprep.text.documents.streams import DAMAGE, SUFFIXES, FilePart, compression, decompressed

LONGEST_ROW = 1 << 28
"""Bytes of a line; a longer one is passed over, as it would have to be held in memory."""
SPLIT = 1 << 25
"""Bytes of a table that make a unit of work."""

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}


class Row(NamedTuple):
    """Values of the columns asked for, and where the row lies."""

    name: str
    values: tuple[Any, ...]


class Bad(NamedTuple):
    """A row, or a document, that cannot be used, and why."""

    name: str
    reason: str


Rows = Iterator[Row | Bad]


def format_of(path: Path) -> str | None:
    """``jsonl``, ``csv``, ``tsv`` or ``parquet`` by the file's name, also when it is compressed; None for
    others."""
    name = path.name.lower()
    suffix = Path(name).suffix
    return FORMATS.get(Path(name.removesuffix(suffix)).suffix if suffix in SUFFIXES else suffix)


# JSON lines


def json_rows(path: Path, columns: Sequence[str], start: int = 0, stop: int | None = None) -> Rows:
    """Rows of a file with a JSON object a line.

    Parameters
    ----------
    path : Path
        May be compressed if it is read whole.
    columns : sequence of str
        Names of the fields; dots lead into objects within.
    start, stop : int
        Only the lines that begin in this range of bytes. Adjoining ranges give each line once.
    """
    at = max(start - 1, 0)
    with FilePart(path, at) as raw, decompressed(raw) as file:
        if start:
            at += _skip_line(file, path)
        while stop is None or at < stop:
            line = _read_line(file, path, LONGEST_ROW)
            if not line:
                return
            where = f"{path.name}, byte {at:,}"
            at += len(line)
            if len(line) >= LONGEST_ROW and not line.endswith(b"\n"):
                at += _skip_line(file, path)
                yield Bad(where, f"a line of more than {LONGEST_ROW:,} bytes")
                continue
            if at == len(line):
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield _json_row(line, where, columns)


def _read_line(file: BinaryIO, path: Path, longest: int) -> bytes:
    try:
        return file.readline(longest)
    except DAMAGE as error:
        raise SourceError(f"{path}: damaged or incomplete: {error}") from None


def _skip_line(file: BinaryIO, path: Path) -> int:
    skipped = 0
    while True:
        piece = _read_line(file, path, 1 << 20)
        skipped += len(piece)
        if not piece or piece.endswith(b"\n"):
            return skipped


def _json_row(line: bytes, where: str, columns: Sequence[str]) -> Row | Bad:
    try:
        value = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        return Bad(where, f"not JSON: {error}"[:200])
    found = []
    for column in columns:
        place = value
        for part in column.split("."):
            if not isinstance(place, dict) or part not in place:
                return Bad(where, f"no field {column!r}")
            place = place[part]
        found.append(place)
    return Row(where, tuple(found))


# delimited text


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written.

    Attributes
    ----------
    delimiter : str
    quoted : bool
        Whether ``"`` quotes values, which may then hold delimiters and newlines. If not it is plain text,
        and a row is a line.
    header : bool or None
        Whether the first row names the columns. None: if it holds all names asked for.
    names : tuple of str
        Names of the columns where there is no header.
    """

    delimiter: str = "\t"
    quoted: bool = False
    header: bool | None = True
    names: tuple[str, ...] = ()


CSV = Dialect(",", quoted=True)
TSV = Dialect()


def delimited_rows(path: Path, columns: Sequence[str], dialect: Dialect) -> Rows:
    """Rows of a delimited file. A row with another number of values than the columns is bad.

    Raises
    ------
    SourceError
        When a column is missing.
    """
    with FilePart(path) as raw, decompressed(raw) as file:
        lines = _quoted(file, path, dialect) if dialect.quoted else _unquoted(file, path, dialect)
        first = next(lines, None)
        if first is None:
            return
        names: Sequence[str] = dialect.names
        is_header = dialect.header
        if is_header is None:
            is_header = isinstance(first[1], list) and set(columns) <= set(first[1])
        if is_header:
            if isinstance(first[1], str):
                raise SourceError(f"{path}: {first[1]} where the names of the columns are expected")
            names = first[1]
        elif not names:
            raise SourceError(f"{path}: its first line does not name the columns {', '.join(columns)}")
        places = [_place(path, names, column) for column in columns]
        if not is_header:
            yield _delimited_row(path, first, places, len(names))
        for line in lines:
            yield _delimited_row(path, line, places, len(names))


def _place(path: Path, names: Sequence[str], column: str) -> int:
    if column not in names:
        raise SourceError(f"{path}: no column {column!r}; there are {', '.join(names)}")
    return list(names).index(column)


def _delimited_row(path: Path, line: tuple[int, list[str] | str], places: list[int], width: int) -> Row | Bad:
    number, values = line
    where = f"{path.name}, line {number:,}"
    if isinstance(values, str):
        return Bad(where, values)
    if len(values) != width:
        return Bad(where, f"{len(values)} values for {width} columns")
    return Row(where, tuple(values[place] for place in places))


def _unquoted(file: BinaryIO, path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str] | str]]:
    number = 0
    while True:
        line = _read_line(file, path, LONGEST_ROW)
        if not line:
            return
        number += 1
        if len(line) >= LONGEST_ROW and not line.endswith(b"\n"):
            _skip_line(file, path)
            yield number, f"a line of more than {LONGEST_ROW:,} bytes"
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        if line:
            yield number, line.decode("utf-8", "surrogateescape").split(dialect.delimiter)


def _quoted(file: BinaryIO, path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str] | str]]:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW))
    text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
    reader = csv.reader(text, delimiter=dialect.delimiter, strict=True)
    while True:
        try:
            values = next(reader, None)
        except csv.Error as error:
            yield reader.line_num, f"not valid CSV: {error}"
            continue
        except DAMAGE as error:
            raise SourceError(f"{path}: damaged or incomplete: {error}") from None
        if values is None:
            text.detach()
            return
        if values:
            yield reader.line_num, values


# parquet and the hub


def parquet_rows(path: Path, columns: Sequence[str], groups: Sequence[int] | None = None) -> Rows:
    """Rows of a parquet file, or of some of its row groups.

    Raises
    ------
    SourceError
        When it cannot be read or lacks a column.
    """
    file = open_parquet(path)
    _check_columns(str(path), columns, file.schema_arrow.names)
    wanted = list(range(file.num_row_groups) if groups is None else groups)
    starts = [0]
    for group in range(file.num_row_groups):
        starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
    for group in wanted:
        number = starts[group]
        batches = file.iter_batches(1024, row_groups=[group], columns=list(dict.fromkeys(columns)))
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    break
                values = [batch.column(column).to_pylist() for column in columns]
            except (OSError, ValueError) as error:
                raise SourceError(f"{path}: row group {group} cannot be read: {first_line(error)}") from None
            for row in zip(*values, strict=True):
                yield Row(f"{path.name}, row {number:,}", row)
                number += 1


def open_parquet(path: Path) -> Any:
    """A ``pyarrow.parquet.ParquetFile``."""
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise OptionError("parquet files need pyarrow: pip install 'ffprep[convert]'") from None
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read as parquet: {first_line(error)}") from None


def hub_rows(dataset: Any, label: str, columns: Sequence[str]) -> Rows:
    """Rows of a ``datasets`` data set, streamed or not."""
    number = 0
    try:
        for number, row in enumerate(dataset):
            missing = next((column for column in columns if column not in row), None)
            if missing is not None:
                raise SourceError(f"{label}: no column {missing!r}; there are {', '.join(row)}")
            yield Row(f"{label}, row {number:,}", tuple(row[column] for column in columns))
    except SourceError:
        raise
    except Exception as error:  # the client raises errors of many libraries
        raise SourceError(f"{label}: reading stopped after row {number:,}: {first_line(error)}") from None


def _check_columns(where: str, columns: Sequence[str], names: Sequence[str]) -> None:
    for column in columns:
        if column not in names:
            raise SourceError(f"{where}: no column {column!r}; there are {', '.join(names)}")


def first_line(error: BaseException) -> str:
    """An error's message on one line."""
    return str(error).split("\n", 1)[0] or type(error).__name__


# any of them


@dataclass(frozen=True)
class Part:
    """A table or a part of one, for one worker.

    Attributes
    ----------
    key : str
        What it is and how large.
    size : int
        Bytes.
    read : callable
        Gives its rows.
    """

    key: str
    size: int
    read: Callable[[], Rows]


def parts_of(path: Path, name: str, columns: Sequence[str], kind: str, dialect: Dialect | None = None) -> list[Part]:
    """A table in parts that can be read at the same time, where its format allows.

    Parameters
    ----------
    path : Path
    name : str
        What it is called below the source.
    columns : sequence of str
    kind : str
        ``jsonl``, ``csv``, ``tsv`` or ``parquet``.
    dialect : Dialect, optional
        How delimited text is written, by default as its ending says.
    """
    size = path.stat().st_size
    if kind == "parquet":
        return _parquet_parts(path, name, columns, size)
    if kind == "jsonl":
        with path.open("rb") as file:
            whole = compression(file.read(6)) is not None or size <= SPLIT
        if whole:
            return [Part(f"{name} [{size}]", size, partial(json_rows, path, columns))]
        starts = [*range(0, size, SPLIT), size]
        return [
            Part(f"{name} {a}-{b} [{size}]", b - a, partial(json_rows, path, columns, a, b))
            for a, b in pairwise(starts)
        ]
    written = dialect or (CSV if kind == "csv" else TSV)
    return [Part(f"{name} [{size}]", size, partial(delimited_rows, path, columns, written))]


def _parquet_parts(path: Path, name: str, columns: Sequence[str], size: int) -> list[Part]:
    metadata = open_parquet(path).metadata
    parts: list[Part] = []
    groups: list[int] = []
    total = 0
    for group in range(metadata.num_row_groups):
        groups.append(group)
        total += metadata.row_group(group).total_byte_size
        if total >= SPLIT or group == metadata.num_row_groups - 1:
            key = f"{name} groups {groups[0]}-{groups[-1]} [{size}]"
            parts.append(Part(key, total, partial(parquet_rows, path, columns, tuple(groups))))
            groups, total = [], 0
    return parts
