"""Rows of JSON lines and arrays, parquet files and hub data sets: the wanted columns of one row after the other.

A row that cannot be used is reported as a `BadRow`, and reading goes on with the next one. A file that cannot be read
is an error. Bytes that are not UTF-8 become lone surrogates, which cleaning replaces and counts.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from ffprep.common.files.source_files import check_regular
from ffprep.errors import OptionError, SourceError, first_line
from ffprep.text.documents.json_arrays import json_items
from ffprep.text.documents.streams import DAMAGE, FilePart, decompressed

LONGEST_ROW = 1 << 28
"""Bytes of the longest line that is read, since a line is held in memory; longer ones are skipped."""
BOM = b"\xef\xbb\xbf"
HEAD = 4096
"""Bytes at the beginning of a file from which it is told what it is."""


class TableRow(NamedTuple):
    """Values of the wanted columns, and where the row is."""

    name: str
    values: tuple[Any, ...]


class BadRow(NamedTuple):
    """Where a row is that cannot be used, and why it cannot."""

    name: str
    reason: str


Rows = Iterator[TableRow | BadRow]


# lines


def lines_of(file: BinaryIO, path: Path) -> Iterator[tuple[bytes | str, int]]:
    """Lines of a file with their sizes in bytes; for a line longer than `LONGEST_ROW` the reason why it is skipped.

    Raises
    ------
    SourceError
        When the compressed data are damaged or end too early.
    """
    while line := _read_line(file, path, LONGEST_ROW):
        if len(line) >= LONGEST_ROW and not line.endswith(b"\n"):
            yield f"a line of more than {LONGEST_ROW:,} bytes", len(line) + _skip_line(file, path)
        else:
            yield line, len(line)


def _read_line(file: BinaryIO, path: Path, longest: int) -> bytes:
    try:
        return file.readline(longest)
    except DAMAGE as error:
        raise SourceError(f"{path}: damaged or incomplete: {error}") from None


def _peek(file: BinaryIO, path: Path) -> bytes:
    try:
        return cast(io.BufferedReader, file).peek(HEAD)
    except DAMAGE as error:
        raise SourceError(f"{path}: damaged or incomplete: {error}") from None


def _skip_line(file: BinaryIO, path: Path) -> int:
    skipped = 0
    while True:
        piece = _read_line(file, path, 1 << 20)
        skipped += len(piece)
        if not piece or piece.endswith(b"\n"):
            return skipped


# JSON lines


def json_rows(path: Path, columns: Sequence[str], start: int = 0, stop: int | None = None) -> Rows:
    """Rows of a file that has one JSON object per line, or is one array of objects.

    Parameters
    ----------
    path : Path
        May be compressed if it is read as a whole.
    columns : sequence of str
        Names of the fields; dots lead into nested objects.
    start, stop : int
        Read only the lines that begin in this range of bytes. Adjoining ranges together give each line once. An array
        is read as a whole.
    """
    at = max(start - 1, 0)
    with FilePart(path, at) as raw, decompressed(raw) as file:
        if start == 0 and stop is None and is_array(_peek(file, path)):
            text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape")
            for number, value in enumerate(json_items(text, str(path))):
                yield _json_values(value, f"{path.name}, element {number:,}", columns)
            return
        if start:
            at += _skip_line(file, path)
        lines = lines_of(file, path)
        while (stop is None or at < stop) and (found := next(lines, None)) is not None:
            line, size = found
            where = f"{path.name}, byte {at:,}"
            if isinstance(line, str):
                yield BadRow(where, line)
            else:
                line = line.removeprefix(BOM) if at == 0 else line
                if line.strip():
                    yield _json_row(line, where, columns)
            at += size


def is_array(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a JSON array rather than JSON lines."""
    return head.removeprefix(BOM).lstrip().startswith(b"[")


def _json_row(line: bytes, where: str, columns: Sequence[str]) -> TableRow | BadRow:
    try:
        value = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        return BadRow(where, f"not JSON: {error}"[:200])
    return _json_values(value, where, columns)


def _json_values(value: Any, where: str, columns: Sequence[str]) -> TableRow | BadRow:
    found = []
    for column in columns:
        place = value
        for part in column.split("."):
            if not isinstance(place, dict) or part not in place:
                return BadRow(where, f"no field {column!r}")
            place = place[part]
        found.append(place)
    return TableRow(where, tuple(found))


# parquet and the hub


def parquet_rows(path: Path, columns: Sequence[str], groups: Sequence[int] | None = None) -> Rows:
    """Rows of a parquet file, or of some of its row groups.

    Raises
    ------
    SourceError
        When the file cannot be read or lacks a column.
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
                yield TableRow(f"{path.name}, row {number:,}", row)
                number += 1


def open_parquet(path: Path) -> Any:
    """Open a parquet file as a ``pyarrow.parquet.ParquetFile``."""
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise OptionError("parquet files need pyarrow: pip install 'ffprep[convert]'") from None
    try:
        check_regular(path)
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read as parquet: {first_line(error)}") from None


def hub_rows(dataset: Any, label: str, columns: Sequence[str]) -> Rows:
    """Rows of a data set of the ``datasets`` library, streamed or not."""
    number = 0
    try:
        for number, row in enumerate(dataset):
            missing = next((column for column in columns if column not in row), None)
            if missing is not None:
                raise SourceError(f"{label}: no column {missing!r}; there are {', '.join(row)}")
            yield TableRow(f"{label}, row {number:,}", tuple(row[column] for column in columns))
    except SourceError:
        raise
    except Exception as error:  # the client raises errors of many libraries
        raise SourceError(f"{label}: reading stopped after row {number:,}: {first_line(error)}") from None


def _check_columns(where: str, columns: Sequence[str], names: Sequence[str]) -> None:
    for column in columns:
        if column not in names:
            raise SourceError(f"{where}: no column {column!r}; there are {', '.join(names)}")
