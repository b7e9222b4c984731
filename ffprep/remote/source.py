"""A remote file of which pages are on local disk: mapped as any file is, once the pages that are read are there."""

from __future__ import annotations

import asyncio
import collections
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ffprep.common.closing import call_when_gone
from ffprep.common.files.replacing import naming
from ffprep.remote.facts import DamagedError, RemoteError, described, shown
from ffprep.remote.folder import Folder, folder_at, remove_pages, write_page
from ffprep.remote.plans import Plan, Plans, is_live, path_of
from ffprep.remote.states import (
    ABSENT,
    CLAIMED,
    DAMAGED,
    PAGE,
    PRESENT,
    SUSPECT,
    UNCHECKED,
    States,
    check_own,
    page_bytes,
)
from ffprep.remote.store import Store
from ffprep.remote.sums import PageSums

RECENT = 64
"""Of the pages that `need` was asked for last, so many stay, since they may still be read; fewer in a small cache."""

_LOOK = 0.02
_PATIENCE = 1.5
"""How much longer than a fetch may take to wait for it, since another process may have begun it."""

Pages = npt.NDArray[np.int64]


class PageSource:
    """Pages of one object of a store, for one reader.

    Parameters
    ----------
    path : Path
        The sparse file, in the folder of a remote file; see `ffprep.remote.folder`.

    Attributes
    ----------
    path : Path
    url, whole_url : str
        For messages: without what is secret; and with it.
    size, count : int
        Bytes, and pages.
    folder : Folder
    lenient : bool
        Whether a page that the store has with wrong bytes is taken as it is, because the reader compares each value
        with a checksum of its own and can do without some.

    Raises
    ------
    CorruptError
        The folder is not one of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        place = path.parent
        self.whole_url, self._facts = described(place)
        self.url, self.size = shown(self.whole_url), self._facts.size
        self.folder: Folder = folder_at(place.parent)
        self.place = place
        self.lenient = False
        self._opened: Store | None = None
        with self.folder.locked():
            place.joinpath("users").mkdir(exist_ok=True, mode=0o700)
            check_own(path)
            with naming(path):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    if os.fstat(descriptor).st_size != self.size:
                        os.ftruncate(descriptor, 0)
                        os.ftruncate(descriptor, self.size)
                        (place / "states").unlink(missing_ok=True)
                finally:
                    os.close(descriptor)
            self._states = States.open(place, self.size)
            self.count = self._states.count
            Plans(place).live()  # removes what killed processes have left
            self._plan = Plan(place, self.count)
        self._sums = PageSums(self.count)
        self._recent: collections.deque[int] = collections.deque()
        self._kept: set[int] = set()
        self._lock = threading.Lock()
        self._came = threading.Condition()
        self._under_way: dict[int, Future[None] | None] = {}
        self._failed: dict[int, Exception] = {}
        self.folder.sources.add(self)
        call_when_gone(self, Plan.end, self._plan)

    @property
    def _store(self) -> Store:
        if self._opened is None:
            self._opened = Store(self.whole_url)
        return self._opened

    # -- checksums -------------------------------------------------------------------------------------

    def expect(self, pieces: Sequence[tuple[int, int]], sums: Sequence[int]) -> None:
        """Compare pages with checksums, from now on, when they arrive; those that are here when they are next needed.

        Parameters
        ----------
        pieces : sequence of (int, int)
            First byte and end of what each checksum is of, at most one piece in a page.
        sums : sequence of int
            The xxh3-64 of each.
        """
        self._sums = PageSums(self.count, pieces, sums)

    def forget_unchecked(self) -> None:
        """Let go of everything, and of pages without a checksum that no other reader holds: they may be wrong."""
        with self.folder.locked(), self._lock:
            self._recent.clear()
            self._plan.held[:] = self._plan.ahead[:] = 0
            pages = self._states.removable()
            held, _ = Plans(self.place).needs(self.count)
            remove_pages(self.place, self._states, pages[(self._states.of(pages) == UNCHECKED) & ~held[pages]])
            self.folder.used(exactly=True)

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
            if not self.request(some):
                self._let_go_but(some)
            self.wait(some)

    def _let_go_but(self, pages: Pages) -> None:
        """Hold no pages that were asked for before some, for which there is no room beside them."""
        with self._lock:
            left = [page for page in self._recent if page not in pages]
            self._recent.clear()
            self._recent.extend(pages.tolist())
        self.release(np.array(left, np.int64))

    def settle(self) -> None:
        """Let go of what `need` held."""
        with self._lock:
            left = list(self._recent)
            self._recent.clear()
        self.release(np.array(left, np.int64))

    def keep(self, start: int, size: int) -> None:
        """Wait until some bytes are here; they stay as long as this object is in use.

        Raises
        ------
        RemoteError
        """
        pages = np.array(self.pages_of(start, size), np.int64)
        self._kept.update(pages.tolist())
        self.hold(pages)
        self.wait(pages)

    def kept(self) -> dict[tuple[Path, int], int]:
        """Return the pages that stay as long as this object is in use, as (folder, page), and the bytes of each."""
        return self._bytes_of(list(self._kept))

    def _bytes_of(self, pages: Iterable[int]) -> dict[tuple[Path, int], int]:
        return {(self.place, int(page)): page_bytes(int(page), self.size) for page in pages}

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

    def damaged(self, pages: Pages) -> bool:
        """Whether one of some pages is here with wrong bytes."""
        return bool((self._states.of(pages) == DAMAGED).any())

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

    def held(self) -> npt.NDArray[np.bool_]:
        """Return which pages this reader holds."""
        return np.asarray(self._plan.held > 0)

    # -- fetching --------------------------------------------------------------------------------------

    def missing(self, pages: Pages) -> Pages:
        """Return those of some pages that are not here and right."""
        states = self._states.of(pages)
        here = (states == PRESENT) | ((states == UNCHECKED) & ~self._sums.covered[pages])
        if self.lenient:
            here |= states == DAMAGED
        absent: Pages = pages[~here]
        return absent

    def request(self, pages: Pages, distance: int | None = None) -> bool:
        """Begin to fetch those of some pages that are not here, and that nobody else fetches.

        Parameters
        ----------
        pages : ndarray of int64
            Pages that this reader holds.
        distance : int, optional
            In how many batches they are needed: what is needed sooner is not removed for them. None for pages that
            somebody waits for.

        Returns
        -------
        bool
            Whether there was room for all.
        """
        if not len(self.missing(pages)):
            return True
        store = self._store  # before anything is claimed, since it may not be there
        begun: list[tuple[int, int]] = []
        fits = True
        with self.folder.locked():
            for page in self.missing(pages).tolist():
                state = int(self._states.of(page))
                if state == CLAIMED and self._being_fetched(page):
                    continue
                if distance is not None and page in self._failed:
                    continue  # who waits for it is told why, and only then is it asked for again
                if state == ABSENT and not self.folder.make_room(page_bytes(page, self.size), distance, self.place):
                    fits = False
                    break
                self._failed.pop(page, None)
                self._states.records["owner"][page] = self._plan.number
                self._states.set(page, CLAIMED)
                self._under_way[page] = None
                begun.append((page, ABSENT if state == CLAIMED else state))
        for page, before in begun:
            self._under_way[page] = store.start(self._fill(page, before))
        return fits

    def _being_fetched(self, page: int) -> bool:
        owner = int(self._states.records["owner"][page])
        if owner == self._plan.number:
            return page in self._under_way
        return is_live(path_of(self.place, owner))

    async def _fill(self, page: int, before: int) -> None:
        """Fetch a page that this reader has claimed, or read it from the disk if, by its state before, it is there."""
        loop = asyncio.get_running_loop()
        start, end = page * PAGE, page * PAGE + page_bytes(page, self.size)
        what = f"page {page} (bytes {start} to {end - 1})"
        state, came = before, b""

        def fits(found: bytes) -> bool | None:
            nonlocal came
            came = found
            return self._sums.fit(page, found)

        try:
            if before in (SUSPECT, UNCHECKED) and await loop.run_in_executor(None, self._right_on_disk, page):
                state = PRESENT
                return
            try:
                await self._store.range(start, end, self._facts, what, fits)
                right = PRESENT if self._sums.covered[page] else UNCHECKED
            except DamagedError:
                if not self.lenient:
                    raise
                right = DAMAGED
            await loop.run_in_executor(None, write_page, self.path, start, came)
            state = right
        except OSError as error:
            self._failed[page] = RemoteError(
                f"{self.url}: {what} cannot be written to {self.path}: {error.strerror}; make room, or set cache_limit"
            )
        except Exception as error:
            self._failed[page] = error
        finally:
            await loop.run_in_executor(None, self._finish, page, state)

    def _right_on_disk(self, page: int) -> bool:
        with self.path.open("rb") as file:
            return self._sums.fit(page, os.pread(file.fileno(), page_bytes(page, self.size), page * PAGE)) is True

    def _finish(self, page: int, state: int) -> None:
        with self.folder.locked():
            if int(self._states.records["owner"][page]) == self._plan.number:
                self._states.set(page, state)
        self._under_way.pop(page, None)
        with self._came:
            self._came.notify_all()

    def ready(self, pages: Pages) -> bool:
        """Return whether pages are here; raise what kept one from coming.

        Raises
        ------
        RemoteError
        """
        absent = self.missing(pages).tolist()
        for page in absent:
            if (error := self._failed.pop(page, None)) is not None:
                raise error
        return not absent

    def wait(self, pages: Pages, check: Callable[[], object] | None = None) -> None:
        """Wait until pages that this reader holds are here; meanwhile call `check` again and again.

        Raises
        ------
        RemoteError
            One cannot be fetched, does not come in time, or has no room.
        """
        if self.ready(pages):
            return
        deadline = time.monotonic() + _PATIENCE * self._store.patience.deadline
        while not self.ready(pages):
            fits = self.request(pages)
            if not fits:
                self.folder.check_possible(self.url, self._bytes_of(pages))
            if check is not None:
                check()
            with self._came:
                if not self.ready(pages):
                    self._came.wait(_LOOK)
            # What this reader fetches itself ends with the store's deadline, and says more.
            own = any(page in self._under_way or page in self._failed for page in pages.tolist())
            absent = self.missing(pages).tolist()
            if absent and not own and time.monotonic() > deadline:
                page = absent[0]
                why = (
                    f"another process that is fetching it gives no sign; end that, or remove {self.place}"
                    if fits
                    else f"the cache's limit of {self.folder.limit():,} bytes leaves no room; give a larger cache_limit"
                )
                raise RemoteError(f"{self.url}: page {page} did not come: {why}")

    def close(self) -> None:
        """Stop fetching, and need nothing any more."""
        for future in list(self._under_way.values()):
            if future is not None:
                future.cancel()
        self._kept.clear()
        self._plan.end()
