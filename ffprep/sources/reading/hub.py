"""Hugging Face data sets: read with ``datasets``, cached, streamed or saved to disk, and the hub's parquet files."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from ffprep.common.names import Clutter
from ffprep.errors import OptionError, SourceError, first_line
from ffprep.sources.reading.image_tables import SPLITS, find_columns, image_of


def load_dataset(repository: str, *config: str | None, **options: Any) -> Any:
    """Call ``datasets.load_dataset``, with errors in one line.

    Raises
    ------
    OptionError
        When ``datasets`` is not installed.
    SourceError
        When there is no such data set, or it cannot be read.
    """
    datasets = _datasets()
    try:
        return datasets.load_dataset(repository, *config, **options)
    except Exception as error:  # the client raises errors of many libraries
        raise _unavailable(repository, error) from None


def check_hub_name(source: str) -> None:
    """Refuse what is no path and no name of a data set on the hub either.

    Raises
    ------
    SourceError
    """
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", source):
        if "://" in source:
            raise SourceError(
                f"{source}: sources are read from local disk or from the hub (owner/name); copy this one there first"
            )
        raise SourceError(f"{source}: no such file or folder (a hub data set is written owner/name)")


def _unavailable(repository: str, error: Exception) -> SourceError:
    return SourceError(
        f"{repository}: neither a file or folder here nor a data set that the Hugging Face hub gives: "
        f"{first_line(error)}"
    )


def load_saved(path: Path, split: str | None) -> Any:
    """The ``datasets.Dataset`` in a ``save_to_disk`` folder or, if there are several splits, the wanted one."""
    datasets = _datasets()
    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:
        raise SourceError(f"{path}: cannot be read as a saved data set: {first_line(error)}") from None
    return one_split(loaded, split, str(path)) if isinstance(loaded, datasets.DatasetDict) else loaded


def one_split(loaded: Any, split: str | None, label: str) -> Any:
    """The wanted split of a ``datasets.DatasetDict``, or its only one."""
    aliases = SPLITS.get(split, (split,)) if split is not None else tuple(loaded) if len(loaded) == 1 else ()
    name = next((name for name in aliases if name in loaded), None)
    if name is None:
        wanted = "choose one with --split" if split is None else f"none of them {split!r}"
        raise SourceError(f"{label}: has the splits {', '.join(loaded)}, {wanted}")
    return loaded[name]


def load_image_split(name: str, split: str, *, streaming: bool) -> tuple[Any, int]:
    """A split of a data set on the Hugging Face hub, and its number of rows.

    Raises
    ------
    SourceError
        When it cannot be reached, requires a licence to be accepted, or is streamed and does not state its size.
    """
    datasets = _datasets()
    try:
        builder = datasets.load_dataset_builder(name)
        splits = builder.info.splits or {}
        if not splits:
            splits = dict.fromkeys(datasets.get_dataset_split_names(name))
        chosen = next((alias for alias in SPLITS[split] if alias in splits), None)
        if chosen is None:
            raise SourceError(f"{name}: has the splits {', '.join(splits)}, none of them {split!r}")
    except SourceError:
        raise
    except Exception as error:
        raise _unavailable(name, error) from None
    loaded = load_dataset(name, split=chosen, streaming=streaming)
    if not streaming:
        return loaded, len(loaded)
    info = splits[chosen]
    rows = getattr(info, "num_examples", None)
    if not rows:
        raise SourceError(f"{name}: does not state its number of rows, so it cannot be streamed; leave --streaming out")
    return loaded, int(rows)


def load_stream(name: str, config: str | None, split: str | None) -> tuple[Any, int, str]:
    """A split of a data set on the hub as a stream, its number of rows, and its name.

    Raises
    ------
    SourceError
        When it cannot be reached, has no such split, or does not state its size.
    """
    datasets = _datasets()
    chosen = [config] if config else []
    try:
        splits = datasets.load_dataset_builder(name, *chosen).info.splits or {}
        if not splits:
            splits = dict.fromkeys(datasets.get_dataset_split_names(name, *chosen))
        found = next(iter(one_split({one: [one] for one in splits}, split, name)))
    except SourceError:
        raise
    except Exception as error:
        raise _unavailable(name, error) from None
    loaded = load_dataset(name, *chosen, split=found, streaming=True)
    rows = getattr(splits[found], "num_examples", None)
    if not rows:
        raise SourceError(f"{name}: does not state its number of rows, so it cannot be streamed; leave --streaming out")
    return loaded, int(rows), found


def stream_rows(dataset: Any, start: int, label: str) -> Iterator[tuple[str, bytes | SourceError, int]]:
    """Name, encoded image and label of each row of a ``datasets.IterableDataset`` from number ``start`` on.

    In place of an image that cannot be read there is the error.
    """
    from datasets import Image

    features = dataset.features.to_dict() if dataset.features is not None else {}
    columns = find_columns(list(features), features, label)
    rows = dataset.select_columns([columns.image, columns.label]).cast_column(columns.image, Image(decode=False))
    for number, row in enumerate(rows.skip(start) if start else rows, start):
        cell = row[columns.image]
        path = cell.get("path") if isinstance(cell, dict) else None
        data: bytes | SourceError
        try:
            data = image_of(cell, None, f"{label}, row {number:,}")
        except SourceError as error:
            data = error
        yield PurePath(path).name if path else "", data, int(row[columns.label])


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


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise OptionError("Hugging Face data sets need datasets: pip install 'ffprep[convert]'") from None
    # It warns of every attempt to reach the hub; what came of it is in the error that ends them.
    logging.getLogger("huggingface_hub.utils._http").setLevel(logging.ERROR)
    return datasets
