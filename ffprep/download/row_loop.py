"""Asks for rows until each has an outcome: as often as it may help, in the order that their hosts allow."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from yarl import URL

from ffprep.download.fetch import Fetched, Fetcher
from ffprep.download.messages import FetchRequest, FetchResult
from ffprep.download.settings import FetchLimits, may_recover
from ffprep.download.web.host_queue import HostQueue
from ffprep.download.web.urls import parse_url

MOST_REFUSALS = 8
"""How often one row may be refused with HTTP 429, which costs no retry; its host may answer other rows meanwhile."""

ASIDE = 60.0
"""Seconds after which single rows that were not answered in time are asked for again, if the end has not come yet."""

_UNHEARD = {"dns", "dns_temporary", "tls", "proxy", "no_network", "connection", "bad_url", "refused_address"}
"""Failures that say nothing about how busy a host is."""


@dataclass
class _Row:
    request: FetchRequest
    url: URL
    host: str
    tries: int = 0
    refusals: int = 0
    status: str = ""


class RowLoop:
    """Fetches and checks rows within an event loop.

    Parameters
    ----------
    limits : FetchLimits
    connections, per_host : int
        Requests under way at once, in total and at one host.
    check : callable
        Given a request and the bytes that its URL returned, says whether they are an image.
    report : callable
        Given results, and how many rows are held: they are here though none of them may be asked for now.
    """

    def __init__(
        self,
        limits: FetchLimits,
        connections: int,
        per_host: int,
        check: Callable[[FetchRequest, bytes], Awaitable[FetchResult]],
        report: Callable[[list[FetchResult], int], None],
    ) -> None:
        self._limits = limits
        self._connections = connections
        self._check = check
        self._report = report
        self._queue: HostQueue[_Row] = HostQueue(per_host)
        self._fetcher = Fetcher(limits, connections)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._results: list[FetchResult] = []
        self._held = 0
        self._reporting = False
        self._last = False
        self._released_at = 0.0
        self._random = random.Random()

    async def run(self) -> None:
        """Serve until cancelled, or until a check or the reporting fails."""
        self._loop = asyncio.get_running_loop()
        self._released_at = self._loop.time()
        self._failed: asyncio.Future[None] = self._loop.create_future()
        async with self._fetcher:
            self._pump()
            try:
                await self._failed
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def add(self, requests: list[FetchRequest]) -> None:
        """Take rows to fetch."""
        self._last = False
        for request in requests:
            try:
                url = parse_url(request.url)
            except ValueError:
                self._settle(FetchResult(request.number, "bad_url"))
                continue
            row = _Row(request, url, f"{url.raw_host}:{url.port}")
            self._queue.put(row.host, row, self._loop.time())
        self._pump()

    def no_more(self) -> None:
        """Say that no rows will come until some of those that are here have an outcome."""
        self._last = True
        self._pump()

    def _pump(self) -> None:
        """Start what may be started, and see that this is called again when more may be."""
        now = self._loop.time()
        while len(self._tasks) < self._connections:
            taken = self._queue.take(now)
            if taken is None:
                if not self._release(now):
                    break
                continue
            task = self._loop.create_task(self._ask(taken[1], taken[2]))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        for row, cause in self._queue.lost():
            self._settle(FetchResult(row.request.number, row.status or cause))
        self._set_timer()
        held = self._queue.held
        if abs(held - self._held) >= 16:
            self._report_soon()

    def _release(self, now: float) -> bool:
        """Give out rows that were set aside if that is due; whether any may be asked for now."""
        if not self._queue.set_aside:
            return False
        self._last = self._last or (not self._tasks and self._queue.next_time() is None)  # there is nothing else to do
        if self._last or now - self._released_at > ASIDE:
            self._queue.release(now, rested=self._last)
            self._released_at = now
            return self._queue.held == 0
        return False

    def _set_timer(self) -> None:
        when = self._queue.next_time()
        if self._queue.set_aside:
            due = self._released_at + ASIDE + 0.001
            when = due if when is None else min(when, due)
        if when == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = None if when is None else self._loop.call_at(when, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._pump()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self._failed.done():
            return
        if (error := task.exception()) is not None:
            self._failed.set_exception(error)
        else:
            self._pump()

    async def _ask(self, row: _Row, again: bool) -> None:
        """Ask once for a row; settle it, or put it back."""
        started = self._loop.time()
        fetched = await self._fetcher.fetch(row.url)
        now = self._loop.time()
        refused = fetched.status == "http_429" or (fetched.status == "http_503" and fetched.retry_after is not None)
        lost = False
        if refused:
            lost = self._queue.refused(row.host, started, now, fetched.retry_after, again)
        elif fetched.status == "timeout":
            lost = self._queue.hung(row.host, started, now, again)
        elif fetched.status in _UNHEARD:
            self._queue.failed(row.host, now)
        else:
            self._queue.answered(row.host, started, now)
        result = await self._result(row, fetched)
        row.status = result.status
        if lost:
            self._settle(result)
        elif refused and row.refusals < MOST_REFUSALS:
            row.refusals += 1
            self._queue.put(row.host, row, self._loop.time(), first=True)
        elif not refused and may_recover(result.status) and row.tries < self._limits.retries:
            row.tries += 1
            if result.status == "timeout":
                self._queue.defer(row.host, row)
            else:
                wait = self._limits.backoff * 2 ** (row.tries - 1) * (0.5 + self._random.random())
                self._queue.put_at(row.host, row, self._loop.time() + wait)
        else:
            self._settle(result)

    async def _result(self, row: _Row, fetched: Fetched) -> FetchResult:
        number = row.request.number
        if fetched.status != "ok":
            return FetchResult(number, fetched.status)
        result = await self._check(row.request, fetched.data)
        if not fetched.measured and (result.status == "undecodable" or not fetched.data):
            return FetchResult(number, "cut_body")  # the connection may have broken: nobody said how much was to come
        return result

    def _settle(self, result: FetchResult) -> None:
        self._results.append(result)
        self._report_soon()

    def _report_soon(self) -> None:
        """Report the results of this turn of the event loop at once."""
        if not self._reporting:
            self._reporting = True
            self._loop.call_soon(self._report_now)

    def _report_now(self) -> None:
        self._reporting = False
        results, self._results = self._results, []
        self._held = self._queue.held
        try:
            self._report(results, self._held)
        except BaseException as error:
            if not self._failed.done():
                self._failed.set_exception(error)
