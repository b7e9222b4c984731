"""The elements of a JSON array, one after the other."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from ffprep.errors import SourceError
from ffprep.text.documents.streams import DAMAGE

_CHUNK = 1 << 20
_LARGEST_ITEM = 1 << 26


def json_items(file: IO[str], where: str) -> Iterator[Any]:
    """Yield the elements of a JSON array one at a time, without holding the whole array in memory.

    Raises
    ------
    SourceError
        When the text is no JSON array, damaged or incomplete, or an element takes more than 64 million characters.
    """
    decoder = json.JSONDecoder()
    text = _read(file, where, _CHUNK).lstrip()
    if not text.startswith("["):
        raise SourceError(f"{where}: not a JSON array")
    at = 1
    number = 0
    wanted = _CHUNK
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if text[at : at + 1] == "]":
            if (text[at + 1 :] + _read(file, where, _CHUNK)).strip():
                raise SourceError(f"{where}: more follows after the array, which has {number} elements")
            return
        try:
            item, end = decoder.raw_decode(text, at)
            complete = end < len(text)  # a number may continue in the next chunk
        except (ValueError, RecursionError):
            complete = False
        if complete:
            yield item
            at, number, wanted = end, number + 1, _CHUNK
            continue
        more = _read(file, where, wanted)
        if not more or len(text) - at > _LARGEST_ITEM:
            raise SourceError(f"{where}: ends or is damaged in element {number}: is the file complete?")
        text, at = text[at:] + more, 0
        wanted *= 2  # so that a large element is parsed again only a few times


def _read(file: IO[str], where: str, size: int) -> str:
    try:
        return file.read(size)
    except (*DAMAGE, zipfile.BadZipFile) as error:
        raise SourceError(f"{where}: damaged or incomplete: {error}") from None
