"""``ffprep stage``."""

from __future__ import annotations

from pathlib import Path

import click

from ffprep.commands._shared.options import followed
from ffprep.common.formatting import size_text


@click.command("stage")
@click.argument("urls", nargs=-1, required=True)
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Folder on local disk; see the docs.")
@click.option("--cache-limit", type=click.IntRange(1), metavar="BYTES", help="Bytes that pages may take there.")
def command(urls: tuple[str, ...], cache: Path | None, cache_limit: int | None) -> None:
    """Copy remote .beton files or sets to the cache on local disk, so that loaders begin with all pages there."""
    from ffprep.beton.sets import files_of
    from ffprep.remote.staging import stage

    for file in files_of(urls, cache, cache_limit):
        with followed(file.path.name) as progress:
            staged = stage(file.path, progress)
        click.echo(f"{staged.url}: {size_text(staged.size)}, {size_text(staged.fetched)} of it fetched, at {file.path}")
