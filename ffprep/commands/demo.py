"""``ffprep demo``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-out"),
    show_default=True,
    help="Folder.",
)
@click.option("--images", type=click.IntRange(32), default=240, show_default=True, help="Photographs to make.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Epochs each loader is timed for.")
def command(out: Path, images: int, rounds: int) -> None:
    """The main job on embedded photographs: convert, verify, load, a picture, figures beside other loaders."""
    from ffprep.demo.demonstration import demonstrate

    demonstrate(out, images, rounds, click.echo)
