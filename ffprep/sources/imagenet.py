"""ImageNet-1K in the forms it is around in, and any data set laid out like it.

=====================  ==========================================================================================
folder of folders      torchvision's ImageFolder: ``train/<class>/*.JPEG``, or the classes right below the source
official archives      ``ILSVRC2012_img_train.tar`` (1,000 tars in a tar, or these tars in a folder) and
                       ``ILSVRC2012_img_val.tar`` with a list of labels; both are read without unpacking
flat validation folder ``ILSVRC2012_val_*.JPEG`` with a list of labels; also inside Kaggle's ``ILSVRC/Data/CLS-LOC``
Hugging Face           a hub name (``ILSVRC/imagenet-1k``), local parquet files, a ``save_to_disk`` folder
=====================  ==========================================================================================

Labels number the sorted WordNet ids (class folders), as torchvision's ImageFolder does, whatever the form. From folders
and archives the samples come in ImageFolder's order as well: by class, then by file name, and a sample is called
``n01440764/n01440764_10026.JPEG``. Tables keep the order of their rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError, SourceError
from ffprep.sources.base import Named, Source
from ffprep.sources.reading import hub, tables
from ffprep.sources.reading.files import Files, FolderFiles, index_archives, is_image_name, walk_images
from ffprep.sources.reading.synsets import CLASSES, WNID, Hints, find_labels

if TYPE_CHECKING:
    from ffprep.fields import Field, RGBImageField

_KAGGLE = Path("ILSVRC/Data/CLS-LOC")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class ImageNet:
    """Samples of an image and a label, by number.

    Made by ``open_imagenet``.

    Parameters
    ----------
    images : Files
        Encoded images.
    names : Sequence[str]
        What the samples are called.
    labels : ndarray of int64, shape (N,)
        Class numbers.
    classes : Sequence[str] or None
        Their names.
    split, layout, origin : str
        For the manifest.
    image : RGBImageField
        How images are encoded.
    """

    name = "imagenet"

    def __init__(
        self,
        images: Files,
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
        self._facts = _facts(split, layout, origin, classes)
        self.fields: Mapping[str, Field] = _fields(image)

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, index: int) -> tuple[bytes, int]:
        return self.images.read(index), int(self.labels[index])

    def sample_name(self, index: int) -> str:
        return self.names[index]

    def size_estimate(self) -> int:
        """Bytes of all images together, from the sizes of a thousand of them."""
        some = np.unique(np.linspace(0, len(self) - 1, 1000).astype(int)) if len(self) else np.zeros(0, int)
        return round(len(self) * sum(self.images.size(int(i)) for i in some) / max(1, len(some)))

    def manifest(self) -> dict[str, Any]:
        return self._facts


class ImageNetTable:
    """Rows of a parquet or ``datasets`` table as samples."""

    name = "imagenet"

    def __init__(
        self,
        table: tables.Table,
        *,
        split: str,
        layout: str,
        origin: str,
        image: RGBImageField,
    ) -> None:
        self.table = table
        self.labels, self.classes = _sorted_classes(table.labels, table.class_names, origin)
        self._split = split
        self._facts = _facts(split, layout, origin, self.classes)
        self.fields: Mapping[str, Field] = _fields(image)

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, index: int) -> tuple[bytes, int]:
        return self.table.read(index), int(self.labels[index])

    def sample_name(self, index: int) -> str:
        return _row_name(self.table.name(index), self._split, index)

    def size_estimate(self) -> int:
        """Bytes of all images together, as the table states them."""
        return self.table.size_estimate()

    def manifest(self) -> dict[str, Any]:
        return self._facts


class ImageNetStream:
    """Rows of a hub data set as they come over the network; nothing is kept on disk."""

    name = "imagenet"

    def __init__(self, dataset: Any, rows: int, *, split: str, origin: str, image: RGBImageField) -> None:
        self._dataset = dataset
        self._rows = rows
        self._split = split
        self._origin = origin
        features = dataset.features.to_dict() if dataset.features is not None else {}
        names = tables.find_columns(list(features), features, origin).class_names
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
        for index, (name, data, label) in enumerate(hub.stream_rows(self._dataset, start, self._origin), start):
            number = label if self._renumber is None or label < 0 else int(self._renumber[label])
            yield Named(_row_name(name, self._split, index), data if isinstance(data, Exception) else (data, number))

    def manifest(self) -> dict[str, Any]:
        return self._facts


def open_imagenet(
    source: str, split: str, *, image: RGBImageField, hints: Hints | None = None, streaming: bool = False
) -> Source:
    """Opens ImageNet, in whichever form ``source`` has it.

    Parameters
    ----------
    source : str
        A folder, an archive, a parquet file, or a data set's name on the Hugging Face hub.
    split : {"train", "val"}
        Which part.
    image : RGBImageField
        How images will be encoded.
    hints : Hints
        Where the validation labels are.
    streaming : bool
        Read a hub data set over the network without keeping it.

    Raises
    ------
    SourceError
        When nothing usable is there: the message says what was looked for.
    """
    hints = hints or Hints()
    if split not in ("train", "val"):
        raise OptionError(f"split {split!r}: 'train' or 'val' is expected")
    path = Path(source).expanduser()
    if streaming or not path.exists():
        return _from_hub(source, split, image, streaming)
    if path.is_file():
        return _from_file(path, split, image, hints)
    return _from_folder(path, split, image, hints)


def _from_hub(source: str, split: str, image: RGBImageField, streaming: bool) -> Source:
    if not Path(source).exists() and not _HUB_NAME.fullmatch(source):
        raise SourceError(f"{source}: no such file or folder (a hub data set is written owner/name)")
    dataset, rows = hub.load_hub(source, split, streaming=streaming)
    if streaming:
        return ImageNetStream(dataset, rows, split=split, origin=source, image=image)
    table = tables.ArrowTable(dataset, source)
    return ImageNetTable(table, split=split, layout="hub", origin=source, image=image)


def _from_file(path: Path, split: str, image: RGBImageField, hints: Hints) -> Source:
    if path.suffix == ".parquet":
        return ImageNetTable(tables.ParquetTable([path]), split=split, layout="parquet", origin=path.name, image=image)
    if path.suffix == ".tar":
        return _from_archives([path], path.parent, split, image, hints)
    raise SourceError(f"{path}: a folder, a .tar or a .parquet file is expected")


def _from_folder(path: Path, split: str, image: RGBImageField, hints: Hints) -> Source:
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        table = tables.ArrowTable(hub.load_saved(path, split), path.name)
        return ImageNetTable(table, split=split, layout="save_to_disk", origin=path.name, image=image)
    top = path / _KAGGLE if (path / _KAGGLE).is_dir() else path
    folder = next((top / name for name in tables.SPLITS[split] if (top / name).is_dir()), None)
    if folder is not None and not any(folder.glob("*.parquet")):
        return _from_images(folder, path, split, image, hints)
    archives = [path / name for name in _archive_names(split) if (path / name).is_file()]
    if not archives and split == "train":
        archives = sorted(p for p in path.glob("*.tar") if WNID.fullmatch(p.stem))
    if archives:
        return _from_archives(archives, path, split, image, hints)
    parquet = tables.parquet_files(path, split)
    if parquet:
        return ImageNetTable(tables.ParquetTable(parquet), split=split, layout="parquet", origin=path.name, image=image)
    return _from_images(path, path, split, image, hints)


def _archive_names(split: str) -> tuple[str, ...]:
    return (f"ILSVRC2012_img_{split}.tar", f"{split}.tar")


def _from_images(folder: Path, top: Path, split: str, image: RGBImageField, hints: Hints) -> Source:
    """A folder of class folders, or a flat one with a list of labels."""
    entries = sorted(folder.iterdir())
    classes = [entry.name for entry in entries if entry.is_dir()]
    flat = [entry.name for entry in entries if is_image_name(entry.name) and entry.is_file()]
    if flat:
        places = [folder, top]
        return _labelled(FolderFiles(folder, flat), places, folder, split, "flat folder", top.name, image, hints)
    splits = {name for names in tables.SPLITS.values() for name in names}
    if folder == top and splits & set(classes):
        raise SourceError(
            f"{folder}: has no folder for the split {split!r}, only {', '.join(classes[:5])}; "
            "give another split, or the folder that holds the class folders as the source"
        )
    found = [walk_images(folder, name) for name in classes]
    empty = next((name for name, names in zip(classes, found, strict=True) if not names), None)
    if empty is not None and any(found):
        raise SourceError(f"{folder / empty}: no images in this class folder; remove it or fill it")
    if not any(found):
        raise SourceError(f"{folder}: no class folders with images, ILSVRC2012 archives or parquet files in it")
    files = FolderFiles(folder, [name for names in found for name in names])
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(names) for names in found])
    return ImageNet(files, files.names, labels, classes, split=split, layout="folder", origin=top.name, image=image)


def _from_archives(paths: list[Path], top: Path, split: str, image: RGBImageField, hints: Hints) -> Source:
    """The training archive, class archives in a folder, an archive of class folders, or a flat one with labels."""
    files = index_archives(paths, prefix=all(WNID.fullmatch(path.stem) for path in paths))
    if not files.names:
        raise SourceError(f"{paths[0]}: no images in the archive")
    if not all("/" in name for name in files.names):
        return _labelled(files, [top], paths[0], split, "tar", paths[0].name, image, hints)
    parts = [name.split("/") for name in files.names]
    while len({p[0] for p in parts}) == 1 and all(len(p) > 2 for p in parts):
        parts = [p[1:] for p in parts]  # everything lies in one folder, such as train/
    classes = sorted({p[0] for p in parts})
    number = {name: i for i, name in enumerate(classes)}

    def place(i: int) -> tuple[str, ...]:  # as walk_images: class, folder, name
        return parts[i][0], *files.names[i].rpartition("/")[::2]

    order = np.array(sorted(range(len(parts)), key=place), np.int64)
    labels = np.array([number[parts[i][0]] for i in order], np.int64)
    names = ["/".join(parts[i]) for i in order]
    origin = paths[0].name if len(paths) == 1 else top.name
    return ImageNet(files.take(order), names, labels, classes, split=split, layout="tar", origin=origin, image=image)


def _labelled(
    files: Files,
    near: list[Path],
    where: Path,
    split: str,
    layout: str,
    origin: str,
    image: RGBImageField,
    hints: Hints,
) -> Source:
    """Images whose classes a list gives, brought into the order and names of class folders."""
    truth, known = find_labels(near, where, hints)
    stated = [truth.of(name) for name in files.names]
    bare = [name.rsplit("/", 1)[-1] for name in files.names]
    classes = known or truth.classes()
    if isinstance(stated[0], str):
        number: dict[str | int, int] = {name: i for i, name in enumerate(classes)}
        unknown = next((name for name in stated if name not in number), None)
        if unknown is not None:
            raise SourceError(f"{truth.label}: names the class {unknown}, which the list of classes lacks")
        numbers = [number[name] for name in stated]
    else:
        numbers = [int(value) for value in stated]
        if len(classes) != CLASSES:
            classes = []
    order = np.array(sorted(range(len(bare)), key=lambda i: (numbers[i], bare[i])), np.int64)
    labels = np.array(numbers, np.int64)[order]
    names = [f"{classes[numbers[i]]}/{bare[i]}" if classes else bare[i] for i in order]
    return ImageNet(
        files.take(order), names, labels, classes or None, split=split, layout=layout, origin=origin, image=image
    )


def _class_order(names: Sequence[str] | None) -> tuple[npt.NDArray[np.int64] | None, Sequence[str] | None]:
    """Class numbers for a table's own ones, so that WordNet ids are sorted; None where they stay.

    Names in words (``tench, Tinca tinca``), as ``ILSVRC/imagenet-1k`` has them, already follow the sorted ids.
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
    from ffprep.fields import IntField

    return {"image": image, "label": IntField()}


def _facts(split: str, layout: str, origin: str, classes: Sequence[str] | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"dataset": "imagenet", "split": split, "layout": layout, "origin": origin}
    if classes is not None:
        facts["classes"] = list(classes)
    return facts
