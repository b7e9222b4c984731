"""``ffprep merge``."""

from __future__ import annotations

from pathlib import Path

import click

from ffprep.commands._options import BETON


@click.command("merge")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=BETON, required=True, help="The .beton file to make.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def command(paths: tuple[Path, ...], out: Path, overwrite: bool) -> None:
    """Join .beton files with the same fields into one, in the order given."""
    from ffprep.beton.merge import merge

    merge(paths, out, overwrite=overwrite)
    click.echo(f"{out}: {len(paths)} files joined")
