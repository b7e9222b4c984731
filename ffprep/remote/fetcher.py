"""Pages of a remote file, claimed and fetched for one reader."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ffprep.common.closing import call_when_gone, tell_of_forks
from ffprep.common.files.replacing import naming
from ffprep.remote.arriving import PageSums, spans, write_pieces
from ffprep.remote.facts import DamagedError, RemoteError, described, shown
from ffprep.remote.folder import Folder, folder_at
from ffprep.remote.plans import Plan, Plans, is_live, path_of
from ffprep.remote.states import (
    ABSENT,
    CLAIMED,
    DAMAGED,
    PAGE,
    PART,
    PRESENT,
    SUSPECT,
    UNCHECKED,
    Flags,
    States,
    check_own,
    page_bytes,
    runs,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ffprep.remote.store import Store

GAP = 4
"""Parts that nobody needs and that are fetched all the same, where that saves a request."""

_LOOK = 0.02
_PATIENCE = 1.5
"""How much longer than a fetch may take to wait for it, since another process may have begun it."""

Pages = npt.NDArray[np.int64]


class PageFetcher:
    """Pages of one object of a store, as one reader has them fetched; `PageSource` says which.

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
            self._own_plan = Plan(place, self.count)
        self._sums = PageSums(self.count)
        self._came = threading.Condition()
        self._under_way: dict[int, Future[None] | None] = {}
        self._failed: dict[int, Exception] = {}
        self._unsure = self._forked = False
        tell_of_forks(self)

    @property
    def _plan(self) -> Plan:
        """What this process needs; one that was forked begins with what stays as long as this object is in use."""
        if self._forked:
            before = self._own_plan
            with self.folder.locked():
                self._own_plan = Plan(self.place, self.count)
                self._own_plan.kept[:] = before.kept
            self._forked = False
            call_when_gone(self, Plan.end, self._own_plan)
        return self._own_plan

    def after_fork(self) -> None:
        """Forget, in a forked process, the threads that fetch, and what they were at."""
        self._opened, self._forked = None, True
        self._came, self._under_way, self._failed = threading.Condition(), {}, {}

    @property
    def _store(self) -> Store:
        if self._opened is None:
            from ffprep.remote.store import Store  # takes asyncio, which local files do without

            self._opened = Store(self.whole_url)
        return self._opened

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

    def unchanged(self) -> None:
        """Ask, if parts came that have no checksum, whether they are still those of the object that was opened.

        Raises
        ------
        ChangedError
        """
        if self._unsure:
            self._store.unchanged(self._facts)
            self._unsure = False

    def _bytes_of(self, pages: Iterable[int]) -> dict[tuple[Path, int], int]:
        return {(self.place, int(page)): page_bytes(int(page), self.size) for page in pages}

    def damaged(self, pages: Pages) -> bool:
        """Whether one of some pages is here with wrong bytes."""
        return bool((self._states.of(pages) == DAMAGED).any())

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
                state = self._state_to_claim(page)
                if state == CLAIMED:
                    continue
                if distance is not None and page in self._failed:
                    continue  # who waits for it is told why, and only then is it asked for again
                if state == ABSENT:
                    size = page_bytes(page, self.size) - int(self._states.part_bytes(np.array([page]))[0])
                    if not self.folder.make_room(size, distance, self.place):
                        fits = False
                        break
                self._claim(page, 0)
                begun.append((page, state))
        for page, before in begun:
            self._under_way[page] = store.start(self._fill(page, before))
        return fits

    def _request_parts(self, wanted: dict[int, Flags]) -> bool:
        """Begin to fetch parts of pages, by page, as `request` does; return whether there was room for all."""
        store = self._store
        begun: list[tuple[int, int, Flags]] = []
        fits = True
        with self.folder.locked():
            for page, parts in wanted.items():
                here = self._states.parts_of(page)
                if not len(self.missing(np.array([page]))):
                    self._states.set_parts(page, here | parts)
                    continue
                state = self._state_to_claim(page)
                if state == CLAIMED:
                    continue
                fetched = np.zeros(len(parts), np.bool_)
                for first, end in runs(parts & ~here, GAP):
                    fetched[first:end] = True
                fetched[-(-page_bytes(page, self.size) // PART) :] = False
                size = int(np.count_nonzero(fetched & ~here)) * PART
                if state == ABSENT and not self.folder.make_room(size, None, self.place):
                    fits = False
                    break
                self._claim(page, size if state == ABSENT else 0)
                begun.append((page, state, fetched))
        for page, before, fetched in begun:
            self._under_way[page] = store.start(self._fill_parts(page, before, fetched))
        return fits

    def _state_to_claim(self, page: int) -> int:
        """Return a page's state; what somebody had claimed who has ended is as good as absent."""
        state = self._states.state(page)
        if state != CLAIMED:
            return state
        owner = int(self._states.records["owner"][page])
        own = owner == self._plan.number
        if page in self._under_way if own else is_live(path_of(self.place, owner)):
            return CLAIMED
        self._states.records["coming"][page] = 0
        self._states.set(page, ABSENT)
        return ABSENT

    def _claim(self, page: int, coming: int) -> None:
        self._failed.pop(page, None)
        self._states.records["owner"][page] = self._plan.number
        self._states.records["coming"][page] = coming
        self._states.set(page, CLAIMED)
        self._under_way[page] = None

    async def _fill(self, page: int, before: int) -> None:
        """Fetch a page that this reader has claimed, or read it from the disk if, by its state before, it is there."""
        store, sums = self._store, self._sums
        start, end = page * PAGE, page * PAGE + page_bytes(page, self.size)
        state, came = before, b""

        def fits(found: bytes) -> bool | None:
            nonlocal came
            came = found
            return sums.fit(page, found)

        try:
            if before in (SUSPECT, UNCHECKED) and await store.in_thread(sums.right_on_disk, self.path, page, self.size):
                state = PRESENT
                return
            try:
                await store.range(start, end, self._facts, _named(page, start, end), fits)
                right = PRESENT if sums.covered[page] else UNCHECKED
            except DamagedError:
                if not self.lenient:
                    raise
                right = DAMAGED
            pieces = sums.pieces(page, self._states.parts_of(page), right == PRESENT)
            await store.in_thread(write_pieces, self.path, start, came, pieces)
            state = right
        except Exception as error:
            self._failed[page] = self._failure(page, start, end, error)
        finally:
            await store.in_thread(self._finish, page, state, None)

    async def _fill_parts(self, page: int, before: int, parts: Flags) -> None:
        """Fetch parts of a page that this reader has claimed."""
        store, start = self._store, page * PAGE
        here, came = self._states.parts_of(page), None
        pieces = [(first, min(end, page_bytes(page, self.size))) for first, end in spans(parts)]
        try:
            found = await store.ranges(
                [(start + first, start + end) for first, end in pieces], self._facts, lambda *one: _named(page, *one)
            )
            for (first, _), data in zip(pieces, found, strict=True):
                fresh = ~here
                fresh[: first // PART] = False
                places = [(begin - first, end - first) for begin, end in spans(fresh)]
                await store.in_thread(write_pieces, self.path, start + first, data, places)
            came, self._unsure = parts, True
        except Exception as error:
            self._failed[page] = self._failure(page, start + pieces[0][0], start + pieces[-1][1], error)
        finally:
            await store.in_thread(self._finish, page, before, came)

    def _failure(self, page: int, start: int, end: int, error: Exception) -> Exception:
        if not isinstance(error, OSError):
            return error
        return RemoteError(
            f"{self.url}: {_named(page, start, end)} cannot be written to {self.path}: {error.strerror}; make room, or "
            "set cache_limit"
        )

    def _finish(self, page: int, state: int, came: Flags | None) -> None:
        with self.folder.locked():
            if int(self._states.records["owner"][page]) == self._plan.number:
                self._states.records["coming"][page] = 0
                if came is not None:
                    here = self._states.parts_of(page) | came
                    self._states.set_parts(page, here)
                    if state == ABSENT and here[: -(-page_bytes(page, self.size) // PART)].all():
                        state = UNCHECKED
                self._states.set(page, state)
        self._under_way.pop(page, None)
        with self._came:
            self._came.notify_all()

    def wait(self, pages: Pages, check: Callable[[], object] | None = None) -> None:
        """Wait until pages that this reader holds are here; meanwhile call `check` again and again.

        Raises
        ------
        RemoteError
            One cannot be fetched, does not come in time, or has no room.
        """
        self._wait(
            lambda: self.missing(pages).tolist(), lambda: self.request(pages), lambda: self._bytes_of(pages), check
        )

    def _wait(
        self,
        absent: Callable[[], list[int]],
        request: Callable[[], bool],
        needed: Callable[[], dict[tuple[Path, int], int]],
        check: Callable[[], object] | None = None,
    ) -> None:
        """Wait until nothing is absent any more, of the pages in which something is."""

        def ready() -> bool:
            pages = absent()
            for page in pages:
                error = self._failed.pop(page, None)
                if error is not None:
                    raise error
            return not pages

        if ready():
            return
        deadline = time.monotonic() + _PATIENCE * self._store.patience.deadline
        while not ready():
            fits = request()
            if not fits:
                self.folder.check_possible(self.url, needed())
            if check is not None:
                check()
            with self._came:
                if not ready():
                    self._came.wait(_LOOK)
            # What this reader fetches itself ends with the store's deadline, and says more.
            own = any(page in self._under_way or page in self._failed for page in absent())
            pages = absent()
            if pages and not own and time.monotonic() > deadline:
                why = (
                    f"another process that is fetching it gives no sign; end that, or remove {self.place}"
                    if fits
                    else f"the cache's limit of {self.folder.limit():,} bytes leaves no room; give a larger cache_limit"
                )
                raise RemoteError(f"{self.url}: page {pages[0]} did not come: {why}")

    def close(self) -> None:
        """Stop fetching, and need nothing any more."""
        for future in list(self._under_way.values()):
            if future is not None:
                future.cancel()
        self._own_plan.end()


def _named(page: int, start: int, end: int) -> str:
    return f"page {page} (bytes {start} to {end - 1})"
