"""What the commands for images with boxes or masks have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.options import EXISTING, png_option, reading_options, take_image, unturned_options
from ffprep.commands.convert._data_set import DataSet
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

    def tell(source: DenseSource) -> None:
        click.echo(source.summary())

    options = apply_options(source_options, reading_options, png_option, unturned_options)
    return DataSet(name, summary, options, opened, tell, arguments).commands(
        [("The same command goes on where it was stopped", f"ffprep convert {name} {arguments} --out {name}.beton")]
    )
