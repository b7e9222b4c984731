"""The files of one part of a corpus: tokens, lengths of padded blocks, and statistics."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.common.files.replacing import naming
from ffprep.common.files.source_files import open_binary
from ffprep.common.names import readable
from ffprep.text.documents.cleaning import Removed
from ffprep.text.tokens.vocabulary import Tokens, Vocabulary

LENGTH = np.dtype("<u2")
"""Type of the lengths of padded blocks."""
LISTED = 100
"""How many bad rows are listed; all are counted."""


@dataclass
class Statistics:
    """Counts of a unit's documents, and of what was done to them.

    Attributes
    ----------
    documents : int
        Documents in the part: those that have text after cleaning.
    tokens : int
        Tokens including separators, without padding.
    size : int
        Bytes of the cleaned documents as UTF-8.
    empty : int
        Documents without any text after cleaning.
    outside : int
        Documents outside the share that was asked for.
    ignored : int
        Files that are not text.
    bad : int
        Rows that cannot be used.
    unknown : int
        Tokens that the dictionary lacks.
    cut_words : int
        Words that were cut because they are longer than 2^20 characters.
    removed : Removed
        What cleaning removed or replaced.
    bad_rows : list of [name, reason]
        The first of the bad rows.
    clutter : int
        Members of archives that systems leave among the data (`ffprep.common.names.is_clutter`), left out.
    clutter_names : list of str
        The first of them.
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
    clutter: int = 0
    clutter_names: list[str] = field(default_factory=list)

    def leave_out(self, name: str) -> None:
        """Count something that a system left among the data."""
        self.clutter += 1
        if len(self.clutter_names) < LISTED:
            self.clutter_names.append(readable(name))

    def add(self, other: Statistics) -> None:
        """Add the statistics of another unit."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.removed.add(other.removed)
        self.bad_rows.extend(islice(other.bad_rows, LISTED - len(self.bad_rows)))
        self.clutter_names.extend(islice(other.clutter_names, LISTED - len(self.clutter_names)))

    def as_dict(self) -> dict[str, Any]:
        """The statistics as JSON values; nothing of clutter where there was none."""
        record = dataclasses.asdict(self)
        return record if self.clutter else {k: v for k, v in record.items() if not k.startswith("clutter")}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Statistics:
        """The statistics that :meth:`as_dict` was called on."""
        return cls(**{**record, "removed": Removed(**record["removed"])})


_COUNTS = [f.name for f in dataclasses.fields(Statistics) if f.type == "int"]


@dataclass(frozen=True)
class Part:
    """A finished part.

    Attributes
    ----------
    path : Path
        File of the tokens.
    lengths_path : Path or None
        File of the blocks' lengths, if blocks are padded.
    count : int
        Tokens in the file, including padding.
    statistics : Statistics
    digest : str
        Hash of the files.
    """

    path: Path
    lengths_path: Path | None
    count: int
    statistics: Statistics
    digest: str = ""


class TokenSink(Protocol):
    """Receives the tokens of documents."""

    def documents(self, ids: Tokens, ends: npt.NDArray[np.int64]) -> None:
        """Take whole documents, one after the other in ``ids``, with separators at the positions ``ends``."""

    def piece(self, ids: Tokens) -> None:
        """Take the beginning or a further piece of a long document."""

    def end(self) -> None:
        """End the long document with a separator."""


class _HashedFile:
    """A file that is hashed while it is written, and gets its name when it is finished.

    It is not forced to the disk: a part is used only if its files still have the recorded hashes.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], stack: ExitStack) -> None:
        self.path = path
        self._dtype = dtype
        self._temporary = path.with_name(path.name + ".tmp")
        self._file: BinaryIO = stack.enter_context(self._temporary.open("wb"))
        self._hash = xxhash.xxh3_64()
        self.count = 0

    def write(self, values: npt.NDArray[Any]) -> None:
        data = np.ascontiguousarray(values, self._dtype).data.cast("B")
        self._hash.update(data)
        with naming(self._temporary):
            self._file.write(data)
        self.count += values.size

    def finish(self) -> str:
        with naming(self._temporary):
            self._file.close()
            self._temporary.replace(self.path)
        return self._hash.hexdigest()


