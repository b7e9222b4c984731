"""Reads JSON and parquet files, in which a row is an object, or an entry of lists or columns of equal length."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ffprep.common.files.source_files import check_regular
from ffprep.download.index_forms.text import CAPTION_COLUMNS, URL_COLUMNS, FoundRow, clean_caption, clean_url, open_text
from ffprep.errors import SourceError

LARGEST = 1 << 30
"""Characters of a JSON file that are parsed at once; SBU's has a quarter of that."""


def json_rows(path: Path) -> Iterator[FoundRow]:
    """Rows of a JSON file: an object of lists, as SBU publishes, or a list of objects."""
    with open_text(path) as file:
        try:
            text = file.read(LARGEST + 1)
            if len(text) > LARGEST:
                raise SourceError(f"{path}: more than {LARGEST:,} characters of JSON; give it as JSON lines (.jsonl)")
            content: Any = json.loads(text.lstrip("\ufeff"))
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{path}: not valid JSON ({error})") from error
    if isinstance(content, dict):
        urls, captions = (content.get(_named(list(content), names)) for names in (URL_COLUMNS, CAPTION_COLUMNS))
        if not isinstance(urls, list) or not isinstance(captions, list) or len(urls) != len(captions):
            raise SourceError(f"{path}: expected lists image_urls and captions of one length")
        yield from map(_found, urls, captions)
    elif isinstance(content, list):
        yield from map(object_row, content)
    else:
        raise SourceError(f"{path}: expected an object of lists, or a list of objects with image_url and caption")


def object_row(item: object) -> FoundRow:
    """Row of an object with URL and caption."""
    if not isinstance(item, dict):
        return "", "", "not_a_row"
    url, caption = (item.get(_named(list(item), names)) for names in (URL_COLUMNS, CAPTION_COLUMNS))
    return _found(url, caption)


def parquet_rows(path: Path) -> Iterator[FoundRow]:
    """Rows of a parquet file with a column of URLs and one of captions."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise SourceError(f"{path}: reading parquet needs pyarrow; pip install 'ffprep[convert]'") from error
    check_regular(path)
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            url, caption = _named(names, URL_COLUMNS), _named(names, CAPTION_COLUMNS)
            if url is None or caption is None:
                raise SourceError(f"{path}: no columns of URLs and captions among {', '.join(names)}")
            for batch in file.iter_batches(columns=[url, caption]):
                yield from map(_found, batch.column(url).to_pylist(), batch.column(caption).to_pylist())
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: of text that is no UTF-8
        raise SourceError(f"{path}: not a whole parquet file ({error})") from error


def _named(columns: Sequence[object], names: Sequence[str]) -> str | None:
    """The column that has the first of these names, in any case."""
    lower = {column.lower(): column for column in reversed(columns) if isinstance(column, str)}
    return next((lower[name] for name in names if name in lower), None)


def _found(url: object, caption: object) -> FoundRow:
    url_text, caption_text = _text(url), _text(caption)
    found_url, found_caption = clean_url(url_text or ""), clean_caption(caption_text or "")
    if not found_url:
        return "", found_caption, "no_url"
    return found_url, found_caption, "no_caption" if caption_text is None else ""


def _text(value: object) -> str | None:
    """A text, or a number as text; None where a value is missing or something else."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return str(value) if isinstance(value, (int, float)) else None
