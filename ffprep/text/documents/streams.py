"""Reads bytes that come in order only: compressed files, parts of files, and files within archives in these."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from ffprep.common.files.expansion import Counted, expanding
from ffprep.common.files.replacing import naming
from ffprep.common.files.source_files import open_regular
from ffprep.errors import OptionError, SourceError
from ffprep.text.documents.cleaning import WHOLE

DAMAGE = (lzma.LZMAError, zlib.error, EOFError, OSError, ValueError)
"""The exceptions that decompressors raise for damaged or truncated data."""

_MAGIC = {b"\xfd7zXZ\0": "xz", b"\x1f\x8b": "gz", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zst"}
SUFFIXES = frozenset({".xz", ".gz", ".bz2", ".zst"})


class FilePart(io.RawIOBase):
    """The bytes from ``offset`` to ``offset + size`` of a file, as a file of their own.

    Parameters
    ----------
    path : Path
    offset : int
        Position of the first byte.
    size : int, optional
        Number of bytes; by default all up to the end.
    """

    def __init__(self, path: Path, offset: int = 0, size: int | None = None) -> None:
        self._fd = open_regular(path)
        self._at = offset
        self._end = os.fstat(self._fd).st_size if size is None else offset + size
        self.name = str(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer)).cast("B")
        with naming(self.name):
            data = os.pread(self._fd, min(len(view), self._end - self._at), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


class Pieces(io.RawIOBase):
    """The bytes that an iterator gives, as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer)).cast("B")
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def compression(head: bytes) -> str | None:
    """Compression of a file by its first bytes: ``xz``, ``gz``, ``bz2``, ``zst`` or None."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def decompressed(raw: io.RawIOBase) -> BinaryIO:
    """Open a file's content, decompressed if it begins like an xz, gzip, bzip2 or Zstandard file.

    Reading raises `SourceError` where the content grows out of proportion; see `ffprep.common.files.expansion`.

    Raises
    ------
    OptionError
        When the file is compressed with Zstandard and pyarrow is not installed.
    """
    counted = Counted(raw)
    file = io.BufferedReader(counted, 1 << 18)
    kind = compression(file.peek(6)[:6])
    if kind is None:
        return file
    opened: Any
    if kind == "xz":
        opened = lzma.open(file)  # noqa: SIM115 - the caller closes it
    elif kind == "gz":
        opened = gzip.open(file)  # noqa: SIM115 - the caller closes it
    elif kind == "bz2":
        opened = bz2.open(file)  # noqa: SIM115 - the caller closes it
    else:
        opened = _zstandard(file)
    return expanding(opened, lambda: counted.count, str(getattr(raw, "name", "a file in an archive")))


def _zstandard(file: BinaryIO) -> IO[bytes]:
    try:
        import pyarrow as pa
    except ImportError:
        raise OptionError("Zstandard files need pyarrow: pip install 'ffprep[convert]'") from None
    return cast(IO[bytes], pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))


class Forward:
    """Reads a stream at given offsets, like ``pread``, except that the offsets must not decrease.

    Parameters
    ----------
    stream : binary file
    label : str
        Its name in error messages.
    """

    def __init__(self, stream: BinaryIO, label: str) -> None:
        self._stream = stream
        self._label = label
        self._at = 0

    def read_at(self, offset: int, size: int) -> bytes:
        """Read ``size`` bytes from ``offset`` on, or fewer at the end of the stream.

        Raises
        ------
        SourceError
            When the compressed data are damaged or incomplete.
        """
        self._skip(offset - self._at)
        data = self._read(size)
        self._at += len(data)
        return data

    def pieces(self, offset: int, size: int) -> Iterator[bytes]:
        """Read ``size`` bytes from ``offset`` on, in pieces of ``WHOLE`` bytes.

        Raises
        ------
        SourceError
            When the stream ends too early.
        """
        end = offset + size
        while offset < end:
            piece = self.read_at(offset, min(WHOLE, end - offset))
            if not piece:
                raise SourceError(f"{self._label}: ends {end - offset:,} bytes early; is the file complete?")
            offset += len(piece)
            yield piece

    def _skip(self, count: int) -> None:
        if count < 0:
            raise ValueError("the stream is past that place")
        while count > 0:
            piece = self._read(min(count, WHOLE))
            if not piece:
                return
            self._at += len(piece)
            count -= len(piece)

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except DAMAGE as error:
            raise SourceError(
                f"{self._label}: damaged or incomplete after {self._at:,} bytes of content: {error}"
            ) from None
