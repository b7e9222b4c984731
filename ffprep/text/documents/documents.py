"""Documents of a corpus in units of work: an archive, some files, part of a table.

A unit names itself (``key``, the same on every machine), and gives its documents in order, time and again
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from ffprep.common.tar import members
from ffprep.errors import SourceError
from ffprep.text.documents.cleaning import WHOLE
from ffprep.text.documents.streams import SUFFIXES, FilePart, Forward, Pieces, decompressed
from ffprep.text.documents.tables import Bad, Part

DEEPEST = 3
"""Archives within archives."""


class Document(NamedTuple):
    """A document as it was found.

    Attributes
    ----------
    name : str
        Where it lies.
    content : bytes, str or iterator of bytes
        All of it; what is larger than ``WHOLE`` bytes comes in pieces of that size.
    """

    name: str
    content: bytes | str | Iterator[bytes]


class Ignored(NamedTuple):
    """Something that is no document, such as a picture in an archive of text."""

    name: str


Item = Document | Bad | Ignored


class Unit(Protocol):
    """Some documents of a corpus."""

    @property
    def key(self) -> str:
        """What it is and how large, for telling whether a finished part belongs to it."""

    @property
    def size(self) -> int:
        """Bytes to read, roughly; for the progress display."""

    def documents(self) -> Iterator[Item]:
        """The documents in order.

        Raises
        ------
        SourceError, OSError
            When the rest cannot be read.
        """


@dataclass(frozen=True)
class ArchiveUnit:
    """A tar archive of text files, compressed or not; archives inside it are read as well.

    Attributes
    ----------
    path : Path
        The file it lies in.
    name : str
        What it is called below the source.
    offset, size : int
        Where it lies in the file.
    wanted : callable, optional
        Says by its name whether an archive inside this one is to be read.
    """

    path: Path
    name: str
    offset: int
    size: int
    wanted: Callable[[str], bool] | None = field(default=None, compare=False)

    @property
    def key(self) -> str:
        return f"{self.name} [{self.size}]"

    def documents(self) -> Iterator[Item]:
        with FilePart(self.path, self.offset, self.size) as raw, decompressed(raw) as stream:
            yield from self._of(Forward(stream, self.name), self.name, 1)

    def _of(self, forward: Forward, label: str, depth: int) -> Iterator[Item]:
        for member in members(forward.read_at, label=label):
            name = f"{label}/{member.name.removeprefix('./')}"
            if is_text_name(name):
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
                    yield from self._of(Forward(inner, name), name, depth + 1)
            else:
                yield Ignored(name)


@dataclass(frozen=True)
class FilesUnit:
    """Text files, each a document.

    Attributes
    ----------
    root : Path
    names : tuple of str
        Paths below the root.
    size : int
        Bytes of all.
    """

    root: Path
    names: tuple[str, ...]
    size: int

    @property
    def key(self) -> str:
        return f"{self.names[0]} ... {self.names[-1]} ({len(self.names)} files) [{self.size}]"

    def documents(self) -> Iterator[Item]:
        for name in self.names:
            path = self.root / name
            try:
                with FilePart(path) as raw, decompressed(raw) as stream:
                    forward = Forward(stream, name)
                    data = forward.read_at(0, WHOLE)
                    yield Document(name, data if len(data) < WHOLE else _from(data, forward))
            except OSError as error:
                raise SourceError(f"{path}: cannot be read: {error.strerror}") from None


def _from(first: bytes, forward: Forward) -> Iterator[bytes]:
    offset = 0
    while first:
        yield first
        offset += len(first)
        first = forward.read_at(offset, WHOLE)


@dataclass(frozen=True)
class RowsUnit:
    """Rows of a table, each a document in its first column."""

    part: Part = field(compare=False)

    @property
    def key(self) -> str:
        return self.part.key

    @property
    def size(self) -> int:
        return self.part.size

    def documents(self) -> Iterator[Item]:
        for row in self.part.read():
            if isinstance(row, Bad):
                yield row
            elif isinstance(row.values[0], str):
                yield Document(row.name, row.values[0])
            else:
                yield Bad(row.name, f"the text is {_kind(row.values[0])}")


def _kind(value: object) -> str:
    return "null" if value is None else f"of type {type(value).__name__}"


def is_text_name(name: str) -> bool:
    """Whether a file name is that of a text: ``.txt``, ``.text`` or no ending at all."""
    return PurePosixPath(name).suffix.lower() in (".txt", ".text", "")


def is_archive_name(name: str) -> bool:
    """Whether a file name is that of a tar archive, also as OpenWebText calls them (``_data.xz``)."""
    path = PurePosixPath(name.lower())
    inner = path.stem if path.suffix in SUFFIXES else path.name
    return path.suffix in (".tar", ".tgz", ".txz", ".tbz2") or (
        path.suffix in SUFFIXES and (inner.endswith((".tar", "_data")))
    )


def grouped(root: Path, names: Sequence[str], sizes: Sequence[int], files: int, size: int) -> list[FilesUnit]:
    """Files in units of at most ``files`` files and, but for single larger ones, ``size`` bytes."""
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
