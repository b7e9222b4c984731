"""Pascal VOC: boxes in XML files, masks in PNG files with a palette, and lists of the images of each split."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from ffprep.common.files.source_files import read_file, read_text_file
from ffprep.errors import OptionError, SourceError
from ffprep.fields import MaskField, RGBImageField, VariableArrayField
from ffprep.sources.dense.mask_pairs import check_labels
from ffprep.sources.dense.source import BOXES, IGNORED, DenseSource, check_size, fitted_boxes, lies_inside
from ffprep.sources.dense.xml import LARGEST, read_xml
from ffprep.sources.images.masks import fitted, image_size, read_mask
from ffprep.sources.reading.file_sets import LARGEST as LARGEST_SAMPLE
from ffprep.sources.reading.file_sets import FolderFiles
from ffprep.sources.reading.left_out import LeftOut

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""VOC's classes, in the order of their labels in masks, where 0 is the background."""
DIFFICULT = ("keep", "drop")


class VocObject(NamedTuple):
    """A box of two corners in pixels, the number of its class, and VOC's flags."""

    box: tuple[float, float, float, float]
    label: int
    difficult: bool
    truncated: bool


def open_voc_objects(
    source: Path,
    split: str,
    *,
    image: RGBImageField,
    classes: tuple[str, ...] = CLASSES,
    difficult: str = "keep",
    skip: bool = False,
) -> DenseSource:
    """Open VOC's boxes as a source: ``image``, ``boxes``, ``labels``, ``difficult`` and ``truncated``.

    VOC counts pixels from 1 and its boxes include the last one: ``xmin`` to ``xmax`` become ``xmin - 1`` to ``xmax``.

    Parameters
    ----------
    source : Path
        A folder such as ``VOCdevkit/VOC2012``.
    split : str
        The name of a list in ``ImageSets/Main``: ``train``, ``val``, ``trainval``, ``test``.
    image : RGBImageField
    classes : tuple of str
        Names of the classes, by label.
    difficult : {"keep", "drop"}
        Objects marked as difficult: keep them and say which they are, or leave them out.
    skip : bool
        Whether to leave images with a bad annotation out.

    Raises
    ------
    SourceError
        The folder is not of that form, or an annotation is bad and `skip` is False.
    """
    if difficult not in DIFFICULT:
        raise OptionError(f"difficult is one of {', '.join(DIFFICULT)}, not {difficult!r}")
    left_out, counts = LeftOut(skip), Counter[str]()
    number = {name: label for label, name in enumerate(classes)}
    found: list[tuple[str, tuple[int, int] | None, list[VocObject]]] = []
    for name in split_names(source, "Main", split):
        path = source / "Annotations" / f"{name}.xml"
        file = _image_of(source, name)
        if file is None:
            left_out.add(None, name, f"its image is missing: {source / 'JPEGImages' / name}.jpg")
            continue
        try:
            size, objects = read_objects(read_file(path, LARGEST), str(path), number)
        except FileNotFoundError:
            left_out.add(None, name, f"its annotation is missing: {path}")
        except SourceError as error:
            left_out.add(None, name, f"its annotation is bad: {error}")
        else:
            chosen = [one for one in objects if difficult == "keep" or not one.difficult]
            kept = [one for one in chosen if lies_inside(one.box, size)]
            counts["objects_that_are_difficult_left_out"] += len(objects) - len(chosen)
            counts["objects_outside_their_image_left_out"] += len(chosen) - len(kept)
            counts["objects"] += len(kept)
            found.append((file, size, kept))
    if not found:
        raise SourceError(f"{source}: none of the images of {split} can be used; {left_out.summary()}")

    def targets(index: int, size: tuple[int, int] | None) -> tuple[Any, ...]:
        _, stated, objects = found[index]
        check_size(stated, size, "its annotation is for")
        boxes, kept = fitted_boxes(np.array([one.box for one in objects], np.float32), size or stated, image)
        flags = np.array([(o.label, o.difficult, o.truncated) for o in objects], np.int64).reshape(-1, 3)[kept]
        return boxes[kept], flags[:, 0], flags[:, 1], flags[:, 2]

    fields = {**BOXES, "difficult": VariableArrayField("int64"), "truncated": VariableArrayField("int64")}
    facts = {"task": "detection", "split": split, "difficult": difficult, **counts, "classes": list(classes)}
    files = FolderFiles(source / "JPEGImages", [file for file, _, _ in found])
    return DenseSource("voc", files, targets, fields, image=image, facts=facts, left_out=left_out)


