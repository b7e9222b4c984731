"""Groups of commands whose members are the modules of a package."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

import click

from ffprep.common.names import did_you_mean


class SuggestingGroup(click.Group):
    """A group that says which command may have been meant by an unknown one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command that the first argument names.

        Raises
        ------
        click.UsageError
            There is none of that name.
        """
        name, known = args[0], self.list_commands(ctx)
        if name[:1] != "-" and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            there = did_you_mean(name, known) or f"; there are {', '.join(known)}"
            raise click.UsageError(f"no command {name!r}{there}", ctx)
        return super().resolve_command(ctx, args)


class PackageGroup(SuggestingGroup):
    """The commands in a package, each imported when it is needed.

    Parameters
    ----------
    package : str
        Its dotted name. A module ``some_name`` becomes the command ``some-name``, unless the name starts with an
        underscore.
    attribute : str
        Name of the command in each module; modules without it are skipped.
    folders : tuple of str
        Packages in the package that are no commands themselves, but whose modules are.
    """

    def __init__(
        self, *args: Any, package: str, attribute: str = "command", folders: tuple[str, ...] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.packages = [package, *(f"{package}.{folder}" for folder in folders)]
        self.folders = folders
        self.attribute = attribute

    def modules(self) -> dict[str, str]:
        """Return the module of each command by the command's name, none of them imported."""
        return {
            info.name.replace("_", "-"): f"{package}.{info.name}"
            for package in self.packages
            for info in pkgutil.iter_modules(import_module(package).__path__)
            if info.name[0] != "_" and not (package == self.packages[0] and info.name in self.folders)
        }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self.modules()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        module = self.modules().get(cmd_name)
        if found is not None or module is None:
            return found
        command = getattr(import_module(module), self.attribute, None)
        return command if isinstance(command, click.Command) else None


def switches(command: click.Command) -> dict[str, bool]:
    """Return a command's options by name, without dashes, and whether each is a switch."""
    found: dict[str, bool] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            for name in parameter.opts:
                if name.startswith("--") and name != "--help":
                    found[name[2:]] = bool(parameter.is_flag)
            found.update((name[2:], True) for name in parameter.secondary_opts)
    return found


def opposites(command: click.Command) -> dict[str, str]:
    """Return the switches of a command that have an opposite, such as ``pairs`` and ``grouped``, with that."""
    found: dict[str, str] = {}
    for parameter in command.params:
        if parameter.secondary_opts:
            one, other = parameter.opts[0][2:], parameter.secondary_opts[0][2:]
            found.update({one: other, other: one})
    return found
