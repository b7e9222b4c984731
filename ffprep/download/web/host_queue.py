"""Decides which row is asked for next, so that no host is asked more than it wants and none holds up the others."""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

Row = TypeVar("Row")

HANGS = 4
"""Requests in a row that a host leaves without an answer until it is given up."""
REFUSALS = 6
"""Pauses in a row, each twice as long as the one before, after which a host that still refuses is given up."""
LONGEST_PAUSE = 120.0
"""Seconds. A host that wants to be left alone for longer is given up at once."""
FORGOTTEN = 600.0
"""Seconds for which a host that was given up twice, and never answered, is not asked again."""
MOST_HOSTS = 65536
"""Hosts whose state is kept; of those that nothing is wanted from, the ones used longest ago are forgotten."""

_LOWERED = 0.7
_SLOWEST = 0.2


@dataclass
class _Host(Generic[Row]):
    """What is known of a host, and the rows that are wanted from it.

    `rows` have not been set aside yet; `deferred` are set aside; `again` have been set aside once and are due.
    """

    name: str
    limit: int
    rows: deque[Row] = field(default_factory=deque)
    again: deque[Row] = field(default_factory=deque)
    deferred: deque[Row] = field(default_factory=deque)
    active: int = 0
    listed: bool = False  # among the ready hosts, or waited for
    start_at: float = 0.0
    rate: float | None = None  # requests a second; None: as many as there may be at once
    hangs: int = 0
    refusals: int = 0
    resting: bool = False
    silent_since: float | None = None
    lost_until: float = 0.0
    answered_at: float = -1.0
    lowered_at: float = -1.0
    accepted: deque[float] = field(default_factory=lambda: deque(maxlen=512))


