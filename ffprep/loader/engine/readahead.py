"""Reading a file that is larger than memory: the pages of one window are fetched while the one before is used.

With ``os_cache=False`` the operating system is told what comes next and what is no longer needed, so that an epoch
keeps about two windows of pages in memory. A thread reads ahead in large pieces (the operating system would read the
file in small ones, each when a worker already waits for it); pages that are done with are dropped from the process and
from the system's cache.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader

PIECE = 1 << 20

Ids = npt.NDArray[np.int64]


class ReadAhead:
    """Follows an epoch through its windows.

    Parameters
    ----------
    readers : sequence of Reader
        The files. Their pages are numbered through, see `first_pages`.
    edges : ndarray of int64
        Positions at which windows begin, and the end of the epoch.
    pages : callable of (start, stop)
        Numbers of the pages that these positions need, ascending.
    start : int
        Position at which the epoch is begun.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        edges: Ids,
        pages: Callable[[int, int], Ids],
        start: int = 0,
    ) -> None:
        self._first_pages = first_pages(readers)
        self._files = [_File(reader.path, mapping_of(reader.data), reader.page_size) for reader in readers]
        self._edges = edges
        self._pages = pages
        self._window = int(np.searchsorted(edges, start, side="right")) - 1
        self._oldest = self._window
        self._asked = 0
        self._held: dict[int, set[int]] = {}
        self._requests = _Requests(self._oldest)
        self._thread = threading.Thread(target=_read, args=(self._requests,), name="ffprep-readahead", daemon=True)
        self._end = weakref.finalize(self, self._requests.end)
        self._thread.start()
        self._ask(self._window, 1.0)
        self._asked = 0

    def _set(self, window: int) -> set[int]:
        if window not in self._held:
            last = len(self._edges) - 2
            inside = 0 <= window <= last
            found = self._pages(int(self._edges[window]), int(self._edges[window + 1])) if inside else ()
            self._held[window] = {int(page) for page in found}
        return self._held[window]

    def _ask(self, window: int, share: float) -> None:
        """Request the first `share` of a window's pages; `_asked` counts those of the next window already asked for."""
        pages = sorted(self._set(window))
        wanted = int(np.ceil(share * len(pages)))
        for page in pages[self._asked : wanted]:
            self._requests.queue.put((window, *self._place(page)))
        self._asked = max(self._asked, wanted)

    def published(self, position: int) -> None:
        """Take note that the workers have been given everything before `position`."""
        while self._window + 1 < len(self._edges) - 1 and position > self._edges[self._window + 1]:
            self._ask(self._window + 1, 1.0)
            self._window += 1
            self._asked = 0
        begin, end = int(self._edges[self._window]), int(self._edges[self._window + 1])
        if self._window + 2 < len(self._edges):
            self._ask(self._window + 1, (position - begin) / max(1, end - begin))

    def finished(self, position: int) -> None:
        """Take note that the workers are done with everything before `position`."""
        while self._oldest < len(self._edges) - 1 and position >= self._edges[self._oldest + 1]:
            done = self._set(self._oldest)
            self._requests.oldest = self._oldest + 1  # what was not read by now is not read after its release
            still = self._set(self._oldest + 1) | self._set(self._oldest + 2)
            for page in sorted(done - still):
                self._release(page)
            del self._held[self._oldest]
            self._oldest += 1

    def _place(self, page: int) -> tuple[_File, int]:
        """Return the file that a page is in, and the byte it begins at."""
        file = int(np.searchsorted(self._first_pages, page, side="right")) - 1
        return self._files[file], (page - int(self._first_pages[file])) * self._files[file].page_size

    def _release(self, page: int) -> None:
        file, offset = self._place(page)
        file.release(offset)

    def close(self) -> None:
        """Let go of everything that is held, and end the thread."""
        self._end()
        for pages in self._held.values():
            for page in sorted(pages):
                self._release(page)
        self._held.clear()


class _Requests:
    """Pages to read, with the window that each is for; shared with the reading thread."""

    def __init__(self, oldest: int) -> None:
        self.queue: queue.SimpleQueue[tuple[int, _File, int] | None] = queue.SimpleQueue()
        self.oldest: float = oldest

    def end(self) -> None:
        """Let the thread read nothing more, and end."""
        self.oldest = float("inf")
        self.queue.put(None)


class _File:
    def __init__(self, path: Path, mapping: mmap.mmap | None, page_size: int) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self.page_size = page_size
        self._mapping = mapping
        # Or the system reads around what is asked for, megabytes here and there, into pages of windows far away.
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        if mapping is not None and hasattr(mmap, "MADV_RANDOM"):
            with contextlib.suppress(OSError, ValueError):
                mapping.madvise(mmap.MADV_RANDOM)

    def release(self, offset: int) -> None:
        """Let go of a page, in this process and in the system's cache."""
        if self._mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            length = min(self.page_size, len(self._mapping) - offset)
            if length > 0:
                with contextlib.suppress(OSError, ValueError):
                    self._mapping.madvise(mmap.MADV_DONTNEED, offset, length)
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                os.posix_fadvise(self.descriptor, offset, self.page_size, os.POSIX_FADV_DONTNEED)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            with contextlib.suppress(OSError):
                os.close(self.descriptor)


def _read(requests: _Requests) -> None:
    """Read the pages that are requested into the system's cache, until None comes."""
    scratch = bytearray(PIECE)
    while True:
        request = requests.queue.get()
        if request is None:
            return
        window, file, offset = request
        for begin in range(offset, offset + file.page_size, PIECE):
            if window < requests.oldest or not _preadv(file.descriptor, scratch, begin):
                break
        del file, request


def _preadv(descriptor: int, scratch: bytearray, offset: int) -> int:
    try:
        if hasattr(os, "preadv"):
            return os.preadv(descriptor, [scratch], offset)
        return len(os.pread(descriptor, len(scratch), offset))
    except OSError:  # the worker that needs the page meets the same error and says so
        return 0


def first_pages(readers: Sequence[Reader]) -> Ids:
    """Number of each file's first page when the pages of all files are numbered through, and of all pages."""
    counts = [-(-len(reader.data) // reader.page_size) for reader in readers]
    return np.cumsum([0, *counts], dtype=np.int64)


def mapping_of(data: npt.NDArray[Any]) -> mmap.mmap | None:
    """Return the mmap under an array, if there is one."""
    base: Any = data
    while base is not None and not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return base
