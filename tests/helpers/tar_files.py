"""Tar archives of files that a test makes up."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

Members = Mapping[str, bytes] | Iterable[tuple[str, bytes]]


def add_files(tar: tarfile.TarFile, members: Members) -> None:
    """Add files with the given contents to an open archive; a name that ends in a slash is a folder's."""
    for name, data in members.items() if isinstance(members, Mapping) else members:
        info = tarfile.TarInfo(name)
        if name.endswith("/"):
            info.type = tarfile.DIRTYPE
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


def tar_bytes(members: Members, form: int = tarfile.DEFAULT_FORMAT) -> bytes:
    """Return an archive of files with the given contents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        add_files(tar, members)
    return out.getvalue()


def write_tar(path: Path, members: Members) -> Path:
    """Write an archive of files with the given contents."""
    path.write_bytes(tar_bytes(members))
    return path
