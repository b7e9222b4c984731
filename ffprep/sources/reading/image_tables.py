"""Tables of encoded images, as the Hugging Face hub has them: parquet files and tables of the ``datasets`` library.

Images are returned as they are stored, not decoded. Local parquet files are read in place, one row group at a time,
rather than first being copied into the cache of ``datasets``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ffprep.common.names import Clutter
from ffprep.common.source_files import check_regular, read_file
from ffprep.errors import SourceError, first_line
from ffprep.sources.reading.load_cache import LoadCache

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "validation", "valid"),
    "test": ("test",),
}
"""For each split's name in ffprep, the names under which it is published."""

_BLOCK = 64  # rows read from a data set at a time: one row takes 0.36 ms, a block hardly longer

_IMAGE_NAMES = ("image", "img", "jpg", "jpeg", "pixel_values")
_LABEL_NAMES = ("label", "labels", "cls", "class", "fine_label", "target")


class ImageTable(Protocol):
    """Numbered rows with an image and a label each."""

    labels: npt.NDArray[np.int64]
    class_names: Sequence[str] | None

    def read(self, index: int) -> bytes:
        """The encoded image of a row."""

    def name(self, index: int) -> str:
        """The file name of a row's image; empty if the table has none."""

    def size_estimate(self) -> int:
        """About how many bytes all images together have."""


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
    image = next((n for n in names if kinds.get(n) == "Image"), None) or _by_name(names, _IMAGE_NAMES)
    target = next((n for n in names if kinds.get(n) == "ClassLabel"), None) or _by_name(names, _LABEL_NAMES)
    if image is None or target is None:
        raise SourceError(
            f"{label}: no column of {'images' if image is None else 'labels'} among {', '.join(names)}; "
            f"expected one called {(_IMAGE_NAMES if image is None else _LABEL_NAMES)[0]!r}"
        )
    listed = features.get(target, {}).get("names")
    return ImageColumns(image, target, tuple(map(str, listed)) if isinstance(listed, list) else None)


def _by_name(names: Sequence[str], wanted: Sequence[str]) -> str | None:
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


def _plain(cell: Any, label: str) -> Any:
    """Return a cell as a Python object."""
    try:
        return cell.as_py()
    except ValueError as error:
        raise SourceError(f"{label}: cannot be read: {first_line(error)}") from None


class ParquetTable:
    """The rows of some parquet files, in the order of the files.

    Parameters
    ----------
    paths : Sequence[Path]
        The files, which all have the same columns.
    keep : int
        Number of row groups to keep in memory; one with 100 ImageNet images takes about 11 MB.
    """

    def __init__(self, paths: Sequence[Path], keep: int = 12) -> None:
        pq = _parquet()
        self.paths = list(paths)
        self._meta = [_footer(path) for path in self.paths]
        schema = self._meta[0].schema.to_arrow_schema()
        self._columns = find_columns(schema.names, _features(schema), str(self.paths[0]))
        self.class_names: Sequence[str] | None = self._columns.class_names
        starts, groups = [0], []
        for number, meta in enumerate(self._meta):
            for group in range(meta.num_row_groups):
                groups.append((number, group))
                starts.append(starts[-1] + meta.row_group(group).num_rows)
        self._groups = groups
        self._starts = np.array(starts, np.int64)
        labels = []
        for path, meta in zip(self.paths, self._meta, strict=True):
            table = self._read(path, partial(pq.ParquetFile(path, metadata=meta).read, [self._columns.label]))
            labels.append(_integers(table.column(0), path))
        self.labels: npt.NDArray[np.int64] = np.concatenate(labels) if labels else np.zeros(0, np.int64)
        self._cache = LoadCache[Any](keep)
        self._names = LoadCache[Any](keep)
        kind = schema.field(self._columns.image).type
        self._has_paths = hasattr(kind, "get_field_index") and kind.get_field_index("path") >= 0
        self._file_starts = np.cumsum([0, *(meta.num_rows for meta in self._meta)])

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> bytes:
        group = int(np.searchsorted(self._starts, index, "right")) - 1
        column = self._cache.get(group, self._load)
        path = self.paths[self._groups[group][0]]
        label = f"{path.name}, row {index:,}"
        return image_of(_plain(column[index - int(self._starts[group])], label), path.parent, label)

    def name(self, index: int) -> str:
        if not self._has_paths:
            return ""
        file = int(np.searchsorted(self._file_starts, index, "right")) - 1
        label = f"{self.paths[file].name}, row {index:,}"
        path = _plain(self._names.get(file, self._load_names)[index - int(self._file_starts[file])], label)
        return PurePath(path).name if path else ""

    def size_estimate(self) -> int:
        """Bytes that the image column takes, uncompressed."""
        total = 0
        for meta in self._meta:
            for group in range(meta.num_row_groups):
                row_group = meta.row_group(group)
                for i in range(row_group.num_columns):
                    column = row_group.column(i)
                    if column.path_in_schema.split(".")[0] == self._columns.image:
                        total += column.total_uncompressed_size
        return total

    def _load_names(self, which: int) -> Any:
        path = self.paths[which]
        file = _parquet().ParquetFile(path, metadata=self._meta[which])
        table = self._read(path, partial(file.read, [f"{self._columns.image}.path"]))
        return table.column(0).combine_chunks().field("path")

    def _load(self, number: int) -> Any:
        which, group = self._groups[number]
        path = self.paths[which]
        file = _parquet().ParquetFile(path, metadata=self._meta[which])
        table = self._read(path, partial(file.read_row_group, group, [self._columns.image]))
        return table.column(0).combine_chunks()

    @staticmethod
    def _read(path: Path, action: Callable[[], Any]) -> Any:
        import pyarrow as pa

        try:
            return action()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise SourceError(f"{path}: cannot be read as parquet: {first_line(error)}") from None


