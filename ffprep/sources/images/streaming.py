"""Images of a data set on the hub as they arrive over the network; nothing is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ffprep.errors import SourceError
from ffprep.fields import RGBImageField
from ffprep.sources.base import Named
from ffprep.sources.images.columns import KINDS, LABEL, FieldChoice, value_of
from ffprep.sources.images.filters import RowFilter
from ffprep.sources.images.rows import inside, split_name
from ffprep.sources.reading.image_tables import image_of
from ffprep.sources.reading.labelled_texts import read_labels
from ffprep.sources.reading.left_out import LeftOut

if TYPE_CHECKING:
    from ffprep.fields import Field


class StreamRows:
    """The columns of a stream, and the row that has arrived last.

    Parameters
    ----------
    dataset : datasets.IterableDataset
    label : str
        Name of the data set in messages.
    split : str
        For names of rows.
    """

    def __init__(self, dataset: Any, label: str, split: str) -> None:
        if dataset.features is None:
            raise SourceError(f"{label}: does not state its columns, so it cannot be streamed; leave --streaming out")
        self.label, self.split = label, split
        self.features: Mapping[str, Any] = dataset.features.to_dict()
        self.names: Sequence[str] = list(self.features)
        self.cells: Mapping[str, Any] = {}
        self._dataset = dataset

    def images(self) -> list[str]:
        """The columns whose declared type is an image."""
        return [name for name in self.names if _declared(self.features[name]) == "Image"]

    def arriving(self, columns: Sequence[str], start: int) -> Iterator[int]:
        """Let the rows from number `start` on become the last one, and give their numbers."""
        from datasets import Image

        bases = dict.fromkeys(split_name(name, self.names, self.label)[0] for name in columns)
        rows = self._dataset.select_columns(list(bases))
        for name in self.images():
            if name in bases:
                rows = rows.cast_column(name, Image(decode=False))
        for number, cells in enumerate(rows.skip(start) if start else rows, start):
            self.cells = cells
            yield number

    def value(self, name: str, index: int) -> Any:
        """A value of the last row."""
        base, inner = split_name(name, self.names, self.label)
        return inside(self.cells[base], inner, self.where(index))

    def file(self, name: str, index: int) -> bytes:
        """The bytes of the image or other file in a cell of the last row."""
        return image_of(self.value(name, index), None, self.where(index))

    def row_name(self, name: str, index: int) -> str:
        """Name of the last row in reports, given the column of its image."""
        cell = self.cells.get(name)
        path = cell.get("path") if isinstance(cell, dict) else None
        return PurePath(path).name if path else f"{self.split}[{index}]"

    def where(self, index: int) -> str:
        """Where a row is, for messages."""
        return f"{self.label}, row {index:,}"


class StreamedImages:
    """Rows of a stream as samples, in their order. Created by ``open_images``.

    Parameters
    ----------
    rows : StreamRows
    count : int
        How many rows there are.
    choices : Sequence[FieldChoice]
        The fields; the first one is the image.
    filters : Sequence[RowFilter]
    classes : mapping of str to list of str
        Names of the classes, by column, where the stream or the user states them.
    image : RGBImageField
    facts : dict
        What the manifest says.
    """

    name = "images"

    def __init__(
        self,
        rows: StreamRows,
        count: int,
        choices: Sequence[FieldChoice],
        filters: Sequence[RowFilter],
        classes: Mapping[str, Sequence[str]],
        *,
        image: RGBImageField,
        facts: dict[str, Any],
    ) -> None:
        self._rows, self._count, self._choices, self._filters = rows, count, list(choices), list(filters)
        self._classes, self._image, self.facts = classes, image, facts
        self.left_out, self.notes = LeftOut(), list[str]()
        self.fields: Mapping[str, Field] = {choice.name: KINDS[choice.kind](image) for choice in choices}

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int) -> tuple[Any, ...]:
        raise SourceError(f"{self._rows.label}: a stream is read in order only")

    def sample_name(self, index: int) -> str:
        return f"{self._rows.split}[{index}]"

    def stream(self, start: int) -> Iterator[Named]:
        # With filters the samples before have to be counted, so their rows come once more.
        left = start if self._filters else 0
        columns = [choice.column for choice in self._choices]
        columns += [name for one in self._filters for name in one.columns]
        for number in self._rows.arriving(columns, 0 if self._filters else start):
            if not all(self._holds(one, number) for one in self._filters):
                continue
            if left:
                left -= 1
                continue
            name = self._rows.row_name(self._choices[0].column, number)
            try:
                yield Named(name, tuple(self._value(choice, number) for choice in self._choices))
            except SourceError as error:
                yield Named(name, error)

    def _holds(self, condition: RowFilter, number: int) -> bool:
        columns = {name: [self._rows.value(name, number)] for name in condition.columns}
        stated = {name: list(self._classes[name]) for name in condition.columns if name in self._classes}
        return len(condition.rows(columns, stated, 1, lambda index: self._rows.where(number))) > 0

    def _value(self, choice: FieldChoice, number: int) -> Any:
        if choice.kind != LABEL:
            return value_of(self._rows, choice, number, self._image)  # type: ignore[arg-type]
        names = tuple(self._classes.get(choice.column, ()))
        faults: list[str] = []
        value = self._rows.value(choice.column, number)
        found = read_labels([value], names, "int", lambda place, reason: faults.append(reason))
        if faults:
            hint = "" if names else "; labels that are names need --labels or --classes where they are streamed"
            raise SourceError(f"{faults[0]}{hint}")
        return int(found.values[0])

    def manifest(self) -> dict[str, Any]:
        return self.facts

    def summary(self) -> str:
        """One line about what was found, for the screen."""
        fields = (f"{choice.name}: {choice.kind} of {choice.column}" for choice in self._choices)
        return "; ".join([f"{self._count:,} rows of {self._rows.label}, streamed", *fields])


def _declared(feature: Any) -> Any:
    return feature.get("_type") if isinstance(feature, dict) else None
