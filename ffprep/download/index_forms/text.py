"""Reads text files whose lines are rows: tab-separated tables, and SBU's pair of files.

Every line of a file is a row and keeps its number, whatever it holds; a header and blank lines at the end are none.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice, repeat, zip_longest
from pathlib import Path
from typing import IO, NamedTuple, TypeAlias, cast

from ffprep.common.files.expansion import expanding
from ffprep.common.files.source_files import open_binary
from ffprep.errors import SourceError

FoundRow: TypeAlias = tuple[str, str, str]
"""URL, caption and what is wrong with the row: the name of a cause, or nothing."""

URL_COLUMNS = ("image_url", "url", "image_urls", "urls", "img_url")
"""Names of columns with URLs, in lower case."""
CAPTION_COLUMNS = ("caption", "captions", "text", "alt_text")

LONGEST = 1 << 20
"""The most characters that a line may have; a longer one is a bad row, of which no more is in memory at a time."""

_SAMPLED = 256
"""Rows from which the order of the columns is learnt."""

_CERTAIN = 8
"""So many rows of one number of columns, with no exception, make it the table's, not that of captions with tabs."""

_END = "\n"
"""Stands for what is missing after the end of a file; no line holds it."""

_URL = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*://|file:)", re.IGNORECASE)
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Open a text file in UTF-8, or in UTF-16 if it says so, gzipped or not; bytes that are no text stay readable.

    Raises
    ------
    SourceError
        On leaving, when the gzip data are cut off or damaged; the message names the byte.
    """
    with open_binary(path) as raw:
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        data = expanding(cast(IO[bytes], gzip.GzipFile(fileobj=raw)), raw.tell, str(path)) if packed else raw
        try:
            encoding = "utf-16" if data.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
            errors = "replace" if encoding == "utf-16" else "surrogateescape"
            with io.TextIOWrapper(data, encoding=encoding, errors=errors, newline="\n") as text:
                yield text
        except EOFError:
            message = f"{path}: the gzip data are cut off at byte {raw.seek(0, io.SEEK_END):,}; fetch the file again"
            raise SourceError(message) from None
        except (zlib.error, gzip.BadGzipFile) as error:
            message = f"{path}: the gzip data are damaged before byte {raw.tell():,} ({error}); fetch the file again"
            raise SourceError(message) from None


def clean_url(text: str) -> str:
    """A URL without blanks around it; bytes of it that are no UTF-8 become percent-encoded."""
    text = text.strip().lstrip("\ufeff")
    return text if text.isascii() else _ESCAPED_BYTE.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text)


def clean_caption(text: str) -> str:
    """A caption without blanks around it; bytes of it that are no UTF-8 become replacement characters."""
    text = text.strip()
    return text if text.isascii() else _ESCAPED_BYTE.sub("\ufffd", text)


def is_url(text: str) -> bool:
    """Whether a text looks like a URL, of any scheme."""
    return _URL.match(text) is not None


def text_lines(file: IO[str]) -> Iterator[str | None]:
    """Lines without their ends; None stands for one that is too long."""
    while line := file.readline(LONGEST):
        if line.startswith("\ufeff"):  # of the file, or of files that were joined
            line = line[1:]
        if len(line) >= LONGEST - 1 and not line.endswith("\n"):
            while line and not line.endswith("\n"):
                line = file.readline(LONGEST)
            yield None
        else:
            yield line.rstrip("\r\n")


def tsv_rows(path: Path) -> Iterator[FoundRow]:
    """Rows of a tab-separated table of URLs and captions, in either order, with a header or without.

    Captions may hold tabs. The order of the columns is that of most of the first rows; where other rows have the URL at
    the other end, they are read as well.
    """
    with open_text(path) as file:
        lines = text_lines(file)
        sample = list(islice(lines, _SAMPLED))
        header = _header(sample[0]) if sample else None
        layout = header if header is not None else _layout(sample)
        rows = (_row(line, layout) for line in chain(sample[header is not None :], lines))
        yield from without_last_blanks(rows)


def without_last_blanks(rows: Iterable[FoundRow]) -> Iterator[FoundRow]:
    """Leave out the blank lines that a file ends with."""
    blank = 0
    for row in rows:
        if row[2] == "blank_line":
            blank += 1
            continue
        yield from repeat(("", "", "blank_line"), blank)
        blank = 0
        yield row


class _Layout(NamedTuple):
    """Places of URL and caption among a number of columns."""

    url: int
    caption: int
    columns: int


def _header(line: str | None) -> _Layout | None:
    """The layout that a header names; None if the line is no header."""
    names = [re.sub(r"[\s-]+", "_", name.strip().strip('"').lower()) for name in (line or "").split("\t")]
    url = next((names.index(name) for name in URL_COLUMNS if name in names), None)
    caption = next((names.index(name) for name in CAPTION_COLUMNS if name in names), None)
    if url is None or caption is None:
        return None
    return _Layout(url, caption, len(names))


def _layout(sample: list[str | None]) -> _Layout:
    """The layout of rows that have a URL in one column alone: two columns, unless there are always as many more."""
    counts: Counter[_Layout] = Counter()
    for line in sample:
        fields = (line or "").split("\t")
        places = [place for place, field in enumerate(fields) if is_url(field)]
        if len(places) == 1 and len(fields) > 1:
            url = places[0]
            counts[_Layout(url, 1 if url == 0 else url - 1, len(fields))] += 1
    if len(counts) == 1 and counts.total() >= _CERTAIN:
        return next(iter(counts))
    url_first = sum(count for layout, count in counts.items() if layout.url == 0)
    return _Layout(0, 1, 2) if url_first > counts.total() / 2 else _Layout(1, 0, 2)


def _row(line: str | None, layout: _Layout) -> FoundRow:
    if line is None:
        return "", "", "too_long"
    if not line.strip():
        return "", "", "blank_line"
    fields = line.split("\t")
    if len(fields) == 1:
        return (clean_url(line), "", "no_caption") if is_url(line) else ("", clean_caption(line), "no_url")
    if len(fields) == layout.columns and is_url(fields[layout.url]):
        return clean_url(fields[layout.url]), clean_caption(fields[layout.caption]), ""
    first, last = is_url(fields[0]), is_url(fields[-1])
    if first and (not last or layout.url == 0):
        return clean_url(fields[0]), clean_caption("\t".join(fields[1:])), ""
    if last:
        return clean_url(fields[-1]), clean_caption("\t".join(fields[:-1])), ""
    if 0 < layout.url < len(fields) and is_url(fields[layout.url]):
        return clean_url(fields[layout.url]), clean_caption("\t".join(fields[: layout.url])), ""
    return "", clean_caption("\t".join(fields)), "no_url"


def paired_rows(path: Path) -> Iterator[FoundRow]:
    """Rows of SBU's file of URLs and of the file of captions beside it."""
    captions_path = path.with_name(path.name.replace("_urls.txt", "_captions.txt"))
    if not captions_path.exists():
        raise SourceError(f"{captions_path}: missing; SBU's captions belong in the same folder as its URLs")
    with open_text(path) as urls, open_text(captions_path) as captions:
        yield from without_last_blanks(_pairs(path, captions_path, urls, captions))


def _pairs(path: Path, captions_path: Path, urls: IO[str], captions: IO[str]) -> Iterator[FoundRow]:
    for number, (url, caption) in enumerate(zip_longest(text_lines(urls), text_lines(captions), fillvalue=_END), 1):
        if _END in (url, caption):
            if url is None or caption is None or (url + caption).strip():
                raise SourceError(f"{path}, line {number}: {captions_path.name} has another number of lines")
        elif url is None or caption is None:
            yield "", "", "too_long"
        elif url.strip():
            yield clean_url(url), clean_caption(caption), ""
        else:
            yield "", clean_caption(caption), "no_url" if caption.strip() else "blank_line"
