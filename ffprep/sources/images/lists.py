"""Rows of CSV, TSV and JSON lines that name the files of images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ffprep.errors import SourceError
from ffprep.sources.images.rows import ImagePaths, no_column, sampled_size
from ffprep.sources.reading.left_out import LeftOut
from ffprep.text.documents.delimited import CSV, TSV, Dialect, header_of
from ffprep.text.documents.streams import DAMAGE, FilePart, decompressed
from ffprep.text.documents.table_parts import parts_of
from ffprep.text.documents.table_rows import BadRow

_FIRST = 1 << 22


class ListRows:
    """Rows of CSV, TSV or JSON lines that name the files of images.

    Parameters
    ----------
    path : Path
    kind : {'csv', 'tsv', 'jsonl'}
    root : Path
        Folder of the images.
    left_out : LeftOut
        Takes rows that cannot be read.
    """

    def __init__(self, path: Path, kind: str, root: Path, left_out: LeftOut) -> None:
        self.label = str(path)
        self._path, self._kind = path, kind
        self._paths = ImagePaths(root)
        self._left_out = left_out
        self.features: Mapping[str, Any] = {}
        self._dialect = None if kind == "jsonl" else _dialect(path, kind)
        self.names: Sequence[str] = _keys(path) if self._dialect is None else header_of(path, self._dialect)
        self._columns: dict[str, list[Any]] = {}
        self._places: list[str] = []

    def __len__(self) -> int:
        return len(self._places)

    def load(self, columns: Sequence[str]) -> None:
        names = list(dict.fromkeys(columns))
        for name in names:
            if name not in self.names and not (self._kind == "jsonl" and name.partition(".")[0] in self.names):
                raise no_column(self.label, name, self.names)
        values: list[list[Any]] = [[] for _ in names]
        self._places = []
        for part in parts_of(self._path, self._path.name, names, self._kind, self._dialect):
            for row in part.read():
                if isinstance(row, BadRow):
                    self._left_out.add(None, *row)
                    continue
                self._places.append(row.name)
                for column, value in zip(values, row.values, strict=True):
                    column.append(value)
        self._columns = dict(zip(names, values, strict=True))

    def images(self) -> list[str]:
        return []

    def column(self, name: str) -> Sequence[Any]:
        return self._columns[name]

    def value(self, name: str, index: int) -> Any:
        return self._columns[name][index]

    def file(self, name: str, index: int) -> bytes:
        return self._paths.read(self._columns[name][index], self.where(index))

    def row_name(self, name: str, index: int) -> str:
        return str(self._columns[name][index])

    def where(self, index: int) -> str:
        return self._places[index]

    def stamp(self, name: str, index: int) -> tuple[int, int] | None:
        return self._paths.stamp(self._columns[name][index], self.where(index))

    def size(self, name: str) -> int:
        def one(index: int) -> int:
            try:
                found = self.stamp(name, index)
            except (OSError, SourceError):
                return 0
            return found[0] if found else 0

        return sampled_size(len(self), one)


def _dialect(path: Path, kind: str) -> Dialect:
    """How a table is written. Where commas are decimal, spreadsheets write CSV with semicolons."""
    if kind == "tsv":
        return TSV
    semicolons = replace(CSV, delimiter=";")
    return semicolons if _columns(path, CSV) < 2 <= _columns(path, semicolons) else CSV


def _columns(path: Path, dialect: Dialect) -> int:
    try:
        return len(header_of(path, dialect))
    except SourceError:  # opening the table says so
        return 0


def _keys(path: Path) -> list[str]:
    """The keys of the first object in a file of JSON lines, or of an array of objects."""
    with FilePart(path) as raw, decompressed(raw) as file:
        try:
            head = file.read(_FIRST)
        except DAMAGE as error:
            raise SourceError(f"{path}: damaged or incomplete: {error}") from None
    try:
        first, _ = json.JSONDecoder().raw_decode(head.decode("utf-8-sig", "replace").lstrip("[ \t\r\n"))
    except (ValueError, RecursionError):
        first = None
    if not isinstance(first, dict):
        raise SourceError(f"{path}: its first line is no JSON object, whose keys would name the columns")
    return list(first)
