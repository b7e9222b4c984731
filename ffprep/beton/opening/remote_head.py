"""Head and tables of a remote file: fetched, and compared with their checksums before anything relies on them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xxhash

from ffprep.beton import layout, sections
from ffprep.beton.opening.head import Head, read_head
from ffprep.errors import BetonError, CorruptError, CustomFieldError
from ffprep.remote import Folder, PageSource, RemoteError, folder_at, is_url, local_file, pread
from ffprep.remote.facts import MOST_WRONG
from ffprep.remote.places import checked

FIRST = LAST = 1 << 16
"""Bytes of the beginning and of the end that are fetched before it is known what they hold: mostly all that is read."""

_WITH_TABLES = {sections.MANIFEST: 1 << 20, sections.CHECKSUMS: 1 << 24, sections.PAYLOAD_SUMS: 1 << 20}
"""Sections that are fetched with the tables, and how many bytes of them at most; others are when they are read."""


def local_place(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return a path as it is, and for the URL of a file the one at which its pages are kept."""
    if isinstance(path, str) and is_url(path):
        return local_file(checked(path), folder_at(None))
    return path


def read_remote_head(file: BinaryIO, source: PageSource, path: Path, custom_fields: Mapping[str, type[Any]]) -> Head:
    """Read the head of a remote file, fetch its tables, and let its pages be compared with the file's checksums.

    Parameters
    ----------
    file : binary file
        As ``open_beton`` opens it.
    source : PageSource
    path : Path
    custom_fields : mapping of name to Field subclass

    Raises
    ------
    BetonError
        The file cannot be used, also after what was wrong has been fetched anew.
    """
    for attempt in range(MOST_WRONG):
        try:
            return _read(file, source, path, custom_fields)
        except (RemoteError, CustomFieldError):
            raise
        except BetonError as error:
            source.forget_unchecked()
            file.seek(0)
            if attempt + 1 == MOST_WRONG:
                raise type(error)(f"{source.url}: {error}") from None
    raise AssertionError("unreachable")


def whole_file(url: str, folder: Folder) -> PageSource:
    """Fetch all of a small file, such as an index. Its pages stay as long as what is returned is in use.

    Parameters
    ----------
    url : str
    folder : Folder

    Raises
    ------
    RefusedError
        There is no such object.
    RemoteError
        It cannot be read.
    """
    source = PageSource(local_file(url, folder))
    try:
        source.keep((0, source.size))
        source.unchanged()
    except BaseException:
        source.close()
        raise
    return source


def _read(file: BinaryIO, source: PageSource, path: Path, custom_fields: Mapping[str, type[Any]]) -> Head:
    source.keep((0, FIRST), (max(0, source.size - LAST), LAST))
    head = read_head(file, path, custom_fields)
    bounds, block = head.bounds, head.superblock
    source.keep(
        (0, min(head.size, bounds.start + layout.LARGEST_SUPERBLOCK)),
        (bounds.end, head.size - bounds.end),
        *(
            (one.offset, one.size)
            for one in (block.sections if block else ())
            if one.size <= _WITH_TABLES.get(one.name, 0)
        ),
    )
    if block is None:
        source.unchanged()
        return head
    parts = (
        ("header, fields or sample records", 0, layout.superblock_offset(bounds.start), block.head_checksum),
        ("allocation table", bounds.end, head.size, block.table_checksum),
    )
    for what, start, end, checksum in parts:
        if xxhash.xxh3_64_intdigest(pread(file, end - start, start)) != checksum:
            raise CorruptError(f"bytes {start} to {end - 1}: the {what} changed since the file was written")
    for entry in block.sections:
        if entry.name == sections.CHECKSUMS:
            content = pread(file, entry.size, entry.offset)
            count = layout.num_blocks(block.data_start, block.data_end)
            if xxhash.xxh3_64_intdigest(content) != entry.checksum or len(content) != 8 * count:
                raise CorruptError(f"byte {entry.offset}: section {entry.name!r} does not fit its checksum")
            first, last = block.data_start, block.data_end
            numbers = range(first // layout.BLOCK_SIZE, first // layout.BLOCK_SIZE + count)
            pieces = [(max(n * layout.BLOCK_SIZE, first), min((n + 1) * layout.BLOCK_SIZE, last)) for n in numbers]
            source.expect(pieces, np.frombuffer(content, "<u8").tolist())
    return head
