"""What the commands for images with boxes or masks have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.files import FileCommand, ReadingCommand
from ffprep.commands._shared.options import (
    EXISTING,
    planning_options,
    png_option,
    reading_options,
    show_plan,
    take_image,
    take_writing,
    unturned_options,
    writing_options,
)
from ffprep.common.files.source_files import read_text_file
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.sources.dense.source import DenseSource

classes_option = click.option("--classes", type=EXISTING, help="File with the names of the classes, one a line.")


def read_classes(path: Path | None) -> tuple[str, ...]:
    """The names in a file, one a line; none without a file."""
    if path is None:
        return ()
    try:
        names = [line.strip() for line in read_text_file(path).splitlines()]
    except UnicodeDecodeError:
        raise OptionError(f"{path}: not a text file of class names, one a line") from None
    names = [name for name in names if name]
    if not names or len(set(names)) != len(names):
        raise OptionError(f"{path}: holds no class names" if not names else f"{path}: names a class twice")
    return tuple(names)


def dense_commands(
    name: str, summary: str, source_options: Callable[..., Any], make: Callable[..., DenseSource], *, arguments: str
) -> tuple[click.Command, click.Command]:
    """Make the ``convert`` and ``plan`` commands of one data set.

    Parameters
    ----------
    name, summary : str
    source_options : decorator
        The data set's own options.
    make : callable
        Opens the source, given the values of these and ``image``, ``all_files`` and ``skip``.
    arguments : str
        Those of the examples in ``--help``.
    """

    def opened(values: dict[str, Any], skip: bool) -> tuple[DenseSource, bool]:
        image, rest = take_image({**values, "apply_orientation": False})
        return make(**rest, image=image.field(), skip=skip), image.index

    @click.command(
        name,
        help=summary,
        cls=FileCommand,
        examples=[
            ("The same command goes on where it was stopped", f"ffprep convert {name} {arguments} --out {name}.beton")
        ],
    )
    @source_options
    @reading_options
    @png_option
    @unturned_options
    @writing_options
    def command(**values: Any) -> None:
        writing, rest = take_writing(values)
        source, index = opened(rest, writing.on_error == "skip")
        if not writing.quiet:
            click.echo(source.summary())
        writing.run(source, index)

    @click.command(
        name,
        help=f"Bytes, time and room of: {summary}",
        cls=ReadingCommand,
        examples=[("Before the conversion", f"ffprep plan {name} {arguments}")],
    )
    @source_options
    @reading_options
    @png_option
    @unturned_options
    @planning_options
    def plan_command(out: Path, workers: int, limit: int | None, as_json: bool, **values: Any) -> None:
        source, _ = opened(values, True)
        if not as_json:
            click.echo(source.summary())
        show_plan(source, out=out, workers=workers, limit=limit, as_json=as_json)

    return command, plan_command
