"""Visual Genome: about fifty region descriptions per image, each taken as a caption of the whole image."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.common.names import Clutter
from ffprep.errors import SourceError
from ffprep.sources.caption_source import CaptionSource, ListedCaptions
from ffprep.sources.reading.annotations import caption_fault, open_annotations
from ffprep.sources.reading.image_ids import ImageIds
from ffprep.sources.reading.image_names import ImageNames, Wanted
from ffprep.sources.reading.left_out import LeftOut
from ffprep.text.documents.json_arrays import json_items


def open_visual_genome(
    images: Sequence[Path], annotations: Path, *, skip: bool = False, all_files: bool = False, **options: Any
) -> CaptionSource:
    """Open Visual Genome's images and region descriptions.

    Parameters
    ----------
    images : Sequence[Path]
        Folders or zip archives (``VG_100K``, ``VG_100K_2``, ``images.zip``, ``images2.zip``).
    annotations : Path
        ``region_descriptions.json`` or its zip archive. It is read item by item, since as a whole it would take several
        GB of memory.
    skip : bool
        Whether to leave out, and count, images and phrases whose description is bad.
    all_files : bool
        Whether to take images that systems leave behind (`ffprep.common.names.is_clutter`).
    **options
        As for `CaptionSource`.

    Raises
    ------
    SourceError
        When a file is not of the expected form, a description is bad and `skip` is False, it cannot be told which image
        one means, or no image has a description.
    """
    clutter = Clutter(all_files)
    names = ImageNames(images, clutter)
    left_out = LeftOut(skip)
    files: list[Wanted] = []
    ids: list[int] = []
    captions: list[list[str]] = []
    facts: dict[str, Any] = {"annotations": annotations.name, "images_missing": 0, "images_without_caption": 0}
    facts |= clutter.facts
    for name, key, phrases in _described(annotations, left_out):
        file = next((base for base in (f"{key}.jpg", f"{key}.png") if base in names), None)
        if file is None:
            facts["images_missing"] += 1
            continue
        found = []
        for number, phrase in enumerate(phrases):
            if (fault := caption_fault(phrase)) is not None:
                left_out.add(annotations, f"{name}, region {number}", fault)
            else:
                found.append(phrase)
        facts["images_without_caption"] += not found
        files.append(Wanted(file))
        ids.append(key)
        captions.append(found)
    places = names.match(files, [True] * len(files))
    usable = [number for number, phrases in enumerate(captions) if phrases]
    if not usable:
        raise SourceError(f"{annotations}: none of its images with descriptions is in {names.where}")
    beside, elsewhere = names.not_among(places)
    facts |= {"images_not_annotated": beside, "images_elsewhere_not_annotated": elsewhere}
    facts["captions_empty"] = sum(not phrase.strip() for phrases in captions for phrase in phrases)
    return CaptionSource(
        "vg",
        names.take([place for number in usable if (place := places[number]) is not None]),
        np.array([ids[number] for number in usable], np.int64),
        ListedCaptions([captions[number] for number in usable]),
        facts=facts,
        left_out=left_out,
        notes=names.notes(),
        **options,
    )


def _described(path: Path, left_out: LeftOut) -> Iterator[tuple[str, int, list[Any]]]:
    """Each image's name in messages, number and phrases."""
    ids = ImageIds()
    with open_annotations(path, lambda names: _member(path, names)) as (file, where):
        for number, item in enumerate(json_items(io.TextIOWrapper(file, encoding="utf-8-sig"), where)):
            name = f"image {number}"
            regions = item.get("regions") if isinstance(item, dict) else None
            if not isinstance(regions, list) or item.get("id") is None:
                left_out.add(path, name, "lacks id or regions with phrases")
                continue
            try:
                key = ids.number(item["id"])
            except ValueError as error:
                left_out.add(path, name, str(error))
                continue
            yield f"{name} (id {key})", key, [r.get("phrase") if isinstance(r, dict) else None for r in regions]


def _member(path: Path, names: list[str]) -> str:
    found = [name for name in names if name.endswith("region_descriptions.json")]
    if not found:
        raise SourceError(f"{path}: holds no region_descriptions.json")
    return found[0]
