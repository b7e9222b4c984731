"""``ffprep stats``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import FILES

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command("stats")
@click.argument("paths", nargs=-1, required=True, type=FILES)
@click.option(
    "--form",
    type=click.Choice(["text", "markdown", "csv", "json"]),
    default="text",
    show_default=True,
    help="Of the table.",
)
def command(paths: tuple[list[SetFile], ...], form: str) -> None:
    """Images, captions and their lengths: the table about its data that a paper prints."""
    from ffprep.inspect.stats import render, stats_of_set, total

    rows = [stats_of_set(files) for files in paths]
    if len(rows) > 1:
        rows.append(total(rows))
    click.echo(render(rows, form))
