"""COCO captions: the official splits of 2014 and 2017, and Karpathy's split.

Karpathy's split (``dataset_coco.json``) divides the 123,287 images of train2014 and val2014 into train (82,783),
restval (30,504), val (5,000) and test (5,000). Most papers train on ``train+restval``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ffprep.common.source_files import read_file
from ffprep.errors import OptionError, SourceError
from ffprep.sources.caption_source import CaptionSource, ListedCaptions, as_text, parse_json
from ffprep.sources.reading.image_names import ImageNames
from ffprep.sources.reading.zipped import ZipFiles

KARPATHY = ("train", "restval", "val", "test")


class Annotated(NamedTuple):
    """An image as described by the annotations."""

    image_id: int
    file_name: str
    captions: list[str]


def open_coco(images: Sequence[Path], annotations: Path, split: str | None = None, **options: Any) -> CaptionSource:
    """Open COCO's images and captions.

    Parameters
    ----------
    images : Sequence[Path]
        Folders, which are searched at any depth, or zip archives such as ``train2017.zip``. Karpathy's split needs both
        sets of 2014.
    annotations : Path
        ``captions_train2017.json``, Karpathy's ``dataset_coco.json``, or a zip archive that contains one of these
        (``annotations_trainval2017.zip``, ``caption_datasets.zip``).
    split : str, optional
        For Karpathy's file, ``karpathy:`` and one or more of train, restval, val and test, joined by ``+``. For a zip
        archive with several annotation files, the one to take, such as ``train2017``.
    **options
        As for `CaptionSource`.

    Returns
    -------
    CaptionSource
        Images in the order of the annotations. Its ``facts`` count what does not match: annotated images that are
        missing (``images_missing``), images without an annotation (``images_not_annotated``), annotated images without
        a caption (``images_without_caption``), captions of unknown images (``captions_without_image``), and empty
        captions (``captions_empty``).

    Raises
    ------
    SourceError
        When a file is not of the expected form, or no image has a caption.
    """
    splits = _karpathy_splits(split)
    content = parse_json(_annotation_bytes(annotations, split, karpathy=bool(splits)), str(annotations))
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise SourceError(f"{annotations}: no COCO annotations: there is no list of images in it")
    facts: dict[str, Any] = {"annotations": annotations.name, "split": split or ""}
    if splits:
        listed = list(_karpathy(content["images"], splits, str(annotations)))
        facts["captions_without_image"] = 0
    elif "annotations" in content:
        listed, facts["captions_without_image"] = _official(content, str(annotations))
    else:
        raise SourceError(f"{annotations}: looks like Karpathy's split; choose with --split karpathy:train+restval")
    return _match(ImageNames(images), listed, facts, str(annotations), options)


def _match(
    names: ImageNames, listed: list[Annotated], facts: dict[str, Any], where: str, options: dict[str, Any]
) -> CaptionSource:
    present = [image for image in listed if image.file_name in names]
    usable = [image for image in present if image.captions]
    if not usable:
        example = listed[0].file_name if listed else "none"
        raise SourceError(
            f"{where}: none of its {len(listed):,} images (such as {example}) is in {', '.join(map(str, names.places))}"
        )
    facts |= {
        "images_missing": len(listed) - len(present),
        "images_without_caption": len(present) - len(usable),
        "images_not_annotated": len(names) - len({image.file_name for image in present}),
        "captions_empty": sum(not caption.strip() for image in usable for caption in image.captions),
    }
    return CaptionSource(
        "coco",
        names.take([image.file_name for image in usable]),
        np.array([image.image_id for image in usable], np.int64),
        ListedCaptions([image.captions for image in usable]),
        facts=facts,
        **options,
    )


def _karpathy_splits(split: str | None) -> list[str]:
    if split is None or not split.startswith("karpathy:"):
        return []
    chosen = split.removeprefix("karpathy:").split("+")
    for name in chosen:
        if name not in KARPATHY:
            raise OptionError(f"split {split!r}: Karpathy's splits are {', '.join(KARPATHY)}, joined by +")
    return chosen


def _annotation_bytes(path: Path, split: str | None, karpathy: bool) -> bytes:
    if path.suffix.lower() != ".zip":
        return read_file(path)
    stem = "dataset_coco" if karpathy else f"captions_{split or ''}"
    files = ZipFiles(path, lambda name: name.endswith(".json") and name.rsplit("/", 1)[-1].startswith(stem))
    if len(files.names) != 1:
        found = ", ".join(files.names) or "none"
        raise SourceError(f"{path}: choose the annotation file with --split (such as train2017); found: {found}")
    return files.read(0)


def _official(content: dict[str, Any], where: str) -> tuple[list[Annotated], int]:
    found: dict[int, Annotated] = {}
    for number, image in enumerate(content["images"]):
        try:
            key = int(image["id"])
            found.setdefault(key, Annotated(key, str(image["file_name"]).rsplit("/", 1)[-1], []))
        except (KeyError, TypeError, ValueError):
            raise SourceError(f"{where}, image {number}: has no id and file_name") from None
    annotations = content["annotations"]
    if not isinstance(annotations, list):
        raise SourceError(f"{where}: annotations is no list")
    unknown = 0
    for number, annotation in enumerate(annotations):
        try:
            known = found.get(int(annotation["image_id"]))
            caption = as_text(annotation["caption"], f"{where}, annotation {number}")
        except (KeyError, TypeError, ValueError):
            raise SourceError(
                f"{where}, annotation {number}: has no image_id and caption; is it a file of captions?"
            ) from None
        if known is None:
            unknown += 1
        else:
            known.captions.append(caption)
    return list(found.values()), unknown


def _karpathy(images: list[Any], splits: list[str], where: str) -> Iterator[Annotated]:
    for number, image in enumerate(images):
        try:
            if image["split"] in splits:
                captions = [as_text(s["raw"], f"{where}, image {number}") for s in image["sentences"]]
                yield Annotated(int(image["cocoid"]), str(image["filename"]), captions)
        except (KeyError, TypeError, ValueError):
            raise SourceError(
                f"{where}, image {number}: lacks split, filename, cocoid or sentences; Karpathy's file is "
                "dataset_coco.json"
            ) from None
