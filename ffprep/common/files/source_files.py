"""Opening the files of a source: regular files alone, since a pipe would be waited for and a device may act on it."""

from __future__ import annotations

import io
import os
import stat
from collections import Counter
from collections.abc import Iterator
from io import BufferedReader
from typing import Any, TextIO

from ffprep.common.files.replacing import naming
from ffprep.errors import SourceError

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def check_regular(path: str | os.PathLike[str]) -> os.stat_result:
    """Check that a path leads to a regular file, without opening it, and return its status.

    Raises
    ------
    SourceError
        It leads to a pipe, a socket, a device or a folder, directly or by a link.
    OSError
        There is no such file.
    """
    status = os.stat(path)  # noqa: PTH116 - called for every image
    _refuse_others(path, status)
    return status


def _refuse_others(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
        raise SourceError(f"{os.fspath(path)}: is {kind} rather than a file; remove it or replace it by a file")


def open_regular(path: str | os.PathLike[str]) -> int:
    """Open a regular file for reading and return its descriptor; see `check_regular` for what is raised."""
    check_regular(path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # it may have been replaced by a pipe meanwhile
    try:
        _refuse_others(path, os.fstat(fd))
    except BaseException:
        os.close(fd)
        raise
    return fd


class NamedFile(io.FileIO):
    """An open file whose errors of reading name it, as those of opening do.

    Parameters
    ----------
    fd : int
        The descriptor, which it closes.
    path : path
    """

    def __init__(self, fd: int, path: str | os.PathLike[str]) -> None:
        super().__init__(fd, "rb")
        self._path = os.fspath(path)

    def readinto(self, buffer: Any) -> int:
        with naming(self._path):
            return super().readinto(buffer) or 0

    def readall(self) -> bytes:
        with naming(self._path):
            return super().readall() or b""


def open_binary(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file as a binary file; see `check_regular` for what is raised."""
    return BufferedReader(NamedFile(open_regular(path), path))


def open_text(path: str | os.PathLike[str]) -> TextIO:
    """Open a regular file as UTF-8 text; see `check_regular` for what is raised."""
    return io.TextIOWrapper(open_binary(path), encoding="utf-8")


def read_file(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """Return all bytes of a regular file; see `check_regular` for what is raised.

    Raises
    ------
    SourceError
        The file has more than `most` bytes.
    """
    fd = open_regular(path)
    try:
        size = os.fstat(fd).st_size
        if most is not None and size > most:
            raise SourceError(
                f"{os.fspath(path)}: {size:,} bytes are more than a sample may have ({most:,}); leave it out"
            )
        with naming(path):
            data = os.read(fd, size + 1)  # the additional byte shows whether the file has ended
            if len(data) != size:
                while more := os.read(fd, 1 << 20):
                    data += more
        return data
    finally:
        os.close(fd)


def read_text_file(path: str | os.PathLike[str]) -> str:
    """Return a regular file's UTF-8 text; raises UnicodeDecodeError, and what `check_regular` raises."""
    with open_text(path) as file:
        return file.read()


MOST_PATHS = 1000
"""Ways by which one folder may be reached, over symbolic links, when a folder is walked."""


def walk(root: str | os.PathLike[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a folder as ``os.walk`` does, following symbolic links, but not in circles.

    Raises
    ------
    SourceError
        A folder cannot be listed, a link leads to a folder that it is in, or links lead to one folder in more than
        `MOST_PATHS` ways.
    """
    ways: Counter[tuple[int, int]] = Counter()
    inside: dict[str, tuple[tuple[int, int], ...]] = {}
    for path, folders, names in os.walk(root, followlinks=True, onerror=_cannot_list):
        status = os.stat(path)  # noqa: PTH116 - as os.walk gives it
        own = (status.st_dev, status.st_ino)
        above = inside.pop(path, ())
        ways[own] += 1
        if own in above:
            raise SourceError(f"{path}: a link to a folder that it lies in, so that there is no end; remove the link")
        if ways[own] > MOST_PATHS:
            raise SourceError(f"{path}: links lead here in more than {MOST_PATHS:,} ways; remove some")
        yield path, folders, names
        for name in folders:
            inside[os.path.join(path, name)] = (*above, own)  # noqa: PTH118 - as os.walk gives it


def _cannot_list(error: OSError) -> None:
    raise SourceError(f"{error.filename}: cannot be listed: {error.strerror}")
