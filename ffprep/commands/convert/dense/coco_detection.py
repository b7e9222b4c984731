"""``ffprep convert coco-detection`` and ``ffprep plan coco-detection``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.options import EXISTING
from ffprep.commands.convert.dense._shared import dense_commands

if TYPE_CHECKING:
    from ffprep.sources.dense.source import DenseSource

_options = apply_options(
    click.option("--images", type=EXISTING, multiple=True, required=True, help="Folder or zip archive of images."),
    click.option(
        "--annotations",
        type=EXISTING,
        required=True,
        help="instances_*.json, or with --keypoints person_keypoints_*.json, or the zip archive of it.",
    ),
    click.option("--split", help="Of a zip archive of several files the one to take: val2017."),
    click.option(
        "--crowd",
        type=click.Choice(["drop", "keep"]),
        default="drop",
        show_default=True,
        help='Boxes around crowds: leave them out, or keep them and mark them in the field "iscrowd".',
    ),
    click.option("--keypoints", is_flag=True, help='Keypoints as well, in the field "keypoints".'),
    click.option(
        "--masks",
        type=click.Choice(["none", "semantic", "instance", "both"]),
        default="none",
        show_default=True,
        help='Masks of the outlines: classes in the field "mask", numbers of boxes in the field "objects", or both.',
    ),
    click.option("--empty/--no-empty", default=True, help="Whether to take images without a box; by default they are."),
)


def _make(images: tuple[Path, ...], annotations: Path, split: str | None, **taken: Any) -> DenseSource:
    from ffprep.sources.dense.coco_objects import open_coco_objects

    return open_coco_objects(images, annotations, split, **taken)


command, plan_command = dense_commands(
    "coco-detection",
    'COCO\'s boxes: fields "image", "boxes", "labels", "image_id".',
    _options,
    _make,
    arguments="--images val2017 --annotations annotations/instances_val2017.json",
)
