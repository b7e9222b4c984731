"""Finds images in folders and zip archives by the names that annotations give them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ffprep.errors import SourceError
from ffprep.sources.reading.file_sets import FileSet, FolderFiles, walk_images
from ffprep.sources.reading.zipped import JoinedFiles, ZipFiles


class ImageNames:
    """All images in some folders and zip archives, by file name. Of images with the same name, the first is used.

    Parameters
    ----------
    places : Sequence[Path]
        Folders, which are searched at any depth, and ``.zip`` files.

    Raises
    ------
    SourceError
        When a place does not exist, or no image is found.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self.places = list(places)
        self._groups: list[FileSet] = []
        self._found: dict[str, tuple[int, int]] = {}
        for place in places:
            if place.is_dir():
                self._add(FolderFiles(place, walk_images(place, ".", [])))
            elif place.suffix.lower() == ".zip":
                self._add(ZipFiles(place))
            else:
                raise SourceError(f"{place}: neither a folder of images nor a .zip archive")
        if not self._found:
            raise SourceError(f"{', '.join(map(str, places))}: no images there")

    def _add(self, files: FileSet) -> None:
        for number, name in enumerate(files.names):
            self._found.setdefault(name.rsplit("/", 1)[-1], (len(self._groups), number))
        self._groups.append(files)

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def take(self, names: Sequence[str]) -> JoinedFiles:
        """The images with these names, in this order."""
        table = np.array([self._found[name] for name in names], np.int64).reshape(-1, 2)
        return JoinedFiles(self._groups, table[:, 0].copy(), table[:, 1].copy())