class _Stream:
    """A sink that writes documents one after the other, each followed by a separator."""

    def __init__(self, file: _HashedFile, vocabulary: Vocabulary) -> None:
        self._file = file
        self._end = np.array([vocabulary.eos], vocabulary.dtype)

    def documents(self, ids: Tokens, ends: npt.NDArray[np.int64]) -> None:
        self._file.write(ids)

    def piece(self, ids: Tokens) -> None:
        self._file.write(ids)

    def end(self) -> None:
        self._file.write(self._end)


class _Padded:
    """A sink that cuts each document into blocks and pads the document's last block."""

    def __init__(self, file: _HashedFile, lengths: _HashedFile, vocabulary: Vocabulary, block: int) -> None:
        self._file = file
        self._lengths = lengths
        self._vocabulary = vocabulary
        self._block = block
        self._held: Tokens = np.empty(0, vocabulary.dtype)

    def documents(self, ids: Tokens, ends: npt.NDArray[np.int64]) -> None:
        starts = np.concatenate([[0], ends[:-1] + 1])
        sizes = ends + 1 - starts
        counts = -(-sizes // self._block)
        first = np.cumsum(counts) - counts
        blocks = np.full(int(counts.sum()) * self._block, self._vocabulary.pad, self._vocabulary.dtype)
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
        ids = np.append(self._held, np.array([self._vocabulary.eos], self._vocabulary.dtype))
        self._held = self._held[:0]
        self.documents(ids, np.array([len(ids) - 1]))


class PartWriter:
    """Writes the files of a part.

    Parameters
    ----------
    folder : Path
        Folder of the parts.
    number : int
        Number of the part.
    vocabulary : Vocabulary
    padded : int
        As in ``Settings``.
    stack : ExitStack
        Closes the files when it is left.

    Attributes
    ----------
    sink : TokenSink
        Where to put the tokens.
    """

    def __init__(self, folder: Path, number: int, vocabulary: Vocabulary, padded: int, stack: ExitStack) -> None:
        tokens_path, lengths_path, _ = part_paths(folder, number)
        self._tokens = _HashedFile(tokens_path, vocabulary.dtype, stack)
        self._lengths = _HashedFile(lengths_path, LENGTH, stack) if padded else None
        self._hashes: list[str] = []
        self.sink: TokenSink = _Stream(self._tokens, vocabulary)
        if self._lengths is not None:
            self.sink = _Padded(self._tokens, self._lengths, vocabulary, padded)

    @property
    def count(self) -> int:
        """Tokens written, including padding."""
        return self._tokens.count

    def finish(self) -> list[str]:
        """Close the files and give them their names; returns their hashes."""
        self._hashes = [self._tokens.finish(), self._lengths.finish() if self._lengths else ""]
        return self._hashes

    def part(self, statistics: Statistics) -> Part:
        """The finished part."""
        lengths = self._lengths.path if self._lengths else None
        return Part(self._tokens.path, lengths, self.count, statistics, digest_of(self._hashes))


def digest_of(hashes: Sequence[str]) -> str:
    """One hash of a part, from those of its files."""
    return xxhash.xxh3_64_hexdigest(" ".join(hashes).encode())


def part_paths(folder: Path, number: int) -> tuple[Path, Path, Path]:
    """Paths of a part's tokens, lengths and record."""
    return folder / f"{number:06}.tokens", folder / f"{number:06}.lengths", folder / f"{number:06}.json"


def file_hash(path: Path) -> str:
    """The xxh3 of a file, as hexadecimal digits."""
    found = xxhash.xxh3_64()
    with open_binary(path) as file:
        while data := file.read(1 << 22):
            found.update(data)
    return found.hexdigest()


def ends_hash(path: Path) -> str:
    """The xxh3 of the first and the last MiB of a file, as hexadecimal digits."""
    found = xxhash.xxh3_64()
    with naming(path), path.open("rb") as file:
        found.update(file.read(1 << 20))
        file.seek(max(0, path.stat().st_size - (1 << 20)))
        found.update(file.read(1 << 20))
    return found.hexdigest()
