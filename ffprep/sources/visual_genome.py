"""Visual Genome: about fifty region descriptions per image, each taken as a caption of the whole image."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ffprep.common.source_files import open_text
from ffprep.errors import SourceError
from ffprep.sources.caption_source import CaptionSource, ListedCaptions, as_text
from ffprep.sources.reading.image_names import ImageNames
from ffprep.sources.reading.zipped import ZipFiles

_CHUNK = 1 << 20
_LARGEST_ITEM = 1 << 26


def open_visual_genome(images: Sequence[Path], annotations: Path, **options: Any) -> CaptionSource:
    """Open Visual Genome's images and region descriptions.

    Parameters
    ----------
    images : Sequence[Path]
        Folders or zip archives (``VG_100K``, ``VG_100K_2``, ``images.zip``, ``images2.zip``).
    annotations : Path
        ``region_descriptions.json`` or its zip archive. It is read item by item, since as a whole it would take several
        GB of memory.
    **options
        As for `CaptionSource`.

    Raises
    ------
    SourceError
        When a file is not of the expected form, or no image has a description.
    """
    names = ImageNames(images)
    files: list[str] = []
    ids: list[int] = []
    captions: list[list[str]] = []
    facts: dict[str, Any] = {"annotations": annotations.name, "images_missing": 0, "images_without_caption": 0}
    for number, item in enumerate(_items(annotations)):
        where = f"{annotations}, image {number}"
        try:
            key = int(item["id"])
            phrases = [as_text(region["phrase"], where) for region in item["regions"]]
        except (KeyError, TypeError, ValueError):
            raise SourceError(f"{where}: lacks id or regions with phrases") from None
        file = next((name for name in (f"{key}.jpg", f"{key}.png") if name in names), None)
        if file is None:
            facts["images_missing"] += 1
        elif not phrases:
            facts["images_without_caption"] += 1
        else:
            files.append(file)
            ids.append(key)
            captions.append(phrases)
    if not files:
        raise SourceError(f"{annotations}: none of its images is in {', '.join(map(str, images))}")
    facts["images_not_annotated"] = len(names) - len(files) - facts["images_without_caption"]
    facts["captions_empty"] = sum(not phrase.strip() for phrases in captions for phrase in phrases)
    listed = ListedCaptions(captions)
    return CaptionSource("vg", names.take(files), np.array(ids, np.int64), listed, facts=facts, **options)


def _items(path: Path) -> Iterator[Any]:
    if path.suffix.lower() == ".zip":
        found = ZipFiles(path, lambda name: name.endswith("region_descriptions.json"))
        if not found.names:
            raise SourceError(f"{path}: holds no region_descriptions.json")
        yield from json_items(io.TextIOWrapper(io.BytesIO(found.read(0)), encoding="utf-8"), str(path))
        return
    with open_text(path) as file:
        yield from json_items(file, str(path))


def json_items(file: IO[str], where: str) -> Iterator[Any]:
    """Yield the elements of a JSON array one at a time, without holding the whole array in memory.

    Raises
    ------
    SourceError
        When the text is not a JSON array, or an element takes more than 64 million characters.
    """
    decoder = json.JSONDecoder()
    text = file.read(_CHUNK).lstrip()
    if not text.startswith("["):
        raise SourceError(f"{where}: not a JSON array")
    at = 1
    number = 0
    wanted = _CHUNK
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if text[at : at + 1] == "]":
            return
        try:
            item, end = decoder.raw_decode(text, at)
            complete = end < len(text)  # a number may continue in the next chunk
        except (ValueError, RecursionError):
            complete = False
        if complete:
            yield item
            at, number, wanted = end, number + 1, _CHUNK
            continue
        more = file.read(wanted)
        if not more or len(text) - at > _LARGEST_ITEM:
            raise SourceError(f"{where}: ends or is damaged in element {number}: is the file complete?")
        text, at = text[at:] + more, 0
        wanted *= 2  # so that a large element is parsed again only a few times
