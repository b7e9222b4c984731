"""``ffprep convert imagenet`` and ``ffprep plan imagenet``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.files import FileCommand
from ffprep.commands._shared.help import Command, apply_options
from ffprep.commands._shared.options import (
    EXISTING,
    ImageChoices,
    all_files_option,
    image_options,
    take_image,
    take_writing,
    writing_options,
)
from ffprep.commands._shared.planning import planning_options, take_planning

if TYPE_CHECKING:
    from ffprep.sources.base import Source


_source_options = apply_options(
    click.option(
        "--source",
        required=True,
        metavar="PATH_OR_HUB",
        help="A folder (ImageFolder, official tars, parquet files, save_to_disk), a .tar or .parquet file, or a "
        "data set of the Hugging Face hub such as ILSVRC/imagenet-1k.",
    ),
    click.option("--split", type=click.Choice(["train", "val"]), default="train", show_default=True),
    click.option(
        "--labels",
        type=EXISTING,
        help="Classes of the validation images where these lie in no class folders: the ground truth, a list of "
        "WordNet ids, val.txt or LOC_val_solution.csv. Looked for beside the images.",
    ),
    click.option(
        "--devkit",
        type=EXISTING,
        help="ILSVRC2012_devkit_t12 (folder, .tar.gz or meta.mat), which the official ground truth needs.",
    ),
    click.option("--classes", type=EXISTING, help="List of all WordNet ids, where only some classes are there."),
    all_files_option,
    click.option("--streaming", is_flag=True, help="Read a hub data set over the network, keeping nothing."),
)


def _open(
    image: ImageChoices,
    source: str,
    split: str,
    labels: Path | None,
    devkit: Path | None,
    classes: Path | None,
    all_files: bool,
    streaming: bool,
) -> Source:
    from ffprep.sources.imagenet import open_imagenet
    from ffprep.sources.reading.synsets import Hints

    hints = Hints(labels, devkit, classes)
    return open_imagenet(source, split, image=image.field(), hints=hints, all_files=all_files, streaming=streaming)


@click.command(
    "imagenet",
    cls=FileCommand,
    examples=[
        (
            "The official tars, stored without loss",
            "ffprep convert imagenet --source /data/ILSVRC2012 --split train --out train.beton",
        ),
        (
            "A smaller file, as ffcv makes it",
            "ffprep convert imagenet --source /data/ILSVRC2012 --max-side 500 --quality 90 --out train500.beton",
        ),
        (
            "From the Hugging Face hub",
            "ffprep convert imagenet --source ILSVRC/imagenet-1k --split val --out val.beton",
        ),
    ],
)
@_source_options
@image_options
@writing_options
def command(**values: Any) -> None:
    """ImageNet-1K, or any data set laid out like it: fields "image" and "label"."""
    writing, rest = take_writing(values)
    image, rest = take_image(rest)
    writing.run(_open(image, **rest), image.index)


@click.command(
    "imagenet",
    cls=Command,
    examples=[("Bytes, time, room on the disk", "ffprep plan imagenet --source /data/ILSVRC2012 --split train")],
)
@_source_options
@image_options
@planning_options
def plan_command(**values: Any) -> None:
    """Bytes, time and room that converting ImageNet will take."""
    planning, rest = take_planning(values)
    image, rest = take_image(rest)
    planning.run(_open(image, **rest))