class ArrowTable:
    """The rows of a ``datasets.Dataset``: a ``save_to_disk`` folder, or a hub data set in the local cache.

    Parameters
    ----------
    dataset : datasets.Dataset
    label : str
        Name of the table in messages.
    """

    def __init__(self, dataset: Any, label: str) -> None:
        self._label = label
        features = dataset.features.to_dict()
        columns = find_columns(dataset.column_names, features, label)
        self._image = columns.image
        self.class_names: Sequence[str] | None = columns.class_names
        plain = dataset.with_format("arrow")
        self.labels: npt.NDArray[np.int64] = _integers(plain.select_columns([columns.label])[:].column(0), label)
        self._rows = plain.select_columns([columns.image])
        self._cache = LoadCache[Any](32)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> bytes:
        label = f"{self._label}, row {index:,}"
        return image_of(_plain(self._cell(index), label), None, label)

    def name(self, index: int) -> str:
        cell = self._cell(index)
        path = _plain(cell["path"], self._label) if "path" in getattr(cell, "keys", tuple)() else None
        return PurePath(path).name if path else ""

    def _cell(self, index: int) -> Any:
        block, place = divmod(index, _BLOCK)
        return self._cache.get(block, self._load)[place]

    def _load(self, block: int) -> Any:
        return self._rows[block * _BLOCK : (block + 1) * _BLOCK].column(0)

    def size_estimate(self) -> int:
        """Bytes that all columns take."""
        return int(self._rows.data.nbytes)


def parquet_files(root: Path, split: str, clutter: Clutter) -> list[Path]:
    """The parquet files within a folder whose paths name a split, sorted.

    Examples of such paths are ``data/train-00000-of-00294.parquet`` and ``default/train/0000.parquet``. What systems
    leave behind is left out as `clutter` says.
    """
    every = sorted(root.rglob("*.parquet"), key=lambda path: path.relative_to(root).as_posix())
    found = [path for path in every if not clutter.leaves_out(path.relative_to(root).as_posix())]
    wanted = set(SPLITS[split])
    chosen = [
        path for path in found if wanted & set(re.split(r"[^a-z0-9]+", path.relative_to(root).as_posix().lower()))
    ]
    if found and not chosen:
        raise SourceError(
            f"{root}: none of its {len(found)} parquet files is named for the split {split!r} "
            f"(such as {split}-00000-of-00001.parquet); give the files' own folder or one file as the source"
        )
    return chosen


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


def _integers(column: Any, label: object) -> npt.NDArray[np.int64]:
    import pyarrow as pa

    if not pa.types.is_integer(column.type):
        raise SourceError(f"{label}: the label column holds {column.type}, not integers")
    if column.null_count:
        raise SourceError(f"{label}: {column.null_count:,} rows have no label")
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _parquet() -> Any:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise SourceError("reading parquet needs pyarrow: pip install 'ffprep[convert]'") from None
    return pq
