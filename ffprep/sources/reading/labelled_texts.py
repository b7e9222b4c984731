"""Reads texts and labels from the rows of a table, and finds out what kind of labels they are."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ffprep.errors import SourceError
from ffprep.sources.reading.left_out import LeftOut
from ffprep.text.documents.table_rows import BadRow, TableRow
from ffprep.text.tokens.vocabulary import replace_surrogates


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
    left_out : LeftOut
        The bad rows.
    invalid : int
        Number of characters that are not valid Unicode and were replaced.
    """

    first: Texts = field(default_factory=Texts)
    second: Texts | None = None
    labels: list[Any] = field(default_factory=list)
    names: Texts = field(default_factory=Texts)
    left_out: LeftOut = field(default_factory=LeftOut)
    invalid: int = 0

    def without(self, places: Collection[int]) -> TextTable:
        """The table without some of its rows."""
        kept = [place for place in range(len(self.first)) if place not in places]
        second = None if self.second is None else Texts(self.second[place] for place in kept)
        return replace(
            self,
            first=Texts(self.first[place] for place in kept),
            second=second,
            labels=[self.labels[place] for place in kept],
            names=Texts(self.names[place] for place in kept),
        )


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
    table = TextTable(second=Texts() if pair else None, left_out=LeftOut(skip))
    count = 2 if pair else 1
    for row in rows:
        found = row
        if isinstance(row, TableRow):
            kinds = [type(value) for value in row.values[:count]]
            if kinds != [str] * count:
                wrong = next(kind for kind in kinds if kind is not str)
                found = BadRow(row.name, f"a text is {'null' if wrong is type(None) else 'of type ' + wrong.__name__}")
        if isinstance(found, BadRow):
            table.left_out.add(None, *found)
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
    missing : int
        Number of rows without a label.
    """

    values: npt.NDArray[Any]
    names: tuple[str, ...] = ()
    missing: int = 0


NO_VALUE = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
    | {"NULL", "NaN", "None", "n/a", "nan", "null", "NAN", "Null", "na", "NaT"}
)
"""How programs write that there is no value: what pandas reads so, and other capitals."""


def label_rows(
    table: TextTable, names: Sequence[str] = (), kind: str = "auto", *, skip: bool = False, folder: str = ""
) -> tuple[TextTable, Labels]:
    """Turn a table's labels into numbers.

    Parameters
    ----------
    table : TextTable
    names, kind
        As for `read_labels`.
    skip : bool
        Whether to leave out rows whose label is bad; otherwise the first one is an error.
    folder : str
        What errors put before the row's name.

    Returns
    -------
    table : TextTable
        The rows whose labels are good.
    labels : Labels
        Their labels.

    Raises
    ------
    SourceError
        When a label is bad and `skip` is False.
    """
    bad: dict[int, str] = {}
    labels = read_labels(table.labels, names, kind, bad.__setitem__)
    if not bad:
        return table, labels
    if not skip:
        place, reason = next(iter(bad.items()))
        raise SourceError(f"{folder}{table.names[place]}: {reason}; --on-error skip goes on without it")
    for place, reason in bad.items():
        table.left_out.add(None, table.names[place], reason)
    return table.without(bad), replace(labels, values=np.delete(labels.values, list(bad)))


def _refuse(place: int, reason: str) -> None:
    raise SourceError(f"row {place:,}: {reason}")


def read_labels(
    found: Sequence[Any],
    names: Sequence[str] = (),
    kind: str = "auto",
    bad: Callable[[int, str], None] = _refuse,
) -> Labels:
    """Turn labels, which may be numbers, numbers as text, or names, into numbers.

    Parameters
    ----------
    found : sequence
        The labels. None and blank strings are missing labels.
    names : sequence of str
        Names of the labels in the order of their numbers. If none are given, and most labels are not numbers, they are
        numbered in alphabetical order.
    kind : {"auto", "int", "float"}
        The type of the result. ``auto`` gives integers if all numbers are integers.
    bad : callable
        Given the place of a label that is not of this kind, or says that there is no value, and what is wrong with it.
        It never changes the numbers of the others.

    Raises
    ------
    SourceError
        When a label is bad, by default; the message names its row, counted from 0.
    """
    there = [None if value is None or (isinstance(value, str) and not value.strip()) else value for value in found]
    hint = ""
    if kind == "auto" and not names:
        given = [v for v in there if v is not None and not isinstance(v, (list, dict)) and not _says_none(v)]
        numeric = [value for value in given if _number(value) is not None]
        kind = "int" if all(_exact(value) or _whole(value) is not None for value in numeric) else "float"
        hint = ", though others are; --labels gives names of labels"
        if 2 * len(numeric) < len(given):
            kind, names = "int", sorted({str(value) for value in given})
    numbers = {name: number for number, name in enumerate(names)}
    values = np.full(len(there), -1, np.float64 if kind == "float" else np.int64)
    for place, value in enumerate(there):
        if value is None:
            continue
        if isinstance(value, (list, dict)):
            bad(place, f"label is neither a number nor a name but a {type(value).__name__}")
            continue
        number = _number(value) if kind == "float" else _whole(value)
        if names and str(value) in numbers:
            number = numbers[str(value)]
        elif _says_none(value):
            bad(place, f"label is missing: {value!r}")
            continue
        elif names and kind != "float" and (number is None or not -1 <= number < len(names)):
            bad(place, f"label is unknown: {value!r}, not one of {', '.join(names)}"[:1000])
            continue
        elif number is None and _exact(value):
            bad(place, f"label does not fit 64 bits: {str(value)[:40]}")
            continue
        elif number is None:
            bad(place, f"label is no {'' if kind == 'float' else 'whole '}number: {value!r}{hint}")
            continue
        values[place] = number
    return Labels(values, tuple(names) if kind != "float" else (), sum(value is None for value in there))


def _says_none(value: Any) -> bool:
    """Whether a label is a way to write that there is none."""
    return value.strip() in NO_VALUE if isinstance(value, str) else isinstance(value, float) and math.isnan(value)


def _number(value: Any) -> float | None:
    if isinstance(value, str) and "_" in value:  # which float() passes over, so that "1_0" would be 10
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    if number is None or number != int(number):
        return None
    try:
        whole = int(value)
    except ValueError:  # such as "1.0"
        whole = int(number)
    return whole if abs(whole) < (2**63 if _exact(value) else 2**53) else None


def _exact(value: Any) -> bool:
    """Whether a value is a whole number that no format has rounded."""
    return isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("+-").isdigit())
