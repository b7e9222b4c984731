"""``ffprep set``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import BARE_FILES, SET, FileCommand
from ffprep.common.formatting import counted, one_line, size_text

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command(
    "set",
    cls=FileCommand,
    examples=[
        ("All files of a folder as one data set", "ffprep set /data/shards --out /data/shards/train.set.json"),
        ("Add one", "ffprep set new.beton --out train.set.json --append"),
    ],
)
@click.argument("paths", nargs=-1, required=True, type=BARE_FILES)
@click.option("--out", type=SET, required=True, help="The index to make, NAME.set.json, in the folder of the files.")
@click.option("--append", is_flag=True, help="Add the files to those that the index lists.")
@click.option("--overwrite", is_flag=True, help="Replace another index.")
def command(paths: tuple[list[SetFile], ...], out: Path, append: bool, overwrite: bool) -> None:
    """List .beton files in an index, so that it stands for all of them; the files stay as they are."""
    from ffprep.beton.sets import make_set

    wanted = [file.path for files in paths for file in files]
    index = make_set(out, wanted, append=append, overwrite=overwrite)
    files = counted(len(index.members), "file")
    click.echo(f"{one_line(out)}: {files}, {index.samples:,} samples, {size_text(index.bytes)}")
