"""Tables with an image and a label in each row: parquet files and data sets of the ``datasets`` library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ffprep.errors import SourceError
from ffprep.sources.reading.image_tables import ArrowRows, ParquetRows, find_columns


class ImageTable(Protocol):
    """Numbered rows with an image and a label each."""

    labels: npt.NDArray[np.int64]
    class_names: Sequence[str] | None

    def read(self, index: int) -> bytes:
        """The encoded image of a row."""

    def read_together(self, indices: Sequence[int]) -> list[memoryview | None]:
        """The encoded images of several rows, in the table's memory; None for those that `read` is to read."""

    def name(self, index: int) -> str:
        """The file name of a row's image; empty if the table has none."""

    def size_estimate(self) -> int:
        """About how many bytes all images together have."""


class _Labelled:
    """What tables of images and labels have beside the cells."""

    _image: str
    class_names: Sequence[str] | None
    labels: npt.NDArray[np.int64]

    def _find(self: Any) -> None:
        columns = find_columns(self.names, self.features, self.label)
        self._image, self.class_names = columns.image, columns.class_names
        found = [_integers(column, path) for path, column in self.columns_of(columns.label)]
        self.labels = np.concatenate(found) if found else np.zeros(0, np.int64)

    def read(self: Any, index: int) -> bytes:
        data: bytes = self.image(self._image, index)
        return data

    def read_together(self: Any, indices: Sequence[int]) -> list[memoryview | None]:
        try:
            found: list[memoryview | None] = self.images(self._image, indices)
        except (SourceError, OSError):
            return [None] * len(indices)
        return found

    def name(self: Any, index: int) -> str:
        return str(self.image_name(self._image, index))

    def size_estimate(self: Any) -> int:
        """Bytes that the image column takes."""
        return int(self.column_bytes(self._image))


class ParquetTable(_Labelled, ParquetRows):
    """Images and labels in the rows of some parquet files. Parameters as for `ParquetRows`."""

    def __init__(self, paths: Sequence[Path], keep: int = 12) -> None:
        super().__init__(paths, keep)
        self._find()


class ArrowTable(_Labelled, ArrowRows):
    """Images and labels in the rows of a ``datasets.Dataset``. Parameters as for `ArrowRows`."""

    def __init__(self, dataset: Any, label: str) -> None:
        super().__init__(dataset, label)
        self._find()


def _integers(column: Any, label: object) -> npt.NDArray[np.int64]:
    import pyarrow as pa

    if not pa.types.is_integer(column.type):
        raise SourceError(f"{label}: the label column holds {column.type}, not integers")
    if column.null_count:
        raise SourceError(f"{label}: {column.null_count:,} rows have no label")
    return np.asarray(column.to_numpy(), dtype=np.int64)
