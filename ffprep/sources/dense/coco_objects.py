"""COCO's boxes: ``instances_*.json`` and ``person_keypoints_*.json``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ffprep.common.names import Clutter
from ffprep.errors import OptionError, SourceError
from ffprep.fields import IntField, MaskField, RGBImageField, VariableArrayField
from ffprep.sources.dense.shapes import filled, object_numbers, semantic_mask, shape_of
from ffprep.sources.dense.source import (
    BOXES,
    DenseSource,
    check_size,
    fitted_boxes,
    lies_inside,
    mask_field,
    no_class,
)
from ffprep.sources.images.masks import fitted, stored_size
from ffprep.sources.reading.annotations import read_annotations
from ffprep.sources.reading.image_ids import ImageIds
from ffprep.sources.reading.image_names import ImageNames, Wanted
from ffprep.sources.reading.left_out import LeftOut

CROWD = ("drop", "keep")
MASKS = ("none", "semantic", "instance", "both")


class CocoObject(NamedTuple):
    """A box (x, y, width, height) in pixels, its class, whether it is a crowd, (x, y, v) of keypoints, its outline."""

    box: tuple[float, float, float, float]
    label: int
    crowd: bool
    keypoints: list[float] | None
    shape: Any = None


@dataclass
class CocoImage:
    """An annotated image: its id, name, (width, height) if stated, objects, outlines of crowds that are left out."""

    image_id: int
    wanted: Wanted
    size: tuple[int, int] | None
    objects: list[Any] = field(default_factory=list)
    dropped: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Categories:
    """The classes of a COCO file, in the order of their ids.

    Attributes
    ----------
    ids : list of int
        COCO's own numbers, which leave some out.
    entries : list of dict
    """

    ids: list[int]
    entries: list[dict[str, Any]]

    @property
    def names(self) -> list[str]:
        """The classes' names, by label."""
        return [str(entry.get("name", number)) for number, entry in zip(self.ids, self.entries, strict=True)]

    def labels(self) -> dict[int, int]:
        """The label, from 0 without gaps, of each id."""
        return {number: label for label, number in enumerate(self.ids)}


def open_coco_objects(
    images: Sequence[Path],
    annotations: Path,
    split: str | None = None,
    *,
    image: RGBImageField,
    crowd: str = "drop",
    keypoints: bool = False,
    masks: str = "none",
    empty: bool = True,
    all_files: bool = False,
    skip: bool = False,
) -> DenseSource:
    """Open COCO's boxes as a source: ``image``, ``boxes``, ``labels``, ``image_id``, and what is asked for.

    Parameters
    ----------
    images : Sequence[Path]
        Folders and zip archives of images.
    annotations : Path
        The annotations, or a zip archive of them.
    split : str, optional
        Of an archive with several annotation files, the one to take, such as ``val2017``.
    image : RGBImageField
    crowd : {"drop", "keep"}
        Boxes around crowds: leave them out, or keep them and say which they are, in the field ``iscrowd``.
    keypoints : bool
        Whether to store keypoints as well: ``keypoints``, (n, points, 3).
    masks : {"none", "semantic", "instance", "both"}
        What to make of outlines: ``mask``, the class of each pixel from 1 on, 0 for the background and the label of
        ignored pixels where classes overlap and in crowds; ``objects``, the number of each pixel's box from 1 on.
    empty : bool
        Whether to take images without a box.
    all_files, skip : bool
        As for ``open_coco``.

    Returns
    -------
    DenseSource
        Its facts count what does not match.

    Raises
    ------
    SourceError
        The files are not of the expected form, or an annotation is bad and `skip` is False.
    """
    if crowd not in CROWD:
        raise OptionError(f"crowd is one of {', '.join(CROWD)}, not {crowd!r}")
    if masks not in MASKS:
        raise OptionError(f"masks is one of {', '.join(MASKS)}, not {masks!r}")
    kind = "person_keypoints" if keypoints else "instances"
    content = read_coco(annotations, kind, split)
    left_out = LeftOut(skip)
    categories = read_categories(content, annotations)
    listed, ids = read_images(content, annotations, left_out)
    facts: dict[str, Any] = {"annotations": annotations.name, "split": split or "", **Clutter(all_files).facts}
    points = _points(categories, annotations) if keypoints else []
    counts = _read_objects(
        content, annotations, listed, ids, categories.labels(), len(points), masks != "none", left_out
    )
    for found in listed.values():
        before = len(found.objects)
        if crowd == "drop":
            found.dropped = [o.shape for o in found.objects if o.crowd]
            found.objects = [o for o in found.objects if not o.crowd]
        counts["objects_of_crowds_left_out"] += before - len(found.objects)
    names = ImageNames(images, Clutter(all_files))
    chosen, places = match_images(names, list(listed.values()), str(annotations), counts)
    if not empty:
        kept = [i for i, found in enumerate(chosen) if found.objects]
        counts["images_without_objects_left_out"] = len(chosen) - len(kept)
        chosen, places = [chosen[i] for i in kept], [places[i] for i in kept]
        if not chosen:
            raise SourceError(f"{annotations}: none of its images has a box")
    counts["objects"] = sum(len(found.objects) for found in chosen)

    def targets(index: int, size: tuple[int, int] | None) -> tuple[Any, ...]:
        found = chosen[index]
        check_size(found.size, size, "its annotations are for")
        corners = np.array([(x, y, x + w, y + h) for (x, y, w, h), *_ in found.objects], np.float32).reshape(-1, 4)
        boxes, inside = fitted_boxes(corners, size or found.size, image)
        labels = np.array([o.label for o in found.objects], np.int64)
        values: list[Any] = [boxes[inside], labels[inside], found.image_id]
        if crowd == "keep":
            values.append(np.array([o.crowd for o in found.objects], np.int64)[inside])
        if keypoints:
            shape = (-1, len(points), 3)
            rows = [o.keypoints or [0] * 3 * len(points) for o in found.objects]
            xyv = np.array(rows, np.float32).reshape(shape)
            if size is not None:
                stored = stored_size(*size, image)
                xyv[:, :, :2] *= np.array([stored[0] / size[0], stored[1] / size[1]], np.float32)
            values.append(xyv[inside])
        if masks != "none":
            values += _masks(found, np.flatnonzero(inside), size or found.size, masks, len(categories.ids), image)
        return tuple(values)

    fields: dict[str, Any] = {**BOXES, "image_id": IntField()}
    if crowd == "keep":
        fields["iscrowd"] = VariableArrayField("int64")
    if keypoints:
        fields["keypoints"] = VariableArrayField("float32", (len(points), 3))
        facts["keypoints"] = points
    if masks in ("semantic", "both"):
        fields["mask"] = mask_field(len(categories.ids) + 1)
        facts["ignored"] = no_class(len(categories.ids) + 1)
    if masks in ("instance", "both"):
        fields["objects"] = MaskField("uint16")
    if masks != "none":
        facts["outlines"] = masks
    return DenseSource(
        "coco-detection",
        names.take(places),
        targets,
        fields,
        image=image,
        facts={**facts, **counts, "classes": categories.names, "category_ids": categories.ids, "crowd": crowd},
        left_out=left_out,
        notes=names.notes(),
    )


