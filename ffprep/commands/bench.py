"""``ffprep bench``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import ANYWHERE
from ffprep.commands._shared.help import Command
from ffprep.commands._shared.numbers import WORKERS, Whole
from ffprep.commands._shared.options import followed, progress_option
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command(
    "bench",
    cls=Command,
    examples=[
        ("Random crops, beside stock ffcv and torch's DataLoader", "ffprep bench train.beton --workers 8"),
        ("Whole images as an evaluation reads them, ffprep alone", "ffprep bench val.beton --validation --alone"),
    ],
)
@click.argument("path", type=ANYWHERE)
@click.option("--workers", type=WORKERS, default=1, show_default=True, help="Threads of each loader.")
@click.option("--batch-size", type=Whole(1), default=64, show_default=True)
@click.option("--rounds", type=Whole(1), default=5, show_default=True, help="Epochs counted for each loader.")
@click.option("--samples", type=Whole(1), default=2000, show_default=True, help="Samples an epoch.")
@click.option("--scale", type=(float, float), default=(0.08, 1.0), show_default=True, help="Area of the random crops.")
@click.option("--validation", is_flag=True, help="Whole images instead of random crops.")
@click.option("--alone", is_flag=True, help="Do not time stock ffcv and torch's DataLoader.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@progress_option
@click.pass_context
def command(
    ctx: click.Context,
    path: list[SetFile],
    workers: int,
    batch_size: int,
    rounds: int,
    samples: int,
    scale: tuple[float, float],
    validation: bool,
    alone: bool,
    as_json: bool,
) -> None:
    """How fast a file or a set feeds training, beside other loaders, and where the time goes."""
    from ffprep.inspect.bench import BenchOptions, bench, bench_text

    if not 0 < scale[0] <= scale[1] <= 1:
        low, high = scale
        raise OptionError(f"--scale {low:g} {high:g}: give the smallest and the largest share of the area, up to 1")
    options = BenchOptions(workers, batch_size, rounds, scale, validation, samples, baselines=not alone)
    with followed("rounds") as progress:
        facts = bench(path, options, lambda done: progress(done, rounds))
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        click.echo(bench_text(facts))
    ctx.exit(1 if "failure" in facts["results"][0] else 0)
