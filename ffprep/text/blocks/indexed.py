"""fairseq's memory-mapped token files: ``PREFIX.bin`` has the tokens, ``PREFIX.idx`` the place of each sequence.

``PREFIX.idx`` consists of, all little-endian:

==================  ==========================================================================================
``9 bytes``         ``MMIDIDX\\0\\0``
``u8``              version, 1
``u1``              code of the dtype: 1 uint8, 2 int8, 3 int16, 4 int32, 5 int64, 8 uint16, 9 uint32, 10 uint64
``u8``              number of sequences n
``n x i4``          number of tokens in each sequence
``n x i8``          position of each sequence's first byte in ``PREFIX.bin``
==================  ==========================================================================================

This is the layout of ``MMapIndexedDataset`` in fairseq 0.12.2. Megatron's files of the same name have one more number
after n, that of the entries of a table of documents, which follows the positions: i8, the first sequence of each
document, and n at the end. A byte for each sequence may follow that, its mode. Such files are recognised by their size.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ffprep.common.files.mapping import map_file, read_numbers
from ffprep.common.files.replacing import naming, replacing
from ffprep.common.files.source_files import check_regular, open_binary
from ffprep.errors import ConversionError, SourceError
from ffprep.jpeg.watching import watch_memory

MAGIC = b"MMIDIDX\0\0"
DTYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2", 9: "<u4", 10: "<u8"}
_HEAD = struct.Struct("<9sQBQ")
_LONGEST = (1 << 31) - 1


class IndexedWriter:
    """Writes a pair of files, which appear only when both are complete. Use as a context manager.

    Parameters
    ----------
    prefix : Path
        Path of both files without their endings.
    dtype : numpy dtype
        Of the tokens: one of `DTYPES`.
    overwrite : bool
        Whether other files may be replaced; those that have the same contents are left.
    """

    def __init__(self, prefix: Path, dtype: npt.DTypeLike = "<u2", *, overwrite: bool = True) -> None:
        self.bin_path, self.idx_path = paths_of(prefix)
        self._dtype = np.dtype(dtype)
        self._stack = ExitStack()
        self._tokens: BinaryIO = self._stack.enter_context(replacing(self.bin_path, overwrite=overwrite))
        self._sizes = self._stack.enter_context(tempfile.TemporaryFile(dir=prefix.parent))  # noqa: SIM115
        self._overwrite = overwrite
        self.sequences = 0
        self.tokens = 0
        self._open = 0

    def write(self, ids: npt.NDArray[Any], ends: npt.NDArray[np.integer[Any]]) -> None:
        """Add tokens.

        Parameters
        ----------
        ids : (n,) of the writer's dtype
            Tokens of sequences, one after the other.
        ends : (m,) integers
            Number of these tokens before the end of each sequence. Tokens after the last end begin a sequence that the
            next call continues.
        """
        if len(ids):
            self._tokens.write(np.ascontiguousarray(ids, self._dtype).data)
        sizes = np.diff(np.asarray(ends, np.int64), prepend=0)
        if len(sizes):
            sizes[0] += self._open
            self._open = 0
            if int(sizes.max()) > _LONGEST:
                raise ConversionError(f"{self.idx_path}: a sequence of {int(sizes.max()):,} tokens is too long for it")
            with naming(self.idx_path):
                self._sizes.write(sizes.astype("<i4").data)
        self._open += len(ids) - (int(ends[-1]) if len(ends) else 0)
        self.sequences += len(sizes)
        self.tokens += len(ids)

    def close(self) -> None:
        """Finish both files; a sequence that has not ended yet ends here."""
        if self._open:
            self.write(np.empty(0, self._dtype), np.array([0]))
        with naming(self.idx_path):
            self._sizes.flush()
        with (
            replacing(self.idx_path, overwrite=self._overwrite) as index,
            self._stack,
        ):  # the stack is left first: the tokens get their name first
            code = next(code for code, name in DTYPES.items() if np.dtype(name) == self._dtype)
            index.write(_HEAD.pack(MAGIC, 1, code, self.sequences))
            self._sizes.seek(0)
            while data := self._sizes.read(1 << 22):
                index.write(data)
            self._sizes.seek(0)
            start = 0
            while data := self._sizes.read(1 << 22):
                sizes = np.frombuffer(data, "<i4").astype(np.int64) * self._dtype.itemsize
                ends = start + np.cumsum(sizes)
                index.write((ends - sizes).astype("<i8").data)
                start = int(ends[-1])

    def __enter__(self) -> IndexedWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        self._stack.__exit__(kind, error, trace)


def paths_of(prefix: Path) -> tuple[Path, Path]:
    """Paths of the two files of a prefix; the path of either file will do as well."""
    if prefix.suffix in (".bin", ".idx"):
        prefix = prefix.with_suffix("")
    return prefix.with_name(prefix.name + ".bin"), prefix.with_name(prefix.name + ".idx")


@dataclass(frozen=True)
class Indexed:
    """A pair of files that has been checked.

    Attributes
    ----------
    path : Path
        File of the tokens.
    data : ndarray
        All tokens, memory-mapped, in the dtype of the file.
    starts, sizes : ndarray of int64, shape (n,)
        Position of the first token and number of tokens of each sequence.
    documents : ndarray of int64, shape (documents + 1,), or None
        Of Megatron's files: number of the first sequence of each document, and n.
    """

    path: Path
    data: npt.NDArray[Any]
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    def sequence(self, index: int) -> npt.NDArray[Any]:
        """Tokens of one sequence."""
        start = int(self.starts[index])
        return self.data[start : start + int(self.sizes[index])]

    def runs(self, most: int = 1 << 20) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]:
        """Consecutive sequences, about ``most`` tokens at a time, with the end of each document among these tokens.

        Without a table of documents each sequence is one. A document may go on in the next run, and an empty document
        counts for nothing where there is a table.
        """
        lasts = None if self.documents is None else np.unique(self.documents) - 1
        for first, tokens, ends in self._sequences(most):
            if lasts is None:
                yield tokens, ends
                continue
            last = lasts - first
            yield tokens, ends[last[(last >= 0) & (last < len(ends))]]

    def _sequences(self, most: int) -> Iterator[tuple[int, npt.NDArray[Any], npt.NDArray[np.int64]]]:
        first = 0
        while first < len(self):
            ends = np.cumsum(self.sizes[first : first + most])
            count = max(1, int(np.searchsorted(ends, most, "right")))
            chosen = range(first, first + count)
            yield first, np.concatenate([self.sequence(i) for i in chosen]), ends[:count]
            first += count


def open_indexed(prefix: Path) -> Indexed:
    """Open a pair of files.

    Raises
    ------
    SourceError
        When they are damaged, or are not such files.
    """
    bin_path, idx_path = paths_of(prefix)
    try:
        size = check_regular(idx_path).st_size
        with naming(idx_path), idx_path.open("rb") as file:
            head = file.read(_HEAD.size)
        tokens = check_regular(bin_path).st_size
    except OSError as error:
        raise SourceError(f"{error.filename}: cannot be read: {error.strerror}") from None
    if len(head) < _HEAD.size or head[:9] != MAGIC:
        raise SourceError(f"{idx_path}: not the index of memory-mapped tokens (it does not begin with MMIDIDX)")
    _, version, code, count = _HEAD.unpack(head)
    if version != 1 or code not in DTYPES:
        raise SourceError(f"{idx_path}: version {version} with tokens of type {code} is unknown")
    offset, entries = _tables(idx_path, size, count)
    dtype = np.dtype(DTYPES[code])
    if tokens % dtype.itemsize:
        raise SourceError(f"{bin_path}: {tokens:,} bytes are not a whole number of {dtype.name} tokens; is it cut?")
    sizes = read_numbers(idx_path, "<i4", count, offset).astype(np.int64)
    pointers = read_numbers(idx_path, "<i8", count, offset + 4 * count)
    bad = (sizes < 0) | (pointers < 0) | (pointers % dtype.itemsize != 0)
    bad |= pointers > tokens - sizes * dtype.itemsize
    if bad.any():
        place = int(np.flatnonzero(bad)[0])
        raise SourceError(
            f"{idx_path}: sequence {place:,} has {sizes[place]:,} tokens at byte {pointers[place]:,}, which "
            f"{bin_path.name} with {tokens:,} bytes does not hold; is it cut?"
        )
    data: npt.NDArray[Any] = np.empty(0, dtype)
    if tokens:
        with open_binary(bin_path) as file:
            data = map_file(file).view(dtype)
    documents = None
    if entries is not None:
        documents = read_numbers(idx_path, "<i8", entries, offset + 12 * count).astype(np.int64)
        if not entries or documents[0] != 0 or documents[-1] != count or (np.diff(documents) < 0).any():
            raise SourceError(
                f"{idx_path}: its table of documents does not divide its {count:,} sequences from first to last"
            )
    found = Indexed(bin_path, data, pointers // dtype.itemsize, sizes, documents)
    watch_memory(found, data, bin_path)
    return found


def is_megatron(prefix: Path) -> bool:
    """Whether a pair of files has a table of documents, as Megatron's have and fairseq's have not."""
    return open_indexed(prefix).documents is not None


def _tables(path: Path, size: int, count: int) -> tuple[int, int | None]:
    """Position of the sizes, and the number of entries of the table of documents; None if there is no such table."""
    rest = size - _HEAD.size - 12 * count
    if count < 1 << 48 and rest == 0:
        return _HEAD.size, None
    if count < 1 << 48 and rest >= 16:
        with naming(path), path.open("rb") as file:
            file.seek(_HEAD.size)
            entries = int.from_bytes(file.read(8), "little")
        if rest in (8 + 8 * entries, 8 + 8 * entries + count):
            return _HEAD.size + 8, entries
    raise SourceError(f"{path}: {size:,} bytes do not fit the {count:,} sequences it promises; is it cut?")
