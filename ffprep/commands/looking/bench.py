"""``ffprep bench``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import ANYWHERE, PAGE, FileCommand
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.numbers import WORKERS, Whole
from ffprep.commands._shared.options import followed, progress_option
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


_compared = apply_options(
    click.option("--alone", is_flag=True, help="Do not time stock ffcv and torch's DataLoader."),
    click.option("--threads", type=WORKERS, help="Time ffprep with 1, 2, 4 ... up to so many threads, too."),
    click.option(
        "--cold",
        is_flag=True,
        help="Time ffprep with nothing of the file in memory, too. Drops the file from the system's cache, each round.",
    ),
    title="What is compared",
)

_shown = apply_options(
    click.option("--plot", type=PAGE, help="Draw the rates and where the time goes: .svg or .png."),
    click.option("--overwrite", is_flag=True, help="Replace the image of --plot if it is there."),
    click.option("--json", "as_json", is_flag=True, help="For programs."),
    title="Result",
)


@click.command(
    "bench",
    cls=FileCommand,
    examples=[
        ("Random crops, beside stock ffcv and torch's DataLoader", "ffprep bench train.beton --workers 8"),
        (
            "With 1, 2, 4 and 8 threads, and from the disk; as a chart",
            "ffprep bench train.beton --alone --threads 8 --cold --plot bench.svg",
        ),
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
@_compared
@_shown
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
    threads: int | None,
    cold: bool,
    plot: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """How fast a file or a set feeds training, beside other loaders, and where the time goes."""
    from ffprep.inspect.charts import check_image_name, write_charts
    from ffprep.inspect.timing.bench import BenchOptions, bench, bench_charts, bench_text

    if not 0 < scale[0] <= scale[1] <= 1:
        low, high = scale
        raise OptionError(f"--scale {low:g} {high:g}: give the smallest and the largest share of the area, up to 1")
    if plot is not None:
        check_image_name(plot)
    options = BenchOptions(workers, batch_size, rounds, scale, validation, samples, not alone, threads or 0, cold)
    with followed("rounds") as progress:
        facts = bench(path, options, lambda done: progress(done, rounds))
    if plot is not None:
        write_charts(plot, bench_charts(facts), overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        click.echo(bench_text(facts))
    ctx.exit(1 if "failure" in facts["results"][0] else 0)
