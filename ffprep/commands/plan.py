"""``ffprep plan``: the modules of ``ffprep.commands.convert`` that define ``plan_command``."""

from __future__ import annotations

from typing import Any

import click

from ffprep.commands._shared.group import PackageGroup
from ffprep.commands.convert import FOLDERS


def _command() -> Any:
    @click.group(
        cls=PackageGroup,
        package="ffprep.commands.convert",
        attribute="plan_command",
        folders=tuple(FOLDERS),
        subcommand_metavar="DATASET ...",
    )
    def plan() -> None:
        """What a conversion will cost: bytes, time, room on the disk."""

    return plan


command = _command()
