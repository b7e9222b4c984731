"""``ffprep doctor``."""

from __future__ import annotations

import json

import click

from ffprep.commands._shared.help import Command


@click.command(
    "doctor",
    cls=Command,
    examples=[
        ("What is slow or missing here", "ffprep doctor"),
        ("In the recipe of a container", "ffprep doctor --compile"),
    ],
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option(
    "--compile",
    "compiling",
    is_flag=True,
    help="Compile the loader's kernels now, into numba's cache, so that the first training start need not: for images "
    "of containers and nodes of a cluster.",
)
@click.pass_context
def command(ctx: click.Context, as_json: bool, compiling: bool) -> None:
    """This machine as ffprep sees it: versions, processor, caches, and what is slow or missing."""
    if compiling:
        from ffprep.inspect.compiling import compile_kernels

        click.echo(f"kernels compiled or found in the cache in {compile_kernels():.1f} s", err=True)
    from ffprep.inspect.doctor import doctor_text, examine

    facts = examine()
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        click.echo(doctor_text(facts))
    ctx.exit(1 if facts["problems"] else 0)
