"""``ffprep convert coco`` and ``ffprep plan coco``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.options import EXISTING
from ffprep.commands.convert.captioned._shared import commands

if TYPE_CHECKING:
    from ffprep.sources.caption_source import CaptionSource


_options = apply_options(
    click.option(
        "--images",
        type=EXISTING,
        multiple=True,
        required=True,
        help="Folder or zip archive of images; Karpathy's split needs train2014 and val2014 (or those of 2017), "
        "or a folder of both.",
    ),
    click.option(
        "--annotations",
        type=EXISTING,
        required=True,
        help="captions_*.json, Karpathy's dataset_coco.json or dataset_flickr30k.json, or the zip archive of it.",
    ),
    click.option(
        "--split",
        help="karpathy:train+restval (or val, test); of a zip archive of several files the one to take: train2017.",
    ),
)


def _make(images: tuple[Path, ...], annotations: Path, split: str | None, **taken: Any) -> CaptionSource:
    from ffprep.sources.coco import open_coco

    return open_coco(images, annotations, split, **taken)


command, plan_command = commands(
    "coco",
    'COCO captions: fields "image", "tokens", "length", "image_id".',
    _options,
    _make,
    "--images /data/train2017 --annotations captions_train2017.json",
)
