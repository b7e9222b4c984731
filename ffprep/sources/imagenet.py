"""ImageNet-1K in all the forms in which it is found, and any data set that is laid out like it.

=====================  ==========================================================================================
folder of folders      torchvision's ImageFolder: ``train/<class>/*.JPEG``, or the classes directly in the source
official archives      ``ILSVRC2012_img_train.tar`` (1,000 tars in a tar, or these tars in a folder) and
                       ``ILSVRC2012_img_val.tar`` with a list of labels; both are read without unpacking
flat validation folder ``ILSVRC2012_val_*.JPEG`` with a list of labels; also within Kaggle's ``ILSVRC/Data/CLS-LOC``
Hugging Face           a name on the hub (``ILSVRC/imagenet-1k``), local parquet files, a ``save_to_disk`` folder
=====================  ==========================================================================================

In all forms, labels number the sorted WordNet ids (class folders), as in torchvision's ImageFolder. Samples from
folders and archives also come in ImageFolder's order, by class and then by file name, and are called
``n01440764/n01440764_10026.JPEG``. Tables keep the order of their rows.

What the classes are called in words is recorded if ``LOC_synset_mapping.txt`` (Kaggle) or ``words.txt`` lies beside
them, or if the list of classes that is given has words.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ffprep.common.class_words import words_beside
from ffprep.common.files.source_files import check_regular
from ffprep.common.names import Clutter
from ffprep.errors import OptionError, SourceError
from ffprep.sources.base import Source
from ffprep.sources.imagenet_samples import ImageNet, ImageNetStream, ImageNetTable
from ffprep.sources.labelled_tables import ArrowTable, ParquetTable
from ffprep.sources.reading import hub
from ffprep.sources.reading.file_sets import FolderFiles, TogetherFiles, index_archives, is_image_name, walk_images
from ffprep.sources.reading.image_tables import SPLITS
from ffprep.sources.reading.synsets import CLASSES, WNID, Hints, find_labels

if TYPE_CHECKING:
    from ffprep.fields import RGBImageField

_KAGGLE = Path("ILSVRC/Data/CLS-LOC")


def open_imagenet(
    source: str,
    split: str,
    *,
    image: RGBImageField,
    hints: Hints | None = None,
    all_files: bool = False,
    streaming: bool = False,
) -> Source:
    """Open ImageNet, whichever of the forms above ``source`` has.

    Parameters
    ----------
    source : str
        A folder, an archive, a parquet file, or the name of a data set on the Hugging Face hub.
    split : {"train", "val"}
    image : RGBImageField
        How images are encoded.
    hints : Hints
        Where to find the validation labels.
    all_files : bool
        Whether to take what systems leave among the data in folders and archives (`ffprep.common.names.is_clutter`).
        Otherwise it is left out, and the source's ``notes`` say so.
    streaming : bool
        Whether to read a data set on the hub over the network without storing it.

    Raises
    ------
    SourceError
        When nothing usable is found; the message says what was looked for.
    """
    hints = hints or Hints()
    if split not in ("train", "val"):
        raise OptionError(f"split {split!r}: 'train' or 'val' is expected")
    path = Path(source).expanduser()
    if streaming or not path.exists():
        return _from_hub(source, split, image, streaming)
    clutter = Clutter(taken=all_files)
    if path.is_dir():
        opened: ImageNet | ImageNetTable = _from_folder(path, split, image, hints, clutter)
    else:
        check_regular(path)
        opened = _from_file(path, split, image, hints, clutter)
    opened.notes += clutter.notes()
    opened.facts.update(clutter.facts)
    if words := words_beside(path, opened.classes or (), hints.classes):
        opened.facts["class_words"] = words
    return opened


def _from_hub(source: str, split: str, image: RGBImageField, streaming: bool) -> Source:
    if not Path(source).exists():
        hub.check_hub_name(source)
    dataset, rows = hub.load_image_split(source, split, streaming=streaming)
    if streaming:
        return ImageNetStream(dataset, rows, split=split, origin=source, image=image)
    table = ArrowTable(dataset, source)
    return ImageNetTable(table, split=split, layout="hub", origin=source, image=image)


def _from_file(
    path: Path, split: str, image: RGBImageField, hints: Hints, clutter: Clutter
) -> ImageNet | ImageNetTable:
    if path.suffix == ".parquet":
        return ImageNetTable(ParquetTable([path]), split=split, layout="parquet", origin=path.name, image=image)
    if path.suffix == ".tar":
        return _from_archives([path], path.parent, split, image, hints, clutter)
    raise SourceError(f"{path}: a folder, a .tar or a .parquet file is expected")


def _from_folder(
    path: Path, split: str, image: RGBImageField, hints: Hints, clutter: Clutter
) -> ImageNet | ImageNetTable:
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        table = ArrowTable(hub.load_saved(path, split), path.name)
        return ImageNetTable(table, split=split, layout="save_to_disk", origin=path.name, image=image)
    top = path / _KAGGLE if (path / _KAGGLE).is_dir() else path
    folder = next((top / name for name in SPLITS[split] if (top / name).is_dir()), None)
    if folder is not None and not any(folder.glob("*.parquet")):
        return _from_images(folder, path, split, image, hints, clutter)
    archives = [path / name for name in _archive_names(split) if (path / name).is_file()]
    if not archives and split == "train":
        archives = sorted(p for p in path.glob("*.tar") if WNID.fullmatch(p.stem))
    if archives:
        return _from_archives(archives, path, split, image, hints, clutter)
    parquet = hub.parquet_files(path, split, clutter)
    if parquet:
        return ImageNetTable(ParquetTable(parquet), split=split, layout="parquet", origin=path.name, image=image)
    return _from_images(path, path, split, image, hints, clutter)


def _archive_names(split: str) -> tuple[str, ...]:
    return (f"ILSVRC2012_img_{split}.tar", f"{split}.tar")


def _from_images(folder: Path, top: Path, split: str, image: RGBImageField, hints: Hints, clutter: Clutter) -> ImageNet:
    """Open a folder of class folders, or a flat folder with a list of labels."""
    entries = sorted(folder.iterdir())
    entries = [
        entry for entry in entries if not clutter.leaves_out(entry.name, entry.is_dir() or is_image_name(entry.name))
    ]
    classes = [entry.name for entry in entries if entry.is_dir()]
    flat = [entry.name for entry in entries if is_image_name(entry.name) and not entry.is_dir()]
    if flat:
        places = [folder, top]
        return _labelled(FolderFiles(folder, flat), places, folder, split, "flat folder", top.name, image, hints)
    splits = {name for names in SPLITS.values() for name in names}
    if folder == top and splits & set(classes):
        raise SourceError(
            f"{folder}: has no folder for the split {split!r}, only {', '.join(classes[:5])}; "
            "give another split, or the folder that holds the class folders as the source"
        )
    found = [walk_images(folder, name, clutter) for name in classes]
    empty = next((name for name, names in zip(classes, found, strict=True) if not names), None)
    if empty is not None and any(found):
        raise SourceError(f"{folder / empty}: no images in this class folder; remove it or fill it")
    if not any(found):
        raise SourceError(f"{folder}: no class folders with images, ILSVRC2012 archives or parquet files in it")
    files = FolderFiles(folder, [name for names in found for name in names])
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(names) for names in found])
    return ImageNet(files, files.names, labels, classes, split=split, layout="folder", origin=top.name, image=image)


def _from_archives(
    paths: list[Path], top: Path, split: str, image: RGBImageField, hints: Hints, clutter: Clutter
) -> ImageNet:
    """Open the training archive, archives of single classes, an archive of class folders, or a flat one with labels."""
    files = index_archives(paths, prefix=all(WNID.fullmatch(path.stem) for path in paths), clutter=clutter)
    if not files.names:
        raise SourceError(f"{paths[0]}: no images in the archive")
    if not all("/" in name for name in files.names):
        return _labelled(files, [top], paths[0], split, "tar", paths[0].name, image, hints)
    parts = [name.split("/") for name in files.names]
    while len({p[0] for p in parts}) == 1 and all(len(p) > 2 for p in parts):
        parts = [p[1:] for p in parts]  # everything is in one folder, such as train/
    classes = sorted({p[0] for p in parts})
    number = {name: i for i, name in enumerate(classes)}

    def place(i: int) -> tuple[str, ...]:  # the order of walk_images: class, folder, name
        return parts[i][0], *files.names[i].rpartition("/")[::2]

    order = np.array(sorted(range(len(parts)), key=place), np.int64)
    labels = np.array([number[parts[i][0]] for i in order], np.int64)
    names = ["/".join(parts[i]) for i in order]
    origin = paths[0].name if len(paths) == 1 else top.name
    return ImageNet(files.take(order), names, labels, classes, split=split, layout="tar", origin=origin, image=image)


def _labelled(
    files: TogetherFiles,
    near: list[Path],
    where: Path,
    split: str,
    layout: str,
    origin: str,
    image: RGBImageField,
    hints: Hints,
) -> ImageNet:
    """Images whose classes come from a list, in the order and with the names that they would have in class folders."""
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
