"""``ffprep verify``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ffprep.commands._shared.options import followed


@click.command("verify")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--quick", is_flag=True, help="Tables and checksums only; do not decode every sample.")
@click.option("--workers", type=click.IntRange(1), help="Threads that decode; all processors by default.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def command(ctx: click.Context, paths: tuple[Path, ...], quick: bool, workers: int | None, as_json: bool) -> None:
    """Check .beton files: tables, pointers, checksums, and that every sample decodes."""
    from ffprep.beton.verify import verify

    reports = []
    for path in paths:
        with followed(path.name) as progress:
            reports.append(verify(path, deep=not quick, workers=workers, progress=progress))
        if not as_json:
            click.echo(str(reports[-1]))
    if as_json:
        facts = [
            {
                "path": str(report.path),
                "ok": report.ok,
                "samples": report.samples,
                "checked": report.checked,
                "problems": [str(problem) for problem in report.problems],
                "all_problems": report.complete,
            }
            for report in reports
        ]
        click.echo(json.dumps(facts, indent=1))
    ctx.exit(0 if all(report.ok for report in reports) else 1)
