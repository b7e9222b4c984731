"""What the commands for image-text data sets have in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.files import FileCommand
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.numbers import Whole
from ffprep.commands._shared.options import EXISTING, image_options, reading_options, take_image, writing_options
from ffprep.commands._shared.vocabulary import renamed, take_vocabulary, vocabulary_options
from ffprep.commands.convert._data_set import DataSet
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


def caption_data_set(
    name: str, summary: str, source_options: Callable[..., Any], make: Callable[..., CaptionSource], arguments: str
) -> DataSet:
    """What the commands of one data set are made of.

    Parameters
    ----------
    name, summary : str
    source_options : decorator
        The data set's own options.
    make : callable
        Opens the source, given the values of these and the other arguments of a `CaptionSource`.
    arguments : str
        Those of the examples in ``--help``.
    """

    def opened(values: dict[str, Any], skip: bool) -> tuple[CaptionSource, bool]:
        image, rest = take_image(values)
        renamed(rest, "text", "keep_text")
        taken = {
            "image": image.field(),
            "form": "pairs" if rest.pop("pairs") else "grouped",
            "length": rest.pop("length"),
            "most": rest.pop("most"),
            "text": rest.pop("keep_text"),
            "vocabulary": take_vocabulary(rest),
        }
        return make(**rest, **taken, skip=skip), image.index

    options = apply_options(source_options, caption_options, image_options)
    return DataSet(name, summary, options, opened, tell, arguments)


def commands(
    name: str, summary: str, source_options: Callable[..., Any], make: Callable[..., CaptionSource], arguments: str
) -> tuple[click.Command, click.Command]:
    """Make the ``convert`` and ``plan`` commands of one data set; see `caption_data_set`."""
    return caption_data_set(name, summary, source_options, make, arguments).commands(_examples(name, arguments))


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
    data_set = caption_data_set(dataset, summary, options, make, f"--shards /data/{dataset}")

    @click.command(
        dataset,
        cls=FileCommand,
        help=summary + " The ids and URLs used are listed beside the file.",
        examples=_examples(dataset, data_set.arguments),
    )
    @data_set.options
    @writing_options
    def command(**values: Any) -> None:
        import numpy as np

        from ffprep.beton.parts import Part
        from ffprep.beton.reader import Reader

        out = values["out"] if values["part"] is None else Part.parse(values["part"]).path(values["out"])
        listing = out.with_name(out.name + ".sources.jsonl")
        if not out.exists():
            check_output(listing, overwrite=values["overwrite"])
        record = getattr(data_set.convert(values), "record", None)
        if record is not None:
            with Reader(out, check=False) as made:
                taken = np.unique(made.column("image_id"))
            with replacing(listing, overwrite=values["overwrite"]) as file:
                file.writelines(f"{json.dumps(line)}\n".encode() for line in record(taken))

    _, plan_command = data_set.commands([])
    return command, plan_command
