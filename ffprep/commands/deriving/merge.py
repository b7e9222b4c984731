"""``ffprep merge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import BETON, FILES, FileCommand, check_restart
from ffprep.commands._shared.options import continuing_options, followed, progress_option, terminable
from ffprep.common.formatting import counted, one_line

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command(
    "merge",
    cls=FileCommand,
    examples=[
        ("The parts of a conversion", "ffprep merge 'train-*-of-00064.beton' --out train.beton"),
    ],
)
@click.argument("paths", nargs=-1, required=True, type=FILES)
@click.option("--out", type=BETON, required=True, help="The .beton file to make.")
@continuing_options
@progress_option
def command(paths: tuple[list[SetFile], ...], out: Path, resume: bool, restart: bool, overwrite: bool) -> None:
    """Join .beton files, or those of sets, with the same fields into one, in the order given."""
    from ffprep.text.blocks.merging import merge_files

    check_restart(resume, restart)
    files = [file for some in paths for file in some]
    with terminable(), followed(out.name) as progress:
        made = merge_files(files, out, restart=restart, overwrite=overwrite, progress=progress)
    click.echo(f"{one_line(out)}: {made} of {counted(len(files), 'file')}")
