"""Files of annotations: JSON, compressed or in a zip archive, of bounded size."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from ffprep.common.files.expansion import read_member, too_dense
from ffprep.common.files.source_files import open_binary
from ffprep.common.formatting import size_text
from ffprep.common.names import in_clutter
from ffprep.errors import SourceError
from ffprep.sources.reading.zipped import DAMAGE as ZIP_DAMAGE
from ffprep.sources.reading.zipped import open_member
from ffprep.text.documents.streams import DAMAGE, FilePart, decompressed

LARGEST = 1 << 29
"""Bytes of JSON that are parsed at once; that of val2017 has 3.9 MB for 25,014 captions."""
_SMALL = 1 << 26
"""Bytes that a member of an archive may have however little it is compressed to."""


def read_annotations(path: Path, choose: Callable[[list[str]], str]) -> Any:
    """Read a JSON file, which may be compressed, or a member of a zip archive.

    Parameters
    ----------
    path : Path
    choose : callable
        Given the names of an archive's JSON files, returns the one to read.

    Raises
    ------
    SourceError
        When the file is damaged, larger than `LARGEST`, or not JSON.
    """
    with open_annotations(path, choose) as (file, where):
        try:
            data = read_member(file, LARGEST + 1)
        except (*DAMAGE, *ZIP_DAMAGE) as error:
            raise SourceError(f"{where}: damaged or incomplete: {error}") from None
    if len(data) > LARGEST:
        raise SourceError(f"{where}: more than {size_text(LARGEST)} of JSON; is it a file of captions?")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: not valid JSON: {error}") from None


@contextlib.contextmanager
def open_annotations(path: Path, choose: Callable[[list[str]], str]) -> Iterator[tuple[IO[bytes], str]]:
    """Open a file of annotations for reading once: its content, and its name for messages.

    Raises
    ------
    SourceError
        When the archive cannot be read, or the member is compressed as no annotations are.
    """
    with open_binary(path) as file:
        zipped = file.read(4) == b"PK\3\4"
    if not zipped and path.suffix.lower() != ".zip":
        with FilePart(path) as raw, decompressed(raw) as plain:
            yield plain, str(path)
        return
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
            names = [name for name in archive.namelist() if is_annotation_name(name)]
            member = archive.getinfo(choose(names))
            content = stack.enter_context(open_member(archive, member))
        except ZIP_DAMAGE as error:
            raise SourceError(f"{path}: cannot be read as a zip archive: {error}") from None
        where = f"{path}, in it {member.filename}"
        if too_dense(member.file_size, member.compress_size, _SMALL):
            sizes = f"{size_text(member.compress_size)} that unpack to {size_text(member.file_size)}"
            raise SourceError(f"{where}: {sizes} are no annotations, unless --max-expansion allows it")
        yield content, where


def is_annotation_name(name: str) -> bool:
    """Whether a member of an archive may hold annotations: a JSON file that no system left there."""
    return name.lower().endswith(".json") and not in_clutter(name)


def caption_fault(value: Any) -> str | None:
    """What is wrong with a caption; None if it is text."""
    if isinstance(value, str):
        return None
    return "the caption is null" if value is None else f"the caption is of type {type(value).__name__}"
