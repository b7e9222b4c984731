"""Where the work of a conversion is done: here, or by a Ray cluster."""

from __future__ import annotations

import click

from ffprep.commands._shared.help import apply_options

engine_options = apply_options(
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Encode in threads here, or in the tasks of a Ray cluster whose nodes see the source and the folder of "
        "--out at the same paths.",
    ),
    click.option(
        "--address",
        metavar="HOST:PORT|auto",
        help="The Ray cluster's head; auto is the one of RAY_ADDRESS or of this machine. By default as auto, else a "
        "cluster is started on this machine.",
    ),
    title="Output",
)
"""``--engine`` and ``--address``."""
