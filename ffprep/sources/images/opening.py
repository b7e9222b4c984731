"""Opens any data set with images, whatever its layout.

================  ====================================================================================================
folder            of class folders, as torchvision's ImageFolder, or of images; of splits of these
webdataset        ``.tar`` files, a folder or a pattern of them
Hugging Face      a ``save_to_disk`` folder, parquet files, or a name on the hub
table of paths    CSV, TSV, JSON lines or parquet with a column of paths within the table's folder or ``--images``
================  ====================================================================================================
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.common.class_words import words_beside
from ffprep.common.names import Clutter
from ffprep.errors import OptionError, SourceError
from ffprep.fields import RGBImageField
from ffprep.sources.images.arrays import PATTERN
from ffprep.sources.images.columns import LABEL, FieldChoice
from ffprep.sources.images.filters import RowFilter
from ffprep.sources.images.lists import ListRows
from ffprep.sources.images.rows import PATH_NAMES, FolderRows, Rows, TableRows, split_name
from ffprep.sources.images.shards import ShardRows
from ffprep.sources.images.source import ImagesSource
from ffprep.sources.images.streaming import StreamedImages, StreamRows
from ffprep.sources.reading import hub
from ffprep.sources.reading.file_sets import FolderFiles, is_image_name, is_other_image, walk_images
from ffprep.sources.reading.image_tables import IMAGE_NAMES, LABEL_NAMES, SPLITS, ArrowRows, ParquetRows, by_name
from ffprep.sources.reading.labelled_texts import Labels, read_labels
from ffprep.sources.reading.left_out import LeftOut
from ffprep.text.documents.table_parts import format_of

_ALIASES = {name for names in SPLITS.values() for name in names}
NO_LABEL = "none"


@dataclass(frozen=True)
class ImagesChoice:
    """Which data set to read, and what of it.

    Attributes
    ----------
    source : str
        A folder, a file, a pattern of files, or the name of a data set on the hub.
    images : Path or None
        Folder of the images that a table names by their paths; by default the table's own.
    split, config : str or None
        Split, and configuration on the hub.
    image, label, caption : str or None
        Columns; by default found by declared types or by names. ``none`` for ``label`` leaves labels out.
    labels : tuple of str
        Names of the classes in the order of their numbers, where the data set does not state them.
    fields : tuple of str
        Further fields, ``NAME=KIND[:COLUMN]``.
    filters : tuple of str
        Conditions, which all have to hold; see `RowFilter`.
    all_files : bool
        Whether to take what systems leave behind.
    streaming : bool
        Whether to read a data set of the hub over the network without storing it.
    """

    source: str
    images: Path | None = None
    split: str | None = None
    config: str | None = None
    image: str | None = None
    label: str | None = None
    caption: str | None = None
    labels: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    all_files: bool = False
    streaming: bool = False


def open_streamed(choice: ImagesChoice, image: RGBImageField) -> StreamedImages:
    """Open a data set of the hub as a stream.

    Parameters
    ----------
    choice : ImagesChoice
    image : RGBImageField
        How images are stored.

    Raises
    ------
    SourceError
        The data set is not there, lacks a column, or does not state its size.
    OptionError
        The choice cannot be.
    """
    if Path(choice.source).expanduser().exists():
        raise OptionError(f"--streaming: {choice.source} is here; it is for data sets of the Hugging Face hub")
    hub.check_hub_name(choice.source)
    filters = [RowFilter(text) for text in choice.filters]
    dataset, count, split = hub.load_stream(choice.source, choice.config, choice.split)
    rows = StreamRows(dataset, choice.source, split)
    choices = _choices(rows, choice)
    _check_boxes(choices, image)
    columns = {c.column for c in choices} | {name for one in filters for name in one.columns}
    classes: dict[str, Sequence[str]] = {}
    for name in columns:
        split_name(name, rows.names, rows.label)
        stated = class_names(rows.features, name, rows.names)
        given = choice.labels if any(c.kind == LABEL and c.column == name for c in choices) else ()
        if stated and given and list(given) != stated:
            raise _own_classes(rows.label, name, stated, given)
        if stated or given:
            classes[name] = stated or list(given)
    facts: dict[str, Any] = {
        "dataset": "images",
        "layout": "hub",
        "origin": choice.source,
        "fields": {c.name: f"{c.kind}:{c.column}" for c in choices},
        "split": split,
    }
    if filters:
        facts["filter"] = [one.text for one in filters]
    names = next((list(classes[c.column]) for c in choices if c.kind == LABEL and c.column in classes), None)
    if names:
        facts["classes"] = names
        place = Path(choice.source).expanduser()
        if place.exists() and (words := words_beside(place, names)):
            facts["class_words"] = words
    return StreamedImages(rows, count, choices, filters, classes, image=image, facts=facts)


def open_images(choice: ImagesChoice, image: RGBImageField, skip: bool = False) -> ImagesSource:
    """Open a data set as a source.

    Parameters
    ----------
    choice : ImagesChoice
    image : RGBImageField
        How images are stored.
    skip : bool
        Whether to leave out rows that are bad; otherwise the first one is an error.

    Raises
    ------
    SourceError
        The data set is not there, lacks a column, or has a bad row.
    OptionError
        The choice cannot be.
    """
    filters = [RowFilter(text) for text in choice.filters]
    left_out = LeftOut(skip)
    clutter = Clutter(choice.all_files)
    rows, layout = _rows(choice, left_out, clutter)
    choices = _choices(rows, choice)
    _check_boxes(choices, image)
    rows.load([*(c.column for c in choices), *(name for one in filters for name in one.columns)])
    classes = {c.name: class_names(rows.features, c.column, rows.names) for c in choices}
    indices = np.arange(len(rows))
    for one in filters:
        columns = {name: rows.column(name) for name in one.columns}
        stated = {name: names for name in one.columns if (names := class_names(rows.features, name, rows.names))}
        indices = np.intersect1d(indices, np.array(one.rows(columns, stated, len(rows), rows.where), np.int64))
    filtered = len(rows) - len(indices)
    labels: dict[str, Labels] = {}
    for field in choices:
        if field.kind == LABEL:
            indices, labels = _labelled(rows, field, indices, labels, classes[field.name], choice.labels, left_out)
    facts: dict[str, Any] = {
        "dataset": "images",
        "layout": layout,
        "origin": Path(choice.source).name if Path(choice.source).exists() else choice.source,
        "fields": {c.name: f"{c.kind}:{c.column}" for c in choices},
        **clutter.facts,
    }
    if choice.split is not None:
        facts["split"] = choice.split
    if filters:
        facts |= {"filter": [one.text for one in filters], "filtered_out": filtered}
    names = next((list(found.names) for found in labels.values() if found.names), None)
    names = names or next((list(found) for found in classes.values() if found), None)
    if names:
        facts["classes"] = names
        place = Path(choice.source).expanduser()
        if place.exists() and (words := words_beside(place, names)):
            facts["class_words"] = words
    notes = clutter.notes() + (rows.notes() if isinstance(rows, FolderRows) else [])
    return ImagesSource(rows, indices, choices, labels, image=image, facts=facts, left_out=left_out, notes=notes)


def _check_boxes(choices: Sequence[FieldChoice], image: RGBImageField) -> None:
    boxes = next((c.name for c in choices if c.kind == "boxes"), None)
    if boxes is not None and (image.max_resolution or image.min_resolution):
        raise OptionError(f"--field {boxes}=boxes: would not fit images that --max-side or --min-side make smaller")


# -- what the source is -----------------------------------------------------------------------------------------------


def _rows(choice: ImagesChoice, left_out: LeftOut, clutter: Clutter) -> tuple[Rows, str]:
    path = Path(choice.source).expanduser()
    if choice.config is not None and path.exists():
        raise OptionError(f"--config {choice.config}: {path} is here; data sets of the Hugging Face hub have those")
    if path.is_dir():
        return _folder(path, choice, left_out, clutter)
    paths = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
    if not paths:
        return _hub(choice)
    if paths[0].suffix != ".parquet":  # whose rows are named by the split
        _refuse_split(choice, paths[0])
    return _files(paths, paths[0].parent, choice, left_out, clutter)


def _refuse_split(choice: ImagesChoice, path: Path) -> None:
    if choice.split is not None:
        raise OptionError(
            f"--split {choice.split}: {path} has no splits, so all of it would be converted; leave --split out, or "
            "choose rows by a column with --filter"
        )


def _files(
    paths: list[Path], root: Path, choice: ImagesChoice, left_out: LeftOut, clutter: Clutter
) -> tuple[Rows, str]:
    root = choice.images or root
    kinds = {"tar" if path.suffix == ".tar" else format_of(path) for path in paths}
    if kinds == {"tar"}:
        return ShardRows(paths, left_out, clutter), "webdataset"
    if kinds == {"parquet"}:
        return TableRows(ParquetRows(paths), root, choice.split or "row"), "parquet"
    if len(paths) == 1 and (kind := format_of(paths[0])):
        return ListRows(paths[0], kind, root, left_out), kind
    raise SourceError(
        f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: a folder, .tar or .parquet files, or a "
        ".csv, .tsv or .jsonl file is expected"
    )


def _folder(path: Path, choice: ImagesChoice, left_out: LeftOut, clutter: Clutter) -> tuple[Rows, str]:
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        table = ArrowRows(hub.load_saved(path, choice.split), path.name)
        return TableRows(table, choice.images or path, choice.split or "row"), "save_to_disk"
    aliases = SPLITS.get(choice.split, (choice.split,)) if choice.split is not None else ()
    chosen = next((path / name for name in aliases if (path / name).is_dir()), None)
    inner = chosen or path
    names = sorted(entry.name for entry in inner.iterdir())
    tars = [inner / name for name in names if name.endswith(".tar") and not clutter.leaves_out(name)]
    if tars:
        if choice.split is not None and chosen is None:
            tars = [tar for tar in tars if any(alias in tar.stem for alias in aliases)]
            if not tars:
                raise SourceError(f"{path}: none of its .tar files is named for the split {choice.split!r}")
        return ShardRows(tars, left_out, clutter), "webdataset"
    metadata = next((inner / name for name in names if name.startswith("metadata.") and format_of(inner / name)), None)
    if metadata is not None:  # an "imagefolder" of the datasets library
        if chosen is None:
            _refuse_split(choice, metadata)
        return _files([metadata], inner, choice, left_out, clutter)
    parquet = sorted(inner.rglob("*.parquet"))
    if parquet:
        if choice.split is not None and chosen is None:
            parquet = hub.parquet_files(path, choice.split, clutter)
        return _files(parquet, inner, choice, left_out, clutter)
    return _image_folder(inner, choice, clutter, chosen is not None)


def _image_folder(path: Path, choice: ImagesChoice, clutter: Clutter, chosen: bool) -> tuple[Rows, str]:
    entries = [e for e in sorted(path.iterdir()) if not clutter.leaves_out(e.name, e.is_dir() or is_image_name(e.name))]
    classes = [entry.name for entry in entries if entry.is_dir()]
    flat = [entry.name for entry in entries if is_image_name(entry.name) and not entry.is_dir()]
    if classes and not chosen and (choice.split is not None or set(classes) <= _ALIASES):
        wanted = f"no folder for the split {choice.split!r}, only" if choice.split else "a folder for each split:"
        raise SourceError(f"{path}: has {wanted} {', '.join(classes[:8])}; choose with --split")
    if classes and flat:
        raise SourceError(
            f"{path}: has folders ({', '.join(classes[:3])}) and images ({', '.join(flat[:3])}) beside one another; "
            "keep class folders or images, or name the images in a CSV file"
        )
    if classes:
        others: list[str] = []
        found = [walk_images(path, name, clutter, others) for name in classes]
        empty = [name for name, images in zip(classes, found, strict=True) if not images]
        if empty:
            left = next((name for name in others if name.split("/", 1)[0] in empty), None)
            how = f"name images such as {left} in a CSV file" if left else "remove them"
            raise SourceError(
                f"{path}: no images that ImageFolder takes in the class folders {', '.join(empty[:5])}; {how}"
            )
        return FolderRows(FolderFiles(path, [name for names in found for name in names]), classes, others), "folder"
    if not flat:
        raise SourceError(
            f"{path}: no images, class folders, .tar, .parquet, metadata.csv or saved data set of datasets in it"
        )
    others = [entry.name for entry in entries if is_other_image(entry.name)]
    return FolderRows(FolderFiles(path, flat), None, others), "flat folder"


def _hub(choice: ImagesChoice) -> tuple[Rows, str]:
    hub.check_hub_name(choice.source)
    options = {} if choice.split is None else {"split": SPLITS.get(choice.split, (choice.split,))[0]}
    loaded = hub.load_dataset(choice.source, *([choice.config] if choice.config else []), **options)
    if isinstance(loaded, dict):
        loaded = hub.one_split(loaded, choice.split, choice.source)
    root = choice.images or Path()
    return TableRows(ArrowRows(loaded, choice.source), root, choice.split or "row"), "hub"


# -- its columns ------------------------------------------------------------------------------------------------------


def _choices(rows: Rows | StreamRows, choice: ImagesChoice) -> list[FieldChoice]:
    """The fields: the image, the label, the caption, and those named."""
    image = choice.image or next(iter(rows.images()), None) or by_name(rows.names, (*IMAGE_NAMES, *PATH_NAMES))
    if image is None:
        raise SourceError(
            f"{rows.label}: which column holds the images? There are {', '.join(rows.names)}; give --image COLUMN"[
                :2000
            ]
        )
    found = [FieldChoice("image", "image", image)]
    named = [FieldChoice.parse(text) for text in choice.fields]
    label = choice.label
    if label is None and not any(field.name == LABEL for field in named):
        others = [name for name in rows.names if name != image]
        declared = (n for n in others if class_names(rows.features, n, rows.names))
        label = next(declared, None) or by_name(others, LABEL_NAMES)
    if label is not None and label != NO_LABEL:
        if label == image:
            raise OptionError(f"--label {label}: is the column of the images; give that of the labels, or none")
        found.append(FieldChoice(LABEL, LABEL, label))
    if choice.caption is not None:
        found.append(FieldChoice("caption", "text", choice.caption))
    for field in named:
        if field.name == "image" and PATTERN.fullmatch(field.kind):
            found[0] = replace(field, column=field.column if field.column in rows.names else image)
            continue
        if any(field.name == other.name for other in found):
            raise OptionError(f"--field {field.name}={field.kind}: there is a field {field.name!r} already")
        found.append(field)
    return found


def class_names(features: Mapping[str, Any], name: str, names: Sequence[str]) -> list[str] | None:
    """The names of the classes that the declared type of a column states, nested ones and those of lists included."""
    try:
        base, keys = split_name(name, names)
    except SourceError:
        return None
    node: Any = features.get(base)
    for key in (*keys, None):
        while isinstance(node, dict) and "feature" in node and isinstance(node.get("_type"), str):
            node = node["feature"]
        if isinstance(node, list) and len(node) == 1:
            node = node[0]
        if key is not None:
            node = node.get(key) if isinstance(node, dict) else None
    listed = node.get("names") if isinstance(node, dict) and node.get("_type") == "ClassLabel" else None
    return [str(one) for one in listed] if isinstance(listed, list) else None


def _own_classes(label: str, column: str, stated: Sequence[str], given: Sequence[str]) -> OptionError:
    others = ", ".join(given[:3]) + (", ..." if len(given) > 3 else "")
    own = ", ".join(stated)
    return OptionError(f"{label}: states the classes of {column!r} itself, and not as {others}, but as {own}"[:2000])


def _labelled(
    rows: Rows,
    field: FieldChoice,
    indices: Any,
    others: Mapping[str, Labels],
    stated: Sequence[str] | None,
    given: Sequence[str],
    left_out: LeftOut,
) -> tuple[Any, dict[str, Labels]]:
    """Read the labels of some rows; those whose label is bad are left out of them and of other labels."""
    if stated and given and list(given) != list(stated):
        raise _own_classes(rows.label, field.column, stated, given)
    column = rows.column(field.column)
    values = [column[index] for index in indices]
    bad: dict[int, str] = {}
    labels = read_labels(values, tuple(given or stated or ()), "auto", bad.__setitem__)
    for place, reason in bad.items():
        left_out.add(None, rows.where(int(indices[place])), reason)
    kept = np.delete(np.arange(len(indices)), list(bad))
    found = {**others, field.name: labels}
    for name, one in found.items():
        values_kept = one.values[kept]
        found[name] = Labels(values_kept, one.names, int((values_kept == -1).sum()) if one.missing else 0)
    return indices[kept], found
