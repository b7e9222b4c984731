"""Where the work of a conversion is done: here, or by a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ffprep.commands._shared.help import apply_options

F = TypeVar("F", bound=Callable[..., Any])


def engine_options(what: str, title: str) -> Callable[[F], F]:
    """``--engine`` and ``--address``.

    Parameters
    ----------
    what : str
        What ``--engine`` decides, as its help.
    title : str
        The heading under which they stand.
    """
    return apply_options(
        click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help=what),
        click.option(
            "--address",
            metavar="HOST:PORT|auto",
            help="The Ray cluster's head; auto is the one of RAY_ADDRESS or of this machine. By default as auto, else "
            "a cluster is started on this machine.",
        ),
        title=title,
    )


conversion_engine = engine_options(
    "Encode in threads here, or in the tasks of a Ray cluster whose nodes see the source and the folder of --out at "
    "the same paths.",
    "Output",
)
"""Those of conversions."""
