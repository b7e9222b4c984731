"""``ffprep convert voc`` and ``ffprep plan voc``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.options import EXISTING
from ffprep.commands.convert.dense._shared import classes_option, dense_commands, read_classes
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.sources.dense.source import DenseSource

_options = apply_options(
    click.option(
        "--source", type=EXISTING, required=True, help="VOCdevkit, or the folder of a year: VOCdevkit/VOC2012."
    ),
    click.option("--year", help="Which year's folder, where there are several: 2012."),
    click.option(
        "--split", default="train", show_default=True, help="A list in ImageSets: train, val, trainval, test."
    ),
    click.option(
        "--task",
        type=click.Choice(["detection", "segmentation"]),
        default="detection",
        show_default=True,
        help='Boxes: "boxes", "labels", "difficult", "truncated"; or masks: "mask" and "objects".',
    ),
    click.option(
        "--difficult",
        type=click.Choice(["keep", "drop"]),
        default="keep",
        show_default=True,
        help='Objects marked as difficult: keep and mark them in the field "difficult", or leave them out.',
    ),
    classes_option,
)


def _make(
    source: Path,
    year: str | None,
    split: str,
    task: str,
    difficult: str,
    classes: Path | None,
    all_files: bool,
    **taken: Any,
) -> DenseSource:
    from ffprep.sources.dense.voc import CLASSES, open_voc_masks, open_voc_objects, voc_folder

    folder = voc_folder(source, year)
    if task == "detection":
        names = read_classes(classes) or CLASSES
        return open_voc_objects(folder, split, classes=names, difficult=difficult, **taken)
    if classes is not None:
        raise OptionError("--classes is for detection; for masks of other classes there is `ffprep convert masks`")
    return open_voc_masks(folder, split, **taken)


command, plan_command = dense_commands(
    "voc",
    'Pascal VOC, and what is laid out like it: fields "image" and boxes or masks.',
    _options,
    _make,
    arguments="--source /data/VOCdevkit --year 2012 --split trainval",
)
