"""A whole download: many rows at once, in index order, into shards that survive a kill.

Which rows a limit selects depends on the index and on what the servers answer, never on which of them answers first:
`LimitTracker` counts outcomes in index order, and everything after the row that reaches the limit is dropped.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ffprep.common.workers.cpus import usable_cpus
from ffprep.download import shards
from ffprep.download.limit_tracker import LimitTracker
from ffprep.download.messages import FetchRequest, FetchResult
from ffprep.download.network_check import NetworkCheck
from ffprep.download.settings import DownloadOptions, may_recover_later
from ffprep.download.shards import Outcome, ShardBuffer
from ffprep.download.url_index import IndexRow
from ffprep.download.worker_processes import WorkerProcesses, worker_configs
from ffprep.errors import OptionError

_DEFAULTS = DownloadOptions()

OPEN_SHARDS = 16
"""The most shards filled at once, which bounds how far other rows get ahead of a slow one."""

ROWS_PER_MESSAGE = 16
"""The most rows that a worker is given in one message."""


@dataclass
class DownloadProgress:
    """Counts of this run so far.

    Attributes
    ----------
    done, ok : int
        Rows whose outcome is known, and how many of them gave an image.
    bytes : int
        Bytes of the images stored.
    """

    done: int = 0
    ok: int = 0
    bytes: int = 0


def download(
    rows: Iterable[IndexRow],
    folder: Path,
    options: DownloadOptions = _DEFAULTS,
    retry_failed: bool = False,
    on_progress: Callable[[DownloadProgress], None] | None = None,
    *,
    restart: bool = False,
) -> dict[str, Any]:
    """Fetch images into ``folder`` and return the report.

    Complete shards in the folder are kept, so that a killed download continues where it stopped. Afterwards the folder
    holds the shards, ``manifest.jsonl`` (one line for every row tried: the record that reproduces the download) and
    ``report.json``.

    Parameters
    ----------
    rows : Iterable[IndexRow]
        As `read_index` gives them.
    folder : Path
        Created when it does not exist.
    options : DownloadOptions
    retry_failed : bool
        Try rows of complete shards again if they failed for a cause that may pass.
    on_progress : Callable[[DownloadProgress], None] | None
        Called with the counts whenever some have changed.
    restart : bool
        Drop the download that is in the folder, shards and manifest, and begin anew.

    Returns
    -------
    dict
        ``tried``, ``ok``, ``bytes``, ``causes`` (count by cause, failures only).

    Raises
    ------
    OptionError
        When the folder holds a download with other settings, or another download is running in it.
    FfprepError
        When a worker process died.
    """
    needs_aiohttp()
    with (
        opened(folder, options, restart=restart),
        contextlib.closing(_Downloader(folder, options, retry_failed, on_progress)) as downloader,
    ):
        try:
            downloader.run(iter(rows))
        except KeyboardInterrupt:
            raise interrupted(downloader.done) from None
        return write_report(folder)


def fetch_rows(rows: Iterable[IndexRow], folder: Path, options: DownloadOptions, retry_failed: bool) -> None:
    """Fetch some rows of a larger download into shards of a folder that belongs to this call alone.

    Whether it is the network that fails is judged by many rows only: few of them may well lead nowhere.

    Parameters
    ----------
    rows, folder, options, retry_failed
        As for `download`.

    Raises
    ------
    FfprepError
        As from `download`.
    """
    needs_aiohttp()
    downloader = _Downloader(folder, options, retry_failed, None, alone=False)
    with contextlib.closing(downloader):
        downloader.run(iter(rows))


def needs_aiohttp() -> None:
    """Raise an `OptionError` if aiohttp is not installed."""
    if find_spec("aiohttp") is None:
        raise OptionError("downloading needs aiohttp: pip install 'ffprep[download]'")


@contextlib.contextmanager
def opened(folder: Path, options: DownloadOptions, *, restart: bool) -> Iterator[None]:
    """The folder of a download, locked for this process.

    Raises
    ------
    OptionError
        The folder holds a download with other settings, or another download is running in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if restart:
        shards.drop(folder)
    shards.check_settings(folder, options)
    with shards.locked(folder):
        yield


def interrupted(done: int) -> KeyboardInterrupt:
    """What an interrupted download says after so many rows."""
    return KeyboardInterrupt(
        f"interrupted after {done:,} rows; complete shards are kept: the same command goes on from there"
    )


