"""Rows with images and other values: what they offer, and those of folders and of tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ffprep.common.files.source_files import read_file
from ffprep.common.names import readable
from ffprep.errors import SourceError, first_line
from ffprep.sources.reading.file_sets import LARGEST, FolderFiles
from ffprep.sources.reading.image_tables import ArrowRows, ParquetRows

_LONGEST_PATH = 4095
PATH_NAMES = (
    "image",
    "img",
    "path",
    "image_path",
    "img_path",
    "file",
    "file_name",
    "filename",
    "filepath",
    "file_path",
)
"""Names that columns of images' paths usually have."""


class Rows(Protocol):
    """Numbered rows of a data set with images.

    Attributes
    ----------
    label : str
        Name of the data set in messages.
    names : Sequence[str]
        The columns. Dots lead from some of them into nested values.
    features : Mapping
        Declared types of columns, as ``datasets`` writes them to JSON.
    """

    label: str
    names: Sequence[str]
    features: Mapping[str, Any]

    def __len__(self) -> int: ...

    def load(self, columns: Sequence[str]) -> None:
        """Prepare for reading these columns, and no others.

        Raises
        ------
        SourceError
            There is no such column; the message names those that there are.
        """

    def images(self) -> list[str]:
        """The columns that seem to hold images."""

    def column(self, name: str) -> Sequence[Any]:
        """All values of a column, as plain Python objects."""

    def value(self, name: str, index: int) -> Any:
        """A single value."""

    def file(self, name: str, index: int) -> bytes:
        """The bytes of the image or other file in a cell."""

    def row_name(self, name: str, index: int) -> str:
        """Name of a row in reports, given the column of its image."""

    def where(self, index: int) -> str:
        """Where a row is, for messages."""

    def stamp(self, name: str, index: int) -> tuple[int, int] | None:
        """Size and time of a file of its own in a cell."""

    def size(self, name: str) -> int:
        """Estimate the bytes of all files in a column."""


class FolderRows:
    """An ImageFolder: the columns ``image``, ``path`` and, of class folders, ``label``.

    Parameters
    ----------
    files : FolderFiles
    classes : Sequence[str] or None
        Names of the class folders.
    others : Sequence[str]
        Images that were left out because of their ending.
    """

    def __init__(self, files: FolderFiles, classes: Sequence[str] | None, others: Sequence[str] = ()) -> None:
        self._others = others
        self.label = str(files.root)
        self._files = files
        self.names: Sequence[str] = ["image", "path", *(["label"] if classes is not None else [])]
        self.features: Mapping[str, Any] = {}
        self._labels: list[int] = []
        if classes is not None:
            self.features = {"label": {"_type": "ClassLabel", "names": list(classes)}}
            number = {name: i for i, name in enumerate(classes)}
            self._labels = [number[name.split("/", 1)[0]] for name in files.names]

    def __len__(self) -> int:
        return len(self._files.names)

    def load(self, columns: Sequence[str]) -> None:
        for name in columns:
            if name not in self.names:
                raise no_column(self.label, name, self.names)

    def images(self) -> list[str]:
        return ["image"]

    def column(self, name: str) -> Sequence[Any]:
        return self._labels if name == "label" else self._files.names

    def value(self, name: str, index: int) -> Any:
        return self.column(name)[index]

    def file(self, name: str, index: int) -> bytes:
        if name == "label":
            raise SourceError(f"{self.label}: the column 'label' holds no images; they are in 'image'")
        return self._files.read(index)

    def row_name(self, name: str, index: int) -> str:
        return self._files.names[index]

    def where(self, index: int) -> str:
        return f"{self.label}, {self._files.names[index]}"

    def stamp(self, name: str, index: int) -> tuple[int, int] | None:
        return self._files.stamp(index)

    def size(self, name: str) -> int:
        return sampled_size(len(self), self._files.size)

    def notes(self) -> list[str]:
        """What the user should know: a sentence, or nothing."""
        if not self._others:
            return []
        listed = ", ".join(map(readable, self._others[:3])) + (", ..." if len(self._others) > 3 else "")
        return [
            f"left out {len(self._others):,} {'image' if len(self._others) == 1 else 'images'} with an ending that "
            f"ImageFolder does not take ({listed}); name them in a CSV file to convert them"
        ]


