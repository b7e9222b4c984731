"""Which paths may be written to: nothing that is there without being told to, and never what a command reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ffprep.common.names import missing_folder
from ffprep.errors import OptionError


def check_output(path: Path, *, overwrite: bool = False, device: bool = False) -> None:
    """Refuse a path that a file cannot or must not be written to.

    Parameters
    ----------
    path : Path
        The file to make.
    overwrite : bool
        Whether to allow that it exists.
    device : bool
        Whether it may be a device or a pipe, such as ``/dev/stdout``.

    Raises
    ------
    OptionError
        Its folder is missing, it is no file, or it exists.
    """
    if not path.parent.is_dir():
        raise OptionError(f"{path.parent}: {missing_folder(path.parent)}")
    if path.is_dir():
        raise OptionError(f"{path}: is a folder; give the name of a file")
    if not os.path.lexists(path):
        return
    if path.exists() and not path.is_file():
        if device:
            return
        raise OptionError(f"{path}: is a device or a pipe; give the name of a file")
    if not overwrite:
        raise OptionError(f"{path}: exists already; delete it, give another name, or add --overwrite")


def check_own(path: Path) -> None:
    """Refuse what is no file where ffprep keeps one of its own beside an output, such as ``X.beton.partial``.

    Raises
    ------
    OptionError
        There is a folder, a device, a socket or a pipe, directly or by a link.
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise OptionError(f"{path}: is {kind}, where a file is to be written; remove it or give another name")


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse outputs that are inputs as well, under whatever name, and outputs that are the same file twice.

    A file that lies in a folder that is an input counts as read, except ``.beton`` files, which no data set has.

    Parameters
    ----------
    outputs, inputs : iterable of Path
        Files; inputs may also be folders.

    Raises
    ------
    OptionError
    """
    read = list(inputs)
    seen: dict[Path, Path] = {}
    for path in outputs:
        if path.exists() and not (path.is_file() or path.is_dir()):
            continue
        whole = Path(os.path.realpath(path))  # Path.resolve fails on links that lead to themselves
        if whole in seen:
            raise OptionError(f"{path}: is to be written twice; give two names")
        seen[whole] = path
        for one in read:
            if _same_file(path, one):
                raise OptionError(f"{path}: is read by this command and cannot be written by it; give another name")
            if path.is_file() and one.is_dir() and path.suffix != ".beton" and whole.is_relative_to(one.resolve()):
                raise OptionError(
                    f"{path}: lies in {one}, which this command reads, and may belong to it; give another name, or "
                    "delete it first"
                )


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
