"""``ffprep preview``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import ANYWHERE, PAGE, FileCommand
from ffprep.commands._shared.numbers import Whole
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command(
    "preview",
    cls=FileCommand,
    examples=[
        ("24 samples from all over the file", "ffprep preview train.beton --out train.html"),
        ("2,000 at random, as thumbnails", "ffprep preview train.beton --count 2000 --random 0 --out train.html"),
        ("Those of which a message spoke", "ffprep preview train.beton --sample 17 --sample 4711 --out odd.html"),
    ],
)
@click.argument("path", type=ANYWHERE)
@click.option("--out", type=PAGE, required=True, help="The HTML file to make.")
@click.option("--count", type=Whole(1), default=24, show_default=True, help="Samples to show.")
@click.option("--sample", "samples", type=int, multiple=True, help="Show this sample (repeat for more).")
@click.option(
    "--random", "seed", type=Whole(0), metavar="SEED", help="Samples at random instead of evenly spread ones."
)
@click.option(
    "--side",
    type=Whole(16, 65535),
    help="Shrink pictures to this many pixels; by default to 256 where more than 100 samples are shown.",
)
@click.option("--overwrite", is_flag=True, help="Replace the page if it is there.")
def command(
    path: list[SetFile],
    out: Path,
    count: int,
    samples: tuple[int, ...],
    seed: int | None,
    side: int | None,
    overwrite: bool,
) -> None:
    """Some samples, with their pictures, as one HTML page."""
    from ffprep.inspect.preview import write_preview

    if samples and seed is not None:
        raise OptionError("--sample names samples, --random draws them: give one of them")
    shown = write_preview(path, out, count=count, indices=samples or None, seed=seed, side=side, overwrite=overwrite)
    click.echo(f"{out}: {shown} samples")
