"""``ffprep demo``."""

from __future__ import annotations

from pathlib import Path

import click

from ffprep.commands._shared.files import LocalPath
from ffprep.commands._shared.help import Command
from ffprep.commands._shared.numbers import Whole


@click.command(
    "demo",
    cls=Command,
    examples=[
        ("Convert, verify and load the embedded photographs", "ffprep demo --out demo-out"),
    ],
)
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    default=Path("demo-out"),
    show_default=True,
    help="Folder.",
)
@click.option("--images", type=Whole(32), default=240, show_default=True, help="Photographs to make.")
@click.option("--rounds", type=Whole(1), default=5, show_default=True, help="Epochs each loader is timed for.")
def command(out: Path, images: int, rounds: int) -> None:
    """The main job on embedded photographs: convert, verify, load, a picture, figures beside other loaders."""
    from ffprep.demo.demonstration import demonstrate

    demonstrate(out, images, rounds, click.echo)
