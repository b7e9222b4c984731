"""``ffprep merge``."""

from __future__ import annotations

from pathlib import Path

import click

from ffprep.commands._shared.files import BETON, FileCommand, check_restart
from ffprep.commands._shared.options import CONTINUING, apply_options, followed, terminable


@click.command("merge", cls=FileCommand)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=BETON, required=True, help="The .beton file to make.")
@apply_options(*CONTINUING)
def command(paths: tuple[Path, ...], out: Path, resume: bool, restart: bool, overwrite: bool) -> None:
    """Join .beton files with the same fields into one, in the order given."""
    from ffprep.beton.merge import merge

    check_restart(resume, restart)
    with terminable(), followed(out.name) as progress:
        samples = merge(paths, out, restart=restart, overwrite=overwrite, progress=progress)
    click.echo(f"{out}: {samples:,} samples of {len(paths)} file{'s' * (len(paths) != 1)}")
