"""``ffprep stats``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import ANYWHERE, PAGE, FileCommand
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


def _show_pixels(paths: tuple[list[SetFile], ...], form: str) -> None:
    import json
    from dataclasses import asdict

    from ffprep.inspect.pixels import pixels_of_set, render_pixels

    if form not in ("text", "json"):
        raise OptionError(f"--pixels has no form {form}; choose text or json")
    names = [str(files[0].path) if len(files) == 1 else f"{files[0].path} and {len(files) - 1} more" for files in paths]
    rows = [pixels_of_set(files) for files in paths]
    if form == "json":
        click.echo(json.dumps([{"file": name, **asdict(row)} for name, row in zip(names, rows, strict=True)], indent=1))
    else:
        click.echo(render_pixels(names, rows))


def _show_duplicates(paths: tuple[list[SetFile], ...], form: str, by: str | None) -> None:
    import json
    from dataclasses import asdict

    from ffprep.inspect.duplicates import find_duplicates, render_duplicates

    if form not in ("text", "json"):
        raise OptionError(f"--duplicates has no form {form}; choose text or json")
    found = find_duplicates(paths, by)
    click.echo(json.dumps(asdict(found), indent=1) if form == "json" else render_duplicates(found))


def _plot(paths: tuple[list[SetFile], ...], plot: Path, overwrite: bool) -> None:
    from ffprep.inspect.charts import histogram_chart, write_charts
    from ffprep.inspect.histograms import histograms_of

    found = [(files, one) for files in paths for one in histograms_of(files)]
    titles = [f"{files[0].path.name}: {one.title}" if len(paths) > 1 else one.title for files, one in found]
    charts = [replace(histogram_chart(one), title=title) for title, (_, one) in zip(titles, found, strict=True)]
    write_charts(plot, charts, overwrite=overwrite)


@click.command(
    "stats",
    cls=FileCommand,
    examples=[
        ("The table of a paper, for several files", "ffprep stats coco.beton cc3m.beton --form markdown"),
        ("Sizes, caption lengths and classes as charts", "ffprep stats coco.beton --plot coco.svg"),
        (
            "Images of the validation set that are in the training set, too",
            "ffprep stats train.beton val.beton --duplicates",
        ),
        ("Mean and deviation of the pixels, for Normalize", "ffprep stats train.beton --pixels"),
    ],
)
@click.argument("paths", nargs=-1, required=True, type=ANYWHERE)
@click.option(
    "--form",
    type=click.Choice(["text", "markdown", "csv", "json"]),
    default="text",
    show_default=True,
    help="Of the table.",
)
@click.option(
    "--pixels",
    is_flag=True,
    help="Mean and standard deviation of the pixels instead, for normalisation: decodes every image.",
)
@click.option(
    "--plot", type=PAGE, help="Draw histograms of the images' sizes, caption lengths and classes, too: .svg or .png."
)
@click.option("--overwrite", is_flag=True, help="Replace the image of --plot if it is there.")
@click.option(
    "--duplicates",
    is_flag=True,
    help="What is there more than once instead, within each file or set and between them.",
)
@click.option(
    "--by",
    type=click.Choice(["bytes", "pixels", "text"]),
    help="What makes duplicates: the images as stored, which their checksums tell at once (the default); the pictures, "
    "all decoded; or the tokens of captions, rows and blocks (the default where there are no images).",
)
def command(
    paths: tuple[list[SetFile], ...],
    form: str,
    pixels: bool,
    plot: Path | None,
    overwrite: bool,
    duplicates: bool,
    by: str | None,
) -> None:
    """Images, captions and their lengths: the table about its data that a paper prints."""
    if by is not None and not duplicates:
        raise OptionError("--by says what makes duplicates: give --duplicates too")
    if pixels and duplicates:
        raise OptionError("--pixels and --duplicates: give one of them (--by pixels compares pictures)")
    if plot is not None:
        _plot(paths, plot, overwrite)
    if duplicates:
        _show_duplicates(paths, form, by)
        return
    if pixels:
        _show_pixels(paths, form)
        return
    from ffprep.inspect.stats import render, stats_of_set, total

    rows = [stats_of_set(files) for files in paths]
    if len(rows) > 1:
        rows.append(total(rows))
    click.echo(render(rows, form))
