"""``ffprep doctor``."""

from __future__ import annotations

import click


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """This machine as ffprep sees it: versions, processor, caches, and what is slow or missing."""
    from ffprep.inspect.doctor import examine, to_text

    facts = examine()
    if as_json:
        import json

        click.echo(json.dumps(facts, indent=1))
    else:
        click.echo(to_text(facts))
    ctx.exit(1 if facts["problems"] else 0)
