"""``ffprep convert ade20k`` and ``ffprep plan ade20k``."""

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
    click.option("--source", type=EXISTING, required=True, help="The folder ADEChallengeData2016."),
    click.option("--split", type=click.Choice(["train", "val"]), default="train", show_default=True),
    click.option(
        "--zero",
        type=click.Choice(["ignore", "class"]),
        default="ignore",
        show_default=True,
        help="Label 0, of what is none of the 150 classes: 255, the classes being 0 to 149; or a class of its own.",
    ),
)


def _make(source: Path, split: str, **taken: Any) -> DenseSource:
    from ffprep.sources.dense.mask_pairs import open_ade20k

    return open_ade20k(source, split, **taken)


command, plan_command = dense_commands(
    "ade20k",
    'ADE20K\'s masks: fields "image" and "mask".',
    _options,
    _make,
    arguments="--source /data/ADEChallengeData2016 --split val",
)
