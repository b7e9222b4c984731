"""The files of a part of a corpus: tokens, lengths of padded blocks, and what was counted on the way."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.text.documents.cleaning import Removed
from ffprep.text.tokens.vocabulary import Tokens, Vocabulary

LISTED = 100
"""Bad rows that are named; all are counted."""


@dataclass
class Statistics:
    """What became of a unit's documents.

    Attributes
    ----------
    documents : int
        Documents with text, which are in the part.
    tokens : int
        Tokens without padding, separators included.
    size : int
        Bytes of UTF-8 of the cleaned documents.
    empty : int
        Documents without any text after cleaning.
    outside : int
        Documents outside the share asked for.
    ignored : int
        Files that are no text.
    bad : int
        Rows that cannot be used.
    unknown : int
        Tokens the dictionary lacks.
    cut_words : int
        Words cut because they are longer than 2^20 characters.
    removed : Removed
        What cleaning took away.
    bad_rows : list of [name, reason]
        The first of the bad rows.
    """

    documents: int = 0
    tokens: int = 0
    size: int = 0
    empty: int = 0
    outside: int = 0
    ignored: int = 0
    bad: int = 0
    unknown: int = 0
    cut_words: int = 0
    removed: Removed = field(default_factory=Removed)
    bad_rows: list[list[str]] = field(default_factory=list)

    def add(self, other: Statistics) -> None:
        """Add another unit's."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.removed.add(other.removed)
        self.bad_rows.extend(islice(other.bad_rows, LISTED - len(self.bad_rows)))

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Statistics:
        """What :meth:`as_dict` gave."""
        return cls(**{**record, "removed": Removed(**record["removed"])})


_COUNTS = [f.name for f in dataclasses.fields(Statistics) if f.type == "int"]


@dataclass(frozen=True)
class Part:
    """A finished part.

    Attributes
    ----------
    path : Path
        Its tokens.
    lengths_path : Path or None
        Lengths of its blocks, where they are padded.
    count : int
        Tokens in the file, padding included.
    statistics : Statistics
    """

    path: Path
    lengths_path: Path | None
    count: int
    statistics: Statistics


class Sink(Protocol):
    """Where the tokens of documents go."""

    def documents(self, ids: Tokens, ends: npt.NDArray[np.int64]) -> None:
        """Whole documents; ``ends`` are the positions of their separators."""

    def piece(self, ids: Tokens) -> None:
        """More of a long document."""

    def end(self) -> None:
        """The long document's end."""


class _File:
    """A file that is hashed as it is written, and named when it is finished."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self._temporary = path.with_name(path.name + ".tmp")
        self._file: BinaryIO = stack.enter_context(self._temporary.open("wb"))
        self._hash = xxhash.xxh3_64()
        self.count = 0

    def write(self, values: npt.NDArray[Any]) -> None:
        data = np.ascontiguousarray(values, "<u2").data.cast("B")
        self._hash.update(data)
        self._file.write(data)
        self.count += values.size

    def finish(self) -> str:
        self._file.close()
        self._temporary.replace(self.path)
        return self._hash.hexdigest()


class _Stream:
    """One stream: documents one after the other, each with its separator."""

    def __init__(self, file: _File, vocabulary: Vocabulary) -> None:
        self._file = file
        self._end = np.array([vocabulary.eos], np.uint16)

    def documents(self, ids: Tokens, ends: npt.NDArray[np.int64]) -> None:
        self._file.write(ids)

    def piece(self, ids: Tokens) -> None:
        self._file.write(ids)

    def end(self) -> None:
        self._file.write(self._end)


class _Padded:
    """Blocks within documents; a document's last one is filled up."""

    def __init__(self, file: _File, lengths: _File, vocabulary: Vocabulary, block: int) -> None:
        self._file = file
        self._lengths = lengths
        self._vocabulary = vocabulary
        self._block = block
        self._held: Tokens = np.empty(0, np.uint16)

    def documents(self, ids: Tokens, ends: npt.NDArray[np.int64]) -> None:
        starts = np.concatenate([[0], ends[:-1] + 1])
        sizes = ends + 1 - starts
        counts = -(-sizes // self._block)
        first = np.cumsum(counts) - counts
        blocks = np.full(int(counts.sum()) * self._block, self._vocabulary.pad, np.uint16)
        blocks[np.arange(len(ids)) + np.repeat(first * self._block - starts, sizes)] = ids
        lengths = np.full(int(counts.sum()), self._block)
        lengths[first + counts - 1] = sizes - (counts - 1) * self._block
        self._file.write(blocks)
        self._lengths.write(lengths)

    def piece(self, ids: Tokens) -> None:
        ids = np.concatenate([self._held, ids])
        whole = len(ids) // self._block
        self._file.write(ids[: whole * self._block])
        self._lengths.write(np.full(whole, self._block))
        self._held = ids[whole * self._block :]

    def end(self) -> None:
        ids = np.append(self._held, np.uint16(self._vocabulary.eos))
        self._held = np.empty(0, np.uint16)
        self.documents(ids, np.array([len(ids) - 1]))


class PartWriter:
    """The files of a part that is being made.

    Parameters
    ----------
    folder : Path
        For the files.
    number : int
        The part's.
    vocabulary : Vocabulary
    padded : int
        As in ``Settings``.
    stack : ExitStack
        Closes the files.

    Attributes
    ----------
    sink : Sink
        Takes the tokens.
    """

    def __init__(self, folder: Path, number: int, vocabulary: Vocabulary, padded: int, stack: ExitStack) -> None:
        tokens_path, lengths_path, _ = part_paths(folder, number)
        self._tokens = _File(tokens_path, stack)
        self._lengths = _File(lengths_path, stack) if padded else None
        self.sink: Sink = _Stream(self._tokens, vocabulary)
        if self._lengths is not None:
            self.sink = _Padded(self._tokens, self._lengths, vocabulary, padded)

    @property
    def count(self) -> int:
        """Tokens written, padding included."""
        return self._tokens.count

    def finish(self) -> list[str]:
        """Close and name the files; their hashes."""
        return [self._tokens.finish(), self._lengths.finish() if self._lengths else ""]

    def part(self, statistics: Statistics) -> Part:
        """The finished part."""
        return Part(self._tokens.path, self._lengths.path if self._lengths else None, self.count, statistics)


def part_paths(folder: Path, number: int) -> tuple[Path, Path, Path]:
    """Where a part's tokens, lengths and record lie."""
    return folder / f"{number:06}.tokens", folder / f"{number:06}.lengths", folder / f"{number:06}.json"


def file_hash(path: Path) -> str:
    """The xxh3 of a file, as hexadecimal digits."""
    found = xxhash.xxh3_64()
    with path.open("rb") as file:
        while data := file.read(1 << 22):
            found.update(data)
    return found.hexdigest()
