"""``ffprep convert``: converts a data set to a .beton file, each with a module in one of this package's folders.

A module defines ``command``, the conversion, and ``plan_command`` if its cost can be estimated beforehand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ffprep.commands._shared.group import PackageGroup
from ffprep.commands.convert._configured import FROM_MANIFEST, configured, repetition
from ffprep.common.names import did_you_mean
from ffprep.errors import OptionError

FOLDERS = {
    "labelled": "Images and labels",
    "dense": "Images with boxes or masks",
    "captioned": "Images with captions",
    "texts": "Text",
}
"""The folders with the data sets of a kind, and their titles in the help."""


class ConvertGroup(PackageGroup):
    """The data sets by name; a configuration, whose name ends in .yaml; and ``--from-manifest``, to repeat one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the words of the command line; ``--from-manifest FILE`` becomes a command of its own."""
        for place, word in enumerate(args):
            flag, equals, path = word.partition("=")
            rest = args[place + 1 :]
            if flag == FROM_MANIFEST and (path or (rest and not equals)):
                words = [path, *args[:place], *rest] if equals else [rest[0], *args[:place], *rest[1:]]
                return super().parse_args(ctx, ["--", FROM_MANIFEST, *words])
        return super().parse_args(ctx, args)

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
        if cmd_name == FROM_MANIFEST:
            return repetition(self.known)
        if cmd_name.endswith((".yaml", ".yml")):
            return configured(Path(cmd_name), self.known)
        found = super().get_command(ctx, cmd_name)
        if found is None and not ctx.resilient_parsing and Path(cmd_name).exists():
            raise click.UsageError(
                f"{cmd_name} is a path, where the kind of its data is expected, such as: ffprep convert images "
                f"--source {cmd_name} --out X.beton",
                ctx,
            )
        return found

    def known(self, ctx: click.Context, name: str, where: str) -> click.Command:
        """The conversion of a data set that a file names."""
        command = super().get_command(ctx, name)
        if command is None:
            names = self.list_commands(ctx)
            there = did_you_mean(name, names) or f"; there are {', '.join(names)}"
            raise OptionError(f"{where}: unknown dataset {name!r}{there}")
        return command


def _command() -> Any:
    @click.group(
        cls=ConvertGroup, package=__name__, folders=tuple(FOLDERS), subcommand_metavar="DATASET|CONFIG.yaml [ARGS]..."
    )
    @click.option(
        FROM_MANIFEST,
        metavar="X.beton",
        expose_value=False,
        help="Repeat the conversion that made X.beton, with the options that it records, and compare the two files. "
        "Where the source lies is not recorded: --from-manifest X.beton --source PATH --out Y.beton.",
    )
    def convert() -> None:
        """Convert a data set to a .beton file, or run the conversions a YAML file describes."""

    return convert


command = _command()