class ImagePaths:
    """Files that a table names by their paths within a folder.

    Parameters
    ----------
    root : Path
        The folder, which no path may leave.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._top = os.path.realpath(root)

    def find(self, path: Any, where: str) -> str:
        """Path of a file, whose name a table has at `where`."""
        if not isinstance(path, str) or not path.strip():
            raise SourceError(f"{where}: names no image file")
        if len(path) > _LONGEST_PATH or not _is_path(path):
            raise SourceError(f"{where}: {path[:80]!r} is no path that a file can have")
        whole = os.path.normpath(os.path.join(os.path.abspath(self._root), path))  # noqa: PTH100, PTH118 - many times
        inside = whole.startswith((os.path.abspath(self._root) + os.sep, self._top + os.sep))  # noqa: PTH100
        if "\0" in path or not inside:
            raise SourceError(f"{where}: {path!r} is not in the folder {self._root}; name its folder with --images")
        return whole

    def read(self, path: Any, where: str) -> bytes:
        """The bytes of such a file."""
        whole = self.find(path, where)
        try:
            return read_file(whole, LARGEST)
        except OSError as error:
            raise SourceError(f"{where}: {whole} cannot be read: {error.strerror}; --images names its folder") from None

    def stamp(self, path: Any, where: str) -> tuple[int, int]:
        """Its size in bytes and its time in nanoseconds."""
        found = os.stat(self.find(path, where))  # noqa: PTH116 - called a million times
        return found.st_size, found.st_mtime_ns


def _is_path(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # half of a pair, which JSON may have
        return False
    return True


class TableRows:
    """Rows of parquet files or of a ``datasets`` table, whose images are in them or beside them.

    Parameters
    ----------
    table : ParquetRows or ArrowRows
    root : Path
        Folder of images that the table names by their paths.
    split : str
        For names of rows.
    """

    def __init__(self, table: ParquetRows | ArrowRows, root: Path, split: str) -> None:
        self.label = table.label
        self.names: Sequence[str] = table.names
        self.features: Mapping[str, Any] = table.features
        self._table = table
        self._paths = ImagePaths(root)
        self._split = split
        self._columns: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return len(self._table)

    def load(self, columns: Sequence[str]) -> None:
        for name in columns:
            split_name(name, self.names, self.label)

    def images(self) -> list[str]:
        import pyarrow as pa

        declared = [n for n in self.names if _feature(self.features, n) == "Image"]

        def bytes_in(kind: Any) -> bool:
            if pa.types.is_struct(kind):
                return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
            return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

        return declared or [n for n in self.names if bytes_in(self._table.schema.field(n).type)]

    def column(self, name: str) -> Sequence[Any]:
        if name not in self._columns:
            base, inner = split_name(name, self.names)
            try:
                values = [value for _, column in self._table.columns_of(base) for value in column.to_pylist()]
            except ValueError as error:
                raise SourceError(f"{self.label}, column {base}: cannot be read: {first_line(error)}") from None
            self._columns[name] = [inside(value, inner, f"{self.label}, column {base}") for value in values]
        return self._columns[name]

    def value(self, name: str, index: int) -> Any:
        if name in self._columns:
            return self._columns[name][index]
        base, inner = split_name(name, self.names)
        where = self.where(index)
        try:
            found = self._table.cell(base, index).as_py()
        except ValueError as error:
            raise SourceError(f"{where}: cannot be read: {first_line(error)}") from None
        return inside(found, inner, where)

    def file(self, name: str, index: int) -> bytes:
        if name in self.names and not self._holds_text(name):
            return self._table.image(name, index)
        found = self.value(name, index)
        if isinstance(found, dict):  # an image of datasets, within another value
            found = found.get("bytes") or found.get("path")
        return found if isinstance(found, bytes) else self._paths.read(found, self.where(index))

    def row_name(self, name: str, index: int) -> str:
        if name in self.names and self._table.image_name(name, index):
            return self._table.image_name(name, index)
        return f"{self._split}[{index}]"

    def where(self, index: int) -> str:
        return self._table.where(index)

    def stamp(self, name: str, index: int) -> tuple[int, int] | None:
        if not self._holds_text(name):
            return None
        return self._paths.stamp(self.value(name, index), self.where(index))

    def _holds_text(self, name: str) -> bool:
        import pyarrow as pa

        kind = self._table.schema.field(name).type if name in self.names else None
        return kind is not None and bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    def size(self, name: str) -> int:
        base, _ = split_name(name, self.names)
        return self._table.column_bytes(base)


def sampled_size(count: int, size: Callable[[int], int]) -> int:
    """Estimate the bytes of all files from the sizes of a thousand of them."""
    some = np.unique(np.linspace(0, count - 1, 1000).astype(int)) if count else np.zeros(0, int)
    return round(count * sum(size(int(i)) for i in some) / max(1, len(some)))


def _feature(features: Mapping[str, Any], name: str) -> Any:
    declared = features.get(name)
    return declared.get("_type") if isinstance(declared, dict) else None


def no_column(where: str, name: str, names: Sequence[str]) -> SourceError:
    """The error about a column that is not there."""
    there = ", ".join(repr(one) if one != one.strip() else one for one in names)
    return SourceError(f"{where}: no column {name!r}; there are {there}"[:2000])


def split_name(name: str, names: Sequence[str], where: str = "") -> tuple[str, list[str]]:
    """The column that a dotted name begins with, and the keys that follow."""
    if name in names:
        return name, []
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        if ".".join(parts[:count]) in names:
            return ".".join(parts[:count]), parts[count:]
    raise no_column(where, name, names)


def inside(value: Any, keys: Sequence[str], where: str) -> Any:
    """What keys lead to within nested values; a list of mappings gives the list of their values."""
    for place, key in enumerate(keys):
        if isinstance(value, list):
            return [inside(one, keys[place:], where) for one in value]
        if value is None:
            return None
        if not isinstance(value, dict) or key not in value:
            there = f"; there are {', '.join(map(str, value))}" if isinstance(value, dict) else ""
            raise SourceError(f"{where}: has no {key!r}{there}"[:2000])
        value = value[key]
    return value
