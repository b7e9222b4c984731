"""``ffprep stats``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("stats")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--form",
    type=click.Choice(["text", "markdown", "csv", "json"]),
    default="text",
    show_default=True,
    help="Of the table.",
)
def command(paths: tuple[Path, ...], form: str) -> None:
    """Images, captions and their lengths: the table about its data that a paper prints."""
    from ffprep.inspect.stats import render, stats_of, total

    rows = [stats_of(path) for path in paths]
    if len(rows) > 1:
        rows.append(total(rows))
    click.echo(render(rows, form))
