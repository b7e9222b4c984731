"""``ffprep doctor``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import FILES
from ffprep.commands._shared.help import Command

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command(
    "doctor",
    cls=Command,
    examples=[
        ("What is slow or missing here", "ffprep doctor"),
        ("What limits this file here, measured in about ten seconds", "ffprep doctor train.beton"),
        ("In the recipe of a container", "ffprep doctor --compile"),
    ],
)
@click.argument("path", type=FILES, required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option(
    "--compile",
    "compiling",
    is_flag=True,
    help="Compile the loader's kernels now, into numba's cache, so that the first training start need not: for images "
    "of containers and nodes of a cluster.",
)
@click.pass_context
def command(ctx: click.Context, path: list[SetFile] | None, as_json: bool, compiling: bool) -> None:
    """This machine as ffprep sees it: versions, processor, caches, and what is slow or missing.

    With a file or a set, what limits its loading here, disk, memory or processors, and what to change.
    """
    if compiling:
        from ffprep.inspect.compiling import compile_kernels

        click.echo(f"kernels compiled or found in the cache in {compile_kernels():.1f} s", err=True)
    if path is not None:
        from ffprep.inspect.timing.limits import limits_text, measure

        limits = measure(path)
        click.echo(json.dumps(limits, indent=1) if as_json else limits_text(limits))
        return
    from ffprep.inspect.doctor import doctor_text, examine

    facts = examine()
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        click.echo(doctor_text(facts))
    ctx.exit(1 if facts["problems"] else 0)
