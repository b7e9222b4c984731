"""Tables of encoded images, as the Hugging Face hub has them: parquet files and tables of the ``datasets`` library.

Images are returned as they are stored, not decoded. Local parquet files are read in place, one row group at a time,
rather than first being copied into the cache of ``datasets``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.common.files.source_files import check_regular, read_file
from ffprep.errors import SourceError, first_line
from ffprep.sources.reading.load_cache import LoadCache

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "validation", "valid"),
    "test": ("test",),
}
"""For each split's name in ffprep, the names under which it is published."""

_BLOCK = 64  # rows read from a data set at a time: one row takes 0.36 ms, a block hardly longer

IMAGE_NAMES = ("image", "img", "jpg", "jpeg", "pixel_values")
LABEL_NAMES = ("label", "labels", "cls", "class", "fine_label", "target")
"""Names that columns of images and of labels usually have."""


@dataclass(frozen=True)
class ImageColumns:
    """The names of the columns with images and labels, and the names of the classes if the table states them."""

    image: str
    label: str
    class_names: tuple[str, ...] | None


def find_columns(names: Sequence[str], features: dict[str, Any], label: str) -> ImageColumns:
    """Find the columns of images and labels by their declared types or, without these, by their names.

    Parameters
    ----------
    names : Sequence[str]
        Names of the columns.
    features : dict
        The declared types as ``datasets`` writes them to JSON: ``{"label": {"_type": "ClassLabel", "names": [...]}}``;
        empty if the table declares none.
    label : str
        Name of the table in messages.
    """
    kinds = {name: value.get("_type") for name, value in features.items() if isinstance(value, dict)}
    image = next((n for n in names if kinds.get(n) == "Image"), None) or by_name(names, IMAGE_NAMES)
    target = next((n for n in names if kinds.get(n) == "ClassLabel"), None) or by_name(names, LABEL_NAMES)
    if image is None or target is None:
        raise SourceError(
            f"{label}: no column of {'images' if image is None else 'labels'} among {', '.join(names)}; "
            f"expected one called {(IMAGE_NAMES if image is None else LABEL_NAMES)[0]!r}"
        )
    listed = features.get(target, {}).get("names")
    return ImageColumns(image, target, tuple(map(str, listed)) if isinstance(listed, list) else None)


