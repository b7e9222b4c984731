"""COCO captions: the official splits of 2014 and 2017, Karpathy's split, and files of the same forms.

Karpathy's split (``dataset_coco.json``) divides the 123,287 images of train2014 and val2014 into train (82,783),
restval (30,504), val (5,000) and test (5,000). Most papers train on ``train+restval``. His files of Flickr30k and
Flickr8k have the same form, without COCO's ids.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ffprep.common.names import Clutter
from ffprep.errors import OptionError, SourceError
from ffprep.sources.caption_source import CaptionSource, ListedCaptions
from ffprep.sources.reading.annotations import caption_fault, read_annotations
from ffprep.sources.reading.image_ids import ImageIds
from ffprep.sources.reading.image_names import ImageNames, Wanted
from ffprep.sources.reading.left_out import LeftOut

KARPATHY = ("train", "restval", "val", "test")
_PREFIX = "karpathy:"


class Annotated(NamedTuple):
    """An image as described by the annotations."""

    image_id: int
    file: Wanted
    captions: list[str]
    chosen: bool = True


def open_coco(
    images: Sequence[Path],
    annotations: Path,
    split: str | None = None,
    *,
    skip: bool = False,
    all_files: bool = False,
    **options: Any,
) -> CaptionSource:
    """Open COCO's images and captions.

    Parameters
    ----------
    images : Sequence[Path]
        Folders, which are searched at any depth, or zip archives such as ``train2017.zip``. Karpathy's split needs both
        sets of 2014, or both of 2017, which are the same pictures.
    annotations : Path
        ``captions_train2017.json``, Karpathy's ``dataset_coco.json`` or ``dataset_flickr30k.json``, or a zip archive
        that contains one of these (``annotations_trainval2017.zip``, ``caption_datasets.zip``).
    split : str, optional
        For Karpathy's files, ``karpathy:`` and one or more of train, restval, val and test, joined by ``+``. For a zip
        archive with several annotation files, the one to take, such as ``train2017``.
    skip : bool
        Whether to leave out, and count, images and captions whose annotation is bad.
    all_files : bool
        Whether to take images that systems leave behind (`ffprep.common.names.is_clutter`).
    **options
        As for `CaptionSource`.

    Returns
    -------
    CaptionSource
        Images in the order of the annotations. Its ``facts`` count what does not match: annotated images that are
        missing (``images_missing``), images that are not annotated, beside annotated ones (``images_not_annotated``) or
        in other folders (``images_elsewhere_not_annotated``), annotated images without a caption
        (``images_without_caption``), captions of unknown images (``captions_without_image``), and empty captions
        (``captions_empty``).

    Raises
    ------
    SourceError
        When a file is not of the expected form, an annotation is bad and `skip` is False, it cannot be told which image
        an annotation means, or no image has a caption.
    OptionError
        When the split does not fit the annotations.
    """
    content = read_annotations(annotations, lambda names: _member(annotations, names, split))
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise SourceError(f"{annotations}: no COCO annotations: there is no list of images in it")
    clutter = Clutter(all_files)
    facts: dict[str, Any] = {"annotations": annotations.name, "split": split or "", "captions_without_image": 0}
    facts |= clutter.facts
    left_out = LeftOut(skip)
    notes: list[str] = []
    names = ImageNames(images, clutter)
    if split is not None and split.startswith(_PREFIX):
        if "annotations" in content:
            raise OptionError(f"--split {split}: {annotations} is no file of Karpathy's, whose images name their split")
        chosen = _karpathy_splits(content["images"], split, annotations, notes)
        listed = _karpathy(content["images"], chosen, annotations, left_out)
    elif "annotations" in content:
        _check_split(split, annotations)
        listed, facts["captions_without_image"] = _official(content, annotations, left_out)
    else:
        raise SourceError(f"{annotations}: looks like Karpathy's split; choose with --split karpathy:train+restval")
    return _match(names, listed, facts, str(annotations), left_out=left_out, notes=notes, **options)


def _match(
    names: ImageNames, listed: list[Annotated], facts: dict[str, Any], where: str, **options: Any
) -> CaptionSource:
    places = names.match([image.file for image in listed], [image.chosen for image in listed])
    chosen = [(image, place) for image, place in zip(listed, places, strict=True) if image.chosen]
    present = [(image, place) for image, place in chosen if place is not None]
    usable = [(image, place) for image, place in present if image.captions]
    if not usable:
        if present:
            raise SourceError(f"{where}: none of its images has a caption")
        example = chosen[0][0].file.path if chosen else "none"
        raise SourceError(f"{where}: none of its {len(chosen):,} images (such as {example}) is in {names.where}")
    beside, elsewhere = names.not_among(places)
    facts |= {
        "images_missing": len(chosen) - len(present),
        "images_without_caption": len(present) - len(usable),
        "images_not_annotated": beside,
        "images_elsewhere_not_annotated": elsewhere,
        "captions_empty": sum(not caption.strip() for image, _ in usable for caption in image.captions),
    }
    options["notes"] += names.notes()
    return CaptionSource(
        "coco",
        names.take([place for _, place in usable]),
        np.array([image.image_id for image, _ in usable], np.int64),
        ListedCaptions([image.captions for image, _ in usable]),
        facts=facts,
        **options,
    )


def _member(path: Path, names: list[str], split: str | None) -> str:
    """The annotation file of an archive that a split means."""
    bases = {name: name.rsplit("/", 1)[-1] for name in names}
    if split is not None and split.startswith(_PREFIX):
        stems = [name for name in names if bases[name].startswith("dataset_")]
        found = [name for name in stems if bases[name].startswith("dataset_coco")] or stems
    else:
        wanted = re.compile(r"captions_.*" if split is None else rf"captions_{re.escape(split)}(20\d\d)?\.json")
        found = [name for name in names if wanted.fullmatch(bases[name])]
    if len(found) != 1:
        listed = ", ".join(names) or "no JSON file"
        raise SourceError(f"{path}: choose the annotation file with --split (such as train2017); found: {listed}")
    return found[0]


def _check_split(split: str | None, path: Path) -> None:
    """Refuse a split that is not the one of a single annotation file, by its name."""
    if split is None or path.suffix.lower() == ".zip":
        return
    if not re.search(rf"(?<![A-Za-z0-9]){re.escape(split)}(20\d\d)?(?![A-Za-z0-9])", path.name):
        raise OptionError(
            f"--split {split} does not fit {path.name}: it chooses a file of an archive, or with karpathy: a split of "
            "Karpathy's files"
        )


def _karpathy_splits(images: list[Any], split: str, path: Path, notes: list[str]) -> list[str]:
    """The splits that are asked for, all of which exist."""
    counts = Counter(str(image.get("split")) for image in images if isinstance(image, dict))
    chosen = split.removeprefix(_PREFIX).split("+")
    for name in chosen:
        if name not in KARPATHY and name not in counts:
            raise OptionError(f"split {split!r}: Karpathy's splits are {', '.join(KARPATHY)}, joined by +")
    there = ", ".join(f"{name} ({count:,})" for name, count in sorted(counts.items()))
    absent = [name for name in chosen if not counts[name]]
    if len(absent) == len(chosen):
        raise OptionError(f"--split {split}: {path} has no such images; there are {there or 'none'}")
    notes += [f"{path.name} has no {name} images; there are {there}" for name in absent]
    return chosen


def _official(content: dict[str, Any], path: Path, left_out: LeftOut) -> tuple[list[Annotated], int]:
    images, annotations = content["images"], content["annotations"]
    if not isinstance(annotations, list):
        raise SourceError(f"{path}: annotations is no list")
    ids = ImageIds(image.get("id") for image in images if isinstance(image, dict))
    found: dict[int, Annotated] = {}
    for number, image in enumerate(images):
        name = f"image {number}"
        file = _file_of(image)
        if file is None or image.get("id") is None:
            left_out.add(path, name, "has no id and file_name")
            continue
        try:
            key = ids.number(image["id"])
        except ValueError as error:
            left_out.add(path, f"{name} ({file.path})", str(error))
            continue
        known = found.setdefault(key, Annotated(key, file, []))
        if known.file.path != file.path:
            left_out.add(
                path, f"{name} ({file.path})", f"id is that of another image, too: {key}, of {known.file.path}"
            )
    unknown = 0
    for number, annotation in enumerate(annotations):
        try:
            image_id, caption = annotation["image_id"], annotation["caption"]
        except (KeyError, TypeError):
            left_out.add(path, f"annotation {number}", "has no image_id and caption: is it a file of captions?")
            continue
        fault = caption_fault(caption)
        if fault is None:
            try:
                key = ids.number(image_id)
            except ValueError as error:
                fault = f"image {error}"
        if fault is not None:
            left_out.add(path, f"annotation {number} (image {image_id})", fault)
        elif key in found:
            found[key].captions.append(caption)
        else:
            unknown += 1
    return list(found.values()), unknown


def _file_of(image: Any) -> Wanted | None:
    """The image's file, and its URL, which ends in folder and name in COCO's."""
    if not isinstance(image, dict):
        return None
    name, url = image.get("file_name"), image.get("coco_url")
    url = url if isinstance(url, str) else ""
    if isinstance(name, str) and name:
        return Wanted(name, url)
    hint = Wanted("", url).hint
    return Wanted(hint) if hint and not hint.endswith("/") else None


def _karpathy(images: list[Any], splits: list[str], path: Path, left_out: LeftOut) -> list[Annotated]:
    """All images of Karpathy's file; those of the splits are chosen."""
    listed = []
    ids = ImageIds()
    for number, image in enumerate(images):
        name = f"image {number}"
        chosen = isinstance(image, dict) and image.get("split") in splits
        if not isinstance(image, dict) or not isinstance(image.get("split"), str):
            left_out.add(path, name, "has no split")
            continue
        file, sentences = image.get("filename"), image.get("sentences")
        if not isinstance(file, str) or not file or not isinstance(sentences, list):
            if chosen:
                left_out.add(
                    path, name, "has no filename and sentences; Karpathy's files are dataset_coco.json and the like"
                )
            continue
        folder = image.get("filepath")
        wanted = Wanted(f"{folder}/{file}" if isinstance(folder, str) and folder else file)
        if not chosen:
            listed.append(Annotated(-1, wanted, [], chosen=False))
            continue
        try:
            # Flickr30k and Flickr8k have numbers of the images in this file, and no others.
            key = ids.number(next((image[k] for k in ("cocoid", "imgid") if image.get(k) is not None), number))
        except ValueError as error:
            left_out.add(path, f"{name} ({file})", str(error))
            continue
        captions: list[str] = []
        for place, sentence in enumerate(sentences):
            caption: Any = sentence.get("raw") if isinstance(sentence, dict) else None
            if (fault := caption_fault(caption)) is not None:
                left_out.add(path, f"{name} ({file}), sentence {place}", fault)
            else:
                captions.append(caption)
        listed.append(Annotated(key, wanted, captions))
    return listed
