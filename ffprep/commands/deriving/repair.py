"""``ffprep repair``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ffprep.commands._shared.files import BETONS, FILES, FileCommand, check_restart
from ffprep.commands._shared.numbers import WORKERS
from ffprep.commands._shared.options import continuing_options, followed, progress_option, terminable
from ffprep.common.files.outputs import check_output
from ffprep.common.formatting import one_line
from ffprep.errors import BetonError, CorruptError, OptionError

if TYPE_CHECKING:
    from ffprep.beton.sets import SetFile


@click.command(
    "repair",
    cls=FileCommand,
    examples=[
        ("What can be saved of a damaged file", "ffprep repair train.beton --out repaired.beton"),
    ],
)
@click.argument("path", type=FILES)
@click.option("--out", type=BETONS, required=True, help="The .beton file to make; of a set, a folder.")
@click.option("--workers", type=WORKERS, help="Threads that look for damage; all processors by default.")
@continuing_options
@progress_option
def command(path: list[SetFile], out: Path, workers: int | None, resume: bool, restart: bool, overwrite: bool) -> None:
    """Write the undamaged samples of a file into a new one, and list those that are lost.

    Damaged tables are restored from the copy that files of ffprep have. The file itself is only read.
    """
    from ffprep.beton.damage.repair import repair
    from ffprep.beton.sets import make_set

    check_restart(resume, restart)
    made = False
    if len(path) == 1 and path[0].index is None:
        check_output(out, overwrite=True)
        targets = [out]
    else:
        if out.exists() and not out.is_dir():
            raise OptionError(f"{out}: is a file; the files of a set go to a folder")
        made = not out.exists()
        out.mkdir(exist_ok=True)
        targets = [out / file.path.name for file in path]
    unreadable: list[BetonError] = []
    try:
        for file, target in zip(path, targets, strict=True):
            try:
                with terminable(), followed(target.name) as progress:
                    report = repair(
                        file.path, target, workers=workers, restart=restart, overwrite=overwrite, progress=progress
                    )
            except BetonError as error:
                if len(path) == 1:
                    raise
                unreadable.append(error)  # the others may be saved all the same
            else:
                click.echo(str(report))
        if len(unreadable) == len(path):
            raise unreadable[0]
        for problem in unreadable:
            click.echo(f"nothing can be saved: {one_line(problem)}")
        if unreadable:
            raise CorruptError(
                f"{out}: nothing could be saved of {len(unreadable):,} of {len(path):,} files; `ffprep set` makes one "
                f"data set of the others. The first of them: {unreadable[0]}"
            )
    except BaseException:
        if made:
            with contextlib.suppress(OSError):  # what is in it is kept
                out.rmdir()
        raise
    if path[0].index is not None:
        make_set(out / path[0].index.name, targets, overwrite=overwrite)
