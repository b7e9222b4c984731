"""Commands whose help shows their options in groups, and examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_TITLE = "_ffprep_title"
_MAY_BE_EMPTY = ("--user-agent", "--delimiter")


def apply_options(*options: Callable[[F], F], title: str = "") -> Callable[[F], F]:
    """Combine several ``click.option`` decorators into one; ``--help`` shows the options in this order.

    Parameters
    ----------
    *options : decorators
        Those of ``click.option``, or what this function returned for other options, which keep their own title.
    title : str
        Heading under which help shows them; the command's own heading if empty.
    """

    def decorate(function: F) -> F:
        before = list(getattr(function, "__click_params__", []))
        for option in reversed(options):
            function = option(function)
        for parameter in getattr(function, "__click_params__", []) if title else []:
            if parameter not in before and not hasattr(parameter, _TITLE):
                setattr(parameter, _TITLE, title)
        return function

    return decorate


def title_of(parameter: click.Parameter) -> str:
    """The heading under which help shows an option."""
    return str(getattr(parameter, _TITLE, "Options"))


class Command(click.Command):
    """A command whose help has examples, and its options under headings.

    Parameters
    ----------
    examples : sequence of (str, str)
        What each does, and the command line.
    """

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the words of the command line; an empty one is a variable of the shell that is not set.

        Raises
        ------
        click.UsageError
        """
        for before, word in zip(["", *args], args, strict=False):
            if not word and before not in _MAY_BE_EMPTY:
                of = f" after {before}" if before[:2] == "--" else ""
                raise click.UsageError(f"an empty argument{of}: is a variable of the shell not set?", ctx)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings; those without one come first and ``--help`` last."""
        groups: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            shown = parameter.get_help_record(ctx)
            if shown is not None and not isinstance(parameter, click.Argument):
                groups.setdefault(title_of(parameter), []).append(shown)
        if len(groups) > 1:
            *own, asked = groups.pop("Options")
            groups = {"Options": own, **groups, "Help": [asked]}
        for title, rows in groups.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they are to be typed."""
        if self.examples:
            with formatter.section("Examples"):
                for what, line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}# {what}\n")
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        super().format_epilog(ctx, formatter)
