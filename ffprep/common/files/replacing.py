"""Files that appear under their name only when they are complete and on the disk."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ffprep.common.files.locking import open_locked
from ffprep.common.files.outputs import check_output

TEMPORARY = ".ffprep-tmp"
"""What the name of an incomplete file adds. It is always the same, so that the next run replaces what a kill left."""

_BUFFER = 1 << 16


@contextlib.contextmanager
def replacing(
    path: Path, *, suffix: str = TEMPORARY, buffering: int = _BUFFER, overwrite: bool = True
) -> Iterator[BinaryIO]:
    """Write a file under a temporary name in the same folder, then force it to the disk and rename it.

    After an error, Ctrl-C included, the temporary file is removed and what was at `path` before is still there. One
    that a killed process left is overwritten. An error after the renaming leaves the finished file.

    Parameters
    ----------
    path : Path
        The file to make or to replace.
    suffix : str
        What the temporary name adds to the name.
    buffering : int
        Bytes of the file's buffer.
    overwrite : bool
        Whether another file at `path` may be replaced. One with the same contents is left as it is.

    Yields
    ------
    binary file
        Open for writing. Its errors name `path`.

    Raises
    ------
    OptionError
        Another process is writing the file, or there is another file that may not be replaced.
    OSError
        The folder cannot be written to, or the disk is full or fails. The error names `path`.
    """
    temporary = path.with_name(path.name + suffix)
    with naming(path):
        descriptor, held = open_locked(temporary, path)
    raw = _NamedFile(descriptor, path)
    try:
        with io.BufferedWriter(raw, buffering) as file:
            try:
                with naming(path):
                    os.ftruncate(descriptor, 0)
                yield file
                file.flush()
                if not overwrite and _is_there(path, temporary):
                    temporary.unlink()
                    return
                with naming(path):
                    os.fsync(raw.fileno())
                    temporary.replace(path)
            except BaseException:
                raw.failed = True
                temporary.unlink(missing_ok=True)
                raise
    finally:
        held.release()
        raw.close()
    with naming(path):
        sync_folder(path.parent)


def _is_there(path: Path, temporary: Path) -> bool:
    """Whether a file with these contents has its name already; another one that has it is refused."""
    if path.is_file() and filecmp.cmp(path, temporary, shallow=False):
        return True
    check_output(path)
    return False


def write_file(path: Path, content: str | bytes, *, overwrite: bool = True) -> None:
    """Write a whole file as `replacing` does; devices and pipes, such as ``/dev/stdout``, are written to directly.

    Raises
    ------
    OptionError
        There is another file that may not be replaced, or another process is writing it.
    OSError
        The file cannot be written. The error names `path`.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        with naming(path):
            path.write_bytes(data)
        return
    with replacing(path, overwrite=overwrite) as file:
        file.write(data)


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


class _NamedFile(io.FileIO):
    """A file whose write errors carry the name of the file that it is to become."""

    def __init__(self, descriptor: int, target: Path) -> None:
        super().__init__(descriptor, "wb")
        self.target = target
        self.failed = False

    def write(self, data: Any, /) -> int:
        if self.failed:  # what the buffer still holds is of no use, and would hide the first error by a second one
            return memoryview(data).nbytes
        with naming(self.target):
            return super().write(data) or 0


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let errors of the system name a file, which those of reading and writing do not.

    Parameters
    ----------
    path : Path

    Raises
    ------
    OSError
        The same error with the file's name.
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), os.fspath(path)) from error
