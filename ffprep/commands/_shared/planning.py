"""The options of plans, and what they mean."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.files import LocalPath
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.numbers import WORKERS, Whole
from ffprep.commands._shared.options import show_notes

if TYPE_CHECKING:
    from ffprep.convert.planning import ConversionPlan
    from ffprep.sources.base import Source

planning_options = apply_options(
    click.option(
        "--out",
        type=LocalPath(dir_okay=False),
        default=Path("X.beton"),
        help="Where the file would go.",
    ),
    click.option("--workers", type=WORKERS, default=1, show_default=True),
    click.option("--limit", type=Whole(1), help="The first N samples only."),
    click.option("--json", "as_json", is_flag=True, help="For programs."),
    title="Plan",
)
"""Options of all plans, besides those of the source and of the images."""


@dataclass(frozen=True)
class PlanningChoices:
    """The values of ``planning_options``."""

    out: Path
    workers: int
    limit: int | None
    as_json: bool

    def run(self, source: Source) -> None:
        """Make and show a plan; exit with status 1 if the disk has no room for the file."""
        from ffprep.convert.planning import plan_conversion

        show_notes(source)
        self.show(plan_conversion(source, self.out, limit=self.limit, workers=self.workers))

    def show(self, made: ConversionPlan) -> None:
        """Show a plan; exit with status 1 if the disk has no room for the file."""
        click.echo(json.dumps(made.to_json(), indent=1) if self.as_json else made.table())
        if not made.fits:
            click.get_current_context().exit(1)


def take_planning(values: dict[str, Any]) -> tuple[PlanningChoices, dict[str, Any]]:
    """Separate the planning options from a command's other values."""
    rest = dict(values)
    return PlanningChoices(**{name: rest.pop(name) for name in PlanningChoices.__dataclass_fields__}), rest