def _masks(
    found: CocoImage, kept: Any, size: tuple[int, int] | None, which: str, classes: int, image: RGBImageField
) -> list[Any]:
    """The masks of an image, in the order of their fields; `kept` are the places of the objects that have boxes."""
    if size is None:
        raise SourceError("the size of the image is neither in its annotations nor in its file, and masks need it")
    shape = size[1], size[0]
    if shape[0] * shape[1] > (image.max_pixels or shape[0] * shape[1]):
        raise SourceError(f"an image of {size[0]}x{size[1]} pixels is larger than --max-pixels")
    objects = [found.objects[place] for place in kept]
    filled_ones = [filled(o.shape, *shape) for o in objects]
    values = []
    if which in ("semantic", "both"):
        shapes = [filled(one, *shape) for one in found.dropped]
        shapes += [mask for mask, o in zip(filled_ones, objects, strict=True) if o.crowd]
        single = [(mask, o.label + 1) for mask, o in zip(filled_ones, objects, strict=True) if not o.crowd]
        numbers = semantic_mask([m for m, _ in single], [k for _, k in single], shapes, shape, no_class(classes + 1))
        values.append(fitted(numbers, image))
    if which in ("instance", "both"):
        values.append(fitted(object_numbers(filled_ones, shape), image))
    return values


# -- what COCO's files have in common -------------------------------------------------------------------------------


def read_coco(annotations: Path, kind: str, split: str | None) -> dict[str, Any]:
    """Read a COCO file, or the one in a zip archive whose name begins with `kind`."""

    def choose(names: list[str]) -> str:
        ending = r".*" if split is None else rf"{re.escape(split)}(20\d\d)?\.json"
        found = [name for name in names if re.fullmatch(rf"{kind}_{ending}", name.rsplit("/", 1)[-1])]
        if len(found) != 1:
            listed = ", ".join(names) or "no JSON file"
            raise SourceError(
                f"{annotations}: choose the annotation file with --split (such as val2017); found: {listed}"
            )
        return found[0]

    content = read_annotations(annotations, choose)
    for name in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            there = (
                f"; there are {', '.join(map(str, list(content)[:20]))}"
                if content and isinstance(content, dict)
                else ""
            )
            raise SourceError(f"{annotations}: no COCO {kind}: there is no list of {name} in it{there}"[:1000])
    assert isinstance(content, dict)
    return content


