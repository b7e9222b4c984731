"""A whole download: rows in index order, many at once, into shards that survive a kill.

The subset that a limit selects depends on the index and on what the servers answer, never on who answers first: rows
are judged in index order, and the cut is made after the row that completes the limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ffprep.download import shards
from ffprep.download.checks import Checks
from ffprep.download.fetch import Fetched, Fetcher, Limits
from ffprep.download.images import Unusable, check_image
from ffprep.download.index import Row
from ffprep.download.shards import Outcome, ShardSpool
from ffprep.errors import FfprepError, OptionError


@dataclass(frozen=True)
class Options:
    """What to fetch and how.

    Attributes
    ----------
    limit : int | None
        Stop after the first `limit` rows, by index order, that work.
    max_bytes : int | None
        Stop before the row, by index order, that would make the stored images larger than this.
    shard_size : int
        Index rows a shard.
    connections, per_host : int
        Fetches under way at once, in all and at one host.
    max_pixels, min_side, resize_to : int
        See `check_image`.
    fetch : Limits
    """

    limit: int | None = None
    max_bytes: int | None = None
    shard_size: int = 1000
    connections: int = 256
    per_host: int = 32
    max_pixels: int = 1 << 27
    min_side: int = 0
    resize_to: int | None = None
    fetch: Limits = field(default_factory=Limits)

    def lasting(self) -> dict[str, Any]:
        """The settings that decide what is stored, hence must stay the same when a download goes on."""
        chosen = ("shard_size", "max_pixels", "min_side", "resize_to")
        return {name: getattr(self, name) for name in chosen} | {"max_file_bytes": self.fetch.max_bytes}


@dataclass
class Progress:
    """Counts so far, for whoever shows them."""

    done: int = 0
    ok: int = 0
    bytes: int = 0


def download(
    rows: Iterable[Row],
    folder: Path,
    options: Options = Options(),
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
        When the folder holds a download with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_settings(folder, options)
    run = _Run(folder, options, retry_failed, on_progress)
    try:
        _run_loop(run.all(iter(rows)))
    finally:
        run.close()
    return _finish(folder)


def _run_loop(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)  # takes a fifth off the time


def _check_settings(folder: Path, options: Options) -> None:
    path = folder / "download.json"
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
        self._checks = Checks(self._check)
        self._spools: dict[int, ShardSpool] = {}
        self._left: dict[int, int] = {}  # rows still under way, by shard
        self._judge = _Judge(options.limit, options.max_bytes)
        self._room = asyncio.Event()
        self._writes: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        self._checks.close()
        for spool in self._spools.values():
            spool.close()

    async def all(self, rows: Iterator[Row]) -> None:
        """Fetches shard after shard, several at once, and cuts where the limit is reached."""
        done = set(shards.complete_shards(self._folder))
        options = self._options
        async with Fetcher(options.fetch, options.connections, options.per_host) as fetcher:
            queue: asyncio.Queue[Row | None] = asyncio.Queue(maxsize=options.connections)
            workers = [asyncio.create_task(self._worker(queue, fetcher)) for _ in range(options.connections)]
            feeder = asyncio.create_task(self._feed(rows, done, queue, len(workers)))
            cut = asyncio.create_task(self._judge.reached.wait())
            work: asyncio.Future[Any] = asyncio.gather(feeder, *workers)
            try:
                waited: list[asyncio.Future[Any]] = [work, cut]
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    work.result()
            finally:
                for task in (feeder, cut, *workers):
                    task.cancel()
                await asyncio.gather(work, feeder, cut, *workers, return_exceptions=True)
                await asyncio.to_thread(self._checks.close)  # no thread writes to a spool after this
                await asyncio.gather(*self._writes)
        self._cut()

    async def _feed(self, rows: Iterator[Row], done: set[int], queue: asyncio.Queue[Row | None], workers: int) -> None:
        for number, shard_rows in _by_shard(rows, self._options.shard_size):
            known: dict[int, Outcome] = {}
            if number in done:
                known = await asyncio.to_thread(self._known, number, shard_rows)
            missing = [row for row in shard_rows if row.number not in known]
            if missing:
                await asyncio.to_thread(self._open_spool, number, known)
            self._left[number] = len(missing)
            self._judge.expect(number, [row.number for row in shard_rows], known)
            await self._feed_shard(missing, queue)
            if self._judge.reached.is_set():
                return
        for _ in range(workers):
            await queue.put(None)

    async def _feed_shard(self, rows: list[Row], queue: asyncio.Queue[Row | None]) -> None:
        while len(self._spools) > 16:  # bounds how far ahead of a slow row the others run
            self._room.clear()
            await self._room.wait()
        for row in rows:
            if self._judge.reached.is_set():
                return
            await queue.put(row)

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
            known = {row: o for row, o in known.items() if not Fetched(o.status).may_recover}
        return known

    def _open_spool(self, number: int, known: dict[int, Outcome]) -> None:
        """Open a shard's spool; kept here, in the thread, so that `close` finds it when the feeder is cancelled."""
        if known:
            self._spools[number] = shards.read_spool(self._folder, number)
            self._spools[number].outcomes = dict(known)
        else:
            self._spools[number] = ShardSpool(self._folder)

    async def _worker(self, queue: asyncio.Queue[Row | None], fetcher: Fetcher) -> None:
        while not self._judge.reached.is_set() and (row := await queue.get()) is not None:
            outcome = await self._one(row, fetcher)
            self._progress.done += 1
            self._progress.ok += outcome.ok
            self._progress.bytes += outcome.bytes
            number = row.number // self._options.shard_size
            self._spools[number].outcomes[outcome.id] = outcome
            self._judge.add(number, outcome)
            self._left[number] -= 1
            if not self._left[number]:
                write = asyncio.create_task(self._close_shard(number))
                self._writes.add(write)
                await asyncio.shield(write)
                self._writes.discard(write)
            if self._on_progress is not None:
                self._on_progress(self._progress)

    async def _close_shard(self, number: int) -> None:
        spool = self._spools[number]
        await asyncio.to_thread(shards.write_shard, self._folder, number, spool)
        spool.close()
        del self._spools[number]
        self._room.set()

    async def _one(self, row: Row, fetcher: Fetcher) -> Outcome:
        fetched = await fetcher.fetch(row.url)
        if fetched.status != "ok":
            return Outcome(row.number, row.url, row.caption, fetched.status)
        return await self._checks.put(row, fetched.data)

    def _check(self, row: Row, data: bytes) -> Outcome:
        """Check an image and keep it in its shard's spool; in a thread."""
        digest = hashlib.sha256(data).hexdigest()
        options = self._options
        try:
            if row.sha256 and digest != row.sha256:
                raise Unusable("changed")
            image = check_image(data, options.max_pixels, options.min_side, options.resize_to)
        except Unusable as cause:
            return Outcome(row.number, row.url, row.caption, str(cause))
        self._spools[row.number // options.shard_size].keep(row.number, image.data)
        facts = (digest, len(image.data), image.width, image.height, image.extension)
        return Outcome(row.number, row.url, row.caption, "ok", *facts)

    def _cut(self) -> None:
        """Drops what lies behind the row that completed the limit."""
        last = self._judge.last
        if last is None:
            return
        last_shard = last // self._options.shard_size
        for number in shards.complete_shards(self._folder):
            if number > last_shard:
                shards.remove_shard(self._folder, number)
        spool = self._spools.pop(last_shard, None)
        if spool is None:
            spool = shards.read_spool(self._folder, last_shard)
        with contextlib.closing(spool):
            if any(row > last for row in spool.outcomes) or last_shard not in shards.complete_shards(self._folder):
                spool.outcomes = {row: o for row, o in spool.outcomes.items() if row <= last}
                shards.write_shard(self._folder, last_shard, spool)


class _Judge:
    """Finds, in index order, the last row that a limit takes in."""

    def __init__(self, limit: int | None, max_bytes: int | None) -> None:
        if limit is not None and limit < 1:
            raise OptionError("limit must be at least 1")
        self._limit, self._max_bytes = limit, max_bytes
        self._waiting: dict[int, tuple[list[int], dict[int, Outcome]]] = {}
        self._next_shard: int | None = None
        self._order: list[int] = []
        self._position = 0
        self._count = self._bytes = 0
        self._before: int | None = None
        self.last: int | None = None
        self.reached = asyncio.Event()

    def expect(self, shard: int, rows: list[int], known: dict[int, Outcome]) -> None:
        """Announces a shard's rows; shards are announced in order."""
        self._order.append(shard)
        self._waiting[shard] = (rows, dict(known))
        self._advance()

    def add(self, shard: int, outcome: Outcome) -> None:
        """Takes in one outcome."""
        self._waiting[shard][1][outcome.id] = outcome
        self._advance()

    def _advance(self) -> None:
        while self._order and not self.reached.is_set():
            rows, known = self._waiting[self._order[0]]
            while self._position < len(rows) and (outcome := known.get(rows[self._position])) is not None:
                self._position += 1
                if self._completes(outcome):
                    return
            if self._position < len(rows):
                return
            del self._waiting[self._order.pop(0)]
            self._position = 0

    def _completes(self, outcome: Outcome) -> bool:
        if outcome.ok and self._max_bytes is not None and self._bytes + outcome.bytes > self._max_bytes:
            if self._before is None:
                raise FfprepError(f"row {outcome.id}: already the first image is larger than the byte limit; raise it")
            self.last = self._before
        self._count += outcome.ok
        self._bytes += outcome.bytes
        self._before = outcome.id
        if self._limit is not None and self._count >= self._limit and self.last is None:
            self.last = outcome.id
        if self.last is not None:
            self.reached.set()
        return self.reached.is_set()


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