def by_name(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The column whose name, in any case, is the first of the wanted ones."""
    lower = {name.lower(): name for name in names}
    return next((lower[name] for name in wanted if name in lower), None)


def image_of(value: Any, base: Path | None, label: str) -> bytes:
    """The image in a cell, which is either a struct of ``bytes`` and ``path`` or the bytes themselves.

    Raises
    ------
    SourceError
        There is none, or its path leads out of the folder `base`.
    """
    if isinstance(value, dict):
        path, data = value.get("path"), value.get("bytes")
        if data is None and path:
            file = Path(path) if base is None else _inside(base, path, label)
            try:
                data = read_file(file)
            except OSError as error:
                raise SourceError(f"{label}: its image file {file} cannot be read: {error.strerror}") from None
    else:
        data = value
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise SourceError(f"{label}: holds no encoded image")
    return bytes(data)


def _inside(base: Path, path: str, label: str) -> Path:
    """Path of a file that a table names, which must not lead out of the table's folder: it may come from anywhere."""
    whole = os.path.normpath(base.absolute() / path)
    if "\0" in path or not Path(whole).is_relative_to(os.path.normpath(base.absolute())):
        raise SourceError(
            f"{label}: its image file {path!r} is not in the table's folder; put table and images into one folder, or "
            "the images into the table"
        )
    return base / path


def _file_name(path: str) -> str:
    name = path.rpartition("/")[2]
    return name if name not in ("", ".") else PurePath(path).name


def _plain(cell: Any, label: str) -> Any:
    """Return a cell as a Python object."""
    try:
        return cell.as_py()
    except ValueError as error:
        raise SourceError(f"{label}: cannot be read: {first_line(error)}") from None


def _one_chunk(column: Any) -> Any:
    """The cells of a ``pyarrow.ChunkedArray`` as one array; ``combine_chunks`` copies them even if they are one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _bytes_in(cells: Any) -> tuple[memoryview, npt.NDArray[np.int64]] | None:
    """The images in an array of cells, as `image_of` finds them, without copying them.

    Returns
    -------
    (memoryview, ndarray of int64, shape (N, 2)) or None
        All bytes, and where in them each image begins and ends; -1 where there is none. None if they lie otherwise.
    """
    import pyarrow as pa

    present = np.asarray(cells.is_valid())
    if pa.types.is_struct(cells.type):
        if cells.type.get_field_index("bytes") < 0:
            return None
        cells = cells.field("bytes")
        present &= np.asarray(cells.is_valid())
    kinds: dict[Any, np.dtype[Any]] = {pa.binary(): np.dtype(np.int32), pa.large_binary(): np.dtype(np.int64)}
    kind = kinds.get(cells.type)
    _, offsets, data = cells.buffers() if kind is not None else (None, None, None)
    if kind is None or offsets is None or data is None:
        return None
    ends = np.frombuffer(offsets, kind, len(cells) + 1, cells.offset * kind.itemsize)
    return memoryview(data).cast("B").toreadonly(), np.where(present[:, None], np.stack([ends[:-1], ends[1:]], 1), -1)


class ParquetRows:
    """The rows of some parquet files, in the order of the files, of which single cells can be read from any thread.

    Parameters
    ----------
    paths : Sequence[Path]
        The files, which all have the same columns.
    keep : int
        Number of row groups of a column to keep in memory; one with 100 ImageNet images takes about 11 MB.

    Attributes
    ----------
    schema : pyarrow.Schema
    names : list of str
        The columns.
    features : dict
        Their declared types, as `find_columns` takes them.
    label : str
        Name of the table in messages.
    """

    def __init__(self, paths: Sequence[Path], keep: int = 12) -> None:
        self.paths = list(paths)
        self.label = str(self.paths[0])
        self._meta = [_footer(path) for path in self.paths]
        self.schema = self._meta[0].schema.to_arrow_schema()
        self.names: list[str] = list(self.schema.names)
        self.features = _features(self.schema)
        starts, groups = [0], []
        for number, meta in enumerate(self._meta):
            for group in range(meta.num_row_groups):
                groups.append((number, group))
                starts.append(starts[-1] + meta.row_group(group).num_rows)
        self._groups = groups
        self._starts = np.array(starts, np.int64)
        self._cache = LoadCache[Any](keep)
        self._names = LoadCache[Any](keep)
        self._places = LoadCache[Any](keep)
        self._file_starts = np.cumsum([0, *(meta.num_rows for meta in self._meta)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def columns_of(self, column: str) -> list[tuple[Path, Any]]:
        """The whole of a column, as a ``pyarrow.ChunkedArray`` for each file."""
        pq = _parquet()
        return [
            (path, self._read(path, partial(pq.ParquetFile(path, metadata=meta).read, [column])).column(column))
            for path, meta in zip(self.paths, self._meta, strict=True)
        ]

    def cell(self, column: str, index: int) -> Any:
        """A cell, as a pyarrow scalar."""
        group = int(np.searchsorted(self._starts, index, "right")) - 1
        values = self._cache.get(group * len(self.names) + self.names.index(column), self._load)
        return values[index - int(self._starts[group])]

    def images(self, column: str, indices: Sequence[int]) -> list[memoryview | None]:
        """The encoded images in cells, as views of the memory that has them; None where `image` has to be asked."""
        place = self.names.index(column)
        groups = np.searchsorted(self._starts, indices, "right") - 1
        rows = np.asarray(indices) - self._starts[groups]
        found: list[memoryview | None] = []
        for group, row in zip(groups.tolist(), rows.tolist(), strict=True):
            lying = self._places.get(group * len(self.names) + place, self._load_places)
            begin, end = (-1, -1) if lying is None else lying[1][row].tolist()
            found.append(None if begin < 0 else lying[0][begin:end])
        return found

    def path_of(self, index: int) -> Path:
        """The file that has a row."""
        return self.paths[int(np.searchsorted(self._file_starts, index, "right")) - 1]

    def where(self, index: int) -> str:
        """Name of a row in messages."""
        group = int(np.searchsorted(self._starts, index, "right")) - 1
        return f"{self.paths[self._groups[group][0]].name}, row {index:,}"

    def image(self, column: str, index: int) -> bytes:
        """The encoded image in a cell."""
        label = self.where(index)
        return image_of(_plain(self.cell(column, index), label), self.path_of(index).parent, label)

    def image_name(self, column: str, index: int) -> str:
        """The file name of the image in a cell; empty if the table has none."""
        kind = self.schema.field(column).type
        if not hasattr(kind, "get_field_index") or kind.get_field_index("path") < 0:
            return ""
        file = int(np.searchsorted(self._file_starts, index, "right")) - 1
        names = self._names.get(file * len(self.names) + self.names.index(column), self._load_names)
        path = _plain(names[index - int(self._file_starts[file])], self.where(index))
        return _file_name(path) if path else ""

    def column_bytes(self, column: str) -> int:
        """Bytes that a column takes, uncompressed."""
        total = 0
        for meta in self._meta:
            for group in range(meta.num_row_groups):
                row_group = meta.row_group(group)
                for i in range(row_group.num_columns):
                    if row_group.column(i).path_in_schema.split(".")[0] == column:
                        total += row_group.column(i).total_uncompressed_size
        return total

    def _load_names(self, key: int) -> Any:
        which, place = divmod(key, len(self.names))
        path = self.paths[which]
        file = _parquet().ParquetFile(path, metadata=self._meta[which])
        table = self._read(path, partial(file.read, [f"{self.names[place]}.path"]))
        return _one_chunk(table.column(0)).field("path")

    def _load_places(self, key: int) -> Any:
        return _bytes_in(self._cache.get(key, self._load))

    def _load(self, key: int) -> Any:
        number, place = divmod(key, len(self.names))
        which, group = self._groups[number]
        path = self.paths[which]
        file = _parquet().ParquetFile(path, metadata=self._meta[which])
        table = self._read(path, partial(file.read_row_group, group, [self.names[place]]))
        return _one_chunk(table.column(0))

    @staticmethod
    def _read(path: Path, action: Callable[[], Any]) -> Any:
        import pyarrow as pa

        try:
            return action()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise SourceError(f"{path}: cannot be read as parquet: {first_line(error)}") from None


class ArrowRows:
    """The rows of a ``datasets.Dataset``: a ``save_to_disk`` folder, or a hub data set in the local cache.

    Parameters
    ----------
    dataset : datasets.Dataset
    label : str
        Name of the table in messages.

    Attributes
    ----------
    schema, names, features, label
        As of `ParquetRows`.
    """

    def __init__(self, dataset: Any, label: str) -> None:
        self.label = label
        self.features = dataset.features.to_dict()
        self.names: list[str] = list(dataset.column_names)
        self.schema = dataset.features.arrow_schema
        self._rows = dataset.with_format("arrow")
        self._cache = LoadCache[Any](32)

    def __len__(self) -> int:
        return len(self._rows)

    def columns_of(self, column: str) -> list[tuple[str, Any]]:
        """The whole of a column, as one ``pyarrow.ChunkedArray``."""
        return [(self.label, self._rows.select_columns([column])[:].column(0))]

    def cell(self, column: str, index: int) -> Any:
        """A cell, as a pyarrow scalar."""
        block, row = divmod(index, _BLOCK)
        return self._cache.get(block * len(self.names) + self.names.index(column), self._load)[row]

    def where(self, index: int) -> str:
        """Name of a row in messages."""
        return f"{self.label}, row {index:,}"

    def image(self, column: str, index: int) -> bytes:
        """The encoded image in a cell."""
        label = self.where(index)
        return image_of(_plain(self.cell(column, index), label), None, label)

    def images(self, column: str, indices: Sequence[int]) -> list[memoryview | None]:
        """None for each: `image` is to be asked."""
        return [None] * len(indices)

    def image_name(self, column: str, index: int) -> str:
        """The file name of the image in a cell; empty if the table has none."""
        cell = self.cell(column, index)
        path = _plain(cell["path"], self.label) if "path" in getattr(cell, "keys", tuple)() else None
        return _file_name(path) if path else ""

    def _load(self, key: int) -> Any:
        block, place = divmod(key, len(self.names))
        rows = self._rows.select_columns([self.names[place]])
        return rows[block * _BLOCK : (block + 1) * _BLOCK].column(0)

    def column_bytes(self, column: str) -> int:
        """Bytes that a column takes."""
        return int(self._rows.select_columns([column]).data.nbytes)


def _footer(path: Path) -> Any:
    import pyarrow as pa

    try:
        check_regular(path)
        return _parquet().read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: cannot be read as parquet: {first_line(error)}") from None


def _features(schema: Any) -> dict[str, Any]:
    stated = (schema.metadata or {}).get(b"huggingface")
    if stated is None:
        return {}
    try:
        features = json.loads(stated)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _parquet() -> Any:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise SourceError("reading parquet needs pyarrow: pip install 'ffprep[convert]'") from None
    return pq
