"""``ffprep convert images`` and ``ffprep plan images``: any data set of images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from ffprep.commands._shared.files import BETON, FileCommand, ReadingCommand
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.numbers import Number, Whole
from ffprep.commands._shared.options import (
    EXISTING,
    ImageChoices,
    WritingChoices,
    image_options,
    png_option,
    reading_options,
    take_image,
    take_writing,
    writing_options,
)
from ffprep.commands._shared.planning import planning_options, take_planning
from ffprep.commands.convert.dense._shared import classes_option, read_classes
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.sources.images.source import ImagesSource
    from ffprep.sources.images.streaming import StreamedImages

_source_options = apply_options(
    click.option(
        "--source",
        required=True,
        metavar="PATH_OR_HUB",
        help="A folder (ImageFolder, .tar or parquet files, save_to_disk, metadata.csv), a .tar, .parquet, .csv, .tsv "
        "or .jsonl file, a pattern of .tar or .parquet files, or a data set of the Hugging Face hub.",
    ),
    click.option(
        "--images",
        type=EXISTING,
        help="Folder of the images that a table names by their paths; the table's by default.",
    ),
    click.option("--split", help="Split: a folder such as train, or the hub's."),
    click.option("--config", metavar="NAME", help="Configuration of a hub data set."),
    click.option("--streaming", is_flag=True, help="Read a hub data set over the network, keeping nothing."),
    apply_options(
        click.option("--image", "image_column", metavar="COLUMN", help="Column of the images; found by type or name."),
        click.option(
            "--label",
            metavar="COLUMN",
            help="Column of the labels: numbers, or names, which are numbered in alphabetical order. By default the "
            "class folders, a ClassLabel, or a column called label, cls or the like; 'none' leaves labels out.",
        ),
        click.option(
            "--labels",
            multiple=True,
            metavar="NAME",
            help="Names of the classes in the order of their numbers. Repeatable.",
        ),
        classes_option,
        click.option("--caption", metavar="COLUMN", help='Column of texts, stored in the field "caption" as UTF-8.'),
        click.option(
            "--field",
            "fields",
            multiple=True,
            metavar="NAME=KIND[:COLUMN]",
            help="A further field: of the kind int, float, text, json, bytes, label, image, mask, mask-uint16, "
            "mask-int32, ints, floats, boxes, or an array such as array-uint16 or, of 13 channels, array-float32x13. "
            "image=array-uint16 stores the images so. Repeatable. Dots lead into nested values: "
            "labels=ints:objects.category.",
        ),
        click.option(
            "--filter",
            "filters",
            multiple=True,
            metavar="CONDITION",
            help="Take the rows for which this holds: COLUMN=VALUE, or an expression such as "
            "\"label in ('cat', 'dog') and width >= 224\". Repeatable; all have to hold.",
        ),
        title="Columns and rows",
    ),
    reading_options,
)


def _open(rest: dict[str, Any], image: ImageChoices, skip: bool) -> ImagesSource | StreamedImages:
    from ffprep.sources.images.opening import ImagesChoice, open_images, open_streamed

    classes = rest.pop("classes")
    if classes is not None:
        if rest["labels"]:
            raise OptionError("--labels and --classes: give one of them")
        rest["labels"] = read_classes(classes)
    rest["image"] = rest.pop("image_column")
    choice = ImagesChoice(**rest)
    return open_streamed(choice, image.field()) if choice.streaming else open_images(choice, image.field(), skip)


@click.command(
    "images",
    cls=FileCommand,
    examples=[
        (
            "A folder of class folders; a tenth of each class for validation",
            "ffprep convert images --source photos --val-share 0.1 --out photos.beton",
        ),
        (
            "A table of paths and labels",
            "ffprep convert images --source list.csv --image path --label kind --out photos.beton",
        ),
        (
            "Rows of a table that hold",
            "ffprep convert images --source photos.parquet --filter 'width >= 224' --out photos.beton",
        ),
    ],
)
@_source_options
@click.option(
    "--val-share",
    type=Number(0, 1),
    help="Keep this share of the samples, of each class alike, for a second file: X-val.beton beside X.beton.",
)
@click.option("--val-out", type=BETON, help="The name of that file.")
@click.option("--val-seed", type=Whole(0), default=0, show_default=True, help="Chooses which samples.")
@png_option
@image_options
@writing_options
def command(
    val_share: float | None,
    val_out: Path | None,
    val_seed: int,
    **values: Any,
) -> None:
    """Any data set of images: fields "image", "label" if there are labels, and those named.

    In a configuration, which holds these options without their dashes, `field` and `filter` are lists.
    """
    writing, rest = take_writing(values)
    image, rest = take_image(rest)
    if val_out is not None and val_share is None:
        raise OptionError("--val-out: say how many samples it gets, with --val-share")
    if val_share is not None and rest["streaming"]:
        raise OptionError("--val-share chooses among all samples, which a stream does not have; leave --streaming out")
    if val_share is not None:
        val_out = val_out or writing.out.with_name(f"{writing.out.stem}-val{writing.out.suffix}")
    source = _open(rest, image, writing.on_error == "skip")
    if not writing.quiet:
        click.echo(source.summary())
    if val_share is None or val_out is None:
        writing.run(source, image.index)
        return
    _run_both(cast("ImagesSource", source), writing, image.index, val_share, val_out, val_seed)


def _run_both(
    source: ImagesSource, writing: WritingChoices, index: bool, share: float, val_out: Path, seed: int
) -> None:
    from ffprep.sources.images.source import train_and_val

    train, val = train_and_val(source, share, seed, writing.limit)
    writing = replace(writing, limit=None)
    report = writing.report
    if report is not None:
        report = report.with_name(f"{report.stem}-val{report.suffix}")
    writing.run(train, index)
    replace(writing, out=val_out, report=report).run(val, index)


@click.command(
    "images", cls=ReadingCommand, examples=[("Bytes, time, room on the disk", "ffprep plan images --source photos")]
)
@_source_options
@png_option
@image_options
@planning_options
def plan_command(**values: Any) -> None:
    """Bytes, time and room that converting any data set of images will take."""
    planning, rest = take_planning(values)
    image, rest = take_image(rest)
    source = _open(rest, image, skip=True)
    if not planning.as_json:
        click.echo(source.summary())
    planning.run(source)
