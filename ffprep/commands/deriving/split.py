"""``ffprep split``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import FILES, SET, FileCommand, check_restart
from ffprep.commands._shared.numbers import Whole
from ffprep.commands._shared.options import continuing_options, followed, progress_option, terminable
from ffprep.common.formatting import counted, one_line, size_text

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command(
    "split",
    cls=FileCommand,
    examples=[
        ("64 files and their index", "ffprep split train.beton --files 64 --out train.set.json"),
    ],
)
@click.argument("paths", nargs=-1, required=True, type=FILES)
@click.option("--out", type=SET, required=True, help="The index to make, NAME.set.json; the files go beside it.")
@click.option("--files", "count", type=Whole(1, 99_999), required=True, help="How many files to make.")
@continuing_options
@progress_option
def command(
    paths: tuple[list[SetFile], ...], out: Path, count: int, resume: bool, restart: bool, overwrite: bool
) -> None:
    """Spread the samples of a file or a set over several files, in order, as many in each as in the others."""
    from ffprep.beton.split import split

    check_restart(resume, restart)
    wanted = [file for files in paths for file in files]
    with terminable(), followed(out.name) as progress:
        index = split(wanted, out, count, restart=restart, overwrite=overwrite, progress=progress)
    files = counted(len(index.members), "file")
    click.echo(f"{one_line(out)}: {files}, {index.samples:,} samples, {size_text(index.bytes)}")
