"""A whole download: rows in index order, many at once, into shards that survive a kill.

The subset that a limit selects depends on the index and on what the servers answer, never on who answers first: rows
are judged in index order, and the cut is made after the row that completes the limit.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import resource
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ffprep.common.cpus import usable_cpus
from ffprep.download import shards
from ffprep.download.index import Row
from ffprep.download.judge import Judge
from ffprep.download.messages import Asked, Found, Share
from ffprep.download.options import Options, may_recover
from ffprep.download.shards import Outcome, ShardSpool
from ffprep.download.team import Team
from ffprep.errors import OptionError

_DEFAULTS = Options()

SETTINGS = "download.json"

OPEN_SHARDS = 16
"""Bounds how far ahead of a slow row the others run."""

OTHER_FILES = 64
"""Files that a process has open beside its connections, at most: shards, pipes, libraries' own."""

GIVEN_AT_ONCE = 16
"""Rows a process is given in one message."""


@dataclass
class Progress:
    """Counts so far, for whoever shows them."""

    done: int = 0
    ok: int = 0
    bytes: int = 0


def download(
    rows: Iterable[Row],
    folder: Path,
    options: Options = _DEFAULTS,
    retry_failed: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Fetches images into ``folder`` and returns the report.

    Complete shards found there are kept, so a killed download goes on where it was. Afterwards the folder holds the
    shards, ``manifest.jsonl`` (a line for every row tried: the reproducible record) and ``report.json``.

    Parameters
    ----------
    rows : Iterable[Row]
        As `read_index` gives them.
    folder : Path
        Made when absent.
    options : Options
    retry_failed : bool
        Try again the rows of complete shards that failed for a cause that may pass.
    on_progress : Callable[[Progress], None] | None

    Returns
    -------
    dict
        ``tried``, ``ok``, ``bytes``, ``causes`` (count by cause, failures only).

    Raises
    ------
    OptionError
        When the folder holds a download with other settings, or another download is under way in it.
    FfprepError
        When a process that fetches died.
    """
    if find_spec("aiohttp") is None:
        raise OptionError("downloading needs aiohttp: pip install 'ffprep[download]'")
    folder.mkdir(parents=True, exist_ok=True)
    _check_settings(folder, options)
    with _alone(folder), contextlib.closing(_Run(folder, options, retry_failed, on_progress)) as run:
        try:
            run.all(iter(rows))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted after {run.done:,} rows; complete shards are kept: the same command goes on"
            ) from None
        return _finish(folder)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds a folder against other downloads; a process that ends lets go of it."""
    with (folder / SETTINGS).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OptionError(f"{folder}: another download is under way here") from None
        except OSError:
            pass  # some network file systems cannot lock
        yield


def _check_settings(folder: Path, options: Options) -> None:
    path = folder / SETTINGS
    if not path.exists():
        shards.write_json(path, options.lasting())
    elif (before := json.loads(path.read_text())) != options.lasting():
        changed = ", ".join(k for k, v in options.lasting().items() if before.get(k) != v)
        raise OptionError(f"{folder}: holds a download with other settings ({changed}); use another folder")


def _finish(folder: Path) -> dict[str, Any]:
    """Joins the shards' manifests and counts."""
    numbers = shards.complete_shards(folder)

    def lines() -> Iterator[Outcome]:
        for number in numbers:
            yield from shards.read_lines(shards.mark_path(folder, number))

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


class _Run:
    def __init__(
        self, folder: Path, options: Options, retry_failed: bool, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self._folder = folder
        self._options = options
        self._retry_failed = retry_failed
        self._on_progress = on_progress
        self._progress = Progress()
        self._judge = Judge(options.limit, options.max_bytes)
        self._shards: dict[int, _Shard] = {}
        self._waiting: deque[Row] = deque()
        self._writers = ThreadPoolExecutor(2, thread_name_prefix="ffprep-shard")
        self._writes: dict[int, Future[Any]] = {}

    @property
    def done(self) -> int:
        """Rows dealt with, this time."""
        return self._progress.done

    def close(self) -> None:
        for shard in self._shards.values():
            shard.spool.close()

    def all(self, rows: Iterator[Row]) -> None:
        """Fetch shard after shard, several at once, and cut where the limit is reached."""
        done = set(shards.complete_shards(self._folder))
        coming = self._missing(rows, done)
        with Team(_shares(self._options)) as team, self._writers:  # which wake the team
            while not self._judge.reached:
                self._give(team, coming)
                if not team.busy and not self._writes:
                    break
                for process, found in team.collect():
                    self._take(team, process, found)
                self._finish_writes(team)
        for write in self._writes.values():
            write.result()
        self._cut()

    def _missing(self, rows: Iterator[Row], done: set[int]) -> Iterator[list[Row]]:
        """Shard after shard, the rows that no complete shard knows about."""
        for number, shard_rows in _by_shard(rows, self._options.shard_size):
            known = self._known(number, shard_rows) if number in done else {}
            missing = [row for row in shard_rows if row.number not in known]
            if missing:
                spool = shards.read_spool(self._folder, number) if known else ShardSpool(self._folder)
                spool.outcomes = dict(known)
                self._shards[number] = _Shard(spool, {row.number: row for row in missing})
            self._judge.expect(number, [row.number for row in shard_rows], known)
            yield missing

    def _known(self, number: int, rows: list[Row]) -> dict[int, Outcome]:
        """What a shard written before says of these rows, but for failures that are to be tried again."""
        urls = {row.number: row.url for row in rows}
        known = {o.id: o for o in shards.read_lines(shards.mark_path(self._folder, number)) if o.id in urls}
        for outcome in known.values():
            if outcome.url != urls[outcome.id]:
                raise OptionError(
                    f"{self._folder}: holds a download of another index (row {outcome.id} was {outcome.url}); "
                    "use another folder"
                )
        if self._retry_failed:
            known = {row: o for row, o in known.items() if not may_recover(o.status)}
        return known

    def _give(self, team: Team, coming: Iterator[list[Row]]) -> None:
        """Give rows out, in order, to whoever has most room."""
        while not self._judge.reached:
            process, room = team.room()
            if not room:
                return
            while not self._waiting:
                if len(self._shards) > OPEN_SHARDS or self._judge.reached or (more := next(coming, None)) is None:
                    return
                self._waiting.extend(more)
            some = [self._waiting.popleft() for _ in range(min(room, GIVEN_AT_ONCE, len(self._waiting)))]
            for number in {row.number // self._options.shard_size for row in some}:
                spool = self._shards[number].spool
                if process not in spool:
                    team.open(process, number, spool.file_of(process))
            team.give(process, [Asked(row.number, row.url, row.sha256) for row in some])

    def _take(self, team: Team, process: int, found: list[Found]) -> None:
        for one in found:
            shard_number = one.number // self._options.shard_size
            shard = self._shards[shard_number]
            row = shard.missing.pop(one.number)
            facts = (one.status, one.sha256, one.bytes, one.width, one.height, one.extension)
            outcome = Outcome(one.number, row.url, row.caption, *facts)
            shard.spool.add(outcome, process, one.offset)
            self._judge.add(shard_number, outcome)
            self._progress.done += 1
            self._progress.ok += outcome.ok
            self._progress.bytes += outcome.bytes
            if not shard.missing:
                write = self._writers.submit(shards.write_shard, self._folder, shard_number, shard.spool)
                write.add_done_callback(lambda _: team.wake())
                self._writes[shard_number] = write
        if self._on_progress is not None:
            self._on_progress(self._progress)

    def _finish_writes(self, team: Team) -> None:
        for number in [number for number, write in self._writes.items() if write.done()]:
            self._writes.pop(number).result()
            spool = self._shards.pop(number).spool
            team.close_shard(spool.writers, number)
            spool.close()

    def _cut(self) -> None:
        """Drop what lies behind the row that completed the limit."""
        last = self._judge.last
        if last is None:
            return
        last_shard = last // self._options.shard_size
        for number in shards.complete_shards(self._folder):
            if number > last_shard:
                shards.remove_shard(self._folder, number)
        shard = self._shards.pop(last_shard, None)
        spool = shards.read_spool(self._folder, last_shard) if shard is None else shard.spool
        with contextlib.closing(spool):
            if any(row > last for row in spool.outcomes) or last_shard not in shards.complete_shards(self._folder):
                spool.outcomes = {row: o for row, o in spool.outcomes.items() if row <= last}
                shards.write_shard(self._folder, last_shard, spool)


@dataclass
class _Shard:
    """A shard that is being filled."""

    spool: ShardSpool
    missing: dict[int, Row]


def _shares(options: Options) -> list[Share]:
    """What each process may do, so that together they do no more than was asked for."""
    cpus = usable_cpus()
    count = cpus if options.workers is None else options.workers
    count = min(count, options.connections, options.per_host)
    if count < 1:
        raise OptionError("workers, connections and per_host must be at least 1")
    threads = min(32, max(1, cpus // count))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and -(-options.connections // count) + OTHER_FILES > files:
        raise OptionError(
            f"{options.connections} connections in {count} processes, but a process may open {files} files only; "
            "use fewer connections or more workers"
        )

    def part(whole: int, process: int) -> int:
        return whole // count + (process < whole % count)

    return [
        Share(options, part(options.connections, process), part(options.per_host, process), threads)
        for process in range(count)
    ]


def _by_shard(rows: Iterator[Row], size: int) -> Iterator[tuple[int, list[Row]]]:
    """Groups ascending rows by shard number; shards without rows are left out."""
    shard: list[Row] = []
    for row in rows:
        if shard and row.number // size != shard[0].number // size:
            yield shard[0].number // size, shard
            shard = []
        shard.append(row)
    if shard:
        yield shard[0].number // size, shard
