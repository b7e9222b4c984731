"""``ffprep merge``."""

from __future__ import annotations

from pathlib import Path

import click

from ffprep.commands._shared.options import BETON, followed


@click.command("merge")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=BETON, required=True, help="The .beton file to make.")
@click.option("--resume", is_flag=True, help="Continue where an interrupted merge stopped.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def command(paths: tuple[Path, ...], out: Path, resume: bool, overwrite: bool) -> None:
    """Join .beton files with the same fields into one, in the order given."""
    from ffprep.beton.merge import merge

    with followed(out.name) as progress:
        samples = merge(paths, out, resume=resume, overwrite=overwrite, progress=progress)
    click.echo(f"{out}: {samples:,} samples of {len(paths)} file{'s' * (len(paths) != 1)}")
