"""Opening images with boxes, masks and other fields once more, with what the manifest of a file says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ffprep.errors import OptionError
from ffprep.fields import RGBImageField
from ffprep.sources.base import Source
from ffprep.sources.dense.coco_objects import open_coco_objects
from ffprep.sources.dense.coco_panoptic import open_coco_panoptic
from ffprep.sources.dense.mask_pairs import open_ade20k, open_mask_pairs
from ffprep.sources.dense.voc import open_voc_masks, open_voc_objects, voc_folder
from ffprep.sources.images.columns import LABEL
from ffprep.sources.images.opening import NO_LABEL, ImagesChoice, open_images
from ffprep.sources.images.source import train_and_val

PICTURES = ("images", "coco-detection", "coco-panoptic", "voc", "ade20k", "masks")
"""Data sets that this module opens."""


def open_pictures(
    facts: Mapping[str, Any],
    names: Sequence[str],
    places: Sequence[str],
    annotations: Path | None,
    masks: Sequence[Path],
    images: Path | None,
    image: RGBImageField,
    where: str,
) -> Source:
    """Open the data set that a file was made of.

    Parameters
    ----------
    facts : mapping
        What the manifest says of the source.
    names : Sequence[str]
        Fields of the file, in their order, which a manifest does not keep.
    places : Sequence[str]
        Given as ``--against``.
    annotations : Path or None
    masks : Sequence[Path]
        Folders and archives of the masks, where they are not with the images.
    images : Path or None
        Folder of the images that a table names.
    image : RGBImageField
        How the file stores images.
    where : str
        The file, for messages.

    Raises
    ------
    OptionError
        Something is not given, or the manifest is of another version.
    SourceError
    """
    name, folders = facts["dataset"], [Path(place) for place in places]
    try:
        if name.startswith("coco-"):
            if annotations is None:
                raise OptionError(f"{where}: its boxes came from a file of annotations: give it as --annotations")
            shared: dict[str, Any] = {"image": image, "all_files": bool(facts.get("all_files")), "skip": True}
            split = facts.get("split") or None
            if name == "coco-panoptic":
                if not masks:
                    raise OptionError(f"{where}: its masks came from PNG files: give their folder as --masks")
                return open_coco_panoptic(folders, annotations, masks, split, **shared)
            return open_coco_objects(
                folders,
                annotations,
                split,
                crowd=facts["crowd"],
                keypoints="keypoints" in facts,
                masks=facts.get("outlines", "none"),
                empty="images_without_objects_left_out" not in facts,
                **shared,
            )
        if len(folders) != 1:
            raise OptionError("this data set has one source: give --against once")
        if name == "voc":
            top, split = voc_folder(folders[0], None), facts["split"]
            if facts["task"] == "segmentation":
                return open_voc_masks(top, split, image=image, skip=True)
            options = {"classes": tuple(facts["classes"]), "difficult": facts["difficult"]}
            return open_voc_objects(top, split, image=image, skip=True, **options)
        if name == "ade20k":
            zero = "ignore" if facts["reduce_zero"] else "class"
            taken = bool(facts.get("all_files"))
            return open_ade20k(folders[0], facts["split"], image=image, zero=zero, all_files=taken, skip=True)
        if name == "masks":
            if len(masks) != 1:
                raise OptionError(f"{where}: its masks came from a folder of their own: give it as --masks, once")
            return open_mask_pairs(
                folders[0],
                masks[0],
                tuple(facts.get("classes", ())),
                image=image,
                image_suffix=facts["image_suffix"],
                mask_suffix=facts["mask_suffix"],
                reduce_zero=facts["reduce_zero"],
                all_files=bool(facts.get("all_files")),
                skip=True,
            )
        return _images(facts, names, places[0], images, image)
    except (KeyError, TypeError, AttributeError) as error:
        raise OptionError(f"{where}: its manifest does not say enough of its source: {error}") from None


def _images(
    facts: Mapping[str, Any], names: Sequence[str], place: str, images: Path | None, image: RGBImageField
) -> Source:
    fields = {name: str(facts["fields"][name]).partition(":")[::2] for name in names}
    of_labels = sum(kind == LABEL for kind, _ in fields.values())
    choice = ImagesChoice(
        place,
        images=images,
        split=facts.get("split"),
        image=fields["image"][1],
        label=NO_LABEL,
        labels=tuple(facts.get("classes", ())) if of_labels == 1 else (),
        fields=tuple(
            f"{name}={kind}:{at}" for name, (kind, at) in fields.items() if (name, kind) != ("image", "image")
        ),
        filters=tuple(facts.get("filter", ())),
        all_files=bool(facts.get("all_files")),
    )
    source = open_images(choice, image, skip=True)
    if "val_share" not in facts:
        return source
    limit = None if facts.get("limit") is None else int(facts["limit"])
    parts = train_and_val(source, float(facts["val_share"]), int(facts["val_seed"]), limit)
    return parts[0 if facts["part_of_data"] == "train" else 1]
