"""``ffprep verify``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import FILES
from ffprep.commands._shared.options import followed

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command("verify")
@click.argument("paths", nargs=-1, required=True, type=FILES)
@click.option("--quick", is_flag=True, help="Tables and checksums only; do not decode every sample.")
@click.option("--workers", type=click.IntRange(1), help="Threads that decode; all processors by default.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def command(
    ctx: click.Context, paths: tuple[list[SetFile], ...], quick: bool, workers: int | None, as_json: bool
) -> None:
    """Check .beton files and sets: tables, pointers, checksums, and that every sample decodes."""
    from ffprep.beton.verify import Problem, verify
    from ffprep.beton.verify.indexes import differs_from_index

    reports = []
    for file in (file for files in paths for file in files):
        with followed(file.path.name) as progress:
            reports.append(verify(file.path, deep=not quick, workers=workers, progress=progress))
        if problem := differs_from_index(file):
            reports[-1].problems.append(Problem(problem))
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
