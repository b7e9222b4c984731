"""``ffprep convert masks`` and ``ffprep plan masks``: a folder of images and one of masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.options import EXISTING
from ffprep.commands.convert.dense._shared import classes_option, dense_commands, read_classes

if TYPE_CHECKING:
    from ffprep.sources.dense.source import DenseSource

_options = apply_options(
    click.option("--images", type=EXISTING, required=True, help="Folder of images."),
    click.option("--masks", type=EXISTING, required=True, help="Folder of masks, which are called as their images."),
    click.option("--image-suffix", default="", help="What images' names have before the ending: _leftImg8bit."),
    click.option("--mask-suffix", default="", help="What masks' names have before the ending: _gtFine_labelTrainIds."),
    classes_option,
    click.option(
        "--reduce-zero", is_flag=True, help="Label 0 stands for no class: it becomes 255, and the others are one less."
    ),
)


def _make(images: Path, masks: Path, classes: Path | None, **taken: Any) -> DenseSource:
    from ffprep.sources.dense.mask_pairs import open_mask_pairs

    return open_mask_pairs(images, masks, read_classes(classes), **taken)


command, plan_command = dense_commands(
    "masks",
    'Folders of images and of masks, such as Cityscapes\': fields "image" and "mask".',
    _options,
    _make,
    arguments="--images photos --masks labels --mask-suffix _mask",
)
