"""``ffprep index``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import FILES, OWN_RULE, FileCommand
from ffprep.commands._shared.numbers import WORKERS, Whole
from ffprep.commands._shared.options import followed, progress_option, terminable
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command(
    "index",
    cls=FileCommand,
    examples=[
        ("A file that stock ffcv wrote", "ffprep index ffcv_train.beton"),
    ],
)
@click.argument("paths", nargs=-1, required=True, type=FILES)
@click.option(
    "--out", type=OWN_RULE, help="Where the index goes; beside the file by default, where loaders look for it."
)
@click.option("--workers", type=WORKERS, help="Threads; all processors by default.")
@click.option(
    "--interval",
    type=Whole(1),
    help="MCUs between the places where decoding can begin; 16 by default, 8 where colour is subsampled.",
)
@click.option("--overwrite", is_flag=True, help="Make it again even if there is one that fits.")
@click.option("--quiet", is_flag=True, help="No progress, no report on the screen.")
@progress_option
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[list[SetFile], ...],
    out: Path | None,
    workers: int | None,
    interval: int | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Index JPEGs without restart markers, so that crops of them decode fast.

    For files that stock ffcv wrote, or that were converted with --jpeg keep. The file itself stays as it is; the index
    is a file beside it, X.beton.index, which loaders find by themselves.
    """
    from ffprep.convert.indexing import make_index

    wanted = [file for files in paths for file in files]
    if out is not None and len(wanted) > 1:
        raise OptionError("--out names one index; give one file, or leave it out")
    damaged = 0
    for file in wanted:
        with terminable(), followed(file.path.name, quiet) as progress:
            report = make_index(
                file,
                out,
                workers=workers,
                interval=interval,
                overwrite=overwrite,
                progress=progress,
            )
        if not quiet:
            click.echo(str(report))
        damaged += len(report.damaged)
    ctx.exit(1 if damaged else 0)
