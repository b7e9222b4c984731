"""Image-text pairs in webdataset tars, as ``ffprep download`` and img2dataset write and ``pixparse/cc3m-wds`` has them.

The members of a sample have the same name up to the first dot: ``000012345.jpg``, ``.txt`` (the caption) and ``.json``
(facts; their ``caption`` is used if there is no ``.txt``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.common.files.replacing import TEMPORARY
from ffprep.common.names import Clutter
from ffprep.errors import SourceError
from ffprep.sources.caption_source import CaptionSource
from ffprep.sources.reading.file_sets import TarFiles
from ffprep.sources.reading.left_out import LeftOut
from ffprep.sources.reading.shard_index import ABSENT, ShardIndex

LONGEST_CAPTION = 1 << 20
LONGEST_FACTS = 1 << 24
"""The most bytes of a ``.txt`` and of a ``.json`` member; larger ones are something else."""


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
            if self._texts.size(number) > LONGEST_CAPTION:
                raise SourceError(f"{self._texts.names[number]}: {self._texts.size(number):,} bytes are no caption")
            return [self._texts.read(number).decode("utf-8-sig", "replace").strip()]
        facts = self.facts(image)
        caption = facts.get("caption")
        if not isinstance(caption, str):
            name = self._facts.names[int(self._facts_of[image])]
            null = "caption" in facts and caption is None
            raise SourceError(f"{name}: {'its caption is null' if null else 'holds no caption'}")
        return [caption.strip()]

    def facts(self, image: int) -> dict[str, Any]:
        """The content of the ``.json`` member; empty if there is none or it is damaged."""
        number = int(self._facts_of[image])
        if number == ABSENT or self._facts.size(number) > LONGEST_FACTS:
            return {}
        try:
            found = json.loads(self._facts.read(number))
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class ShardSource(CaptionSource):
    """A `CaptionSource` whose images have a record of where they come from."""

    captions: ShardCaptions

    def record(self, ids: npt.NDArray[np.int64] | None = None) -> Iterator[dict[str, Any]]:
        """For each image its number and, if known, URL and digest, from which the subset can be reproduced.

        Parameters
        ----------
        ids : ndarray of int64, optional
            The numbers of those to list; by default all.
        """
        names = self._files.names
        for image in range(len(names)) if ids is None else map(int, np.flatnonzero(np.isin(self._ids, ids))):
            name = names[image]
            facts = self.captions.facts(image)
            line: dict[str, Any] = {"id": int(self._ids[image]), "url": str(facts.get("url") or ""), "name": name}
            for key in ("sha256", "width", "height"):
                if facts.get(key) is not None:
                    line[key] = facts[key]
            yield line


def find_shards(places: Sequence[Path], clutter: Clutter) -> list[Path]:
    """The given files, and the tar archives within the given folders, sorted by name.

    Raises
    ------
    SourceError
        When there is none.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found += sorted(
                path
                for path in place.rglob("*")
                if path.suffix.lower() == ".tar"
                and not path.is_dir()
                and not any(part.endswith(TEMPORARY) for part in path.relative_to(place).parts)
                and not clutter.leaves_out(path.relative_to(place).as_posix())
            )
        elif place.exists():
            found.append(place)
        else:
            raise SourceError(f"{place}: no such file or folder")
    if not found:
        raise SourceError(f"{', '.join(map(str, places))}: no .tar archives there")
    return found


def open_caption_shards(
    name: str, places: Sequence[Path], *, skip: bool = False, all_files: bool = False, **options: Any
) -> ShardSource:
    """Open images and captions in webdataset tars, in the order of the archives' names and of their members.

    Parameters
    ----------
    name : str
        Name of the data set.
    places : Sequence[Path]
        Archives, and folders that contain archives at any depth.
    skip : bool
        Whether to leave out, and name, samples that are not clear and what a damaged archive lacks; its whole samples
        are taken.
    all_files : bool
        Whether to take archives, and members of them, that systems leave behind (`ffprep.common.names.is_clutter`).
    **options
        As for `CaptionSource`. To the facts, numbers of incomplete samples are added.

    Raises
    ------
    SourceError
        When an archive is damaged, or a sample has two images or captions, and `skip` is False; when no image has a
        caption.
    """
    left_out, clutter = LeftOut(skip), Clutter(all_files)
    index = ShardIndex(find_shards(places, clutter), left_out, clutter)
    if not len(index.images):
        why = f"; {left_out.summary()}" if left_out else ""
        raise SourceError(
            f"{', '.join(map(str, places))}: no image with a caption in {len(index.paths)} archives, which hold "
            f"{index.endings() or 'no files'}{why}"
        )
    captions = ShardCaptions(index.files("texts"), index.files("facts"), *index.columns())
    facts = {"shards": len(index.paths), **index.facts, **clutter.facts, **options.pop("facts", {})}
    options = {"facts": facts, "left_out": left_out, "notes": clutter.notes(), **options}
    source = ShardSource(name, index.files("images"), index.ids(), captions, **options)
    source.captions = captions
    return source
