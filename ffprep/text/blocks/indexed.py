"""fairseq's memory-mapped token files: ``PREFIX.bin`` with the tokens, ``PREFIX.idx`` with where each
sequence lies.

==================  =============================================================
``PREFIX.idx`` ``9 bytes``         ``MMIDIDX\\0\\0`` ``u8``              version, 1 (8 bytes) ``u1``
number of the dtype: 1 uint8, 2 int8, 3 int16, 4 int32, 5 int64, 8 uint16, 9 uint32, 10 uint64 ``u8``
number of sequences n (8 bytes) ``n x i4``          tokens in each sequence ``n x i8``          first byte
of each sequence in ``PREFIX.bin``
==================  =============================================================

All little-endian. Layout: ``MMapIndexedDataset`` of fairseq 0.12.2. Megatron's files of the same name have
a further number after n and a table of documents at the end; they are told apart by the file's size and
read as well.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ffprep.errors import ConversionError, SourceError

MAGIC = b"MMIDIDX\0\0"
DTYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2", 9: "<u4", 10: "<u8"}
_HEAD = struct.Struct("<9sQBQ")
_LONGEST = (1 << 31) - 1


class IndexedWriter:
    """Writes a pair of files. They appear when all is written; after an exception nothing is left.

    Parameters
    ----------
    prefix : Path
        Name of both files without their endings.
    """

    def __init__(self, prefix: Path) -> None:
        self.bin_path, self.idx_path = paths_of(prefix)
        self._tokens: BinaryIO = _temporary(self.bin_path).open("wb")
        self._sizes: BinaryIO = _temporary(self.idx_path).open("w+b")
        self.sequences = 0
        self.tokens = 0
        self._open = 0

    def write(self, ids: npt.NDArray[np.uint16], ends: npt.NDArray[np.integer[Any]]) -> None:
        """Add tokens.

        Parameters
        ----------
        ids : (n,) uint16
            Tokens of sequences, one after the other.
        ends : (m,) integers
            How many of these tokens lie before each sequence's end. What follows the last one belongs to
            the next sequence, to be continued.
        """
        if len(ids):
            np.ascontiguousarray(ids, "<u2").tofile(self._tokens)
        sizes = np.diff(np.asarray(ends, np.int64), prepend=0)
        if len(sizes):
            sizes[0] += self._open
            self._open = 0
            if int(sizes.max()) > _LONGEST:
                raise ConversionError(f"{self.idx_path}: a sequence of {int(sizes.max()):,} tokens is too long for it")
            sizes.astype("<i4").tofile(self._sizes)
        self._open += len(ids) - (int(ends[-1]) if len(ends) else 0)
        self.sequences += len(sizes)
        self.tokens += len(ids)

    def close(self) -> None:
        """Finish both files; a sequence that was not ended ends here."""
        if self._open:
            self.write(np.empty(0, np.uint16), np.array([0]))
        self._sizes.flush()
        with _final(self.idx_path).open("wb") as index:
            index.write(_HEAD.pack(MAGIC, 1, 8, self.sequences))
            self._sizes.seek(0)
            while data := self._sizes.read(1 << 22):
                index.write(data)
            self._sizes.seek(0)
            start = 0
            while data := self._sizes.read(1 << 22):
                sizes = np.frombuffer(data, "<i4").astype(np.int64) * 2
                ends = start + np.cumsum(sizes)
                (ends - sizes).astype("<i8").tofile(index)
                start = int(ends[-1])
            index.flush()
            os.fsync(index.fileno())
        self._tokens.flush()
        os.fsync(self._tokens.fileno())
        self._tokens.close()
        self._sizes.close()
        _temporary(self.bin_path).replace(self.bin_path)
        _final(self.idx_path).replace(self.idx_path)
        _temporary(self.idx_path).unlink()

    def __enter__(self) -> IndexedWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        self._tokens.close()
        self._sizes.close()
        for path in (_temporary(self.bin_path), _temporary(self.idx_path), _final(self.idx_path)):
            path.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _final(path: Path) -> Path:
    return path.with_name(path.name + ".index.partial")


def paths_of(prefix: Path) -> tuple[Path, Path]:
    """The two files of a prefix, which may also be the name of one of them."""
    if prefix.suffix in (".bin", ".idx"):
        prefix = prefix.with_suffix("")
    return prefix.with_name(prefix.name + ".bin"), prefix.with_name(prefix.name + ".idx")


@dataclass(frozen=True)
class Indexed:
    """A pair of files, checked.

    Attributes
    ----------
    path : Path
        Of the tokens.
    data : ndarray
        All tokens, memory-mapped, in the files' dtype.
    starts, sizes : ndarray of int64, shape (n,)
        First token and number of tokens of each sequence.
    """

    path: Path
    data: npt.NDArray[Any]
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)

    def sequence(self, index: int) -> npt.NDArray[Any]:
        """Tokens of one sequence."""
        start = int(self.starts[index])
        return self.data[start : start + int(self.sizes[index])]

    def runs(self, most: int = 1 << 20) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]:
        """Tokens of consecutive sequences, about ``most`` at a time, and where each sequence ends among them."""
        first = 0
        while first < len(self):
            ends = np.cumsum(self.sizes[first : first + most])
            count = max(1, int(np.searchsorted(ends, most, "right")))
            chosen = range(first, first + count)
            yield np.concatenate([self.sequence(i) for i in chosen]), ends[:count]
            first += count


def open_indexed(prefix: Path) -> Indexed:
    """Open a pair of files.

    Raises
    ------
    SourceError
        When they are damaged or no such files.
    """
    bin_path, idx_path = paths_of(prefix)
    try:
        size = idx_path.stat().st_size
        with idx_path.open("rb") as file:
            head = file.read(_HEAD.size)
        tokens = bin_path.stat().st_size
    except OSError as error:
        raise SourceError(f"{error.filename}: cannot be read: {error.strerror}") from None
    if len(head) < _HEAD.size or head[:9] != MAGIC:
        raise SourceError(f"{idx_path}: not the index of memory-mapped tokens (it does not begin with MMIDIDX)")
    _, version, code, count = _HEAD.unpack(head)
    if version != 1 or code not in DTYPES:
        raise SourceError(f"{idx_path}: version {version} with tokens of type {code} is unknown")
    offset = _table_offset(idx_path, size, count)
    dtype = np.dtype(DTYPES[code])
    if tokens % dtype.itemsize:
        raise SourceError(f"{bin_path}: {tokens:,} bytes are no whole number of {dtype.name} tokens; is it cut?")
    sizes = np.fromfile(idx_path, "<i4", count, offset=offset).astype(np.int64)
    pointers = np.fromfile(idx_path, "<i8", count, offset=offset + 4 * count)
    bad = (sizes < 0) | (pointers < 0) | (pointers % dtype.itemsize != 0)
    bad |= pointers > tokens - sizes * dtype.itemsize
    if bad.any():
        place = int(np.flatnonzero(bad)[0])
        raise SourceError(
            f"{idx_path}: sequence {place:,} has {sizes[place]:,} tokens at byte {pointers[place]:,}, which "
            f"{bin_path.name} with {tokens:,} bytes does not hold; is it cut?"
        )
    data: npt.NDArray[Any] = np.memmap(bin_path, dtype, "r") if tokens else np.empty(0, dtype)
    return Indexed(bin_path, data, pointers // dtype.itemsize, sizes)


def _table_offset(path: Path, size: int, count: int) -> int:
    """Where the sizes begin: after the head, or with Megatron's number of documents, after that."""
    rest = size - _HEAD.size - 12 * count
    if count < 1 << 48 and rest == 0:
        return _HEAD.size
    if count < 1 << 48 and rest >= 16:
        with path.open("rb") as file:
            file.seek(_HEAD.size)
            documents = int.from_bytes(file.read(8), "little")
        if rest == 8 + 8 * documents:
            return _HEAD.size + 8
    raise SourceError(f"{path}: {size:,} bytes do not fit the {count:,} sequences it promises; is it cut?")
