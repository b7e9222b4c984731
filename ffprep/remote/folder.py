"""The folder that keeps pages of remote files on local disk: one lock, one limit, one folder for each file.

::

    CACHE/lock                     held while states change, by one process for a moment
    CACHE/limit                    bytes that the pages may take, as text; without it nine tenths of the disk
    CACHE/used2                    u8 bytes that they take, or more; mapped by all, counted anew where that is too many
    CACHE/s3+bucket+train.beton@0123456789abcdef.remote2/
        train.beton                the file, sparse: pages that are not here are holes
        source.json                its URL, size and identity, such as the ETag
        states                     what is here, see `states.py`
        users/*.plan               what each process needs, see `plans.py`

The digits are made of identity and size, so another version of the object has another folder. The number after
``remote`` is that of these formats. Versions of ffprep with other ones share lock and limit, and use none of each
other's folders; those of before (``.remote``) count here, and go as files do that no process reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.common.closing import tell_of_forks
from ffprep.common.files.holes import punch, take_room
from ffprep.common.files.mapping import map_file
from ffprep.common.files.replacing import naming, write_file
from ffprep.common.files.source_files import read_file
from ffprep.errors import OptionError, SourceError
from ffprep.remote.facts import RemoteError
from ffprep.remote.plans import Plans
from ffprep.remote.states import ABSENT, PAGE, PART, Flags, States, check_own, page_bytes, runs

ENVIRONMENT = "FFPREP_CACHE"
"""Environment variable: where the cache is; by default ``~/.cache/ffprep``."""

SUFFIX = ".remote2"
BEFORE = ".remote"
"""What the folders of an earlier version end with."""
DISK_SHARE = 0.9
_LONGEST_LIMIT = 100
SHARE_AT_ONCE = 200
"""One of so many pages that fit is removed at least when one has to be, since it takes looking at all of them."""

Pages = npt.NDArray[np.int64]


class Folder:
    """A cache folder, as this process sees it.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    sources : WeakSet of PageSource
        The files of it that this process has open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise self.unusable(error) from None
        self._threads = threading.RLock()
        self._depth = 0
        self._descriptor = -1
        self._pid = 0
        self._states: dict[str, tuple[int, States]] = {}
        self._total: npt.NDArray[np.uint64] | None = None
        self.sources: weakref.WeakSet[Any] = weakref.WeakSet()
        tell_of_forks(self)

    def unusable(self, error: OSError) -> OptionError:
        """Return what to raise where nothing can be written to the folder."""
        return OptionError(
            f"{self.path}: cannot keep pages of remote files there: {error.strerror}; name another folder with cache= "
            f"or {ENVIRONMENT}"
        )

    def after_fork(self) -> None:
        """Forget, in a forked process, which threads of the other one had the lock."""
        self._threads, self._depth = threading.RLock(), 0

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep out other threads and processes. The system frees the lock of a process that ends."""
        with self._threads:
            if self._depth == 0:
                self._lock()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _lock(self) -> None:
        if self._pid != os.getpid():  # a lock is shared with the process that this one was forked from
            try:
                self._descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise self.unusable(error) from None
            self._pid = os.getpid()
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise OptionError(
                f"{self.path}: this file system has no locks ({error.strerror}); keep pages of remote files on a local "
                f"disk: name a folder with cache= or {ENVIRONMENT}"
            ) from None

    # -- the limit -------------------------------------------------------------------------------------

    def set_limit(self, limit: int) -> None:
        """Let the pages of this folder take at most so many bytes, also those that other processes read.

        Raises
        ------
        OptionError
            Not even two pages would fit.
        """
        if limit < 2 * PAGE:
            raise OptionError(f"cache_limit is {limit:,} bytes; it must be at least {2 * PAGE:,}, two pages")
        write_own(self.path / "limit", f"{limit}\n")
        with self.locked():
            if self.used(exactly=True) > limit:
                self.make_room(0, None)

    def limit(self) -> int:
        """Return how many bytes the pages of this folder may take."""
        with contextlib.suppress(OSError, ValueError, SourceError):
            return max(2 * PAGE, int(read_file(self.path / "limit", _LONGEST_LIMIT)))
        try:
            free = shutil.disk_usage(self.path).free
        except OSError as error:
            raise self.unusable(error) from None
        return int(DISK_SHARE * (free + self.used()))

    def check_possible(self, url: str, needed: dict[tuple[Path, int], int]) -> None:
        """Refuse at once what will never have room beside what this process keeps.

        Parameters
        ----------
        url : str
            For the message.
        needed : dict of (Path, int) to int
            Bytes of pages or of their parts, by their file's folder and their number.

        Raises
        ------
        RemoteError
        """
        for source in list(self.sources):
            needed = {**source.staying(), **needed}
        limit, total = self.limit(), sum(needed.values())
        if total > limit:
            raise RemoteError(
                f"{url}: the tables of the files that are open and the pages that are read take {total:,} bytes, and "
                f"{self.path} may take {limit:,}; give cache_limit={total} or more, or make room on its disk"
            )

    def used(self, exactly: bool = False) -> int:
        """Return how many bytes the pages take, or more than they do, unless `exactly` looks at all of them.

        What is taken is counted before it is, what is given back only after that, by whichever process does it: however
        one ends, the count is never too low.
        """
        with self.locked():
            if self._total is None:
                self._total, exactly = self._map_total(), True
            if exactly:
                self._total[0] = sum(map(self._bytes_of, self.objects()))
            return int(self._total[0])

    def _map_total(self) -> npt.NDArray[np.uint64]:
        check_own(path := self.path / "used2")
        with naming(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                take_room(file.fileno(), 8)
                return map_file(file, writable=True).view("<u8")

    def _take(self, size: int) -> bool:
        if self._total is not None:
            self._total[0] += np.uint64(size)
        return True

    def objects(self) -> list[Path]:
        """Return the folders of the files, also those of an earlier version."""
        try:
            with os.scandir(self.path) as entries:
                return sorted(self.path / entry.name for entry in entries if entry.name.endswith((SUFFIX, BEFORE)))
        except FileNotFoundError:
            raise OptionError(
                f"{self.path}: the folder of the cache was removed while it was in use; open the files again"
            ) from None

    def _bytes_of(self, place: Path) -> int:
        if place.name.endswith(SUFFIX):
            return self._states_of(place).bytes_used()
        try:
            return data_file(place).stat().st_blocks * 512
        except OSError:
            return 0

    def _states_of(self, place: Path) -> States:
        """Return the states of a file's pages, which stay mapped as long as it is the same file."""
        if not place.name.endswith(SUFFIX):
            return States.none()
        try:
            number = (place / "states").stat().st_ino
        except OSError:
            return States.none()
        known = self._states.get(place.name)
        if known is None or known[0] != number:
            known = number, States.of_others(place)
            self._states[place.name] = known
        return known[1]

    # -- room ------------------------------------------------------------------------------------------

    def make_room(self, wanted: int, distance: int | None, keep: Path | None = None) -> bool:
        """Remove pages so that `wanted` more bytes fit; called with the lock held.

        Files that no process reads go first, those that were used longest ago before others; then the pages whose next
        use is furthest away.

        Parameters
        ----------
        wanted : int
        distance : int, optional
            How far away the use of the new bytes is, in batches: pages that are needed earlier are kept, and those
            that somebody keeps ahead. None, for what somebody waits for, removes whatever nobody holds.
        keep : Path, optional
            The folder of a file that is kept though no process has a plan for it yet.

        Returns
        -------
        bool
            Whether they fit.
        """
        limit = self.limit()
        if self.used() + wanted <= limit:
            return self._take(wanted)
        missing = self.used(exactly=True) + wanted - limit
        if missing > 0:
            missing -= self._remove_unused(missing, keep)
        if missing > 0:
            self._remove_furthest(missing, distance)
        return self.used(exactly=True) + wanted <= limit and self._take(wanted)

    def _remove_unused(self, missing: int, keep: Path | None) -> int:
        """Remove all pages of files that no process reads; return the bytes freed."""
        unused = [place for place in self.objects() if place != keep and not Plans(place).live()]
        freed = 0
        for place in sorted(unused, key=_last_use):
            if freed >= missing:
                break
            freed += self._bytes_of(place)
            self._states.pop(place.name, None)
            # The description stays: somebody may be about to open the file. States say what is here, so they go first.
            with contextlib.suppress(OSError):
                (place / "states").unlink(missing_ok=True)
                data_file(place).unlink(missing_ok=True)
        return freed

    def _remove_furthest(self, missing: int, distance: int | None) -> None:
        every: list[tuple[Path, States, Pages, Flags]] = []
        distances, sizes = [], []
        for place in self.objects():
            states = self._states_of(place)
            pages = states.removable()
            if not len(pages):
                continue
            held, kept, away = Plans(place).needs(states.count, waiting=distance is None)
            pages = pages[~held[pages]]
            if distance is not None:
                pages = pages[away[pages] > distance]
            freed = states.freed(pages, kept)
            pages, freed = pages[freed > 0], freed[freed > 0]
            if len(pages):
                every.append((place, states, pages, kept))
                distances.append(away[pages])
                sizes.append(freed)
        if not every:
            return
        order = np.argsort(-np.concatenate(distances), kind="stable")
        least = max(missing, self.limit() // SHARE_AT_ONCE)
        chosen = np.zeros(len(order), np.bool_)
        chosen[order[: np.searchsorted(np.cumsum(np.concatenate(sizes)[order]), least) + 1]] = True
        begin = 0
        for place, states, pages, kept in every:
            mine = pages[chosen[begin : begin + len(pages)]]
            begin += len(pages)
            if len(mine):
                remove_pages(place, states, mine, kept)


def remove_pages(place: Path, states: States, pages: Pages, kept: Flags | None = None) -> None:
    """Remove pages of a file: they are marked as absent, then their room is given back; the lock is held.

    Parameters
    ----------
    place : Path
        The file's folder.
    states : States
    pages : ndarray of int64
    kept : ndarray of bool, shape (all pages,), optional
        Of which pages the parts stay; by default of none.
    """
    states.set(pages, ABSENT)
    gone = pages if kept is None else pages[~kept[pages]]
    states.records["parts"][gone] = 0
    path = data_file(place)
    with naming(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            for page in pages.tolist():
                start, end = page * PAGE, page * PAGE + page_bytes(page, states.size)
                for first, last in runs(~states.parts_of(page)):
                    begin = start + first * PART
                    if begin < end:
                        _punch(descriptor, begin, min(start + last * PART, end) - begin, path)
        finally:
            os.close(descriptor)


def _punch(descriptor: int, offset: int, size: int, path: Path) -> None:
    try:
        punch(descriptor, offset, size)
    except OSError as error:
        raise OptionError(
            f"{path}: this file system cannot free parts of a file ({error.strerror}), so the cache's limit cannot be "
            f"kept; name a folder of another one with cache= or {ENVIRONMENT}"
        ) from None


def write_own(path: Path, text: str) -> None:
    """Write a small file of the cache; a pipe or a device in its place is refused, not written to."""
    check_own(path)
    write_file(path, text)


def data_file(place: Path) -> Path:
    """Return the sparse file in the folder of a remote file."""
    return place / place.name.rpartition("@")[0].rpartition("+")[2]


def _last_use(place: Path) -> float:
    try:
        return (place / "users").stat().st_mtime
    except OSError:
        return 0.0


_folders: dict[Path, Folder] = {}


def folder_at(path: str | os.PathLike[str] | None) -> Folder:
    """Return a cache folder; by default the one that the environment names."""
    if path is None:
        path = os.environ.get(ENVIRONMENT) or None
    if path is None:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        path = Path(base) / "ffprep"
    if "://" in os.fspath(path):
        raise OptionError(f"{path}: the cache is a folder on local disk; name another one with cache= or {ENVIRONMENT}")
    path = Path(path).absolute()
    if path not in _folders or not path.is_dir():  # one that was removed is another one now
        _folders[path] = Folder(path)
    return _folders[path]
