"""Images and masks as pairs of files with the same name: ADE20K, and any folders laid out like it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.common.files.source_files import read_text_file
from ffprep.common.names import Clutter
from ffprep.errors import SourceError
from ffprep.fields import RGBImageField
from ffprep.sources.dense.source import IGNORED, DenseSource, check_size, mask_field
from ffprep.sources.images.masks import fitted, image_size, read_mask
from ffprep.sources.reading.file_sets import FolderFiles, walk_images
from ffprep.sources.reading.left_out import LeftOut

ADE20K_SPLITS = {"train": "training", "val": "validation"}
_ADE20K_INFO = "objectInfo150.txt"


def open_mask_pairs(
    images: Path,
    masks: Path,
    classes: Sequence[str] = (),
    *,
    name: str = "masks",
    image: RGBImageField,
    image_suffix: str = "",
    mask_suffix: str = "",
    reduce_zero: bool = False,
    all_files: bool = False,
    skip: bool = False,
    facts: dict[str, Any] | None = None,
) -> DenseSource:
    """Open a folder of images and one of masks as a source with the fields ``image`` and ``mask``.

    An image and its mask have the same path within their folders, up to the ending and what comes before it:
    ``a/1_leftImg8bit.png`` and ``a/1_gtFine_labelIds.png`` with the suffixes ``_leftImg8bit`` and ``_gtFine_labelIds``.

    Parameters
    ----------
    images, masks : Path
        The folders.
    classes : Sequence of str
        Names of the classes, by label after `reduce_zero`; masks may then have no others but the ignored label.
    name : str
        Name of the data set.
    image : RGBImageField
    image_suffix, mask_suffix : str
        What images' and masks' names have in addition; other files of these folders are left out.
    reduce_zero : bool
        Whether label 0 stands for no class: it becomes 255, and every other label is one less.
    all_files, skip : bool
        As for ``open_coco_objects``.
    facts : dict, optional
        Entries of the manifest that say which pairs these are; by default the suffixes.

    Raises
    ------
    SourceError
        There are no pairs, or an image has no mask and `skip` is False.
    """
    clutter, left_out = Clutter(all_files), LeftOut(skip)
    pictures = _by_stem(images, image_suffix, clutter)
    labels = _by_stem(masks, mask_suffix, clutter)
    pairs = [stem for stem in pictures if stem in labels]
    if not pairs:
        example = next(iter(pictures), None)
        raise SourceError(
            f"{images}: no images" + (f" whose names end in {image_suffix}" if image_suffix else "")
            if example is None
            else f"{masks}: has no mask of the {len(pictures):,} images in {images}, such as "
            f"{example}{mask_suffix}.png; --image-suffix and --mask-suffix say how their names differ"
        )
    for stem in pictures:
        if stem not in labels:
            left_out.add(None, pictures[stem], f"has no mask: {stem}{mask_suffix}.png is not in {masks}")
    picture_files = FolderFiles(images, [pictures[stem] for stem in pairs])
    mask_files = FolderFiles(masks, [labels[stem] for stem in pairs])

    def targets(index: int, size: tuple[int, int] | None) -> tuple[Any, ...]:
        data = mask_files.read(index)
        check_size(image_size(data), size, f"its mask {mask_files.names[index]} has")
        mask = read_mask(data, image.max_pixels)
        mask = _reduced(mask) if reduce_zero else mask
        check_labels(mask, classes, mask_files.names[index])
        return (fitted(mask, image),)

    return DenseSource(
        name,
        picture_files,
        targets,
        {"mask": mask_field(len(classes))},
        image=image,
        facts={
            **({"image_suffix": image_suffix, "mask_suffix": mask_suffix} if facts is None else facts),
            **clutter.facts,
            "masks_without_image": sum(stem not in pictures for stem in labels),
            "reduce_zero": reduce_zero,
            "ignored": IGNORED,
            **({"classes": list(classes)} if classes else {}),
        },
        left_out=left_out,
        notes=clutter.notes(),
    )


def open_ade20k(
    source: Path, split: str, *, image: RGBImageField, zero: str = "ignore", all_files: bool = False, skip: bool = False
) -> DenseSource:
    """Open ADE20K as the scene parsing challenge has it: the folder ``ADEChallengeData2016``.

    Parameters
    ----------
    source : Path
        That folder, or the one that holds it.
    split : {"train", "val"}
    image, all_files, skip
        As for ``open_coco_objects``.
    zero : {"ignore", "class"}
        Label 0, of everything that is none of the 150 classes: it becomes 255 and the classes are 0 to 149, or it is a
        class of its own, ``other``, and the others are 1 to 150.

    Raises
    ------
    SourceError
        There is no such folder.
    """
    top = source / "ADEChallengeData2016" if (source / "ADEChallengeData2016").is_dir() else source
    part = ADE20K_SPLITS[split]
    for folder in (top / "images" / part, top / "annotations" / part):
        if not folder.is_dir():
            raise SourceError(f"{top}: has no folder {folder.relative_to(top)}; ADEChallengeData2016 is expected")
    classes = _ade20k_classes(top)
    return open_mask_pairs(
        top / "images" / part,
        top / "annotations" / part,
        classes if zero == "ignore" else ["other", *classes],
        name="ade20k",
        image=image,
        reduce_zero=zero == "ignore",
        all_files=all_files,
        skip=skip,
        facts={"split": split},
    )


def check_labels(mask: npt.NDArray[Any], classes: Sequence[str], name: str) -> None:
    """Refuse a mask with a label that is neither a class nor the ignored one.

    Raises
    ------
    SourceError
    """
    if classes and (wrong := [int(v) for v in np.unique(mask) if v >= len(classes) and v != IGNORED]):
        raise SourceError(
            f"{name}: has the label {wrong[0]}, which is none of the {len(classes)} classes and not {IGNORED}"
        )


def _by_stem(folder: Path, suffix: str, clutter: Clutter) -> dict[str, str]:
    """The images in a folder, at any depth, by their paths without suffix and ending."""
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    found: dict[str, str] = {}
    for name in walk_images(folder, ".", clutter):
        stem = name[: name.rindex(".")]
        if not stem.endswith(suffix):
            continue
        stem = stem[: len(stem) - len(suffix)]
        if stem in found:
            raise SourceError(
                f"{folder}: {found[stem]} and {name} have the same name up to the ending; keep one of them"
            )
        found[stem] = name
    return found


def _reduced(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    shifted = mask.astype(np.int64) - 1
    return np.where((mask == 0) | (mask == IGNORED), IGNORED, shifted)


def _ade20k_classes(top: Path) -> list[str]:
    """The 150 classes in ``objectInfo150.txt``: the last of its columns, of which the first word counts."""
    path = top / _ADE20K_INFO
    if not path.is_file():
        return [f"class {number}" for number in range(1, 151)]
    try:
        lines = read_text_file(path).splitlines()[1:]
    except UnicodeDecodeError:
        raise SourceError(f"{path}: not a text file") from None
    names = [line.split("\t")[-1].strip() for line in lines if line.strip()]
    if len(names) != 150 or not all(names):
        raise SourceError(f"{path}: has {len(names)} classes; 150 are expected, one a line after the first")
    return names
