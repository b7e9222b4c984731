"""Reads published indexes of image-text data sets, which list URLs with captions, in all forms in which they occur.

======  ====================================================================================================
CC3M    ``Train_GCC-training.tsv``: caption TAB url, no header; on the hub, parquet with ``image_url, caption``
CC12M   ``cc12m.tsv``: url TAB caption, no header; on the hub, parquet with ``image_url, caption``
SBU     ``sbu-captions-all.json`` (object of lists), or ``SBU_captioned_photo_dataset_urls.txt`` with
        ``..._captions.txt``; on the hub, parquet with ``image_url, caption``
======  ====================================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ffprep.common.names import Clutter
from ffprep.download.index_forms.structured import json_rows, object_row, parquet_rows
from ffprep.download.index_forms.text import (
    FoundRow,
    clean_caption,
    open_text,
    paired_rows,
    text_lines,
    tsv_rows,
    without_last_blanks,
)
from ffprep.errors import SourceError

PROBLEMS = {
    "blank_line": "is blank",
    "no_url": "holds no URL",
    "no_caption": "holds no caption",
    "not_a_row": "is no object with image_url and caption",
    "too_long": "is longer than any row",
}
"""What may be wrong with a row, by the cause that the report gives."""


@dataclass(frozen=True)
class IndexRow:
    """One row of an index.

    Attributes
    ----------
    number : int
        Position in the index, from 0. It becomes the sample's id. Bad rows and blank lines have numbers as well.
    url : str
    caption : str
        As published, without surrounding blanks.
    sha256 : str
        Expected digest of the image file as served. Only the manifest of a download has it; empty otherwise.
    problem : str
        What is wrong with a row that cannot be fetched, one of `PROBLEMS`; empty otherwise.
    """

    number: int
    url: str
    caption: str
    sha256: str = ""
    problem: str = ""


def read_index(path: Path, clutter: Clutter | None = None) -> Iterator[IndexRow]:
    """Rows of an index file or of a folder of parquet files, in order.

    Parameters
    ----------
    path : Path
        ``.tsv`` (with the columns in either order: the URLs are recognised), ``.json``, ``.jsonl``, ``.parquet``, a
        folder of parquet files, or SBU's ``*_urls.txt`` (with its ``*_captions.txt`` in the same folder). Text files
        may be gzipped.
    clutter : Clutter, optional
        Decides about what systems leave in the folder; by default it is left out.

    Raises
    ------
    SourceError
        When the file is missing, cut off, has none of these forms, or has no row with URL and caption; the message
        names the place. A single bad row is none: it is given with its problem.
    """
    if not path.exists():
        raise SourceError(f"{path}: no such index file; download it from the data set's page first")
    name = path.name.removesuffix(".gz")
    if path.is_dir():
        clutter, every = clutter or Clutter(), sorted(path.rglob("*.parquet"))
        files = [file for file in every if not clutter.leaves_out(file.relative_to(path).as_posix())]
        if not files:
            raise SourceError(f"{path}: holds no .parquet file; give the index file itself")
        return _numbered(path, "row", chain.from_iterable(map(parquet_rows, files)))
    if name.endswith(".jsonl"):
        return _numbered_lines(path)
    forms: tuple[tuple[str, str, Callable[[Path], Iterator[FoundRow]]], ...] = (
        (".tsv", "line", tsv_rows),
        (".parquet", "row", parquet_rows),
        ("_urls.txt", "line", paired_rows),
        (".json", "item", json_rows),
    )
    for suffix, place, rows in forms:
        if name.endswith(suffix):
            return _numbered(path, place, rows(path))
    raise SourceError(f"{path}: unknown form of index; expected .tsv, .json, .jsonl, .parquet or *_urls.txt")


def _numbered(path: Path, place: str, rows: Iterator[FoundRow]) -> Iterator[IndexRow]:
    """Number rows, and see that there is a good one."""
    first = ""
    good = False
    number = -1
    for number, (url, caption, problem) in enumerate(rows):
        good = good or not problem
        if not first and problem:
            first = f": {place} {number + (place == 'line')} {PROBLEMS[problem]}"
        yield IndexRow(number, url, caption, problem=problem)
    if not good:
        raise SourceError(f"{path}: no index: none of its {number + 1:,} rows has a URL and a caption{first}")


def _numbered_lines(path: Path) -> Iterator[IndexRow]:
    """Rows of JSON lines: of a download's manifest, which keep their numbers, or of objects without numbers."""
    with open_text(path) as file:
        lines = text_lines(file)
        start = []
        for line in lines:
            start.append(line)
            if line is None or line.strip():
                break
        lines = chain(start, lines)
        try:
            first = json.loads(start[-1] or "") if start else None
        except (ValueError, RecursionError):
            first = None
        if isinstance(first, dict) and "id" not in first:
            yield from _numbered(path, "line", without_last_blanks(map(_line_row, lines)))
        else:
            yield from _manifest_rows(path, lines)


def _line_row(line: str | None) -> FoundRow:
    if line is None:
        return "", "", "too_long"
    if not line.strip():
        return "", "", "blank_line"
    try:
        return object_row(json.loads(line))
    except (ValueError, RecursionError):
        return "", "", "not_a_row"


def _manifest_rows(path: Path, lines: Iterator[str | None]) -> Iterator[IndexRow]:
    """Rows that worked, from the manifest of an earlier download; they keep their numbers."""
    last = -1
    for line_number, line in enumerate(lines, 1):
        if line is not None and not line.strip():
            continue
        try:
            item = json.loads(line or "")
            number, url = int(item["id"]), str(item["url"])
            row = IndexRow(number, url, clean_caption(str(item.get("caption") or "")), str(item.get("sha256") or ""))
            good = item.get("status", "ok") == "ok"
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SourceError(f"{path}, line {line_number}: not a row of a download manifest ({error})") from error
        if number <= last:
            raise SourceError(f"{path}, line {line_number}: id {number} comes after {last}; ids must ascend")
        last = number
        if good:
            yield row
