"""Sets of files in zip archives, which are read without unpacking, and sets joined from several others."""

from __future__ import annotations

import bz2
import copy
import lzma
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from ffprep.common.closing import call_when_gone, close_descriptors
from ffprep.common.files.expansion import read_member
from ffprep.common.files.source_files import check_regular, open_regular
from ffprep.common.files.tar import read_at
from ffprep.common.names import Clutter
from ffprep.errors import SourceError
from ffprep.sources.reading.file_sets import FileSet, check_size, is_image_name

_LOCAL_HEADER = 30
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    RuntimeError,
    EOFError,
    LookupError,
    OSError,
    ValueError,
    OverflowError,
    MemoryError,
)
"""What zipfile raises for archives that are damaged, encrypted, or compressed as it does not know."""


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """Open a member of an archive.

    zipfile unpacks bzip2 in one piece, of which a kilobyte may hold gigabytes, so the module bz2 does it here, bounded
    by what is asked for. It has checksums of its own, and the one that zipfile knows is that of the content.
    """
    if member.compress_type != zipfile.ZIP_BZIP2:
        return archive.open(member)
    packed = copy.copy(member)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, member.compress_size
    packed.CRC = None  # type: ignore[assignment]
    return cast(IO[bytes], bz2.open(archive.open(packed)))


class ZipFiles:
    """Members of a zip archive.

    Parameters
    ----------
    path : Path
        The archive.
    wanted : Callable[[str], bool]
        Given a member's name, returns whether to include it.
    clutter : Clutter, optional
        Decides about what archivers leave behind, such as ``__MACOSX``; by default it is left out.

    Raises
    ------
    SourceError
        When the file is not a zip archive.
    """

    def __init__(
        self, path: Path, wanted: Callable[[str], bool] = is_image_name, clutter: Clutter | None = None
    ) -> None:
        clutter = clutter or Clutter()
        try:
            check_regular(path)
            archive = zipfile.ZipFile(path)
        except DAMAGE as error:
            raise SourceError(f"{path}: cannot be read as a zip archive: {error}") from None
        members = [
            m
            for m in archive.infolist()
            if m.filename and not m.is_dir() and wanted(m.filename) and not clutter.leaves_out(m.filename)
        ]
        self._setup(path, archive, members)

    def _setup(self, path: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
        self.path = path
        self._archive = archive
        self._members = members
        self._lock = threading.Lock()
        self._fd = open_regular(path)
        call_when_gone(self, close_descriptors, (self._fd,))
        self.names: Sequence[str] = [member.filename for member in members]

    def read(self, index: int) -> bytes:
        member = self._members[index]
        check_size(member.file_size, f"{self.path}, in it {member.filename}")
        try:
            if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1:
                # Members are usually not compressed: they are read directly, without a lock, from any thread.
                header = read_at(self._fd, member.header_offset, _LOCAL_HEADER, str(self.path))
                if header[:4] == b"PK\3\4":
                    skip = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
                    start = member.header_offset + _LOCAL_HEADER + skip
                    return read_at(self._fd, start, member.file_size, f"{self.path}, in it {member.filename}")
            with self._lock, open_member(self._archive, member) as file:
                data = read_member(file, member.file_size + 1)
            if len(data) != member.file_size:
                raise zipfile.BadZipFile(f"it has more or less than the {member.file_size:,} bytes that it states")
            return data
        except DAMAGE as error:
            raise SourceError(f"{self.path}, in it {member.filename}: {error}") from None

    def size(self, index: int) -> int:
        return self._members[index].file_size

    def stamp(self, index: int) -> None:
        """There is none: members have no times of their own that count."""

    def take(self, order: npt.NDArray[np.int64]) -> ZipFiles:
        taken = ZipFiles.__new__(ZipFiles)
        taken._setup(self.path, zipfile.ZipFile(self.path), [self._members[i] for i in order])
        return taken

    def __reduce__(self) -> tuple[Any, ...]:
        names = set(self.names)
        return (ZipFiles, (self.path, names.__contains__))


class JoinedFiles:
    """Files from several sets, as one set.

    Parameters
    ----------
    groups : Sequence[FileSet]
        The sets.
    group, number : ndarray of int64, shape (N,)
        For each file, its set and its number in that set.
    """

    def __init__(self, groups: Sequence[FileSet], group: npt.NDArray[np.int64], number: npt.NDArray[np.int64]) -> None:
        self._groups = list(groups)
        self._group = group
        self._number = number
        self.names: Sequence[str] = [
            self._groups[g].names[n] for g, n in zip(group.tolist(), number.tolist(), strict=True)
        ]

    def read(self, index: int) -> bytes:
        data: bytes = self._groups[self._group[index]].read(int(self._number[index]))
        return data

    def size(self, index: int) -> int:
        return int(self._groups[self._group[index]].size(int(self._number[index])))

    def stamp(self, index: int) -> tuple[int, int] | None:
        """As of the set that a file belongs to."""
        stamp: tuple[int, int] | None = self._groups[self._group[index]].stamp(int(self._number[index]))
        return stamp

    def take(self, order: npt.NDArray[np.int64]) -> JoinedFiles:
        return JoinedFiles(self._groups, self._group[order], self._number[order])
