"""``ffprep verify``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("verify")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--quick", is_flag=True, help="Tables and checksums only; do not decode every sample.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def command(ctx: click.Context, paths: tuple[Path, ...], quick: bool, as_json: bool) -> None:
    """Check .beton files: tables, pointers, checksums, and that every sample decodes."""
    from ffprep.beton.verify import verify

    reports = {str(path): verify(path, deep=not quick) for path in paths}
    if as_json:
        import json

        facts = {
            path: {"ok": report.ok, "problems": list(map(str, report.problems))} for path, report in reports.items()
        }
        click.echo(json.dumps(facts, indent=1))
    else:
        for path, report in reports.items():
            click.echo(f"{path}: {'ok' if report.ok else f'{len(report.problems)} problems'}")
            for problem in report.problems:
                click.echo(f"  {problem}")
    ctx.exit(0 if all(report.ok for report in reports.values()) else 1)
