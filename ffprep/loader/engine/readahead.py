"""Reading files that are larger than memory: while one window of pages is used, the next one is read.

With ``os_cache=False`` an epoch keeps about two windows of pages in memory. A thread reads ahead in large pieces; the
operating system by itself would read small ones, each when a worker is already waiting for it. Pages that are no longer
needed are dropped from the process, and from the system's cache by the last process of the machine that needs them.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.common.closing import call_when_gone, close_descriptors
from ffprep.common.files.locking import Claims
from ffprep.loader.files import Ids

PIECE = 1 << 20
"""Bytes to read at once."""

KEPT_OPEN = 64
"""Of more files than these, none stays open between two pages: a process may open few hundred files at a time."""


class ReadAhead:
    """Follows an epoch through its windows: reads the pages of the next one and releases those of the last.

    Parameters
    ----------
    readers : sequence of Reader
        The files. Their pages are numbered over all files, see `first_pages`.
    edges : ndarray of int64, shape (windows + 1,)
        Positions at which the windows begin, and the end of the epoch.
    pages : callable of (start, stop)
        Returns the numbers of the pages that the samples at these positions need, ascending, int64.
    start : int
        Position at which the epoch begins.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        edges: Ids,
        pages: Callable[[int, int], Ids],
        start: int = 0,
    ) -> None:
        self._first_pages = first_pages(readers)
        keep = len(readers) <= KEPT_OPEN
        self._files = [_File(reader.path, mapping_of(reader.data), reader.page_size, keep) for reader in readers]
        self._claims = Claims(readers[0].path)
        self._edges = edges
        self._pages = pages
        self._window = int(np.searchsorted(edges, start, side="right")) - 1
        self._oldest = self._window
        self._requested = 0  # pages of the window after `_window`, while the epoch is under way
        self._held: dict[int, set[int]] = {}
        self._requests = _Requests(self._oldest)
        self._thread = threading.Thread(target=_read, args=(self._requests,), name="ffprep-readahead", daemon=True)
        self._end = weakref.finalize(self, self._requests.end)
        self._thread.start()
        self._claim(self._window)
        self._request(self._window, 1.0)
        self._requested = 0

    def _claim(self, window: int) -> None:
        """Claim the pages of a window and of the next one, so that no other process drops them."""
        for page in self._pages_in(window) | self._pages_in(window + 1):
            self._claims.claim(page)

    def _pages_in(self, window: int) -> set[int]:
        """Return the pages that a window needs; none for windows that the epoch does not have."""
        if window not in self._held:
            last = len(self._edges) - 2
            inside = 0 <= window <= last
            found = self._pages(int(self._edges[window]), int(self._edges[window + 1])) if inside else ()
            self._held[window] = {int(page) for page in found}
        return self._held[window]

    def _request(self, window: int, share: float) -> None:
        """Request the first `share` of a window's pages, from 0 to 1, without those that were requested before."""
        pages = sorted(self._pages_in(window))
        wanted = int(np.ceil(share * len(pages)))
        for page in pages[self._requested : wanted]:
            self._requests.queue.put((window, *self._place(page)))
        self._requested = max(self._requested, wanted)

    def published(self, position: int) -> None:
        """Request further pages, now that everything before `position` has been published to the workers."""
        while self._window + 1 < len(self._edges) - 1 and position > self._edges[self._window + 1]:
            self._request(self._window + 1, 1.0)
            self._window += 1
            self._requested = 0
            self._claim(self._window)
        begin, end = int(self._edges[self._window]), int(self._edges[self._window + 1])
        if self._window + 2 < len(self._edges):
            self._request(self._window + 1, (position - begin) / max(1, end - begin))

    def finished(self, position: int) -> None:
        """Release the pages that nobody needs any more, now that the workers have finished all before `position`."""
        while self._oldest < len(self._edges) - 1 and position >= self._edges[self._oldest + 1]:
            done = self._pages_in(self._oldest)
            self._requests.oldest = self._oldest + 1  # or pages would be read after their release
            still = self._pages_in(self._oldest + 1) | self._pages_in(self._oldest + 2)
            for page in sorted(done - still):
                self._release(page)
            del self._held[self._oldest]
            self._oldest += 1

    def _place(self, page: int) -> tuple[_File, int]:
        """Return the file that holds a page, and the byte at which the page begins."""
        file = int(np.searchsorted(self._first_pages, page, side="right")) - 1
        return self._files[file], (page - int(self._first_pages[file])) * self._files[file].page_size

    def _release(self, page: int) -> None:
        file, offset = self._place(page)
        file.release(offset, cached=self._claims.give_up(page))

    def close(self) -> None:
        """Release all pages and end the thread."""
        self._end()
        for pages in self._held.values():
            for page in sorted(pages):
                self._release(page)
        self._held.clear()


