"""Files in a store (``s3://``, ``gs://``, ``hf://``, ``https://`` and whatever fsspec knows), read page by page.

A remote file becomes a sparse file on local disk, which is mapped as any ``.beton`` file is. Pages are fetched before
somebody reads them: by `PageSource.need`, and in an epoch ahead of it, by ``loader/engine/fetching.py``.
"""

from __future__ import annotations

from ffprep.remote.facts import ChangedError, DamagedError, Facts, RefusedError, RemoteError, shown
from ffprep.remote.files import SourceFile, is_cached, pread
from ffprep.remote.folder import Folder, folder_at
from ffprep.remote.places import at_once, is_url, local_file, local_files, with_suffix
from ffprep.remote.source import PageSource
from ffprep.remote.states import PAGE

__all__ = [
    "PAGE",
    "ChangedError",
    "DamagedError",
    "Facts",
    "Folder",
    "PageSource",
    "RefusedError",
    "RemoteError",
    "SourceFile",
    "at_once",
    "folder_at",
    "is_cached",
    "is_url",
    "local_file",
    "local_files",
    "pread",
    "shown",
    "with_suffix",
]
