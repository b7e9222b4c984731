"""``ffprep info``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import ANYWHERE
from ffprep.commands._shared.help import Command, apply_options
from ffprep.commands._shared.options import followed
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


_publishing = apply_options(
    click.option(
        "--croissant",
        "as_croissant",
        is_flag=True,
        help="Metadata in MLCommons' Croissant format 1.0 (JSON-LD). Reads the whole file, for its SHA-256.",
    ),
    click.option("--card", "as_card", is_flag=True, help="A data card in Markdown."),
    click.option("--name", help="Name of the data set, for --croissant and --card."),
    click.option("--url", help="Where the files are or will be published, for both."),
    click.option("--license", "license_", help="A licence's URL or name, for both; the file does not know it."),
    title="To publish with the file",
)


def _publish(files: list[SetFile], as_card: bool, name: str | None, url: str | None, license_: str | None) -> None:
    from ffprep.inspect.metadata.card import card
    from ffprep.inspect.metadata.croissant import About, croissant

    about = About(name, url, license_)
    if as_card:
        click.echo(card(files, about))
        return
    with followed("MiB read for SHA-256") as progress:
        described = croissant(files, about, lambda done, total: progress(done >> 20, total >> 20))
    click.echo(json.dumps(described, indent=1, ensure_ascii=False))


@click.command(
    "info",
    cls=Command,
    examples=[
        ("Fields, samples, sizes, source", "ffprep info train.beton"),
        ("With the distributions of sizes, lengths and classes", "ffprep info train.beton --histograms"),
        ("The same for a program", "ffprep info train.beton --json"),
        ("Metadata for registries of data sets", "ffprep info train.beton --croissant > croissant.json"),
        ("A data card to publish with the file", "ffprep info train.beton --card > README.md"),
    ],
)
@click.argument("path", type=ANYWHERE)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option(
    "--histograms", is_flag=True, help="How the images' sizes, caption lengths and classes are distributed, too."
)
@_publishing
def command(
    path: list[SetFile],
    as_json: bool,
    histograms: bool,
    as_croissant: bool,
    as_card: bool,
    name: str | None,
    url: str | None,
    license_: str | None,
) -> None:
    """What a .beton file or a set holds: fields, samples, sizes, where it came from."""
    from ffprep.inspect.histograms import histogram_text, histograms_of
    from ffprep.inspect.info import describe_set, info_text

    if as_json + as_croissant + as_card > 1:
        raise OptionError("--json, --croissant and --card: give one of them")
    if not (as_croissant or as_card) and (name or url or license_):
        raise OptionError("--name, --url and --license are for --croissant and --card")
    if as_croissant or as_card:
        _publish(path, as_card, name, url, license_)
        return
    facts = describe_set(path)
    found = histograms_of(path) if histograms else []
    if found and as_json:
        facts["histograms"] = [asdict(one) for one in found]
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        click.echo("\n\n".join([info_text(facts), *map(histogram_text, found)]))
