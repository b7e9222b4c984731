"""``ffprep info``."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("info")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(path: Path, as_json: bool) -> None:
    """What a .beton file holds: fields, samples, sizes, where it came from."""
    from ffprep.inspect.info import describe, info_text

    facts = describe(path)
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        click.echo(info_text(facts))
