"""``ffprep convert coco-panoptic`` and ``ffprep plan coco-panoptic``."""

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
        "--masks", type=EXISTING, multiple=True, required=True, help="Folder or zip archive of the PNG files."
    ),
    click.option("--annotations", type=EXISTING, required=True, help="panoptic_*.json, or the zip archive of it."),
    click.option("--split", help="Of a zip archive of several files the one to take: val2017."),
)


def _make(
    images: tuple[Path, ...], masks: tuple[Path, ...], annotations: Path, split: str | None, **taken: Any
) -> DenseSource:
    from ffprep.sources.dense.coco_panoptic import open_coco_panoptic

    return open_coco_panoptic(images, annotations, masks, split, **taken)


command, plan_command = dense_commands(
    "coco-panoptic",
    'COCO\'s panoptic masks: fields "image", "mask", "segments", "segment_labels", "segment_iscrowd", "image_id".',
    _options,
    _make,
    arguments="--images val2017 --masks panoptic_val2017 --annotations annotations/panoptic_val2017.json",
)
