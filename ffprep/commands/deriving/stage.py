"""``ffprep stage``."""

from __future__ import annotations

from pathlib import Path

import click

from ffprep.commands._shared.files import CACHE, LocalPath
from ffprep.commands._shared.help import Command
from ffprep.commands._shared.numbers import Whole
from ffprep.commands._shared.options import followed, progress_option
from ffprep.common.formatting import one_line, size_text


@click.command(
    "stage",
    cls=Command,
    examples=[
        (
            "All files of a set, to a disk of the machine",
            "ffprep stage s3://bucket/train.set.json --cache /nvme/ffprep",
        ),
    ],
)
@click.argument("urls", nargs=-1, required=True)
@click.option("--cache", type=LocalPath(CACHE, file_okay=False), help="Folder on local disk; see the docs.")
@click.option("--cache-limit", type=Whole(1), metavar="BYTES", help="Bytes that pages may take there.")
@progress_option
def command(urls: tuple[str, ...], cache: Path | None, cache_limit: int | None) -> None:
    """Copy remote .beton files or sets to the cache on local disk, so that loaders begin with all pages there."""
    from ffprep.beton import Reader
    from ffprep.beton.seek_index import find_index
    from ffprep.beton.sets import files_of
    from ffprep.remote.staging import stage

    for file in files_of(urls, cache, cache_limit):
        with followed(file.path.name) as progress:
            staged = stage(file.path, progress)
        with Reader(file, check=False) as reader:
            find_index(reader, None)  # fetches it, if there is one
        fetched = size_text(staged.fetched)
        click.echo(f"{staged.url}: {size_text(staged.size)}, {fetched} of it fetched, at {one_line(file.path)}")
