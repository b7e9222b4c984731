"""``ffprep info``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import ANYWHERE
from ffprep.commands._shared.help import Command

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command(
    "info",
    cls=Command,
    examples=[
        ("Fields, samples, sizes, source", "ffprep info train.beton"),
        ("With the distributions of sizes, lengths and classes", "ffprep info train.beton --histograms"),
        ("The same for a program", "ffprep info train.beton --json"),
    ],
)
@click.argument("path", type=ANYWHERE)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option(
    "--histograms", is_flag=True, help="How the images' sizes, caption lengths and classes are distributed, too."
)
def command(path: list[SetFile], as_json: bool, histograms: bool) -> None:
    """What a .beton file or a set holds: fields, samples, sizes, where it came from."""
    from ffprep.inspect.histograms import histogram_text, histograms_of
    from ffprep.inspect.info import describe_set, info_text

    facts = describe_set(path)
    found = histograms_of(path) if histograms else []
    if found and as_json:
        facts["histograms"] = [asdict(one) for one in found]
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        click.echo("\n\n".join([info_text(facts), *map(histogram_text, found)]))