class HostQueue(Generic[Row]):
    """Rows by host, given out in turn.

    A host that refuses (HTTP 429) is left alone for as long as it says, or for 1, 2, 4, ... seconds, and is then asked
    at a lower rate than it accepted before; the rate rises by 5 % a second. One that leaves `HANGS` requests in a row
    unanswered, or refuses for too long, is given up: its rows are set aside until `release`. When it fails again they
    are lost. Rows may be set aside one by one as well.

    Nothing here waits or asks for the time: the caller says what time it is.

    Parameters
    ----------
    per_host : int
        The most requests under way at a host.
    """

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._hosts: OrderedDict[str, _Host[Row]] = OrderedDict()
        self._ready: deque[_Host[Row]] = deque()
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._lost: list[tuple[Row, str]] = []
        self._aside: set[str] = set()
        self.queued = 0

    @property
    def held(self) -> int:
        """Rows that are here though none of them may be asked for now."""
        return 0 if self._ready else self.queued

    @property
    def set_aside(self) -> bool:
        """Whether rows wait for `release`."""
        return bool(self._aside)

    @staticmethod
    def _waiting(host: _Host[Row]) -> int:
        return len(host.deferred) + (len(host.rows) + len(host.again) if host.resting else 0)

    def put(self, name: str, row: Row, now: float, first: bool = False) -> None:
        """Add a row of a host, after the others or before them."""
        host = self._host(name)
        if now < host.lost_until:
            self._lost.append((row, "unresponsive_host"))
            return
        self.queued += 1
        if first:
            host.rows.appendleft(row)
        else:
            host.rows.append(row)
        if host.resting:
            self._aside.add(name)
        self._list(host, now)

    def put_at(self, name: str, row: Row, when: float) -> None:
        """Add a row that may be asked for from a time on."""
        self.queued += 1

        def put(now: float) -> None:
            self.queued -= 1
            self.put(name, row, now)

        heapq.heappush(self._timers, (when, next(self._order), put))

    def defer(self, name: str, row: Row) -> None:
        """Set a row aside until `release`."""
        self.queued += 1
        self._host(name).deferred.append(row)
        self._aside.add(name)

    def take(self, now: float) -> tuple[str, Row, bool] | None:
        """The next row to ask for, with its host and whether it had been set aside; None if none may be asked for."""
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2](now)
        while self._ready:
            host = self._ready.popleft()
            host.listed = False
            if not self._may_start(host) or host.start_at > now:
                self._list(host, now)
                continue
            again = not host.rows
            row = (host.again if again else host.rows).popleft()
            self.queued -= 1
            host.active += 1
            if host.rate is not None:
                host.start_at = max(host.start_at, now - 1.0 / host.rate) + 1.0 / host.rate
            self._list(host, now)
            return host.name, row, again
        return None

    def next_time(self) -> float | None:
        """When `take` should be called again though nothing else has happened."""
        return self._timers[0][0] if self._timers else None

    def lost(self) -> Iterator[tuple[Row, str]]:
        """Rows that will not be given out, since their hosts were given up twice, each with the cause."""
        while self._lost:
            yield self._lost.pop()

    def release(self, now: float, rested: bool = True) -> None:
        """Give out rows that were set aside; those of hosts that were given up only if `rested`."""
        for name in list(self._aside):
            host = self._hosts[name]
            if host.resting and not rested:
                continue
            self._aside.discard(name)
            host.again += host.deferred
            host.deferred.clear()
            if host.resting:
                host.again.extendleft(reversed(host.rows))
                host.rows.clear()
                host.resting = False
                host.hangs, host.refusals = 0, REFUSALS
                host.limit = min(host.limit, HANGS)
                if host.start_at - now > LONGEST_PAUSE:
                    self._lose(host, "http_429", everything=True)
            self._list(host, now)

    def answered(self, name: str, started: float, now: float) -> None:
        """A request was answered."""
        host = self._ended(name)
        host.hangs = 0
        host.silent_since = None
        host.answered_at = now
        host.accepted.append(now)
        if started > host.lowered_at:
            host.refusals = 0
        host.limit = min(host.limit + 1, self._per_host)
        if host.rate is not None:
            host.rate += max(0.5, 0.05 * host.rate) / host.rate
        self._list(host, now)

    def failed(self, name: str, now: float) -> None:
        """A request came to nothing, which says nothing about how busy the host is."""
        self._list(self._ended(name), now)

    def hung(self, name: str, started: float, now: float, again: bool) -> bool:
        """A request was not answered in time; returns whether the host is given up for good."""
        host = self._ended(name)
        if host.answered_at < started:
            host.hangs += 1
        lost = host.hangs >= HANGS and again
        if lost:
            silent = host.silent_since is not None
            if silent:
                host.lost_until = now + FORGOTTEN
            self._lose(host, "unresponsive_host", everything=silent)
        elif host.hangs >= HANGS and not host.resting:
            host.silent_since = now if host.silent_since is None else host.silent_since
            self._rest(host)
        self._list(host, now)
        return lost

    def refused(self, name: str, started: float, now: float, pause: float | None, again: bool) -> bool:
        """A request was refused because there had been too many; returns whether the host is given up for good.

        Parameters
        ----------
        name : str
        started, now : float
            When the request began, and what time it is.
        pause : float | None
            Seconds for which the host wants to be left alone, if it says so.
        again : bool
            Whether the row had been set aside.
        """
        host = self._ended(name)
        lost = False
        if started > host.lowered_at:  # otherwise it is one of those that were under way at the last refusal
            while host.accepted and host.accepted[0] <= now - 1.0:
                host.accepted.popleft()
            before = min(len(host.accepted) or 1, host.rate if host.rate is not None else float("inf"))
            host.rate = max(_SLOWEST, _LOWERED * before)
            pause = 2.0**host.refusals if pause is None else max(pause, 0.1 * 2.0**host.refusals)
            host.refusals += 1
            host.lowered_at = now
            host.start_at = max(host.start_at, now + pause)
            if host.refusals > REFUSALS or pause > LONGEST_PAUSE:
                lost = again
                if lost:
                    self._lose(host, "http_429", everything=True)
                else:
                    self._rest(host)
        self._list(host, now)
        return lost

    def _host(self, name: str) -> _Host[Row]:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(name, self._per_host)
            while len(self._hosts) > MOST_HOSTS:
                oldest = next(iter(self._hosts.values()))
                if oldest.active or oldest.listed or oldest.rows or oldest.again or oldest.deferred:
                    break
                del self._hosts[oldest.name]
        self._hosts.move_to_end(name)
        return host

    def _ended(self, name: str) -> _Host[Row]:
        host = self._hosts[name]
        host.active -= 1
        return host

    def _may_start(self, host: _Host[Row]) -> bool:
        return bool(host.rows or host.again) and host.active < host.limit and not host.resting

    def _list(self, host: _Host[Row], now: float) -> None:
        """Put a host among the ready ones, or see that this is done when it may be asked again."""
        if host.listed or not self._may_start(host):
            return
        host.listed = True
        if host.start_at <= now:
            self._ready.append(host)
            return

        def due(later: float) -> None:
            host.listed = False
            self._list(host, later)

        heapq.heappush(self._timers, (host.start_at, next(self._order), due))

    def _rest(self, host: _Host[Row]) -> None:
        host.resting = True
        if self._waiting(host):
            self._aside.add(host.name)

    def _lose(self, host: _Host[Row], cause: str, everything: bool) -> None:
        """Give up a host's rows: all, or those that had been set aside before."""
        host.hangs = host.refusals = 0
        for rows in [host.again, host.rows, host.deferred] if everything else [host.again]:
            self.queued -= len(rows)
            self._lost += ((row, cause) for row in rows)
            rows.clear()
        if not self._waiting(host):
            self._aside.discard(host.name)
