"""``ffprep info``."""

from __future__ import annotations

import json
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
        ("The same for a program", "ffprep info train.beton --json"),
    ],
)
@click.argument("path", type=ANYWHERE)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(path: list[SetFile], as_json: bool) -> None:
    """What a .beton file or a set holds: fields, samples, sizes, where it came from."""
    from ffprep.inspect.info import describe_set, info_text

    facts = describe_set(path)
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        click.echo(info_text(facts))
