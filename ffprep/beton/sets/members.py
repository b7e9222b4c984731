"""The files of a set: what an index says of each, and whether a file is the one that it means."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import xxhash

from ffprep.beton import layout
from ffprep.beton.opening.head import AGAIN, Head, open_beton, read_head
from ffprep.beton.sets.tokens import recorded_source
from ffprep.errors import CorruptError, OptionError
from ffprep.remote import at_once, is_cached, pread

_PIECE = 1 << 22

T = TypeVar("T")


@dataclass(frozen=True)
class Member:
    """A file of a set, as the index describes it.

    Attributes
    ----------
    name : str
        Of a file in the index's folder.
    samples, bytes : int
    checksum : str
        Sixteen hexadecimal digits, see above.
    """

    name: str
    samples: int
    bytes: int
    checksum: str


@dataclass(frozen=True)
class SetFile:
    """A file that an argument stands for. It is a path, too; `Reader` checks a file that is given so.

    Attributes
    ----------
    path : Path
    index : Path or None
        The index that lists it; None for a file that was named itself.
    member : Member or None
        What the index says of it.
    """

    path: Path
    index: Path | None = None
    member: Member | None = None

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def check(self, head: Head) -> None:
        """Compare a file with what the index says of it.

        Raises
        ------
        CorruptError
            It is another file than the index was made of.
        """
        if self.member is None:
            return
        for what, wanted, found in (
            ("bytes", self.member.bytes, head.size),
            ("samples", self.member.samples, head.header.num_samples),
        ):
            if wanted != found:
                raise self._differs(f"has {found:,} {what} and not {wanted:,}")
        if head.superblock is not None and self.member.checksum != seal_of(head.superblock):
            raise self._differs("has another checksum")

    def check_tables(self, head: Head) -> None:
        """Compare the tables of a file without a superblock with the index; this reads them.

        Raises
        ------
        CorruptError
        OSError
        """
        if self.member is None or head.superblock is not None:
            return
        with open_beton(self.path) as file:
            if self.member.checksum != _checksum(file, head):
                raise self._differs("has another checksum")

    def _differs(self, how: str) -> CorruptError:
        return CorruptError(
            f"{self.path}: {how}, as {self.index} says: it is not the file that the index was made of; {AGAIN}, or "
            "make the index again with `ffprep set --overwrite`"
        )


@dataclass(frozen=True)
class SetIndex:
    """An index.

    Attributes
    ----------
    path : Path
    members : tuple of Member
    """

    path: Path
    members: tuple[Member, ...]

    @property
    def samples(self) -> int:
        return sum(member.samples for member in self.members)

    @property
    def bytes(self) -> int:
        return sum(member.bytes for member in self.members)

    def files(self) -> list[SetFile]:
        """Return the files that it lists."""
        return [SetFile(self.path.parent / member.name, self.path, member) for member in self.members]


def each_opened(function: Callable[[SetFile], T], files: Sequence[SetFile]) -> Iterator[T]:
    """Yield what a function returns for each file, in order; several at a time, if files in a store are among them."""
    some = len(files) > 1 and any(is_cached(file.path) for file in files)
    return at_once(function, files) if some else map(function, files)


def name_problem(name: Any) -> str | None:
    """Say why a name is not that of a file in the index's folder, or return None."""
    if not isinstance(name, str) or not name:
        return "is not a name"
    if name in (".", "..") or "/" in name or "\\" in name:
        return "leads out of the index's folder"
    if any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in name):
        return "has characters that no name has"
    if len(name.encode("utf-8")) > 255:
        return "is longer than a name may be"
    return None


def seal_of(block: layout.Superblock) -> str:
    """Return the checksum of a superblock, which covers all other checksums of its file."""
    return block.pack()[-8:][::-1].hex()


def _checksum(file: BinaryIO, head: Head) -> str:
    hasher = xxhash.xxh3_64()
    for start, end in ((0, head.bounds.start), (head.bounds.end, head.size)):
        for first in range(start, end, _PIECE):
            hasher.update(pread(file, min(_PIECE, end - first), first))
    return hasher.hexdigest()


def describe_member(
    path: Path, custom_fields: Mapping[str, type[Any]] | None = None
) -> tuple[Member, Head, Mapping[str, Any]]:
    """Read what an index says of a file, and what the file's manifest says of its source.

    Raises
    ------
    BetonError
        The file cannot be used.
    OptionError
        Its name cannot stand in an index.
    """
    if problem := name_problem(path.name):
        raise OptionError(f"{path}: its name {problem}, so it cannot be listed in an index; rename it")
    with open_beton(path) as file:
        head = read_head(file, path, dict(custom_fields or {}))
        checksum = _checksum(file, head) if head.superblock is None else seal_of(head.superblock)
        source = recorded_source(file, head) if "tokens" in head.fields else {}
    return Member(path.name, head.header.num_samples, head.size, checksum), head, source


def check_same_fields(model_path: Path, model: Head, path: Path, head: Head) -> None:
    """Refuse a file whose fields are not those of another.

    Raises
    ------
    OptionError
    """
    if list(head.fields) != list(model.fields):
        raise OptionError(
            f"{path} has fields {', '.join(head.fields)}; {model_path} has {', '.join(model.fields)}; "
            "the files of a set have the same fields"
        )
    for name, field in head.fields.items():
        if not field.same_layout(model.fields[name]):
            raise OptionError(f"field {name!r} is {field!r} in {path} and {model.fields[name]!r} in {model_path}")