def read_categories(content: dict[str, Any], path: Path) -> Categories:
    """The classes of a COCO file.

    Raises
    ------
    SourceError
        One has no number, or that of another one.
    """
    found: dict[int, dict[str, Any]] = {}
    for place, entry in enumerate(content["categories"]):
        number = entry.get("id") if isinstance(entry, dict) else None
        if type(number) is not int or number in found:
            raise SourceError(
                f"{path}, category {place}: its id {str(number)[:40]} is no whole number or another's too"
            )
        found[number] = entry
    if not found:
        raise SourceError(f"{path}: has no categories")
    ids = sorted(found)
    return Categories(ids, [found[number] for number in ids])


def read_images(content: dict[str, Any], path: Path, left_out: LeftOut) -> tuple[dict[int, CocoImage], ImageIds]:
    """The images of a COCO file by their ids, in its order."""
    ids = ImageIds(entry.get("id") for entry in content["images"] if isinstance(entry, dict))
    found: dict[int, CocoImage] = {}
    for place, entry in enumerate(content["images"]):
        where = f"image {place}"
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name or entry.get("id") is None:
            left_out.add(path, where, "has no id and file_name")
            continue
        try:
            key = ids.number(entry["id"])
        except ValueError as error:
            left_out.add(path, f"{where} ({name})", str(error))
            continue
        if key in found:
            left_out.add(path, f"{where} ({name})", f"id is that of another image, too: {key}")
            continue
        url, size = entry.get("coco_url"), (entry.get("width"), entry.get("height"))
        whole = all(type(side) is int and side > 0 for side in size)
        found[key] = CocoImage(key, Wanted(name, url if isinstance(url, str) else ""), size if whole else None)
    if not found:
        raise SourceError(f"{path}: has no images")
    return found, ids


def match_images(
    names: ImageNames, listed: Sequence[CocoImage], where: str, counts: Counter[str]
) -> tuple[list[CocoImage], list[Any]]:
    """The annotated images that are there, and where; the others are counted."""
    places = names.match([found.wanted for found in listed], [True] * len(listed))
    pairs = [(found, place) for found, place in zip(listed, places, strict=True) if place is not None]
    if not pairs:
        raise SourceError(
            f"{where}: none of its {len(listed):,} images (such as {listed[0].wanted.path}) is in {names.where}"
        )
    counts["images_missing"] = len(listed) - len(pairs)
    counts["images_not_annotated"], counts["images_elsewhere_not_annotated"] = names.not_among(places)
    return [found for found, _ in pairs], [place for _, place in pairs]


def _points(categories: Categories, path: Path) -> list[str]:
    for entry in categories.entries:
        points = entry.get("keypoints")
        if isinstance(points, list) and points:
            return [str(point) for point in points]
    raise SourceError(f"{path}: no category states its keypoints; --keypoints is for person_keypoints_*.json")


def _read_objects(
    content: dict[str, Any],
    path: Path,
    images: dict[int, CocoImage],
    ids: ImageIds,
    labels: dict[int, int],
    points: int,
    outlines: bool,
    left_out: LeftOut,
) -> Counter[str]:
    """Add the objects to their images, and count what does not fit."""
    counts: Counter[str] = Counter()
    for place, entry in enumerate(content["annotations"]):
        fault = None
        try:
            key, number = ids.number(entry["image_id"]), entry["category_id"]
            box, crowd = entry["bbox"], entry.get("iscrowd", 0)
        except (KeyError, TypeError, AttributeError):
            fault = "has no image_id, category_id and bbox: is it a file of instances?"
        except ValueError as error:
            fault = f"image {error}"
        if fault is None and (not isinstance(number, int) or number not in labels):
            shown = ", ".join(map(str, list(labels)[:10])) + (", ..." if len(labels) > 10 else "")
            fault = f"its category is unknown: {str(number)[:40]}, not one of {shown}"
        if fault is None and not _is_box(box):
            fault = f"bbox is no list of x, y, width and height: {str(box)[:80]}"
        keypoints = entry.get("keypoints") if fault is None and points else None
        if keypoints is not None and not _are_numbers(keypoints, 3 * points):
            fault = f"keypoints are no {3 * points} numbers: {str(keypoints)[:80]}"
        shape = shape_of(entry.get("segmentation")) if fault is None and outlines else None
        if fault is None and outlines and shape is None:
            shown = str(entry.get("segmentation"))[:80]
            fault = f"segmentation is no list of polygons of 3 points or more and no run lengths: {shown}"
        if fault is not None:
            left_out.add(path, f"annotation {place}", fault)
        elif key not in images:
            counts["objects_without_image"] += 1
        elif box[2] <= 0 or box[3] <= 0:
            counts["objects_without_area_left_out"] += 1
        elif not lies_inside((box[0], box[1], box[0] + box[2], box[1] + box[3]), images[key].size):
            counts["objects_outside_their_image_left_out"] += 1
        else:
            images[key].objects.append(CocoObject(tuple(box), labels[number], bool(crowd), keypoints, shape))
    return counts


def _is_box(box: Any) -> bool:
    return _are_numbers(box, 4)


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(value) in (int, float) and abs(value) < 1e9 for value in values)  # NaN is not less
    )
