"""Pages of remote files, fetched before the batches that need them are published to the workers.

An epoch's order is known, so a thread looks up which pages each batch needs, asks for those of the next ones, and
says in the readers' plans when each is needed next, over the end of the epoch too: a full cache then removes the page
whose next use is furthest away. Pages of batches under way are held, so that nobody removes them; those of the next
ones are held ahead, until another reader waits for room.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError
from ffprep.loader.engine.spans import NEVER, Spans, most_at_once, next_uses
from ffprep.loader.files import Files, Ids
from ffprep.remote import PAGE, PageSource

AHEAD = 64
"""Pages that are held ahead, beyond what the batches under way need."""

_CHUNK = 64


class Fetching:
    """Fetches the pages of an epoch.

    Parameters
    ----------
    files : Files
    payloads : sequence of str
        Fields whose payloads are read.
    ids : callable
        Returns the samples of a batch of this epoch.
    batches : int
        Batches of this epoch.
    under_way : int
        Batches that are published and not yet finished at most.
    kept : int
        Batches whose pages are held on after they are finished.
    following : callable, optional
        Yields the samples of the next epoch's batches. Without it the readers' plans are left alone: the batches are
        none of an epoch.
    """

    def __init__(
        self,
        files: Files,
        payloads: Sequence[str],
        ids: Callable[[int], Ids],
        batches: int,
        under_way: int,
        kept: int = 0,
        following: Callable[[], Iterator[Ids]] | None = None,
    ) -> None:
        self._files = files
        self._spans = Spans(files, payloads)
        self._sources: list[PageSource | None] = [reader.source for reader in files.readers]
        self._ids = ids
        self._batches = batches
        self._under_way, self._kept = under_way + kept, kept
        self._following = following
        self._counts = np.zeros(self._spans.total, np.int64)
        self._held: dict[int, Ids] = {}
        self._requested = self._firm = self._done = 0
        self._walked: list[Ids] = []
        self._after: list[npt.NDArray[np.uint32]] = []
        self._next: npt.NDArray[np.uint32] | None = None
        self._need = 0
        self._error: BaseException | None = None
        self._lock = threading.RLock()
        self._wake = threading.Condition()
        self._ended = False
        for source in self._sources:
            if source is not None:
                source.settle()
        self._sizes = np.zeros(self._spans.total, np.int64)
        for f, source in enumerate(self._sources):
            if source is not None:
                self._sizes[self._spans.starts[f] : self._spans.starts[f + 1]] = source.sizes()
        indexes = [one.seek_index.source for one in files.readers if one.seek_index is not None]
        self._tables = sum(sum(one.kept().values()) for one in (*self._sources, *indexes) if one is not None)
        self._limit = next(source.folder.limit() for source in self._sources if source is not None)
        self._thread = threading.Thread(target=_run, args=(weakref.ref(self),), name="ffprep-fetching", daemon=True)
        if following is not None:
            self._walk()
            self._thread.start()

    # -- called by the scheduler -----------------------------------------------------------------------

    def ready(self, batch: int) -> bool:
        """Return whether the pages of the next batch are here."""
        with self._lock:
            self._ask()
            if batch >= self._requested or self._error is not None:
                return False
            self._make_firm(batch)
            parts = list(self._split(self._held[batch]))
            for source, pages in parts:  # some may have gone for another reader
                source.request(pages, batch - self._done)
            here = all(len(source.missing(pages)) == 0 for source, pages in parts)
            return here and self._check_damaged(parts)

    def wait(self, batch: int) -> None:
        """Wait until the pages of the next batch are here.

        Raises
        ------
        OptionError
            The cache is too small for the batches under way.
        RemoteError
            A page cannot be fetched.
        """
        with self._lock:
            self._ask()
            while self._requested <= batch:
                self._hold(self._requested)
            self._make_firm(batch)
            pages = self._held[batch]
            self._check_room(int(self._sizes[pages].sum()))
        self._check()
        parts = list(self._split(pages))
        for source, some in parts:
            source.request(some)
        for source, some in parts:
            source.wait(some, self._check)
        self._check_damaged(parts)

    def _check_damaged(self, parts: Sequence[tuple[PageSource, Ids]]) -> bool:
        """Let values of damaged pages be compared once more: their pages may have been whole when that was done."""
        for source, pages in parts:
            if source.lenient and source.damaged(pages):
                self._files.checks.forget(self._files.readers[self._sources.index(source)])
        return True

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _check_room(self, need: int) -> None:
        self._need = max(self._need, need)
        if self._need + self._tables > self._limit and self._error is None:
            self._error = OptionError(
                f"{self._files}: {self._under_way} batches under way need pages of {self._need:,} bytes and the tables "
                f"{self._tables:,}, and the cache's limit is {self._limit:,} bytes; give "
                f"cache_limit={self._need + self._tables} or more, or read fewer pages at once, as "
                "OrderOption.QUASI_RANDOM with a smaller window_pages does"
            )

    def finished(self, batches: int) -> None:
        """Release pages, now that the workers have finished all batches before the number `batches`."""
        with self._lock:
            while self._done < batches - self._kept:
                pages = self._held.pop(self._done)
                self._release(pages, ahead=self._done >= self._firm)
                if self._next is not None and self._done < len(self._after):
                    self._next[pages] = self._after[self._done]
                    for known, some, begin in self._parts(pages):
                        known.next_use(some, self._next[some + begin])
                self._done += 1
            if self._following is not None:
                for source in self._sources:
                    if source is not None:
                        source.plan(self._done)
        with self._wake:
            self._wake.notify_all()

    @contextlib.contextmanager
    def held(self, ids: Ids) -> Iterator[None]:
        """Fetch the pages of samples that no batch was to have, and hold them for a while."""
        pages = self._spans.pages(ids)
        parts = list(self._split(pages))
        for source, some in parts:
            source.hold(some)
        try:
            for source, some in parts:
                source.wait(some)
            yield
        finally:
            for source, some in parts:
                source.release(some)

    def doubted(self, ids: Ids) -> bool:
        """Have the pages of samples compared with checksums once more; say whether there are any to compare."""
        found = False
        for source, some in self._split(self._spans.pages(ids)):
            if source.doubt(some):
                found = True
                self._files.checks.forget(self._files.readers[self._sources.index(source)])
        return found

    def close(self) -> None:
        """Release all pages and end the thread. Plans then count from the next epoch's beginning."""
        self._ended = True
        with self._wake:
            self._wake.notify_all()
        with self._lock:
            for batch, pages in self._held.items():
                self._release(pages, ahead=batch >= self._firm)
            self._held.clear()
            if self._next is not None:
                later = np.where(self._next >= self._batches, self._next, NEVER).astype(np.int64)
                self._write_plan(np.where(later == NEVER, NEVER, later - self._batches).astype(np.uint32), 0)
            self._next = None

    # -- holding and asking ----------------------------------------------------------------------------

    def _parts(self, pages: Ids) -> Iterator[tuple[PageSource, Ids, int]]:
        """Yield those of some pages that each remote file has, numbered in the file, and the number of its first."""
        starts = self._spans.starts
        if len(self._sources) == 1:
            if self._sources[0] is not None:
                yield self._sources[0], pages, 0
            return
        files = np.searchsorted(starts, pages, side="right") - 1
        for f in np.unique(files).tolist():
            source = self._sources[f]
            if source is not None:
                yield source, pages[files == f] - starts[f], int(starts[f])

    def _split(self, pages: Ids) -> Iterator[tuple[PageSource, Ids]]:
        for source, some, _ in self._parts(pages):
            yield source, some

    def _pages_of(self, batch: int) -> Ids:
        return self._walked[batch] if batch < len(self._walked) else self._spans.pages(self._ids(batch))

    def _hold(self, batch: int) -> None:
        pages = self._pages_of(batch)
        for source, some in self._split(pages):
            source.hold(some, ahead=True)
        self._counts[pages] += 1
        self._held[batch] = pages
        self._requested = batch + 1

    def _make_firm(self, batch: int) -> None:
        """Hold the pages of all batches up to this one, whoever waits for room."""
        for number in range(self._firm, batch + 1):
            for source, some in self._split(self._held[number]):
                source.hold(some)
                source.release(some, ahead=True)
        self._firm = max(self._firm, batch + 1)

    def _release(self, pages: Ids, *, ahead: bool) -> None:
        for source, some in self._split(pages):
            source.release(some, ahead=ahead)
        self._counts[pages] -= 1

    def _ask(self) -> None:
        """Ask for the pages of further batches, as far as they are known and there is room."""
        most = max(self._need, min(self._need + AHEAD * PAGE, self._limit - self._tables))
        held = int(self._sizes[self._counts > 0].sum())
        while not self._ended and self._requested < min(len(self._walked), self._batches):
            pages = self._walked[self._requested]
            held += int(self._sizes[pages[self._counts[pages] == 0]].sum())
            if held > most and self._requested > self._done:
                return
            batch = self._requested
            self._hold(batch)
            if not all(source.request(some, batch - self._done) for source, some in self._split(pages)):
                return

    # -- the thread ------------------------------------------------------------------------------------

    def _walk(self) -> bool:
        """Look up the pages of some more batches; return whether there are more."""
        first = len(self._walked)
        found = [self._spans.pages(self._ids(batch)) for batch in range(first, min(first + _CHUNK, self._batches))]
        with self._lock:
            self._walked += found
            latest = self._walked[-_CHUNK - self._under_way :]
            self._check_room(most_at_once(latest, self._under_way, self._sizes))
        return len(self._walked) < self._batches

    def _look_further(self) -> None:
        """Say when each page is needed next, now that the epoch is known, and in the epoch after it."""
        if self._following is None:
            return
        later = np.full(self._spans.total, NEVER, np.uint32)
        for number, ids in enumerate(self._following()):
            pages = self._spans.pages(ids)
            fresh = pages[later[pages] == NEVER]
            later[fresh] = self._batches + number
            if self._ended:
                return
        after, upcoming = next_uses(self._walked, later)
        with self._lock:
            if self._ended:
                return
            for batch in range(self._done):
                upcoming[self._walked[batch]] = after[batch]
            self._after, self._next = after, upcoming
            self._write_plan(upcoming, self._done)

    def _write_plan(self, upcoming: npt.NDArray[np.uint32], batch: int) -> None:
        for f, source in enumerate(self._sources):
            if source is not None:
                source.plan(batch, upcoming[self._spans.starts[f] : self._spans.starts[f + 1]])


def _run(reference: weakref.ReferenceType[Fetching]) -> None:
    """Walk through an epoch, then ask for pages whenever batches are finished. Runs in a thread of its own."""
    more, looked = True, False
    while True:
        fetching = reference()
        if fetching is None or fetching._ended:
            return
        try:
            if more:
                more = fetching._walk()
            elif not looked:
                looked = True
                fetching._look_further()
            with fetching._lock:
                fetching._ask()
        except BaseException as error:
            fetching._error = error
            return
        wake = fetching._wake
        idle = not more and looked
        if idle and fetching._requested >= fetching._batches:
            return
        del fetching
        if idle:
            with wake:
                wake.wait(1.0)
