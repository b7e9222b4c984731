"""``ffprep preview``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.files import ANYWHERE, PAGE, Existing, FileCommand
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.numbers import Whole
from ffprep.commands._shared.options import terminable
from ffprep.common.formatting import one_line
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile

SHOW = (
    "samples", "crops", "imagenet_train", "imagenet_val", "image_text_train", "image_text_val",
    "randaugment", "trivialaugment", "autoaugment", "augmix", "3-augment",
)  # fmt: skip

_choice = apply_options(
    click.option("--count", type=Whole(1), default=24, show_default=True, help="Samples to show, spread evenly."),
    click.option("--sample", "samples", type=int, multiple=True, help="Show this sample (repeat for more)."),
    click.option(
        "--random", "seed", type=Whole(0), metavar="SEED", help="Samples at random instead of evenly spread ones."
    ),
    title="Which samples",
)
_look = apply_options(
    click.option(
        "--show",
        type=click.Choice(SHOW),
        multiple=True,
        default=("samples",),
        show_default=True,
        help="Samples; many random crops of the first four at each --scale; or batches of the first 16 in four epochs, "
        "as a preset or an augmentation makes them. Repeatable.",
    ),
    click.option(
        "--scale",
        "scales",
        type=(float, float),
        multiple=True,
        default=((0.08, 1.0), (0.9, 1.0)),
        show_default="0.08 1, 0.9 1",
        help="Area of the random crops of --show crops. Repeatable.",
    ),
    click.option(
        "--side",
        type=Whole(16, 65535),
        help="Shrink pictures to this many pixels; by default to 256 where more than 100 samples or 20 MB are shown.",
    ),
    click.option(
        "--originals/--no-originals",
        default=True,
        help="Whether to write the originals of shrunk pictures into a folder beside the page, X_files for X.html; by "
        "default they are.",
    ),
    click.option(
        "--words",
        type=Existing(),
        help="What classes are called: lines of a name and words, as in ImageNet's LOC_synset_mapping.txt; "
        "by default as recorded.",
    ),
    click.option(
        "--boxes",
        type=click.Choice(["xyxy", "xywh", "cxcywh"]),
        default="xyxy",
        show_default=True,
        help="How the file stores boxes.",
    ),
    title="How they look",
)


@click.command(
    "preview",
    cls=FileCommand,
    examples=[
        ("24 samples from all over the file", "ffprep preview train.beton --out train.html"),
        ("2,000 at random, as thumbnails", "ffprep preview train.beton --count 2000 --random 0 --out train.html"),
        ("Those of which a message spoke", "ffprep preview train.beton --sample 17 --sample 4711 --out odd.html"),
        ("A contact sheet", "ffprep preview train.beton --count 40 --png train.png"),
        ("Many random crops at 0.08 beside 0.9", "ffprep preview train.beton --show crops --png crops.png"),
        ("What RandAugment does", "ffprep preview train.beton --show randaugment --out randaugment.html"),
    ],
)
@click.argument("path", type=ANYWHERE)
@click.option("--out", type=PAGE, help="The HTML file to make.")
@click.option("--png", type=PAGE, help="The picture to make: a contact sheet, or what --show names. PNG or JPEG.")
@click.option("--overwrite", is_flag=True, help="Replace the page and the picture if they are there.")
@_choice
@_look
def command(
    path: list[SetFile],
    out: Path | None,
    png: Path | None,
    samples: tuple[int, ...],
    seed: int | None,
    scales: tuple[tuple[float, float], ...],
    words: Path | None,
    **options: Any,
) -> None:
    """Some samples, with their pictures, as one HTML page or one picture."""
    if out is None and png is None:
        raise OptionError("nothing to write: give --out FILE.html for a page, --png FILE.png for a picture, or both")
    if samples and seed is not None:
        raise OptionError("--sample names samples, --random draws them: give one of them")
    wrong = next(((low, high) for low, high in scales if not 0 < low <= high <= 1), None)
    if wrong is not None:
        raise OptionError(
            f"--scale {wrong[0]:g} {wrong[1]:g}: give the smallest and largest share of the area, up to 1"
        )
    from ffprep.common.class_words import read_words
    from ffprep.inspect.pages.preview import PreviewOptions, write_preview

    chosen = PreviewOptions(
        indices=samples or None, seed=seed, scales=scales, words=read_words(words) if words else {}, **options
    )
    with terminable():
        shown = write_preview(path, out, chosen, png)
    beside = f", the originals in {one_line(shown.folder)}" if shown.folder is not None else ""
    click.echo(f"{' and '.join(one_line(one) for one in (out, png) if one)}: {shown.samples:,} samples{beside}")
