"""The folder of parts beside a file that is being made of them: whose it is, and when it may be dropped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ffprep.beton.sections import canonical_json
from ffprep.beton.writing.conditions import differences, listed
from ffprep.common.files.locking import open_locked
from ffprep.common.files.replacing import naming, write_file
from ffprep.errors import OptionError

IDENTITY = "conversion.json"
_LOCK = "lock"
UNFINISHED = ".tmp"
"""What ends the name of a part's file until it is finished."""
TOKENS = ".parts"
"""What the folder of a corpus's tokens adds to the file's name."""


@contextlib.contextmanager
def parts_folder(out: Path, identity: Mapping[str, Any], *, restart: bool, suffix: str = TOKENS) -> Iterator[Path]:
    """The folder of parts of a file, locked for this process, and dropped when the body ends without an error.

    After an error, too, it is dropped if it holds nothing that the same command could go on with.

    Parameters
    ----------
    out : Path
        The file to make.
    identity : mapping
        JSON values that tell the conversion and its options from all others.
    restart : bool
        Whether to drop parts that are there.
    suffix : str
        What the folder's name adds to the file's.

    Raises
    ------
    OptionError
        Another process is at it, or the parts belong to another conversion.
    """
    folder = folder_of(out, suffix)
    folder.mkdir(exist_ok=True)
    descriptor, held = open_locked(folder / _LOCK, folder)
    try:
        if restart:
            _empty(folder)
            (folder / IDENTITY).unlink(missing_ok=True)
        else:
            _check(folder, identity)
        if not (folder / IDENTITY).exists():
            write_file(folder / IDENTITY, canonical_json(identity))
        try:
            yield folder
        except BaseException:
            if not _holds_work(folder):
                drop(folder)
            raise
        drop(folder)
    finally:
        held.release()
        os.close(descriptor)


def folder_of(out: Path, suffix: str = TOKENS) -> Path:
    """Where the parts of a file lie."""
    return out.with_name(out.name + suffix)


def _check(folder: Path, identity: Mapping[str, Any]) -> None:
    anew = "--restart drops the parts and begins anew"
    try:
        with naming(folder / IDENTITY):
            found = json.loads((folder / IDENTITY).read_bytes())
    except FileNotFoundError:
        if any(folder.glob("[0-9]*.json")):
            raise OptionError(f"{folder}: parts of a conversion that is not known; {anew}") from None
        return
    except ValueError:
        raise OptionError(f"{folder / IDENTITY}: is damaged; {anew}") from None
    if different := differences(found, identity):
        raise OptionError(
            f"{folder}: parts of a conversion with other data or options ({listed(different)}); "
            f"go on with those, or {anew}"
        )


def drop(folder: Path) -> None:
    """Remove a folder of parts; what says whose it is goes last. What cannot be removed is left."""
    with contextlib.suppress(OSError):
        _empty(folder)
        (folder / IDENTITY).unlink(missing_ok=True)
        shutil.rmtree(folder)


def drop_left(folder: Path) -> None:
    """Remove a folder of parts that a process which has ended left behind.

    Raises
    ------
    LockedError
        Another process is at it.
    """
    descriptor, held = open_locked(folder / _LOCK, folder)
    try:
        drop(folder)
    finally:
        held.release()
        os.close(descriptor)


def is_left(folder: Path) -> bool:
    """Whether a process left a folder of parts there, also one that was killed while it dropped them."""
    try:
        names = {path.name for path in folder.iterdir()}
    except OSError:
        return False
    return IDENTITY in names or names <= {_LOCK}


def _holds_work(folder: Path) -> bool:
    own = (IDENTITY, _LOCK)
    return folder.is_dir() and any(path.name not in own and path.suffix != UNFINISHED for path in folder.iterdir())


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in (IDENTITY, _LOCK):
            path.unlink()
