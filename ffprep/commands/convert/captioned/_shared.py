"""What the commands for image-text data sets have in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.files import FileCommand, ReadingCommand
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.numbers import Whole
from ffprep.commands._shared.options import (
    EXISTING,
    image_options,
    planning_options,
    reading_options,
    show_plan,
    take_image,
    take_writing,
    writing_options,
)
from ffprep.commands._shared.vocabulary import renamed, take_vocabulary, vocabulary_options
from ffprep.common.files.outputs import check_output
from ffprep.common.files.replacing import replacing

if TYPE_CHECKING:
    from ffprep.sources.caption_source import CaptionSource

caption_options = apply_options(
    reading_options,
    click.option(
        "--pairs/--grouped",
        "pairs",
        default=True,
        help="A sample for each caption, those of one image sharing its bytes (default); or a sample for each "
        "image with its captions as an array.",
    ),
    click.option("--length", type=Whole(2, 4096), default=64, show_default=True, help="Tokens of a caption."),
    click.option(
        "--captions",
        "most",
        type=Whole(1, 10000),
        help="Captions an image keeps in the grouped form; by default all.",
    ),
    click.option("--keep-text", is_flag=True, help='Store the captions\' text as well, in the field "caption".'),
    click.option("--text", is_flag=True, hidden=True),
    vocabulary_options,
    click.option("--tokens", hidden=True),
    title="Captions",
)
"""``--pairs``, ``--grouped``, ``--length``, ``--captions``, ``--keep-text`` and the vocabulary's."""


def _examples(name: str, arguments: str) -> list[tuple[str, str]]:
    return [
        ("A sample for each caption", f"ffprep convert {name} {arguments} --out {name}.beton"),
        (
            "A sample for each image, at most five captions, images of at most 256 pixels",
            f"ffprep convert {name} {arguments} --grouped --captions 5 --max-side 256 --out {name}_small.beton",
        ),
    ]


def choices(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate the arguments of a `CaptionSource` from a command's other values."""
    image, rest = take_image(values)
    renamed(rest, "text", "keep_text")
    taken = {
        "image": image.field(),
        "form": "pairs" if rest.pop("pairs") else "grouped",
        "length": rest.pop("length"),
        "most": rest.pop("most"),
        "text": rest.pop("keep_text"),
        "vocabulary": take_vocabulary(rest),
        "all_files": rest.pop("all_files"),
    }
    return taken, rest


def tell(source: CaptionSource) -> None:
    """Show what the source found, and what in it does not match."""
    facts = source.manifest()
    parts = [f"{facts['images']:,} images, {facts['captions']:,} captions"]
    for name, value in facts.items():
        if name.startswith(("images_", "captions_")) and value:
            parts.append(f"{value:,} {name.replace('_', ' ')}")
    click.echo("; ".join(parts))
    if source.left_out:
        click.echo(f"note: {source.left_out.summary()}", err=True)


def convert_captions(values: dict[str, Any], make: Callable[..., CaptionSource]) -> tuple[CaptionSource, Path]:
    """Convert the source that `make` opens, given the command's own values and the arguments of a `CaptionSource`."""
    writing, rest = take_writing(values)
    taken, rest = choices(rest)
    source = make(**rest, **taken, skip=writing.on_error == "skip")
    if not writing.quiet:
        tell(source)
    writing.run(source, values["index"])
    return source, writing.out


def commands(
    name: str,
    summary: str,
    source_options: Callable[..., Any],
    make: Callable[..., CaptionSource],
    arguments: str,
) -> tuple[click.Command, click.Command]:
    """Make the ``convert`` and ``plan`` commands of one data set."""

    @click.command(name, help=summary, cls=FileCommand, examples=_examples(name, arguments))
    @source_options
    @caption_options
    @image_options
    @writing_options
    def command(**values: Any) -> None:
        convert_captions(values, make)

    @click.command(
        name,
        help=f"Bytes, time and room of: {summary}",
        cls=ReadingCommand,
        examples=[("Before the conversion", f"ffprep plan {name} {arguments}")],
    )
    @source_options
    @caption_options
    @image_options
    @planning_options
    def plan_command(out: Path, workers: int, limit: int | None, as_json: bool, **values: Any) -> None:
        taken, rest = choices(values)
        source = make(**rest, **taken, skip=True)
        if not as_json:
            tell(source)
        show_plan(source, out=out, workers=workers, limit=limit, as_json=as_json)

    return command, plan_command


def shard_commands(dataset: str, title: str) -> tuple[click.Command, click.Command]:
    """Make the commands of a data set that comes as webdataset tars."""

    def options(function: Callable[..., Any]) -> Callable[..., Any]:
        return click.option(
            "--shards",
            type=EXISTING,
            multiple=True,
            required=True,
            help="Folder of .tar archives, or an archive: of ffprep download, img2dataset, or a -wds data set of the "
            "hub. May be given several times.",
        )(function)

    def make(shards: tuple[Path, ...], **taken: Any) -> CaptionSource:
        from ffprep.sources.caption_shards import open_caption_shards

        return open_caption_shards(dataset, shards, **taken)

    summary = f'{title}, from downloaded shards: fields "image", "tokens", "length", "image_id".'

    arguments = f"--shards /data/{dataset}"

    @click.command(
        dataset,
        cls=FileCommand,
        help=summary + " The ids and URLs used are listed beside the file.",
        examples=_examples(dataset, arguments),
    )
    @options
    @caption_options
    @image_options
    @writing_options
    def command(**values: Any) -> None:
        listing = values["out"].with_name(values["out"].name + ".sources.jsonl")
        if not values["out"].exists():
            check_output(listing, overwrite=values["overwrite"])
        source, _ = convert_captions(values, make)
        record = getattr(source, "record", None)
        if record is not None:
            with replacing(listing, overwrite=values["overwrite"]) as file:
                file.writelines(f"{json.dumps(line)}\n".encode() for line in islice(record(), values["limit"]))

    _, plan_command = commands(dataset, summary, options, make, arguments)
    return command, plan_command
