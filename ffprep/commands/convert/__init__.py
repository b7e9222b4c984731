"""``ffprep convert``: converts a data set to a .beton file, each with a module in one of this package's folders.

A module defines ``command``, the conversion, and ``plan_command`` if its cost can be estimated beforehand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ffprep.commands._shared.group import PackageGroup, switches
from ffprep.common.names import did_you_mean
from ffprep.convert.config import read_config, to_arguments
from ffprep.errors import OptionError

FOLDERS = {
    "labelled": "Images and labels",
    "dense": "Images with boxes or masks",
    "captioned": "Images with captions",
    "texts": "Text",
}
"""The folders with the data sets of a kind, and their titles in the help."""


class ConvertGroup(PackageGroup):
    """The data sets by name. An argument that ends in .yaml is a configuration to run."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the data sets, those of a kind together."""
        longest = max(map(len, self.list_commands(ctx)))
        limit = formatter.width - 6 - longest
        for folder, title in FOLDERS.items():
            names = sorted(name for name, module in self.modules().items() if f".{folder}." in module)
            found = [(name, command) for name in names if (command := self.get_command(ctx, name)) is not None]
            with formatter.section(title):
                formatter.write_dl([(f"{n:<{longest}}", c.get_short_help_str(limit)) for n, c in found])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name.endswith((".yaml", ".yml")):
            return self._configured(Path(cmd_name))
        return super().get_command(ctx, cmd_name)

    def _configured(self, path: Path) -> click.Command:
        @click.command(name=str(path), help="Run the conversions of a configuration.")
        @click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
        @click.pass_context
        def run(ctx: click.Context, overrides: tuple[str, ...]) -> None:

            parent = ctx.parent or ctx
            jobs = []
            for conversion in read_config(path, overrides):
                dataset = conversion.pop("dataset")
                command = super(ConvertGroup, self).get_command(parent, dataset)
                if command is None:
                    names = self.list_commands(parent)
                    there = did_you_mean(dataset, names) or f"; there are {', '.join(names)}"
                    raise OptionError(f"{path}: unknown dataset {dataset!r}{there}")
                arguments = to_arguments(conversion, switches(command), str(path))
                jobs.append((command, command.make_context(dataset, arguments, parent=parent)))
            for command, context in jobs:  # all were checked before the first one starts
                with context:
                    command.invoke(context)

        return run


def _command() -> Any:
    @click.group(
        cls=ConvertGroup, package=__name__, folders=tuple(FOLDERS), subcommand_metavar="DATASET|CONFIG.yaml [ARGS]..."
    )
    def convert() -> None:
        """Convert a data set to a .beton file, or run the conversions a YAML file describes."""

    return convert


command = _command()
