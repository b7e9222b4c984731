"""The documents of a corpus, in units of work: an archive, some files, or part of a table.

A unit has a ``key``, which is the same on every machine, and always gives the same documents in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import xxhash

from ffprep.common.files.tar import members
from ffprep.common.names import in_clutter
from ffprep.errors import SourceError
from ffprep.text.documents.cleaning import WHOLE
from ffprep.text.documents.streams import SUFFIXES, FilePart, Forward, Pieces, decompressed
from ffprep.text.documents.table_parts import TablePart
from ffprep.text.documents.table_rows import BadRow

DEEPEST = 3
"""How many archives may lie within one another."""


class Document(NamedTuple):
    """A document as it was found.

    Attributes
    ----------
    name : str
        Its place in the corpus.
    content : bytes, str or iterator of bytes
        The whole text. Documents of more than ``WHOLE`` bytes come in pieces of that size.
    """

    name: str
    content: bytes | str | Iterator[bytes]


class Ignored(NamedTuple):
    """Something that is not a document, such as a picture in an archive of text files."""

    name: str


class LeftBehind(NamedTuple):
    """What a system left among the texts of an archive, and would be a text of its own; see `is_clutter`."""

    name: str


Item = Document | BadRow | Ignored | LeftBehind


class Unit(Protocol):
    """Some documents of a corpus, which one worker tokenises."""

    @property
    def key(self) -> str:
        """Name and size, by which a finished part is known to belong to this unit."""

    def stamp(self) -> str:
        """Tells by size and time whether the unit's files may have changed; empty if it has none on this machine."""

    @property
    def size(self) -> int:
        """About how many bytes are read; for the progress display."""

    def documents(self) -> Iterator[Item]:
        """The documents in order.

        Raises
        ------
        SourceError, OSError
            When the remaining documents cannot be read.
        """


def file_stamp(path: Path) -> str:
    """Size and time of a file; empty if there is none, which reading it will report."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns};"


@dataclass(frozen=True)
class ArchiveUnit:
    """A tar archive of text files, compressed or not; archives inside it are read as well.

    Attributes
    ----------
    path : Path
        The file that is or contains the archive.
    name : str
        Path of the archive within its source.
    offset, size : int
        Place of the archive in the file, in bytes.
    wanted : callable, optional
        Given the name of an archive inside this one, returns whether it is to be read.
    all_files : bool
        Whether to read members that systems leave behind; see `is_clutter`.
    """

    path: Path
    name: str
    offset: int
    size: int
    wanted: Callable[[str], bool] | None = field(default=None, compare=False)
    all_files: bool = False

    @property
    def key(self) -> str:
        return f"{self.name} [{self.size}]"

    def stamp(self) -> str:
        return file_stamp(self.path)

    def documents(self) -> Iterator[Item]:
        with FilePart(self.path, self.offset, self.size) as raw, decompressed(raw) as stream:
            yield from self._documents_of(Forward(stream, self.name), self.name, 1)

    def _documents_of(self, forward: Forward, label: str, depth: int) -> Iterator[Item]:
        for member in members(forward.read_at, label=label):
            name = f"{label}/{member.name.removeprefix('./')}"
            if not self.all_files and in_clutter(member.name):
                if is_text_name(name) or is_archive_name(name):
                    yield LeftBehind(name)
            elif is_text_name(name):
                if member.size > WHOLE:
                    yield Document(name, forward.pieces(member.offset, member.size))
                    continue
                data = forward.read_at(member.offset, member.size)
                if len(data) < member.size:
                    raise SourceError(f"{name}: ends {member.size - len(data):,} bytes early; is it complete?")
                yield Document(name, data)
            elif is_archive_name(name) and depth < DEEPEST:
                if self.wanted is not None and not self.wanted(name):
                    continue
                pieces = Pieces(forward.pieces(member.offset, member.size))
                with pieces as raw, decompressed(raw) as inner:
                    yield from self._documents_of(Forward(inner, name), name, depth + 1)
            else:
                yield Ignored(name)


@dataclass(frozen=True)
class FilesUnit:
    """Text files, each of which is a document.

    Attributes
    ----------
    root : Path
        The folder that contains them.
    names : tuple of str
        Their paths within it.
    size : int
        Bytes of all files together.
    """

    root: Path
    names: tuple[str, ...]
    size: int

    @property
    def key(self) -> str:
        return f"{self.names[0]} ... {self.names[-1]} ({len(self.names)} files) [{self.size}]"

    def stamp(self) -> str:
        stamps = "".join(file_stamp(self.root / name) for name in self.names)
        return xxhash.xxh3_128_hexdigest(stamps.encode())

    def documents(self) -> Iterator[Item]:
        for name in self.names:
            path = self.root / name
            try:
                with FilePart(path) as raw, decompressed(raw) as stream:
                    forward = Forward(stream, name)
                    data = forward.read_at(0, WHOLE)
                    yield Document(name, data if len(data) < WHOLE else _in_pieces(data, forward))
            except OSError as error:
                raise SourceError(f"{path}: cannot be read: {error.strerror}") from None


def _in_pieces(first: bytes, forward: Forward) -> Iterator[bytes]:
    """The first ``WHOLE`` bytes, which were read already, and the rest in further pieces."""
    offset = 0
    while first:
        yield first
        offset += len(first)
        first = forward.read_at(offset, WHOLE)


@dataclass(frozen=True)
class RowsUnit:
    """Rows of a table, whose first column holds the documents."""

    part: TablePart = field(compare=False)

    @property
    def key(self) -> str:
        return self.part.key

    def stamp(self) -> str:
        return file_stamp(self.part.path) if self.part.path is not None else ""

    @property
    def size(self) -> int:
        return self.part.size

    def documents(self) -> Iterator[Item]:
        for row in self.part.read():
            if isinstance(row, BadRow):
                yield row
            elif isinstance(row.values[0], str):
                yield Document(row.name, row.values[0])
            else:
                yield BadRow(row.name, f"the text is {_kind(row.values[0])}")


def _kind(value: object) -> str:
    return "null" if value is None else f"of type {type(value).__name__}"


def is_text_name(name: str) -> bool:
    """Whether a file name is that of a text file: it ends in ``.txt`` or ``.text``, or has no ending."""
    return PurePosixPath(name).suffix.lower() in (".txt", ".text", "")


def is_archive_name(name: str) -> bool:
    """Whether a file name is that of a tar archive, including OpenWebText's names for them (``_data.xz``)."""
    path = PurePosixPath(name.lower())
    inner = path.stem if path.suffix in SUFFIXES else path.name
    return path.suffix in (".tar", ".tgz", ".txz", ".tbz2") or (
        path.suffix in SUFFIXES and (inner.endswith((".tar", "_data")))
    )


def natural(name: str) -> list[tuple[int, int | str]]:
    """Sort key of a file name that compares numbers by value: ``subset2`` comes before ``subset10``."""
    return [(0, int(p)) if p.isdigit() else (1, p) for p in re.split(r"([0-9]+)", name) if p]


def grouped(root: Path, names: Sequence[str], sizes: Sequence[int], files: int, size: int) -> list[FilesUnit]:
    """Files in units of at most ``files`` files and ``size`` bytes; a larger file is a unit of its own."""
    units: list[FilesUnit] = []
    start, total = 0, 0
    for index in range(len(names)):
        if index > start and (index - start >= files or total + sizes[index] > size):
            units.append(FilesUnit(root, tuple(names[start:index]), total))
            start, total = index, 0
        total += sizes[index]
    if start < len(names):
        units.append(FilesUnit(root, tuple(names[start:]), total))
    return units