class _Requests:
    """Pages to read, each with its window, file and offset in bytes; shared with the reading thread.

    Pages of windows before `oldest` are skipped.
    """

    def __init__(self, oldest: int) -> None:
        self.queue: queue.SimpleQueue[tuple[int, _File, int] | None] = queue.SimpleQueue()
        self.oldest: float = oldest

    def end(self) -> None:
        """Let the thread end without reading anything more."""
        self.oldest = float("inf")
        self.queue.put(None)


class _File:
    """A file to read ahead: a descriptor of its own, and the mapping through which workers see the same pages.

    Without `keep` the descriptor is opened anew for each page.
    """

    def __init__(self, path: Path, mapping: mmap.mmap | None, page_size: int, keep: bool = True) -> None:
        self._path = path
        self._kept: int | None = None
        if keep:
            self._kept = self._open()
            call_when_gone(self, close_descriptors, (self._kept,))
        self.page_size = page_size
        self._mapping = mapping
        if mapping is not None and hasattr(mmap, "MADV_RANDOM"):
            with contextlib.suppress(OSError, ValueError):
                mapping.madvise(mmap.MADV_RANDOM)

    def _open(self) -> int:
        descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        # Otherwise the system also reads megabytes around each request, which belong to windows far away.
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        return descriptor

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Yield a descriptor of the file.

        Raises
        ------
        OSError
            The file cannot be opened any more.
        """
        if self._kept is not None:
            yield self._kept
            return
        descriptor = self._open()
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def release(self, offset: int, *, cached: bool = True) -> None:
        """Drop the page at a byte offset from this process and, if `cached`, from the system's cache."""
        if self._mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            length = min(self.page_size, len(self._mapping) - offset)
            if length > 0:
                with contextlib.suppress(OSError, ValueError):
                    self._mapping.madvise(mmap.MADV_DONTNEED, offset, length)
        if cached and hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError), self.opened() as descriptor:
                os.posix_fadvise(descriptor, offset, self.page_size, os.POSIX_FADV_DONTNEED)


def _read(requests: _Requests) -> None:
    """Read the requested pages into the system's cache, until the request is None. Runs in a thread of its own."""
    scratch = bytearray(PIECE)
    while True:
        request = requests.queue.get()
        if request is None:
            return
        window, file, offset = request
        with contextlib.suppress(OSError), file.opened() as descriptor:  # the worker will report the same error
            for begin in range(offset, offset + file.page_size, PIECE):
                if window < requests.oldest or not _preadv(descriptor, scratch, begin):
                    break
        del file, request


def _preadv(descriptor: int, scratch: bytearray, offset: int) -> int:
    """Read a piece of a file to throw it away; return its size in bytes, 0 at the end of the file and on errors."""
    try:
        if hasattr(os, "preadv"):
            return os.preadv(descriptor, [scratch], offset)
        return len(os.pread(descriptor, len(scratch), offset))
    except OSError:  # the worker that needs the page will report the same error
        return 0


def first_pages(readers: Sequence[Reader]) -> Ids:
    """Return the number of each file's first page, counting over all files, and finally the number of all pages.

    Returns
    -------
    ndarray of int64, shape (files + 1,)
    """
    counts = [-(-len(reader.data) // reader.page_size) for reader in readers]
    return np.cumsum([0, *counts], dtype=np.int64)


def mapping_of(data: npt.NDArray[Any]) -> mmap.mmap | None:
    """Return the memory mapping that an array is a view of, or None."""
    base: Any = data
    while base is not None and not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return base
