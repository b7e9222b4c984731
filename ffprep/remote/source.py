"""A remote file of which pages are on local disk: mapped as any file is, once the pages that are read are there."""

from __future__ import annotations

import collections
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ffprep.common.closing import call_when_gone
from ffprep.remote.arriving import spans
from ffprep.remote.fetcher import PageFetcher, Pages
from ffprep.remote.folder import remove_pages
from ffprep.remote.plans import Plan, Plans
from ffprep.remote.states import PAGE, PART, PRESENT, SUSPECT, UNCHECKED, Flags, page_bytes

RECENT = 64
"""Of the pages that `need` was asked for last, so many stay, since they may still be read; fewer in a small cache."""


class PageSource(PageFetcher):
    """Pages of one object of a store, for one reader.

    Parameters and attributes are those of `PageFetcher`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._recent: collections.deque[int] = collections.deque()
        self._kept: dict[int, Flags] = {}
        self._lock = threading.Lock()
        self.folder.sources.add(self)
        call_when_gone(self, Plan.end, self._own_plan)

    def after_fork(self) -> None:
        """Forget, in a forked process, the threads that fetch, and what they were at."""
        super().after_fork()
        self._lock = threading.Lock()
        self._recent.clear()

    def forget_unchecked(self) -> None:
        """Let go of everything, and of tables and unchecked pages that no other reader has: they may be wrong."""
        with self.folder.locked(), self._lock:
            self._recent.clear()
            mine = self._plan.kept > 0
            self._plan.held[:] = self._plan.ahead[:] = self._plan.kept[:] = 0
            self._kept.clear()
            pages = self._states.removable()
            held, kept, _ = Plans(self.place).needs(self.count)
            doubtful = (self._states.of(pages) == UNCHECKED) | mine[pages]
            remove_pages(self.place, self._states, pages[doubtful & ~held[pages] & ~kept[pages]])
            self.folder.used(exactly=True)

    def doubt(self, pages: Pages) -> bool:
        """Compare pages on the disk with their checksums once more, when they are next needed.

        Parameters
        ----------
        pages : ndarray of int64

        Returns
        -------
        bool
            Whether any of them are here and have one.
        """
        with self.folder.locked():
            doubtful = pages[(self._states.of(pages) == PRESENT) & self._sums.covered[pages]]
            self._states.set(doubtful, SUSPECT)
        return len(doubtful) > 0

    # -- what readers need -----------------------------------------------------------------------------

    def pages_of(self, start: int, size: int) -> range:
        """Return the pages in which some bytes lie."""
        end = min(start + size, self.size)
        return range(start // PAGE, -(-end // PAGE)) if end > start >= 0 else range(0)

    def need(self, start: int, size: int) -> None:
        """Wait until some bytes are here; they stay while not many others are asked for.

        Raises
        ------
        RemoteError
        """
        pages = self.pages_of(start, size)
        recent = self._recent
        with self._lock:
            known = all(page in recent for page in pages)
        if known:
            self.wait(np.array(pages, np.int64))
            return
        most = max(4, min(RECENT, self.folder.limit() // PAGE // 4))
        for first in range(0, len(pages), most // 2):
            some = np.array(pages[first : first + most // 2], np.int64)
            self.hold(some)
            with self._lock:
                recent.extend(some.tolist())
                left = [recent.popleft() for _ in range(max(0, len(recent) - most))]
            self.release(np.array(left, np.int64))
            try:
                if not self.request(some):
                    self._let_go_but(some)
                self.wait(some)
            except BaseException:
                with self._lock:
                    left = [page for page in some.tolist() if page in recent]
                    for page in left:
                        recent.remove(page)
                self.release(np.array(left, np.int64))
                raise

    def _let_go_but(self, pages: Pages) -> None:
        """Hold no pages that were asked for before some, for which there is no room beside them."""
        with self._lock:
            left = list(self._recent)
            for page in pages.tolist():
                if page in left:
                    left.remove(page)  # one that stands there twice is held twice
            self._recent.clear()
            self._recent.extend(pages.tolist())
        self.release(np.array(left, np.int64))

    def settle(self) -> None:
        """Let go of what `need` held."""
        with self._lock:
            left = list(self._recent)
            self._recent.clear()
        self.release(np.array(left, np.int64))

    def keep(self, *extents: tuple[int, int]) -> None:
        """Wait until some bytes are here; the parts they lie in stay as long as this object is in use.

        Parameters
        ----------
        *extents : (int, int)
            First byte and number of bytes of each.

        Raises
        ------
        RemoteError
        """
        wanted: dict[int, Flags] = {}
        for start, size in extents:
            for page in self.pages_of(start, size):
                parts = wanted.setdefault(page, np.zeros(-(-PAGE // PART), np.bool_))
                parts[max(0, start - page * PAGE) // PART : -(-(start + size - page * PAGE) // PART)] = True
        for page, parts in wanted.items():
            parts[-(-page_bytes(page, self.size) // PART) :] = False
            self._kept[page] = self._kept.get(page, False) | parts
        pages = np.array(sorted(wanted), np.int64)
        if not len(pages):
            return
        with self.folder.locked():
            self._plan.kept[pages] = 1

        def absent() -> list[int]:
            return [page for page in pages.tolist() if (wanted[page] & ~self._states.parts_of(page)).any()]

        def request() -> bool:
            return self._request_parts({page: wanted[page] for page in absent()})

        self._wait(absent, request, dict)

    def kept(self) -> dict[tuple[Path, int], int]:
        """Return what stays as long as this object is in use: bytes by (folder, page)."""
        return {
            (self.place, page): sum(
                min(end, page_bytes(page, self.size)) - first
                for first, end in spans(parts | self._states.parts_of(page))
            )
            for page, parts in list(self._kept.items())
        }

    def staying(self) -> dict[tuple[Path, int], int]:
        """Return `kept` and the pages that `need` was asked for last."""
        with self._lock:
            return {**self.kept(), **self._bytes_of(self._recent)}

    def sizes(self) -> Pages:
        """Return the bytes that each page takes beside what `kept` says."""
        sizes = np.full(self.count, PAGE, np.int64)
        if self.count:
            sizes[-1] = page_bytes(self.count - 1, self.size)
        for (_, page), size in self.kept().items():
            sizes[page] -= size
        return sizes

    def hold(self, pages: Pages, *, ahead: bool = False) -> None:
        """Let no process remove these pages, once they are here, before they are released.

        Parameters
        ----------
        pages : ndarray of int64
        ahead : bool
            Whether they are needed later: then they go for a page that somebody waits for. Readers that wait for one
            another would else wait for ever, when one has filled the cache with what it does not need yet.
        """
        if len(pages):
            with self.folder.locked():
                np.add.at(self._plan.ahead if ahead else self._plan.held, pages, 1)

    def release(self, pages: Pages, *, ahead: bool = False) -> None:
        """Take back what `hold` said."""
        if len(pages):
            with self.folder.locked():
                np.subtract.at(self._plan.ahead if ahead else self._plan.held, pages, 1)

    def plan(self, batch: int, following: npt.NDArray[np.uint32] | None = None) -> None:
        """Say which batch the reader is at and, if it is known anew, which one needs each page next."""
        if following is not None:
            with self.folder.locked():
                self._plan.next[:] = following
                self._plan.go_to(batch)
        else:
            self._plan.go_to(batch)

    def next_use(self, pages: Pages, batches: npt.NDArray[np.uint32]) -> None:
        """Say which batch needs each of some pages next."""
        self._plan.next[pages] = batches

    def close(self) -> None:
        """Stop fetching, and need nothing any more."""
        super().close()
        self._kept.clear()
