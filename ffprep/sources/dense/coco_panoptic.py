"""COCO's panoptic masks: ``panoptic_*.json`` and the PNG files beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.common.names import Clutter
from ffprep.errors import SourceError
from ffprep.fields import IntField, MaskField, RGBImageField, VariableArrayField
from ffprep.sources.dense.coco_objects import CocoImage, match_images, read_categories, read_coco, read_images
from ffprep.sources.dense.source import DenseSource, check_size, mask_field, no_class
from ffprep.sources.images.masks import fitted, image_size, read_id_mask
from ffprep.sources.reading.file_sets import FileSet
from ffprep.sources.reading.image_names import ImageNames, Wanted
from ffprep.sources.reading.left_out import LeftOut

_MOST_SEGMENTS = 65535


@dataclass
class _Segments:
    """The segments of an image: the file of their ids, and of each its id, label and whether it is a crowd."""

    wanted: Wanted
    ids: list[int]
    labels: list[int]
    crowds: list[bool]


def open_coco_panoptic(
    images: Sequence[Path],
    annotations: Path,
    masks: Sequence[Path],
    split: str | None = None,
    *,
    image: RGBImageField,
    all_files: bool = False,
    skip: bool = False,
) -> DenseSource:
    """Open COCO's panoptic masks as a source.

    The fields are ``image``; ``mask``, the class of each pixel, and 255 where there is none; ``segments``, the number
    of each pixel's segment from 1 on, and 0 where there is none; ``segment_labels`` and ``segment_iscrowd``, of each
    segment from number 1 on; ``image_id``.

    Parameters
    ----------
    images : Sequence[Path]
        Folders and zip archives of images.
    annotations : Path
        The annotations, or a zip archive of them.
    masks : Sequence[Path]
        Folders and zip archives of the PNG files.
    split : str, optional
        Of an archive with several annotation files, the one to take, such as ``val2017``.
    image, all_files, skip
        As for ``open_coco_objects``.

    Raises
    ------
    SourceError
        The files are not of the expected form, or an annotation is bad and `skip` is False.
    """
    content = read_coco(annotations, "panoptic", split)
    left_out = LeftOut(skip)
    categories = read_categories(content, annotations)
    listed, ids = read_images(content, annotations, left_out)
    labels = categories.labels()
    counts: Counter[str] = Counter()
    annotated: dict[int, _Segments] = {}
    for place, entry in enumerate(content["annotations"]):
        try:
            key = ids.number(entry["image_id"])
            found, fault = _segments(entry, labels)
        except (KeyError, TypeError, AttributeError):
            found, fault = None, "has no image_id, file_name and segments_info: is it a file of panoptic segments?"
        except ValueError as error:
            found, fault = None, f"image {error}"
        if found is None:
            left_out.add(annotations, f"annotation {place}", fault)
        elif key not in listed:
            counts["annotations_without_image"] += 1
        else:
            annotated[key] = found
    with_masks = [found for key, found in listed.items() if key in annotated]
    counts["images_without_mask_left_out"] = len(listed) - len(with_masks)
    if not with_masks:
        raise SourceError(f"{annotations}: none of its images has an annotation")
    names = ImageNames(images, Clutter(all_files))
    chosen, places = match_images(names, with_masks, str(annotations), counts)
    files, kept = _mask_files(masks, chosen, annotated, annotations, Clutter(all_files), left_out)
    chosen, places = [chosen[i] for i in kept], [places[i] for i in kept]
    count = len(categories.ids)

    def targets(index: int, size: tuple[int, int] | None) -> tuple[Any, ...]:
        found = chosen[index]
        segments = annotated[found.image_id]
        data = files.read(index)
        check_size(image_size(data), size, f"its mask {files.names[index]} has")
        pixels = read_id_mask(data, image.max_pixels)
        number = _numbered(pixels, segments, files.names[index])
        by_number = np.array([no_class(count), *segments.labels], np.int64)
        number = fitted(number, image)
        return (
            by_number[number],
            number,
            np.array(segments.labels, np.int64),
            np.array(segments.crowds, np.int64),
            found.image_id,
        )

    return DenseSource(
        "coco-panoptic",
        names.take(places),
        targets,
        {
            "mask": mask_field(count),
            "segments": MaskField("uint16"),
            "segment_labels": VariableArrayField("int64"),
            "segment_iscrowd": VariableArrayField("int64"),
            "image_id": IntField(),
        },
        image=image,
        facts={
            "annotations": annotations.name,
            "split": split or "",
            **Clutter(all_files).facts,
            **counts,
            "classes": categories.names,
            "category_ids": categories.ids,
            "isthing": [int(bool(entry.get("isthing", 0))) for entry in categories.entries],
            "ignored": no_class(count),
        },
        left_out=left_out,
        notes=names.notes(),
    )


def _segments(entry: Any, labels: dict[int, int]) -> tuple[_Segments | None, str]:
    """The segments of an annotation, or what is wrong with it."""
    name, listed = entry["file_name"], entry["segments_info"]
    if not isinstance(name, str) or not name or not isinstance(listed, list):
        raise TypeError
    found = _Segments(Wanted(name), [], [], [])
    if len(listed) > _MOST_SEGMENTS:
        return None, f"more than {_MOST_SEGMENTS:,} segments: {name[:80]}"
    known: set[int] = set()
    for segment in listed:
        number, category = segment["id"], segment["category_id"]
        if type(number) is not int or not 0 < number < 1 << 24 or number in known:
            return None, f"the id of a segment is no whole number of 24 bits, or another's, too: {str(number)[:40]}"
        if not isinstance(category, int) or category not in labels:
            return None, f"its category is unknown: {str(category)[:40]}, in {name}"
        known.add(number)
        found.ids.append(number)
        found.labels.append(labels[category])
        found.crowds.append(bool(segment.get("iscrowd", 0)))
    return found, ""


def _mask_files(
    masks: Sequence[Path],
    chosen: Sequence[CocoImage],
    annotated: dict[int, _Segments],
    path: Path,
    clutter: Clutter,
    left_out: LeftOut,
) -> tuple[FileSet, list[int]]:
    """The files of masks, and the numbers of the images that they belong to."""
    names = ImageNames(masks, clutter)
    places = names.match([annotated[found.image_id].wanted for found in chosen], [True] * len(chosen))
    kept = []
    for i, (found, place) in enumerate(zip(chosen, places, strict=True)):
        if place is None:
            wanted = annotated[found.image_id].wanted.path[:200]
            left_out.add(path, f"image {found.image_id}", f"its mask is missing: {wanted} is not in {names.where}")
        else:
            kept.append(i)
    if not kept:
        raise SourceError(f"{path}: none of its masks is in {names.where}")
    return names.take([place for place in places if place is not None]), kept


def _numbered(pixels: npt.NDArray[np.int32], segments: _Segments, name: str) -> npt.NDArray[np.uint16]:
    """The number of each pixel's segment, from 1 on in the order of the annotation; 0 where there is none."""
    found, inverse = np.unique(pixels, return_inverse=True)
    number = {0: 0, **{one: place for place, one in enumerate(segments.ids, 1)}}
    unknown = next((int(one) for one in found if int(one) not in number), None)
    if unknown is not None:
        raise SourceError(f"{name} has pixels of the segment {unknown}, which its annotation does not list")
    table = np.array([number[int(one)] for one in found], np.uint16)
    return table[inverse].reshape(pixels.shape)
