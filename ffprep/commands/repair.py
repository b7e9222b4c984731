"""``ffprep repair``."""

from __future__ import annotations

from pathlib import Path

import click

from ffprep.commands._shared.files import BETON, FileCommand, check_restart
from ffprep.commands._shared.options import CONTINUING, apply_options, followed, terminable


@click.command("repair", cls=FileCommand)
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=BETON, required=True, help="The .beton file to make.")
@click.option("--workers", type=click.IntRange(1), help="Threads that look for damage; all processors by default.")
@apply_options(*CONTINUING)
def command(path: Path, out: Path, workers: int | None, resume: bool, restart: bool, overwrite: bool) -> None:
    """Write the undamaged samples of a file into a new one, and list those that are lost.

    Damaged tables are restored from the copy that files of ffprep have. The file itself is only read.
    """
    from ffprep.beton.damage.repair import repair

    check_restart(resume, restart)
    with terminable(), followed(out.name) as progress:
        report = repair(path, out, workers=workers, restart=restart, overwrite=overwrite, progress=progress)
    click.echo(str(report))
