"""``ffprep split``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import FILES, SET, FileCommand, check_restart
from ffprep.commands._shared.numbers import Size, Whole
from ffprep.commands._shared.options import continuing_options, followed, progress_option, terminable
from ffprep.common.formatting import counted, one_line, size_text

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command(
    "split",
    cls=FileCommand,
    examples=[
        ("64 files and their index", "ffprep split train.beton --files 64 --out train.set.json"),
        ("As many as it takes for files of about 1 GB", "ffprep split train.beton --size 1GB --out train.set.json"),
    ],
)
@click.argument("paths", nargs=-1, required=True, type=FILES)
@click.option("--out", type=SET, required=True, help="The index to make, NAME.set.json; the files go beside it.")
@click.option("--files", "count", type=Whole(1, 99_999), help="How many files to make.")
@click.option("--size", type=Size(), help="Or: about how many bytes a file is to have, such as 1GB.")
@click.option(
    "--samples", type=Whole(1), help="Or: how many samples a file is to have at most; of tokens, how many blocks."
)
@continuing_options
@progress_option
def command(
    paths: tuple[list[SetFile], ...],
    out: Path,
    count: int | None,
    size: int | None,
    samples: int | None,
    resume: bool,
    restart: bool,
    overwrite: bool,
) -> None:
    """Spread the samples of a file or a set over several files, in order, as many in each as in the others."""
    from ffprep.beton.split import Spread, split

    check_restart(resume, restart)
    if sum(one is not None for one in (count, size, samples)) != 1:
        raise click.UsageError("say how to split with one of --files, --size and --samples")
    wanted = [file for files in paths for file in files]
    with terminable(), followed(out.name) as progress:
        number = count if count is not None else Spread(size=size, samples=samples)
        index = split(wanted, out, number, restart=restart, overwrite=overwrite, progress=progress)
    files = counted(len(index.members), "file")
    click.echo(f"{one_line(out)}: {files}, {index.samples:,} samples, {size_text(index.bytes)}")
