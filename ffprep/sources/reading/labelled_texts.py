"""Texts and labels read from rows: what is missing, what kind the labels are."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ffprep.errors import SourceError
from ffprep.text.documents.tables import Bad, Row
from ffprep.text.tokens.vocabulary import replace_surrogates

LISTED = 100


class Texts(Sequence[str]):
    """Strings in one buffer: 8 bytes each besides their UTF-8, where a list takes 60."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._data = bytearray()
        self._ends = array("Q", [0])
        self.extend(texts)

    def append(self, text: str) -> None:
        """Add a string; lone surrogates are not allowed."""
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
    """Rows that were read.

    Attributes
    ----------
    first : Texts
    second : Texts or None
        The other text of each pair.
    labels : list
        As they were found; empty where there are none.
    names : Texts
        Where the rows lie.
    bad : int
        Rows left out.
    bad_rows : list of [name, reason]
        The first of them.
    invalid : int
        Characters that were no valid Unicode and were replaced.
    """

    first: Texts = field(default_factory=Texts)
    second: Texts | None = None
    labels: list[Any] = field(default_factory=list)
    names: Texts = field(default_factory=Texts)
    bad: int = 0
    bad_rows: list[list[str]] = field(default_factory=list)
    invalid: int = 0


def read_table(rows: Iterator[Row | Bad], pair: bool, labelled: bool, skip: bool) -> TextTable:
    """Read rows of one or two texts and, if there is one, a label, in this order.

    Parameters
    ----------
    rows : iterator of Row or Bad
    pair, labelled : bool
        Whether there is a second text, and a label.
    skip : bool
        Leave out bad rows; otherwise the first one is an error.

    Raises
    ------
    SourceError
    """
    table = TextTable(second=Texts() if pair else None)
    count = 2 if pair else 1
    for row in rows:
        found = row
        if isinstance(row, Row):
            kinds = [type(value) for value in row.values[:count]]
            if kinds != [str] * count:
                wrong = next(kind for kind in kinds if kind is not str)
                found = Bad(row.name, f"a text is {'null' if wrong is type(None) else 'of type ' + wrong.__name__}")
        if isinstance(found, Bad):
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
        -1 where a row has none.
    names : tuple of str
        What integer labels mean, where they are names.
    """

    values: npt.NDArray[Any]
    names: tuple[str, ...] = ()


def read_labels(found: Sequence[Any], names: Sequence[str] = (), kind: str = "auto") -> Labels:
    """Labels from what a table holds: numbers, numbers as text, names, or nothing.

    Parameters
    ----------
    found : sequence
        None and empty strings are missing labels.
    names : sequence of str
        What the labels are called, in the order of their numbers. Without names, labels that are no numbers
        are numbered in the order of the alphabet.
    kind : {"auto", "int", "float"}
        What to store. ``auto`` takes integers if all labels are.

    Raises
    ------
    SourceError
        When a label is not what it should be; the message has its place, counted from 0.
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
