"""Image-text pairs in webdataset tars, as ``ffprep download`` and img2dataset write and ``pixparse/cc3m-wds`` has them.

The members of a sample follow one another, and have the same name up to the first dot: ``000012345.jpg``, ``.txt`` (the
caption) and ``.json`` (facts; their ``caption`` is used if there is no ``.txt``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.common.names import in_clutter
from ffprep.common.source_files import check_regular, open_regular
from ffprep.common.tar import members
from ffprep.errors import SourceError
from ffprep.sources.caption_source import CaptionSource
from ffprep.sources.reading.file_sets import TarFiles, is_image_name

ABSENT = -1
_MORE = ("gif", "avif")
"""Formats that servers send, in addition to those found in folders of photographs."""


class ShardCaptions:
    """The captions and facts in webdataset tars, which are read when they are needed.

    Parameters
    ----------
    texts, facts : TarFiles
        The ``.txt`` and ``.json`` members.
    text_of, facts_of : ndarray of int64, shape (images,)
        Number of each image's member in these; -1 if it has none.
    """

    def __init__(
        self, texts: TarFiles, facts: TarFiles, text_of: npt.NDArray[np.int64], facts_of: npt.NDArray[np.int64]
    ) -> None:
        self._texts, self._facts = texts, facts
        self._text_of, self._facts_of = text_of, facts_of
        self.counts: npt.NDArray[np.int64] = np.ones(len(text_of), np.int64)

    def of(self, image: int) -> Sequence[str]:
        number = int(self._text_of[image])
        if number != ABSENT:
            return [self._texts.read(number).decode("utf-8", "replace").strip()]
        caption = self.facts(image).get("caption")
        if not isinstance(caption, str):
            raise SourceError(f"{self._facts.names[int(self._facts_of[image])]}: holds no caption")
        return [caption.strip()]

    def facts(self, image: int) -> dict[str, Any]:
        """The content of the ``.json`` member; empty if there is none or it is damaged."""
        number = int(self._facts_of[image])
        if number == ABSENT:
            return {}
        try:
            found = json.loads(self._facts.read(number))
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class ShardSource(CaptionSource):
    """A `CaptionSource` whose images have a record of where they come from."""

    captions: ShardCaptions

    def record(self) -> Iterator[dict[str, Any]]:
        """For each image its number and, if known, URL and digest, from which the subset can be reproduced."""
        for image, name in enumerate(self._files.names):
            facts = self.captions.facts(image)
            line: dict[str, Any] = {"id": int(self._ids[image]), "url": str(facts.get("url") or ""), "name": name}
            for key in ("sha256", "width", "height"):
                if facts.get(key) is not None:
                    line[key] = facts[key]
            yield line


def find_shards(places: Sequence[Path]) -> list[Path]:
    """The given files, and the tar archives within the given folders, sorted by name.

    Raises
    ------
    SourceError
        When there is none.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found += sorted(p for p in place.rglob("*.tar") if not in_clutter(p.relative_to(place).as_posix()))
        elif place.exists():
            check_regular(place)
            found.append(place)
        else:
            raise SourceError(f"{place}: no such file or folder")
    if not found:
        raise SourceError(f"{', '.join(map(str, places))}: no .tar archives there")
    return found


def open_caption_shards(name: str, places: Sequence[Path], **options: Any) -> ShardSource:
    """Open images and captions in webdataset tars, in the order of the archives' names and of their members.

    Parameters
    ----------
    name : str
        Name of the data set.
    places : Sequence[Path]
        Archives, and folders that contain archives at any depth.
    **options
        As for `CaptionSource`. To the facts, numbers of incomplete samples are added.

    Raises
    ------
    SourceError
        When an archive is damaged, or holds no image with a caption.
    """
    index = _Index(find_shards(places))
    if not len(index.images):
        raise SourceError(f"{', '.join(map(str, places))}: no image with a caption in {len(index.paths)} archives")
    captions = ShardCaptions(index.files("texts"), index.files("facts"), *index.columns())
    facts = {"shards": len(index.paths), **index.facts, **options.pop("facts", {})}
    source = ShardSource(name, index.files("images"), index.ids(), captions, facts=facts, **options)
    source.captions = captions
    return source


class _Index:
    """Places of the images, captions and facts in some archives."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.facts = {"images_without_caption": 0, "captions_without_image": 0}
        self._tables: dict[str, tuple[list[str], list[tuple[int, int, int]]]] = {
            kind: ([], []) for kind in ("images", "texts", "facts")
        }
        self._rows: list[tuple[int, int]] = []
        for number, path in enumerate(paths):
            self._walk(number, path)

    def _walk(self, number: int, path: Path) -> None:
        fd = open_regular(path)
        try:
            key = ""
            sample: dict[str, tuple[str, tuple[int, int, int]]] = {}
            for member in members(fd, label=str(path)):
                if in_clutter(member.name):
                    continue
                folder, _, file = member.name.rpartition("/")
                stem, _, extension = file.partition(".")
                if (folder + "/" + stem) != key:
                    self._close(sample)
                    key, sample = folder + "/" + stem, {}
                kind = {"txt": "texts", "json": "facts"}.get(extension.lower())
                if kind is None and (is_image_name(member.name) or extension.lower() in _MORE):
                    kind = "images"
                if kind is not None:
                    sample.setdefault(kind, (f"{path.stem}/{member.name}", (number, member.offset, member.size)))
            self._close(sample)
        finally:
            os.close(fd)

    def _close(self, sample: dict[str, tuple[str, tuple[int, int, int]]]) -> None:
        if not sample:
            return
        if "images" not in sample:
            self.facts["captions_without_image"] += "texts" in sample or "facts" in sample
            return
        if "texts" not in sample and "facts" not in sample:
            self.facts["images_without_caption"] += 1
            return
        place = {}
        for kind, (name, where) in sample.items():
            names, table = self._tables[kind]
            place[kind] = len(names)
            names.append(name)
            table.append(where)
        self._rows.append((place.get("texts", ABSENT), place.get("facts", ABSENT)))

    @property
    def images(self) -> list[str]:
        return self._tables["images"][0]

    def files(self, kind: str) -> TarFiles:
        names, where = self._tables[kind]
        table = np.array(where, np.int64).reshape(-1, 3)
        return TarFiles(self.paths, names, table[:, 0].astype(np.int32), table[:, 1].copy(), table[:, 2].copy())

    def columns(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        table = np.array(self._rows, np.int64).reshape(-1, 2)
        return table[:, 0].copy(), table[:, 1].copy()

    def ids(self) -> npt.NDArray[np.int64]:
        """The images' names as numbers if all are different numbers, as img2dataset's are; otherwise 0, 1, 2, ..."""
        stems = [name.rsplit("/", 1)[-1].partition(".")[0] for name in self.images]
        if all(stem.isascii() and stem.isdigit() and len(stem) <= 18 for stem in stems):
            numbers = np.array([int(stem) for stem in stems], np.int64)
            if len(np.unique(numbers)) == len(numbers):
                return numbers
        return np.arange(len(stems), dtype=np.int64)
