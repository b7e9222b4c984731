"""How a file's sizes, caption lengths and classes are distributed, for the terminal, pages and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.beton.sets import SetFile
from ffprep.common.formatting import size_text
from ffprep.text.blocks.blocks import source_facts

BINS = 12
SAMPLED = 200_000
"""How many samples' captions are looked at, at even distances, where their lengths lie outside the columns."""
_NAMED_CLASSES = 24
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Histogram:
    """Counts of a quantity.

    Attributes
    ----------
    title : str
    labels : list of str
        What each bar counts.
    counts : list of int
    note : str
        Least, median and most, or what else sums it up.
    """

    title: str
    labels: list[str]
    counts: list[int]
    note: str


def histograms_of(files: Sequence[SetFile]) -> list[Histogram]:
    """Distributions of the images' sizes, of caption lengths and of classes, over all files of a set.

    Raises
    ------
    BetonError
        A file cannot be used.
    """
    columns: dict[str, list[npt.NDArray[Any]]] = {}
    names: list[str] = []
    for file in files:
        with Reader(file, check=False) as reader:
            facts = source_facts(reader)
            classes = facts.get("classes", facts.get("labels"))
            names = names or ([str(name) for name in classes] if isinstance(classes, list) else [])
            for title, values in _columns(reader):
                columns.setdefault(title, []).append(values)
    found = []
    for title, parts in columns.items():
        values = np.concatenate(parts)
        if not len(values):
            continue
        found.append(_classes(title, values, names) if title.startswith("class") else _numbers(title, values))
    return found


def _columns(reader: Reader) -> Iterable[tuple[str, npt.NDArray[Any]]]:
    for name, field in reader.fields.items():
        column = reader.column(name)
        if field.type_id == 2:
            sides = np.maximum(column["width"], column["height"]).astype(np.int64)
            yield f"{name}: longer side in pixels", sides
            # images that share their bytes count once
            offsets, sizes = reader.extents(name)
            yield f"{name}: bytes", sizes[np.unique(offsets, return_index=True)[1]].astype(np.int64)
        elif name == "label" and field.type_id == 1:
            yield f"classes ({name})", np.asarray(column, np.int64)
    if "blocks" not in source_facts(reader) and (lengths := _lengths(reader)) is not None:
        yield "tokens of a caption or text, with marks", lengths


def _lengths(reader: Reader) -> npt.NDArray[np.int64] | None:
    field = reader.fields.get("length")
    if field is None:
        return None
    if field.type_id == 1:
        return np.asarray(reader.column("length"), np.int64)
    if field.type_id != 4 or "captions" not in reader.fields:
        return None
    counts = np.asarray(reader.column("captions"), np.int64)
    chosen = range(0, len(counts), max(1, -(-len(counts) // SAMPLED)))
    rows = [np.ravel(reader.value("length", i))[: max(0, int(counts[i]))] for i in chosen]
    return np.concatenate(rows).astype(np.int64) if rows else np.zeros(0, np.int64)


def _numbers(title: str, values: npt.NDArray[np.int64]) -> Histogram:
    """Bins of equal width, to the 99th percentile where a few values lie far beyond; the last takes the rest."""
    low, high = int(values.min()), int(values.max())
    end = int(np.percentile(values, 99))
    cut = high > low + 2 * max(1, end - low)
    width = max(1, -(-((end if cut else high) - low + 1) // BINS))
    bins = max(1, -(-((end if cut else high) - low + 1) // width))
    places = np.minimum((values - low) // width, bins - 1)
    counts = np.bincount(places, minlength=bins).tolist()
    show = size_text if title.endswith("bytes") else "{:,}".format
    labels = [show(low + i * width) for i in range(bins)]
    if cut:
        labels[-1] += " and more"
    note = f"{show(low)} to {show(high)}, half of them up to {show(int(np.median(values)))}"
    return Histogram(title, labels, counts, note)


def _classes(title: str, values: npt.NDArray[np.int64], names: Sequence[str]) -> Histogram:
    """A bar for each class where they are few, else how many classes have how many samples."""
    labels, counts = np.unique(values, return_counts=True)
    least, most = int(counts.min()), int(counts.max())
    note = f"{len(labels):,} classes of {least:,} to {most:,} samples"
    if len(labels) > _NAMED_CLASSES:
        spread = _numbers("samples of a class", counts.astype(np.int64))
        return Histogram(f"{title}: how many have how many samples", spread.labels, spread.counts, note)
    shown = [f"{n} ({names[n]})" if 0 <= n < len(names) else str(n) for n in labels.tolist()]
    return Histogram(title, shown, counts.tolist(), note)


def histogram_text(one: Histogram, width: int = 40) -> str:
    """A histogram for the terminal: a line for each bar."""
    shown = [label if len(label) <= 30 else f"{label[:27]}..." for label in one.labels]
    left, most = max(map(len, shown)), max(one.counts)
    digits = len(f"{most:,}")
    lines = [f"{one.title}: {one.note}"]
    for label, count in zip(shown, one.counts, strict=True):
        lines.append(f"  {label:>{left}} {count:>{digits},} {_bar(count / max(1, most), width)}".rstrip())
    return "\n".join(lines)


def _bar(share: float, width: int) -> str:
    eighths = round(share * width * 8) or (1 if share else 0)
    return _EIGHTHS[8] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
