"""Sparse files of a cache folder, opened as others are."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from ffprep.remote.folder import SUFFIX
from ffprep.remote.source import PageSource


class SourceFile(io.FileIO):
    """The sparse file, to read head and tables of: their bytes are fetched before they are read, and stay.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.source = PageSource(path)
        super().__init__(path, "rb")

    def read(self, size: int | None = -1, /) -> bytes:
        """Read from where the file is."""
        place = self.tell()
        size = self.source.size - place if size is None or size < 0 else min(size, self.source.size - place)
        self.source.keep((place, size))
        return super().read(size) or b""


def is_cached(path: Path) -> bool:
    """Whether a path is that of a sparse file in a cache folder."""
    return path.parent.name.endswith(SUFFIX)


def pread(file: Any, size: int, offset: int) -> bytes:
    """Read bytes of a head or a table at an offset; those of a remote file are fetched before."""
    source = getattr(file, "source", None)
    if source is not None:
        source.keep((offset, size))
    return os.pread(file.fileno(), size, offset)
