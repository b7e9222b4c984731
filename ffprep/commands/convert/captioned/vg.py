"""``ffprep convert vg`` and ``ffprep plan vg``."""

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
        help="Folder or zip archive of images: VG_100K and VG_100K_2, or a folder of both.",
    ),
    click.option("--annotations", type=EXISTING, required=True, help="region_descriptions.json or its zip archive."),
)


def _make(images: tuple[Path, ...], annotations: Path, **taken: Any) -> CaptionSource:
    from ffprep.sources.visual_genome import open_visual_genome

    return open_visual_genome(images, annotations, **taken)


command, plan_command = commands(
    "vg",
    'Visual Genome, a caption for each region: fields "image", "tokens", "length", "image_id".',
    _options,
    _make,
    "--images /data/vg --annotations region_descriptions.json.zip",
)
