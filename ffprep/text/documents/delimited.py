"""Rows of delimited text files, with or without quotes and headers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ffprep.errors import SourceError
from ffprep.text.documents.streams import DAMAGE, FilePart, decompressed
from ffprep.text.documents.table_rows import BOM, LONGEST_ROW, BadRow, Rows, TableRow, lines_of

_Line = tuple[int, list[str] | str]
"""The number of a line, counted from 1, and its values or the reason why it cannot be used."""


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written.

    Attributes
    ----------
    delimiter : str
        The character between two values.
    quoted : bool
        Whether ``"`` quotes values, which may then contain delimiters and newlines. Otherwise quotes are plain text,
        and each line is a row.
    header : bool or None
        Whether the first row names the columns. None: it does if it contains all wanted columns.
    names : tuple of str
        Names of the columns when there is no header.
    """

    delimiter: str = "\t"
    quoted: bool = False
    header: bool | None = True
    names: tuple[str, ...] = ()


CSV = Dialect(",", quoted=True)
TSV = Dialect()


def delimited_rows(path: Path, columns: Sequence[str], dialect: Dialect) -> Rows:
    """Rows of a delimited file; those whose number of values is not the number of columns are bad.

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


def header_of(path: Path, dialect: Dialect) -> list[str]:
    """The values in the first line of a delimited file, which name its columns.

    Raises
    ------
    SourceError
        There is no such line.
    """
    with FilePart(path) as raw, decompressed(raw) as file:
        first = next(_quoted(file, path, dialect) if dialect.quoted else _unquoted(file, path, dialect), None)
    if first is None or isinstance(first[1], str):
        raise SourceError(f"{path}: {first[1] if first else 'is empty'} where the names of the columns are expected")
    return first[1]


def _place(path: Path, names: Sequence[str], column: str) -> int:
    if column not in names:
        raise SourceError(f"{path}: no column {column!r}; there are {', '.join(names)}")
    return list(names).index(column)


def _delimited_row(path: Path, line: _Line, places: list[int], width: int) -> TableRow | BadRow:
    number, values = line
    where = f"{path.name}, line {number:,}"
    if isinstance(values, str):
        return BadRow(where, values)
    if len(values) != width:
        return BadRow(where, f"{len(values)} values for {width} columns")
    return TableRow(where, tuple(values[place] for place in places))


def _unquoted(file: BinaryIO, path: Path, dialect: Dialect) -> Iterator[_Line]:
    for number, (line, _) in enumerate(lines_of(file, path), 1):
        if isinstance(line, str):
            yield number, line
            continue
        line = line.removeprefix(BOM) if number == 1 else line
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        if line:
            yield number, line.decode("utf-8", "surrogateescape").split(dialect.delimiter)


def _quoted(file: BinaryIO, path: Path, dialect: Dialect) -> Iterator[_Line]:
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