def open_voc_masks(source: Path, split: str, *, image: RGBImageField, skip: bool = False) -> DenseSource:
    """Open VOC's masks as a source: ``image``, ``mask`` with the classes and ``objects`` with the objects' numbers.

    Label 0 is the background, 1 to 20 are `CLASSES`, and 255 are pixels at borders that do not count.

    Parameters
    ----------
    source, split, image, skip
        As for `open_voc_objects`; lists are those in ``ImageSets/Segmentation``.

    Raises
    ------
    SourceError
        The folder is not of that form, or a mask is missing and `skip` is False.
    """
    left_out = LeftOut(skip)
    names, files = [], []
    for name in split_names(source, "Segmentation", split):
        file = _image_of(source, name)
        missing = next((f for f in _mask_paths(source, name) if not f.is_file()), None)
        if file is None:
            left_out.add(None, name, f"its image is missing: {source / 'JPEGImages' / name}.jpg")
        elif missing is not None:
            left_out.add(None, name, f"its mask is missing: {missing}")
        else:
            names.append(name)
            files.append(file)
    if not names:
        raise SourceError(f"{source}: none of the images of {split} can be used; {left_out.summary()}")
    classes = ("background", *CLASSES)

    def targets(index: int, size: tuple[int, int] | None) -> tuple[Any, ...]:
        values = []
        for path in _mask_paths(source, names[index]):
            data = read_file(path, LARGEST_SAMPLE)
            check_size(image_size(data), size, f"its mask {path.name} has")
            mask = read_mask(data, image.max_pixels)
            values.append(fitted(mask, image))
        check_labels(values[0], classes, names[index])
        return tuple(values)

    return DenseSource(
        "voc",
        FolderFiles(source / "JPEGImages", files),
        targets,
        {"mask": MaskField(), "objects": MaskField()},
        image=image,
        facts={"task": "segmentation", "split": split, "ignored": IGNORED, "classes": list(classes)},
        left_out=left_out,
    )


def voc_folder(source: Path, year: str | None) -> Path:
    """The folder of a year: the one given, or one within it or within its ``VOCdevkit``.

    Raises
    ------
    SourceError
        There is none, or several and no `year`.
    """
    if year is not None:
        year = year.removeprefix("VOC")
    for top in (source, source / "VOCdevkit"):
        years = sorted(p for p in top.glob("VOC20*") if p.is_dir()) if top.is_dir() else []
        if (top / "JPEGImages").is_dir():
            return top
        if year is not None and (top / f"VOC{year}") in years:
            return top / f"VOC{year}"
        if year is None and len(years) == 1:
            return years[0]
        if years:
            raise SourceError(f"{top}: has {', '.join(p.name for p in years)}; choose with --year, such as --year 2012")
    raise SourceError(f"{source}: has no folder JPEGImages; VOCdevkit or VOCdevkit/VOC2012 is expected")


def split_names(source: Path, kind: str, split: str) -> list[str]:
    """The names of the images of a split, in the order of its list.

    Raises
    ------
    SourceError
        There is no such list, or a name in it is none; the message names the lists that there are.
    """
    folder = source / "ImageSets" / kind
    path = folder / f"{split}.txt"
    if not re.fullmatch(r"[\w-]+", split) or not path.is_file():
        there = sorted(p.stem for p in folder.glob("*.txt") if "_" not in p.stem) if folder.is_dir() else []
        raise SourceError(f"{folder}: has no list {split}.txt" + (f"; there are {', '.join(there)}" if there else ""))
    try:
        names = [line.split()[0] for line in read_text_file(path).splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise SourceError(f"{path}: not a text file") from None
    wrong = next((name for name in names if not re.fullmatch(r"[\w.-]{1,200}", name) or name.startswith(".")), None)
    if wrong is not None:
        raise SourceError(f"{path}: {wrong[:80]!r} is no name of an image")
    if not names:
        raise SourceError(f"{path}: is empty")
    return names


def read_objects(data: bytes, where: str, labels: dict[str, int]) -> tuple[tuple[int, int] | None, list[VocObject]]:
    """The image's (width, height), if stated, and the objects in one of VOC's XML files.

    Raises
    ------
    SourceError
        It is no such file, or an object's class is unknown or its box is none.
    """
    root = read_xml(data, where)
    if root.tag != "annotation":
        raise SourceError(f"{where}: begins with <{root.tag[:40]}>; <annotation> is expected")
    width, height = (_number(root.find(f"size/{side}")) for side in ("width", "height"))
    size = (int(width), int(height)) if width and height else None
    found = []
    for place, node in enumerate(root.findall("object")):
        name = (node.findtext("name") or "").strip()
        if name not in labels:
            raise SourceError(
                f"{where}, object {place}: its class {name[:80]!r} is unknown; there are {', '.join(labels)}"[:1000]
            )
        corners = [_number(node.find(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
        if None in corners or not (corners[0] <= corners[2] and corners[1] <= corners[3]):  # type: ignore[operator]
            raise SourceError(f"{where}, object {place} ({name}): its bndbox has no xmin <= xmax and ymin <= ymax")
        left, top, right, bottom = (float(corner) for corner in corners if corner is not None)
        flags = ((node.findtext(flag) or "0").strip() == "1" for flag in ("difficult", "truncated"))
        found.append(VocObject((left - 1, top - 1, right, bottom), labels[name], *flags))
    return size, found


def _number(node: Element | None) -> float | None:
    try:
        value = float((node.text or "") if node is not None else "")
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 1e9 else None


def _image_of(source: Path, name: str) -> str | None:
    return next(
        (f"{name}{end}" for end in (".jpg", ".png") if (source / "JPEGImages" / f"{name}{end}").is_file()), None
    )


def _mask_paths(source: Path, name: str) -> tuple[Path, Path]:
    return source / "SegmentationClass" / f"{name}.png", source / "SegmentationObject" / f"{name}.png"
