"""Reads texts and labels from the rows of a table, and finds out what kind of labels they are."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ffprep.errors import SourceError
from ffprep.text.documents.table_rows import BadRow, TableRow
from ffprep.text.tokens.vocabulary import replace_surrogates

LISTED = 100


class Texts(Sequence[str]):
    """Strings in a single buffer, which takes 8 bytes for each besides its UTF-8; a list takes 60."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._data = bytearray()
        self._ends = array("Q", [0])
        self.extend(texts)

    def append(self, text: str) -> None:
        """Add a string, which must not contain lone surrogates."""
        self._data += text.encode("utf-8")
        self._ends.append(len(self._data))

    def extend(self, texts: Iterable[str]) -> None:
        """Add strings."""
        for text in texts:
            self.append(text)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._data[self._ends[index] : self._ends[index + 1]].decode("utf-8")


@dataclass
class TextTable:
    """The rows of a table.

    Attributes
    ----------
    first : Texts
        The text of each row, or the first text of each pair.
    second : Texts or None
        The second text of each pair.
    labels : list
        The labels as they were found; empty if there are none.
    names : Texts
        Where each row was found.
    bad : int
        Number of rows left out.
    bad_rows : list of [name, reason]
        The first of these.
    invalid : int
        Number of characters that are not valid Unicode and were replaced.
    """

    first: Texts = field(default_factory=Texts)
    second: Texts | None = None
    labels: list[Any] = field(default_factory=list)
    names: Texts = field(default_factory=Texts)
    bad: int = 0
    bad_rows: list[list[str]] = field(default_factory=list)
    invalid: int = 0


def read_table(rows: Iterator[TableRow | BadRow], pair: bool, labelled: bool, skip: bool) -> TextTable:
    """Read rows that consist of one or two texts and possibly a label, in this order.

    Parameters
    ----------
    rows : iterator of TableRow or BadRow
    pair, labelled : bool
        Whether rows have a second text, and a label.
    skip : bool
        Whether to leave out bad rows; otherwise the first one is an error.

    Raises
    ------
    SourceError
        When a row is bad and `skip` is False.
    """
    table = TextTable(second=Texts() if pair else None)
    count = 2 if pair else 1
    for row in rows:
        found = row
        if isinstance(row, TableRow):
            kinds = [type(value) for value in row.values[:count]]
            if kinds != [str] * count:
                wrong = next(kind for kind in kinds if kind is not str)
                found = BadRow(row.name, f"a text is {'null' if wrong is type(None) else 'of type ' + wrong.__name__}")
        if isinstance(found, BadRow):
            if not skip:
                raise SourceError(f"{found.name}: {found.reason}; --on-error skip leaves such rows out")
            table.bad += 1
            if len(table.bad_rows) < LISTED:
                table.bad_rows.append(list(found))
            continue
        for texts, text in zip((table.first, table.second), found.values[:count], strict=False):
            assert texts is not None
            texts.append(_valid(text, table))
        if labelled:
            table.labels.append(found.values[count])
        table.names.append(_valid(found.name, table))
    return table


def _valid(text: str, table: TextTable) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text, count = replace_surrogates(text)
        table.invalid += count
    return text


@dataclass(frozen=True)
class Labels:
    """Labels as numbers.

    Attributes
    ----------
    values : (n,) int64 or float64
        The labels; -1 for rows without one.
    names : tuple of str
        Names of integer labels by number, if they have names.
    """

    values: npt.NDArray[Any]
    names: tuple[str, ...] = ()


def read_labels(found: Sequence[Any], names: Sequence[str] = (), kind: str = "auto") -> Labels:
    """Turn a table's labels, which may be numbers, numbers as text, or names, into numbers.

    Parameters
    ----------
    found : sequence
        The labels. None and empty strings are missing labels.
    names : sequence of str
        Names of the labels in the order of their numbers. If none are given, labels that are not numbers are numbered
        in alphabetical order.
    kind : {"auto", "int", "float"}
        The type of the result. ``auto`` gives integers if all labels are integers.

    Raises
    ------
    SourceError
        When a label is not of this kind; the message names its row, counted from 0.
    """
    there = [None if value is None or value == "" else value for value in found]
    given = [value for value in there if value is not None]
    if kind == "auto" and not names:
        kind = "int" if all(_whole(v) is not None for v in given) else "float"
        if any(_number(v) is None for v in given):
            kind, names = "int", sorted({str(value) for value in given})
    numbers = {name: number for number, name in enumerate(names)}
    values = np.full(len(there), -1, np.float64 if kind == "float" else np.int64)
    for place, value in enumerate(there):
        if value is None:
            continue
        number = _number(value) if kind == "float" else _whole(value)
        if names and str(value) in numbers:
            number = numbers[str(value)]
        if number is None or (names and kind != "float" and not -1 <= number < len(names)):
            wanted = f"one of {', '.join(names)}" if names else "a number" if kind == "float" else "a whole number"
            raise SourceError(f"row {place:,}: label {value!r} is not {wanted}")
        values[place] = number
    return Labels(values, tuple(names) if kind != "float" else ())


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number == int(number) and abs(number) < 2**53 else None
