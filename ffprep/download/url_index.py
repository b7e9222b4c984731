"""Reads published indexes of image-text data sets, which list URLs with captions, in all forms in which they occur.

======  ====================================================================================================
CC3M    ``Train_GCC-training.tsv``: caption TAB url, no header; on the hub, parquet with ``image_url, caption``
CC12M   ``cc12m.tsv``: url TAB caption, no header; on the hub, parquet with ``image_url, caption``
SBU     ``sbu-captions-all.json`` (object of lists), or ``SBU_captioned_photo_dataset_urls.txt`` with
        ``..._captions.txt``; on the hub, parquet with ``image_url, caption``
======  ====================================================================================================
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import IO, Any

from ffprep.common.names import in_clutter
from ffprep.common.source_files import check_regular
from ffprep.errors import SourceError

_URL_COLUMNS = ("image_url", "url", "URL", "image_urls")
_CAPTION_COLUMNS = ("caption", "captions", "TEXT", "text")


@dataclass(frozen=True)
class IndexRow:
    """One row of an index.

    Attributes
    ----------
    number : int
        Position in the index, from 0. It becomes the sample's id.
    url : str
    caption : str
        As published, without surrounding blanks.
    sha256 : str
        Expected digest of the image file as served. Only the manifest of a download has it; empty otherwise.
    """

    number: int
    url: str
    caption: str
    sha256: str = ""


def read_index(path: Path) -> Iterator[IndexRow]:
    """Rows of an index file or of a folder of parquet files, in order.

    Parameters
    ----------
    path : Path
        ``.tsv`` (with the columns in either order: the URLs are recognised), ``.json``, ``.jsonl``, ``.parquet``, a
        folder of parquet files, or SBU's ``*_urls.txt`` (with its ``*_captions.txt`` in the same folder). Text files
        may be gzipped (``.gz``).

    Raises
    ------
    SourceError
        When the file is missing or has none of these forms; the message names the file and the line.
    """
    if not path.exists():
        raise SourceError(f"{path}: no such index file; download it from the data set's page first")
    name = path.name.removesuffix(".gz")
    pairs: Iterator[tuple[str, str]]
    if path.is_dir():
        files = sorted(p for p in path.rglob("*.parquet") if not in_clutter(p.relative_to(path).as_posix()))
        if not files:
            raise SourceError(f"{path}: holds no .parquet file; give the index file itself")
        pairs = chain.from_iterable(map(_parquet_pairs, files))
    elif name.endswith(".tsv"):
        pairs = _tsv_pairs(path)
    elif name.endswith(".parquet"):
        pairs = _parquet_pairs(path)
    elif name.endswith("_urls.txt"):
        pairs = _two_files_pairs(path)
    elif name.endswith(".jsonl"):
        yield from _manifest_rows(path)
        return
    elif name.endswith(".json"):
        pairs = _json_pairs(path)
    else:
        raise SourceError(f"{path}: unknown form of index; expected .tsv, .json, .jsonl, .parquet or *_urls.txt")
    for number, (url, caption) in enumerate(pairs):
        yield IndexRow(number, url.strip(), caption.strip())


def _open(path: Path) -> IO[str]:
    check_regular(path)
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="\n")
    return path.open("r", encoding="utf-8", errors="replace", newline="\n")


def _is_url(text: str) -> bool:
    return text.lstrip().lower().startswith(("http://", "https://", "file:"))


def _tsv_pairs(path: Path) -> Iterator[tuple[str, str]]:
    with _open(path) as file:
        for line_number, line in enumerate(file, 1):
            columns = line.rstrip("\r\n").split("\t")
            if len(columns) >= 2 and _is_url(columns[0]):
                yield columns[0], columns[1]
            elif len(columns) >= 2 and _is_url(columns[1]):
                yield columns[1], columns[0]
            elif line_number == 1 and len(columns) >= 2:
                continue  # a header line, which some mirrors add
            else:
                raise SourceError(f"{path}, line {line_number}: expected a caption and a URL separated by a tab")


def _parquet_pairs(path: Path) -> Iterator[tuple[str, str]]:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise SourceError(f"{path}: reading parquet needs pyarrow; pip install 'ffprep[convert]'") from error
    check_regular(path)
    file = pq.ParquetFile(path)
    url = next((c for c in _URL_COLUMNS if c in file.schema_arrow.names), None)
    caption = next((c for c in _CAPTION_COLUMNS if c in file.schema_arrow.names), None)
    if url is None or caption is None:
        raise SourceError(f"{path}: no columns of URLs and captions among {', '.join(file.schema_arrow.names)}")
    for batch in file.iter_batches(columns=[url, caption]):
        for u, c in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
            yield str(u or ""), str(c or "")


def _two_files_pairs(path: Path) -> Iterator[tuple[str, str]]:
    captions = path.with_name(path.name.replace("_urls.txt", "_captions.txt"))
    if not captions.exists():
        raise SourceError(f"{captions}: missing; SBU's captions belong in the same folder as its URLs")
    with _open(path) as urls, _open(captions) as lines:
        for line_number, (url, caption) in enumerate(zip_longest(urls, lines), 1):
            if url is None or caption is None:
                raise SourceError(f"{path}, line {line_number}: {captions.name} has another number of lines")
            yield url, caption


def _json_pairs(path: Path) -> Iterator[tuple[str, str]]:
    with _open(path) as file:
        try:
            content: Any = json.load(file)
        except ValueError as error:
            raise SourceError(f"{path}: not valid JSON ({error})") from error
    if isinstance(content, dict):
        urls = next((content[c] for c in _URL_COLUMNS if isinstance(content.get(c), list)), None)
        captions = next((content[c] for c in _CAPTION_COLUMNS if isinstance(content.get(c), list)), None)
        if urls is None or captions is None or len(urls) != len(captions):
            raise SourceError(f"{path}: expected lists image_urls and captions of one length")
        yield from ((str(u), str(c)) for u, c in zip(urls, captions, strict=True))
    else:
        for number, item in enumerate(content if isinstance(content, list) else [None]):
            url = next((item[c] for c in _URL_COLUMNS if c in item), None) if isinstance(item, dict) else None
            if url is None:
                raise SourceError(f"{path}, item {number}: expected objects with image_url and caption")
            yield str(url), str(next((item[c] for c in _CAPTION_COLUMNS if c in item), ""))


def _manifest_rows(path: Path) -> Iterator[IndexRow]:
    """Rows that worked, from the manifest of an earlier download; they keep their numbers."""
    with _open(path) as file:
        for line_number, line in enumerate(file, 1):
            try:
                item = json.loads(line)
                if item.get("status", "ok") == "ok":
                    sha256 = str(item.get("sha256", ""))
                    yield IndexRow(int(item["id"]), str(item["url"]), str(item.get("caption", "")).strip(), sha256)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise SourceError(f"{path}, line {line_number}: not a row of a download manifest ({error})") from error
