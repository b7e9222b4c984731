"""The ``convert`` and ``plan`` commands of a data set of images, made of what it alone has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from ffprep.commands._shared.files import FileCommand, ReadingCommand
from ffprep.commands._shared.options import take_writing, writing_options
from ffprep.commands._shared.planning import planning_options, take_planning


@dataclass(frozen=True)
class DataSet:
    """A data set, as its two commands see it.

    Attributes
    ----------
    name, summary : str
    options : decorator
        All options but those of writing and planning.
    open : callable
        Given the values of these, and whether samples that cannot be used are skipped: returns the source, and whether
        a seek index is made of the file.
    tell : callable
        Given the source: shows what it found.
    arguments : str
        Those of the examples in ``--help``.
    """

    name: str
    summary: str
    options: Callable[..., Any]
    open: Callable[[dict[str, Any], bool], tuple[Any, bool]]
    tell: Callable[[Any], None]
    arguments: str

    def convert(self, values: dict[str, Any]) -> Any:
        """Convert the source that a command's values name, and return it."""
        writing, rest = take_writing(values)
        source, index = self.open(rest, writing.on_error == "skip")
        if not writing.quiet:
            self.tell(source)
        writing.run(source, index)
        return source

    def commands(self, examples: Sequence[tuple[str, str]]) -> tuple[click.Command, click.Command]:
        """Make the ``convert`` command, with examples for its ``--help``, and the ``plan`` command."""

        @click.command(self.name, help=self.summary, cls=FileCommand, examples=examples)
        @self.options
        @writing_options
        def command(**values: Any) -> None:
            self.convert(values)

        @click.command(
            self.name,
            help=f"Bytes, time and room of: {self.summary}",
            cls=ReadingCommand,
            examples=[("Before the conversion", f"ffprep plan {self.name} {self.arguments}")],
        )
        @self.options
        @planning_options
        def plan_command(**values: Any) -> None:
            planning, rest = take_planning(values)
            source, _ = self.open(rest, True)
            if not planning.as_json:
                self.tell(source)
            planning.run(source)

        return command, plan_command
