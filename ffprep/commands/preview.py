"""``ffprep preview``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import ANYWHERE, PAGE, FileCommand
from ffprep.commands._shared.numbers import Whole

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command(
    "preview",
    cls=FileCommand,
    examples=[
        ("24 samples from all over the file", "ffprep preview train.beton --out train.html"),
        ("Those of which a message spoke", "ffprep preview train.beton --sample 17 --sample 4711 --out odd.html"),
    ],
)
@click.argument("path", type=ANYWHERE)
@click.option("--out", type=PAGE, required=True, help="The HTML file to make.")
@click.option("--count", type=Whole(1), default=24, show_default=True, help="Samples to show.")
@click.option("--sample", "samples", type=int, multiple=True, help="Show this sample (repeat for more).")
@click.option("--overwrite", is_flag=True, help="Replace the page if it is there.")
def command(path: list[SetFile], out: Path, count: int, samples: tuple[int, ...], overwrite: bool) -> None:
    """Some samples, with their pictures, as one HTML page."""
    from ffprep.inspect.preview import write_preview

    shown = write_preview(path, out, count=count, indices=samples or None, overwrite=overwrite)
    click.echo(f"{out}: {shown} samples")
