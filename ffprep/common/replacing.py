"""Files that appear under their name only when they are complete and on the disk."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path, *, suffix: str = ".partial", buffering: int = -1) -> Iterator[BinaryIO]:
    """Write a file under a temporary name in the same folder, then force it to the disk and rename it.

    After an error, Ctrl-C included, the temporary file is removed and what was at `path` before is still there.

    Parameters
    ----------
    path : Path
        The file to make or to replace.
    suffix : str
        What the temporary name adds to the name. Make it unique where two processes may write the same file at once.
    buffering : int
        Bytes of the file's buffer, as for `open`.

    Yields
    ------
    binary file
        Open for writing.

    Raises
    ------
    OSError
        The folder cannot be written to, or the disk is full or fails.
    """
    temporary = path.with_name(path.name + suffix)
    opened = temporary.open("wb", buffering)
    try:
        with opened as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        replace_durably(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace_durably(temporary: Path, path: Path) -> None:
    """Rename a file that is on the disk already, and force the new name to the disk.

    Raises
    ------
    OSError
        The folder cannot be written to, or the disk fails.
    """
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force the entries of a folder to the disk; file systems that cannot do this need not either.

    Raises
    ------
    OSError
        The disk fails.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
