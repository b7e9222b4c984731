"""Copying remote files ahead: all pages come to the cache folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ffprep.errors import OptionError
from ffprep.remote.files import is_cached
from ffprep.remote.source import PageSource
from ffprep.remote.states import page_bytes
from ffprep.remote.store import AT_ONCE


@dataclass(frozen=True)
class Staged:
    """What was staged.

    Attributes
    ----------
    url : str
    size : int
        Bytes of the file.
    fetched : int
        Bytes that were not there before.
    """

    url: str
    size: int
    fetched: int


def stage(path: Path, progress: Callable[[int, int], None] | None = None) -> Staged:
    """Fetch all pages of a remote file; those that are there stay.

    Parameters
    ----------
    path : Path
        The sparse file, as ``files_of`` returns it for a URL.
    progress : callable, optional
        Called with (pages, all pages).

    Raises
    ------
    OptionError
        The file is not a remote one, or has no room under the cache's limit.
    RemoteError
        A page cannot be fetched.
    """
    if not is_cached(path):
        raise OptionError(
            f"{path}: is no URL, and what is on local disk needs no copy there; give one such as "
            "s3://bucket/train.beton"
        )
    source = PageSource(path)
    try:
        limit = source.folder.limit()
        if source.size > limit:
            raise OptionError(
                f"{source.url}: has {source.size:,} bytes, and the cache's limit is {limit:,}; give more as cache_limit"
            )
        pages = np.arange(source.count, dtype=np.int64)
        source.hold(pages)
        missing = source.missing(pages)
        fetched = sum(page_bytes(page, source.size) for page in missing.tolist())
        ahead = 2 * AT_ONCE
        for first in range(0, source.count, AT_ONCE):
            source.request(missing[(missing >= first) & (missing < first + ahead)])
            source.wait(pages[first : first + AT_ONCE])
            if progress is not None:
                progress(min(first + AT_ONCE, source.count), source.count)
    finally:
        source.close()
    return Staged(source.url, source.size, fetched)
