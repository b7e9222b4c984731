"""The samples of ImageNet, and of any data set of images with labels: in files, in tables, or streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import SourceError
from ffprep.fields import IntField
from ffprep.sources.base import Named, Together
from ffprep.sources.labelled_tables import ImageTable
from ffprep.sources.reading.file_sets import TogetherFiles
from ffprep.sources.reading.hub import stream_rows
from ffprep.sources.reading.image_tables import find_columns
from ffprep.sources.reading.synsets import WNID

if TYPE_CHECKING:
    from ffprep.fields import Field, RGBImageField


class ImageNet:
    """Images in files, with labels. Created by ``open_imagenet``.

    Parameters
    ----------
    images : TogetherFiles
        The encoded images.
    names : Sequence[str]
        Names of the samples.
    labels : ndarray of int64, shape (N,)
        Class of each sample.
    classes : Sequence[str] or None
        Names of the classes.
    split, layout, origin : str
        Entries of the manifest.
    image : RGBImageField
        How images are encoded.

    Attributes
    ----------
    notes : list of str
        What the user should know about the samples.
    facts : dict
        What the manifest says.
    """

    name = "imagenet"

    def __init__(
        self,
        images: TogetherFiles,
        names: Sequence[str],
        labels: npt.NDArray[np.int64],
        classes: Sequence[str] | None,
        *,
        split: str,
        layout: str,
        origin: str,
        image: RGBImageField,
    ) -> None:
        self.images = images
        self.names = names
        self.labels = labels
        self.classes = classes
        self.notes: list[str] = []
        self.facts = _facts(split, layout, origin, classes)
        self.fields: Mapping[str, Field] = _fields(image)

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, index: int) -> tuple[bytes, int]:
        return self.images.read(index), int(self.labels[index])

    def read_together(self, indices: Sequence[int], most: int) -> list[Together | None]:
        """Several samples, those that can be read without looking at each."""
        return [
            None if read is None else Together((read.data, label), (len(read.data), read.time) if read.time else None)
            for read, label in zip(
                self.images.read_together(indices, most), self.labels[np.asarray(indices)].tolist(), strict=True
            )
        ]

    def sample_name(self, index: int) -> str:
        return self.names[index]

    def stamp(self, index: int) -> tuple[int, int] | None:
        """Size in bytes and time in nanoseconds of a sample's own file; None for members of archives."""
        return self.images.stamp(index)

    def size_estimate(self) -> int:
        """Estimate the bytes of all images together from the sizes of a thousand of them."""
        some = np.unique(np.linspace(0, len(self) - 1, 1000).astype(int)) if len(self) else np.zeros(0, int)
        return round(len(self) * sum(self.images.size(int(i)) for i in some) / max(1, len(some)))

    def manifest(self) -> dict[str, Any]:
        return self.facts


class ImageNetTable:
    """Images and labels in a parquet file or a table of the ``datasets`` library."""

    name = "imagenet"

    def __init__(
        self,
        table: ImageTable,
        *,
        split: str,
        layout: str,
        origin: str,
        image: RGBImageField,
    ) -> None:
        self.table = table
        self.labels, self.classes = _sorted_classes(table.labels, table.class_names, origin)
        self._split = split
        self.facts = _facts(split, layout, origin, self.classes)
        self.fields: Mapping[str, Field] = _fields(image)
        self.notes: list[str] = []

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, index: int) -> tuple[bytes, int]:
        return self.table.read(index), int(self.labels[index])

    def read_together(self, indices: Sequence[int], most: int) -> list[Together | None]:
        """Several samples, whose images stay where the table has them."""
        return [
            None if image is None else Together((image, label), None)
            for image, label in zip(
                self.table.read_together(indices), self.labels[np.asarray(indices)].tolist(), strict=True
            )
        ]

    def sample_name(self, index: int) -> str:
        return _row_name(self.table.name(index), self._split, index)

    def size_estimate(self) -> int:
        """Bytes of all images together, as stated by the table."""
        return self.table.size_estimate()

    def manifest(self) -> dict[str, Any]:
        return self.facts


class ImageNetStream:
    """Images and labels of a data set on the hub as they arrive over the network; nothing is stored."""

    name = "imagenet"

    def __init__(self, dataset: Any, rows: int, *, split: str, origin: str, image: RGBImageField) -> None:
        self._dataset = dataset
        self._rows = rows
        self._split = split
        self._origin = origin
        features = dataset.features.to_dict() if dataset.features is not None else {}
        names = find_columns(list(features), features, origin).class_names
        self._renumber, self.classes = _class_order(names)
        self._facts = _facts(split, "hub", origin, self.classes)
        self.fields: Mapping[str, Field] = _fields(image)

    def __len__(self) -> int:
        return self._rows

    def sample(self, index: int) -> tuple[bytes, int]:
        raise SourceError(f"{self._origin}: a stream is read in order only")

    def sample_name(self, index: int) -> str:
        return f"{self._split}[{index}]"

    def stream(self, start: int) -> Iterator[Named]:
        for index, (name, data, label) in enumerate(stream_rows(self._dataset, start, self._origin), start):
            number = label if self._renumber is None or label < 0 else int(self._renumber[label])
            yield Named(_row_name(name, self._split, index), data if isinstance(data, Exception) else (data, number))

    def manifest(self) -> dict[str, Any]:
        return self._facts


def _class_order(names: Sequence[str] | None) -> tuple[npt.NDArray[np.int64] | None, Sequence[str] | None]:
    """The new number of each of a table's classes, so that WordNet ids are sorted, and the class names in that order.

    The numbers are None if they do not change. Names in words (``tench, Tinca tinca``), as in ``ILSVRC/imagenet-1k``,
    are in the order of the sorted ids already.
    """
    if not names or not all(WNID.fullmatch(name) for name in names) or list(names) == sorted(names):
        return None, names
    ordered = sorted(names)
    number = {name: i for i, name in enumerate(ordered)}
    return np.array([number[name] for name in names], np.int64), ordered


def _sorted_classes(
    labels: npt.NDArray[np.int64], names: Sequence[str] | None, origin: str
) -> tuple[npt.NDArray[np.int64], Sequence[str] | None]:
    if names and len(labels) and int(labels.max()) >= len(names):
        raise SourceError(f"{origin}: label {int(labels.max())} with {len(names)} class names")
    renumber, ordered = _class_order(names)
    if renumber is None:
        return labels, ordered
    return np.where(labels >= 0, renumber[np.maximum(labels, 0)], labels), ordered


def _row_name(name: str, split: str, index: int) -> str:
    return name or f"{split}[{index}]"


def _fields(image: RGBImageField) -> dict[str, Field]:
    return {"image": image, "label": IntField()}


def _facts(split: str, layout: str, origin: str, classes: Sequence[str] | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"dataset": "imagenet", "split": split, "layout": layout, "origin": origin}
    if classes is not None:
        facts["classes"] = list(classes)
    return facts
