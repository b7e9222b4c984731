"""Sets of files in a folder or in tar archives, which can be read by number from any thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ffprep.common.closing import call_when_gone, close_descriptors
from ffprep.common.files.source_files import open_regular, read_file, walk
from ffprep.common.files.tar import members, read_at
from ffprep.common.names import Clutter
from ffprep.errors import SourceError
from ffprep.jpeg.reading import FileRead, read_parts, read_whole_files

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
"""The endings, in lower case, by which torchvision's ImageFolder recognises images."""

OTHER_IMAGES = frozenset({".apng", ".avif", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jxl", ".tga"})
"""Endings of images that ImageFolder leaves out."""

LARGEST = 1 << 30
"""Bytes that a file of a data set's samples may have, since it is held in memory; 2^28 pixels take fewer."""


def check_size(size: int, label: str) -> None:
    """Raise `SourceError` about a file that has more than `LARGEST` bytes."""
    if size > LARGEST:
        raise SourceError(f"{label}: {size:,} bytes are more than a sample may have ({LARGEST:,}); leave it out")


class FileSet(Protocol):
    """Numbered files, wherever they are stored."""

    @property
    def names(self) -> Sequence[str]:
        """Paths of the files within the folder or archive, with forward slashes."""

    def read(self, index: int) -> bytes:
        """Read a whole file. Raises SourceError or OSError."""

    def size(self, index: int) -> int:
        """Size of a file in bytes."""

    def stamp(self, index: int) -> tuple[int, int] | None:
        """Size in bytes and time in nanoseconds of a file that is not part of an archive."""

    def take(self, order: npt.NDArray[np.int64]) -> FileSet:
        """The files with these numbers, in this order, as a new set."""


class TogetherFiles(FileSet, Protocol):
    """Files of which several are read in less time than one by one."""

    def read_together(self, indices: Sequence[int], most: int) -> Sequence[FileRead | None]:
        """Read several files, of `most` bytes together; None for those that `read` is to be called for."""

    def take(self, order: npt.NDArray[np.int64]) -> TogetherFiles:
        """The files with these numbers, in this order, as a new set."""


class FolderFiles:
    """Files within a folder.

    Parameters
    ----------
    root : Path
        The folder.
    names : Sequence[str]
        Paths of the files within it, with forward slashes.
    """

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = root
        self._prefix = f"{root}{os.sep}"
        self.names: Sequence[str] = names

    def read(self, index: int) -> bytes:
        return read_file(f"{self._prefix}{self.names[index]}", LARGEST)

    def read_together(self, indices: Sequence[int], most: int) -> Sequence[FileRead | None]:
        """Read several files, of `most` bytes together; None for those that `read` is to be called for."""
        return read_whole_files([f"{self._prefix}{self.names[index]}" for index in indices], most)

    def size(self, index: int) -> int:
        return (self.root / self.names[index]).stat().st_size

    def stamp(self, index: int) -> tuple[int, int]:
        """Size of a file in bytes, and its time in nanoseconds."""
        found = os.stat(f"{self._prefix}{self.names[index]}")  # noqa: PTH116 - called a million times
        return found.st_size, found.st_mtime_ns

    def take(self, order: npt.NDArray[np.int64]) -> FolderFiles:
        return FolderFiles(self.root, [self.names[i] for i in order])


class TarFiles:
    """Members of tar archives.

    Parameters
    ----------
    paths : Sequence[Path]
        The archives.
    names : Sequence[str]
        Names of the files.
    archive : ndarray of int32, shape (N,)
        Number of the archive that each file is in.
    offset, size : ndarray of int64, shape (N,)
        Place of each file in its archive, in bytes.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        names: Sequence[str],
        archive: npt.NDArray[np.int32],
        offset: npt.NDArray[np.int64],
        size: npt.NDArray[np.int64],
    ) -> None:
        self.paths = list(paths)
        self.names: Sequence[str] = names
        self._archive = archive
        self._offset = offset
        self._size = size
        self._fds = _Descriptors()

    def read(self, index: int) -> bytes:
        path = self.paths[self._archive[index]]
        check_size(int(self._size[index]), f"{path}, in it {self.names[index]}")
        return read_at(self._fds.get(path), int(self._offset[index]), int(self._size[index]), str(path))

    def read_together(self, indices: Sequence[int], most: int) -> Sequence[FileRead | None]:
        """Read several members, of `most` bytes together; None for those that `read` is to be called for."""
        chosen = np.asarray(indices, np.int64)
        try:
            opened = {number: self._fds.get(self.paths[number]) for number in set(self._archive[chosen].tolist())}
        except (SourceError, OSError):
            return [None] * len(chosen)
        fds = [opened[number] for number in self._archive[chosen].tolist()]
        return read_parts(fds, self._offset[chosen].tolist(), self._size[chosen].tolist(), most)

    def size(self, index: int) -> int:
        return int(self._size[index])

    def stamp(self, index: int) -> None:
        """There is none: members have no times of their own that count."""

    def take(self, order: npt.NDArray[np.int64]) -> TarFiles:
        names = [self.names[i] for i in order]
        return TarFiles(self.paths, names, self._archive[order], self._offset[order], self._size[order])


class _Descriptors:
    """Descriptors of files by path. Each is opened when it is first needed; a copy in another process starts empty."""

    def __init__(self) -> None:
        self._open: dict[Path, int] = {}
        self._lock = threading.Lock()
        call_when_gone(self, _close_all, self._open)

    def get(self, path: Path) -> int:
        fd = self._open.get(path)
        if fd is None:
            with self._lock:
                fd = self._open.get(path)
                if fd is None:
                    fd = self._open[path] = open_regular(path)
        return fd

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Descriptors, ())


def _close_all(files: dict[Path, int]) -> None:
    close_descriptors(files.values())


def walk_images(root: Path, folder: str, clutter: Clutter | None = None, others: list[str] | None = None) -> list[str]:
    """Paths within ``root`` of the images in its subfolder ``folder``, in the order of torchvision's ImageFolder.

    They are sorted by folder and then by name, as strings. Symbolic links are followed. Images are recognised by name.

    Parameters
    ----------
    root : Path
    folder : str
    clutter : Clutter, optional
        Decides about folders and files that systems leave behind; by default they are taken.
    others : list of str, optional
        Given the paths of images that ImageFolder leaves out because of their ending.
    """
    clutter = clutter or Clutter(taken=True)
    found: list[str] = []
    walked: list[tuple[str, list[str]]] = []
    for path, folders, names in walk(root / folder):
        below = os.path.relpath(path, root)
        prefix = "" if below == "." else below.replace(os.sep, "/") + "/"
        folders[:] = [name for name in folders if not clutter.leaves_out(prefix + name)]
        images = (prefix + name for name in sorted(names) if is_image_name(name))
        if others is not None:
            others += (prefix + name for name in sorted(names) if is_other_image(name))
        walked.append((path, [name for name in images if not clutter.leaves_out(name)]))
    for _, paths in sorted(walked):
        found += paths
    return found


def is_image_name(name: str) -> bool:
    """Whether a file name ends like that of an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - called a million times


def is_other_image(name: str) -> bool:
    """Whether a file name ends like that of an image that ImageFolder leaves out."""
    return os.path.splitext(name)[1].lower() in OTHER_IMAGES  # noqa: PTH122 - called a million times


def index_archives(paths: Iterable[Path], *, prefix: bool = False, clutter: Clutter | None = None) -> TarFiles:
    """All images in some tar archives and in the archives inside them, in the order of the archives.

    A file ``x.JPEG`` of an inner archive ``n1.tar`` is called ``n1/x.JPEG``.

    Parameters
    ----------
    paths : iterable of Path
        The archives.
    prefix : bool
        Whether each archive is a class: its name is then put before those of its files as well.
    clutter : Clutter, optional
        Decides about images and inner archives that systems leave behind; by default they are taken.

    Raises
    ------
    SourceError
        When an archive is damaged or incomplete.
    """
    clutter = clutter or Clutter(taken=True)
    listed = list(paths)
    names: list[str] = []
    where: list[tuple[int, int, int]] = []
    for number, path in enumerate(listed):
        fd = open_regular(path)
        try:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)  # headers are far apart, so reading ahead is useless
            for member in members(fd, label=str(path)):
                name = f"{path.stem}/{_relative(member.name)}" if prefix else _relative(member.name)
                if clutter.leaves_out(name, is_image_name(name) or name.endswith(".tar")):
                    continue
                if is_image_name(name):
                    names.append(name)
                    where.append((number, member.offset, member.size))
                elif name.endswith(".tar"):
                    inner = members(
                        fd,
                        label=f"{path}, in it {member.name}",
                        start=member.offset,
                        end=member.offset + member.size,
                    )
                    for image in inner:
                        if is_image_name(image.name):
                            inside = _relative(image.name)
                            if not clutter.leaves_out(f"{name[:-4]}/{inside}"):
                                names.append(f"{name[:-4]}/{inside}")
                                where.append((number, image.offset, image.size))
        finally:
            os.close(fd)
    table = np.array(where, np.int64).reshape(-1, 3)
    return TarFiles(listed, names, table[:, 0].astype(np.int32), table[:, 1].copy(), table[:, 2].copy())


def _relative(name: str) -> str:
    while name.startswith(("./", "/")):
        name = name[2:] if name[0] == "." else name[1:]
    return name