def write_report(folder: Path) -> dict[str, Any]:
    """Join the shards' manifests into one, and count their outcomes."""
    numbers = shards.complete_shards(folder)

    def lines() -> Iterator[Outcome]:
        for number in numbers:
            yield from shards.read_lines(shards.manifest_path(folder, number))

    shards.write_lines(folder / "manifest.jsonl", lines())
    causes: Counter[str] = Counter()
    total = 0
    for outcome in lines():
        causes[outcome.status] += 1
        total += outcome.bytes
    ok = causes.pop("ok", 0)
    report = {"tried": ok + sum(causes.values()), "ok": ok, "bytes": total, "causes": dict(causes.most_common())}
    shards.write_json(folder / "report.json", report)
    return report


class _Downloader:
    """State of one download: the shards that are being filled, and the rows not yet given to a worker."""

    def __init__(
        self,
        folder: Path,
        options: DownloadOptions,
        retry_failed: bool,
        on_progress: Callable[[DownloadProgress], None] | None,
        *,
        alone: bool = True,
    ) -> None:
        self._folder = folder
        self._options = options
        self._retry_failed = retry_failed
        self._on_progress = on_progress
        self._progress = DownloadProgress()
        self._limits = LimitTracker(options.limit, options.max_bytes)
        self._shards: dict[int, _PendingShard] = {}
        self._queue: deque[IndexRow] = deque()
        self._writers = ThreadPoolExecutor(2, thread_name_prefix="ffprep-shard")
        self._writes: dict[int, Future[Any]] = {}
        self._filled: list[int] = []
        self._network = NetworkCheck()
        self._tried_before: set[int] = set()
        self._alone = self._fresh = alone

    @property
    def done(self) -> int:
        """Rows dealt with in this run."""
        return self._progress.done

    def close(self) -> None:
        """Free the temporary files."""
        for shard in self._shards.values():
            shard.buffer.close()

    def run(self, rows: Iterator[IndexRow]) -> None:
        """Fetch shard after shard, several at once, and drop what lies after the row that reaches a limit."""
        complete = set(shards.complete_shards(self._folder))
        self._fresh = self._alone and not complete
        coming = self._missing_rows(rows, complete)
        # The writing threads end first, since they wake the workers' `collect`.
        with (
            WorkerProcesses(worker_configs(self._options, usable_cpus() if self._alone else 1)) as workers,
            self._writers,
        ):
            while not self._limits.reached:
                self._give(workers, coming)
                if not workers.busy:
                    self._network.settle(self._fresh)
                self._start_writes(workers)
                if not workers.busy and not self._writes:
                    break
                for process, results in workers.collect():
                    self._take(process, results)
                self._start_writes(workers)
                self._finish_writes(workers)
            self._network.settle(fresh=False)
            self._start_writes(workers)
        for write in self._writes.values():
            write.result()
        if self._limits.last is not None:
            left = self._shards.pop(self._limits.last // self._options.shard_size, None)
            drop_rows_after(self._folder, self._options, self._limits.last, None if left is None else left.buffer)

    def _missing_rows(self, rows: Iterator[IndexRow], complete: set[int]) -> Iterator[list[IndexRow]]:
        """Shard by shard, the rows that no complete shard has an outcome for."""
        for number, shard_rows in by_shard(rows, self._options.shard_size):
            known: dict[int, Outcome] = {}
            if number in complete:
                known = known_outcomes(self._folder, number, shard_rows, self._options, self._retry_failed)
            missing = [row for row in shard_rows if row.number not in known]
            if missing:
                buffer = shards.read_shard(self._folder, number) if known else ShardBuffer(self._folder)
                known |= {r.number: Outcome(r.number, r.url, r.caption, r.problem) for r in missing if r.problem}
                buffer.outcomes = dict(known)
                self._progress.done += sum(bool(row.problem) for row in missing)
                missing = [row for row in missing if not row.problem]
                self._shards[number] = _PendingShard(buffer, {row.number: row for row in missing})
                if number in complete:
                    self._tried_before.add(number)
                if not missing:
                    self._filled.append(number)
            self._limits.expect(number, [row.number for row in shard_rows], known)
            yield missing

    def _give(self, workers: WorkerProcesses, coming: Iterator[list[IndexRow]]) -> None:
        """Give out rows in order, each time to the worker with the most room, until all are full."""
        while not self._limits.reached:
            process, room = workers.most_room()
            if not room:
                return
            while not self._queue:
                if len(self._shards) > OPEN_SHARDS or self._limits.reached or (more := next(coming, None)) is None:
                    workers.no_more()
                    return
                self._queue.extend(more)
            rows = [self._queue.popleft() for _ in range(min(room, ROWS_PER_MESSAGE, len(self._queue)))]
            for number in {row.number // self._options.shard_size for row in rows}:
                buffer = self._shards[number].buffer
                if process not in buffer:
                    path = shards.tar_path(self._folder, number)
                    workers.open_shard(process, number, path, buffer.file_of(process))
            workers.give(process, [FetchRequest(row.number, row.url, row.sha256) for row in rows])

    def _take(self, process: int, results: list[FetchResult]) -> None:
        """Record results, and which shards they complete."""
        for result in results:
            shard_number = result.number // self._options.shard_size
            shard = self._shards[shard_number]
            row = shard.missing.pop(result.number)
            facts = (result.status, result.sha256, result.bytes, result.width, result.height, result.extension)
            outcome = Outcome(result.number, row.url, row.caption, *facts)
            shard.buffer.add(outcome, process, result.offset)
            self._limits.add(shard_number, outcome)
            if outcome.ok or shard_number not in self._tried_before:
                self._network.add(outcome.status, row.url)
            self._progress.done += 1
            self._progress.ok += outcome.ok
            self._progress.bytes += outcome.bytes
            if not shard.missing:
                self._filled.append(shard_number)
        if self._on_progress is not None:
            self._on_progress(self._progress)

    def _start_writes(self, workers: WorkerProcesses) -> None:
        """Have the shards written that are complete, unless their outcomes may be the fault of this machine."""
        if self._network.undecided:
            return
        for number in self._filled:
            write = self._writers.submit(shards.write_shard, self._folder, number, self._shards[number].buffer)
            write.add_done_callback(lambda _: workers.wake())
            self._writes[number] = write
        self._filled.clear()

    def _finish_writes(self, workers: WorkerProcesses) -> None:
        """Close the shards that have been written."""
        for number in [number for number, write in self._writes.items() if write.done()]:
            self._writes.pop(number).result()
            with contextlib.closing(self._shards.pop(number).buffer) as buffer:  # also if a worker is gone by now
                workers.close_shard(buffer.workers, number)


@dataclass
class _PendingShard:
    """A shard that is being filled: the outcomes so far, and the rows whose outcome is missing, by number."""

    buffer: ShardBuffer
    missing: dict[int, IndexRow]


def by_shard(rows: Iterator[IndexRow], size: int) -> Iterator[tuple[int, list[IndexRow]]]:
    """Group ascending rows by shard number; shards without rows are left out."""
    shard: list[IndexRow] = []
    for row in rows:
        if shard and row.number // size != shard[0].number // size:
            yield shard[0].number // size, shard
            shard = []
        shard.append(row)
    if shard:
        yield shard[0].number // size, shard


def known_outcomes(
    folder: Path, number: int, rows: list[IndexRow], options: DownloadOptions, retry_failed: bool
) -> dict[int, Outcome]:
    """Return what a complete shard says of these rows, leaving out failures that are to be tried again.

    Raises
    ------
    OptionError
        The shard is of another index.
    """
    urls = {row.number: row.url for row in rows}
    known = {o.id: o for o in shards.read_lines(shards.manifest_path(folder, number)) if o.id in urls}
    for outcome in known.values():
        if outcome.url != urls[outcome.id]:
            raise OptionError(
                f"{folder}: holds a download of another index (row {outcome.id} was {outcome.url}); "
                "use another folder, or --restart drops it and begins anew"
            )
    return {row: outcome for row, outcome in known.items() if not _is_due(outcome.status, options, retry_failed)}


def _is_due(status: str, options: DownloadOptions, retry_failed: bool) -> bool:
    """Whether a row with this outcome is to be tried again: it may have recovered, or it is allowed now."""
    return (
        (retry_failed and may_recover_later(status))
        or (status == "refused_address" and options.fetch.allow_private)
        or (status == "robots" and not options.fetch.honour_robots)
    )


def drop_rows_after(folder: Path, options: DownloadOptions, last: int, buffer: ShardBuffer | None = None) -> None:
    """Remove what lies after the row that reached a limit, from this run or an earlier one.

    Parameters
    ----------
    folder : Path
    options : DownloadOptions
    last : int
        Number of that row.
    buffer : ShardBuffer, optional
        Its shard, if that is not complete; it is closed here.
    """
    last_shard = last // options.shard_size
    for number in shards.complete_shards(folder):
        if number > last_shard:
            shards.remove_shard(folder, number)
    with contextlib.closing(buffer or shards.read_shard(folder, last_shard)) as found:
        if any(row > last for row in found.outcomes) or last_shard not in shards.complete_shards(folder):
            found.outcomes = {row: outcome for row, outcome in found.outcomes.items() if row <= last}
            shards.write_shard(folder, last_shard, found)
