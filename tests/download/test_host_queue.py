"""When a host may be asked, by a clock that the tests turn."""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffprep.download.web import host_queue
from ffprep.download.web.host_queue import HANGS, LONGEST_PAUSE, HostQueue


def drain(queue: HostQueue[int], now: float) -> list[tuple[str, int, bool]]:
    taken = []
    while (one := queue.take(now)) is not None:
        taken.append(one)
    return taken


def test_hosts_take_turns_and_are_asked_so_often_at_once() -> None:
    queue: HostQueue[int] = HostQueue(2)
    for row in range(4):
        queue.put("a", row, 0.0)
    queue.put("b", 9, 0.0)
    assert drain(queue, 0.0) == [("a", 0, False), ("b", 9, False), ("a", 1, False)]
    assert queue.held == queue.queued == 2
    queue.answered("b", 0.0, 1.0)
    assert drain(queue, 1.0) == []
    queue.failed("a", 1.0)
    assert drain(queue, 1.0) == [("a", 2, False)]


def test_a_pause_holds_up_its_host_alone() -> None:
    queue: HostQueue[int] = HostQueue(8)
    queue.put("a", 0, 0.0)
    queue.take(0.0)
    assert not queue.refused("a", 0.0, 1.0, 30.0, False)
    queue.put("a", 0, 1.0, first=True)
    queue.put("b", 1, 1.0)
    assert drain(queue, 1.0) == [("b", 1, False)]
    assert queue.next_time() == 31.0
    assert drain(queue, 30.9) == []
    assert drain(queue, 31.0) == [("a", 0, False)]


def simulate(rows: int, per_second: int, retry_after: float | None, per_host: int = 16) -> tuple[int, int, float]:
    """Rows done, refused requests and seconds at a server that answers so many requests in each second at once."""
    queue: HostQueue[int] = HostQueue(per_host)
    for row in range(rows):
        queue.put("a", row, 0.0)
    accepted: Counter[int] = Counter()
    under_way: list[tuple[float, int, int, float]] = []
    order = count()
    now, done, refused = 0.0, 0, 0
    while done < rows:
        while (taken := queue.take(now)) is not None:
            heapq.heappush(under_way, (now + 0.01, next(order), taken[1], now))
        times = [t for t in (queue.next_time(), under_way[0][0] if under_way else None) if t is not None]
        assert times, "rows are left that nothing waits for"
        now = max(now, min(times))
        while under_way and under_way[0][0] <= now:
            _, _, row, started = heapq.heappop(under_way)
            if accepted[int(now)] < per_second:
                accepted[int(now)] += 1
                done += 1
                queue.answered("a", started, now)
            else:
                refused += 1
                assert not queue.refused("a", started, now, retry_after, False)
                queue.put("a", row, now, first=True)
    return done, refused, now


@pytest.mark.parametrize("retry_after", [None, 1.0, 2.0])
@pytest.mark.parametrize("per_second", [3, 20, 100])
def test_the_rate_settles_below_what_a_host_allows(per_second: int, retry_after: float | None) -> None:
    done, refused, seconds = simulate(400, per_second, retry_after)
    assert done == 400
    assert refused <= 60
    assert seconds <= 4 * 400 / per_second + 10


def test_a_host_that_only_refuses_is_given_up_and_asked_again_once() -> None:
    queue: HostQueue[int] = HostQueue(4)
    for row in range(10):
        queue.put("a", row, 0.0)
    now, asked = 0.0, 0
    while not queue.set_aside:
        taken = queue.take(now)
        if taken is None:
            now = queue.next_time() or pytest.fail("nothing is waited for")
            continue
        asked += 1
        assert not queue.refused("a", now, now, None, taken[2])
        queue.put("a", taken[1], now, first=True)
    assert asked <= 8 and 60 <= now <= 130
    queue.release(now)
    while (taken := queue.take(now)) is None:
        now = queue.next_time() or pytest.fail("nothing is waited for")
    assert taken[2]
    assert queue.refused("a", now, now, None, True)
    assert sorted(queue.lost()) == [(r, "http_429") for r in range(10) if r != taken[1]]
    assert queue.queued == 0


def test_a_host_that_wants_a_long_pause_is_not_asked_within_it() -> None:
    queue: HostQueue[int] = HostQueue(4)
    queue.put("a", 0, 0.0)
    queue.take(0.0)
    queue.refused("a", 0.0, 0.0, 2 * LONGEST_PAUSE, False)
    queue.put("a", 0, 0.0, first=True)
    queue.release(1.0)
    assert list(queue.lost()) == [(0, "http_429")]
    assert queue.take(1.0) is None and queue.queued == 0


def test_a_silent_host_is_given_up_asked_again_when_released_and_forgotten() -> None:
    queue: HostQueue[int] = HostQueue(16)
    for row in range(320):
        queue.put("a", row, 0.0)
    first = drain(queue, 0.0)
    assert len(first) == 16
    for _, row, again in first:
        assert not queue.hung("a", 0.0, 30.0, again)
        queue.defer("a", row)
    assert drain(queue, 30.0) == [] and queue.set_aside and queue.held == 320
    queue.put("b", 1000, 30.0)
    assert drain(queue, 30.0) == [("b", 1000, False)]
    queue.release(40.0, rested=False)
    assert drain(queue, 40.0) == []
    queue.release(40.0)
    second = drain(queue, 40.0)
    assert len(second) == HANGS and all(again for _, _, again in second)
    assert [queue.hung("a", 40.0, 70.0, True) for _ in second] == [False] * (HANGS - 1) + [True]
    lost = list(queue.lost())
    assert len(lost) == 316 and {cause for _, cause in lost} == {"unresponsive_host"}
    queue.put("a", 2000, 80.0)
    assert list(queue.lost()) == [(2000, "unresponsive_host")]
    queue.put("a", 2001, 80.0 + host_queue.FORGOTTEN)
    assert drain(queue, 80.0 + host_queue.FORGOTTEN) == [("a", 2001, False)]


def test_a_host_that_recovers_is_asked_as_before() -> None:
    queue: HostQueue[int] = HostQueue(8)
    for row in range(64):
        queue.put("a", row, 0.0)
    for _, row, again in drain(queue, 0.0):
        queue.hung("a", 0.0, 30.0, again)
        queue.defer("a", row)
    queue.release(30.0)
    done = 0
    now = 30.0
    while taken := drain(queue, now):
        now += 1.0
        for _ in taken:
            queue.answered("a", now - 1.0, now)
            done += 1
    assert done == 64 and now < 45.0 and not list(queue.lost())


def test_hanging_rows_of_a_good_host_do_not_take_the_others_along() -> None:
    queue: HostQueue[int] = HostQueue(8)
    queue.put("a", 0, 0.0)
    queue.take(0.0)
    queue.answered("a", 0.0, 1.0)
    for row in range(1, 7):
        queue.defer("a", row)
    queue.release(1.0)
    taken = drain(queue, 1.0)
    queue.put("a", 100, 20.0)
    for _, _, again in taken[:HANGS]:
        queue.hung("a", 1.0, 31.0, again)
    assert [row for _, row, _ in drain(queue, 31.0)] == [100]
    assert queue.take(32.0) is None


def test_hosts_without_rows_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_queue, "MOST_HOSTS", 8)
    queue: HostQueue[int] = HostQueue(2)
    for row in range(100):
        queue.put(f"h{row}", row, 0.0)
        taken = queue.take(0.0)
        assert taken is not None
        queue.answered(taken[0], 0.0, 0.0)
    assert len(queue._hosts) <= 9


ACTIONS = st.sampled_from(
    ["answered", "failed", "hung", "refused", "refused later", "tick", "release", "defer", "later"]
)


@given(st.integers(1, 4), st.lists(st.integers(0, 3), min_size=1, max_size=40), st.lists(ACTIONS, max_size=60))
def test_no_row_is_lost_or_given_out_twice(per_host: int, hosts: list[int], actions: list[str]) -> None:
    queue: HostQueue[int] = HostQueue(per_host)
    for row, host in enumerate(hosts):
        queue.put(str(host), row, 0.0)
    now = 0.0
    finished: set[int] = set()
    active: list[tuple[str, int, bool, float]] = []

    def take() -> None:
        while (one := queue.take(now)) is not None:
            active.append((*one, now))
            assert Counter(name for name, *_ in active)[one[0]] <= per_host
        finished.update(row for row, _ in queue.lost())
        assert len(finished) + len(active) + queue.queued == len(hosts)

    take()
    for action in [*actions, *["release", "tick", "answered"] * (4 * len(hosts))]:
        now += 0.25
        if action == "tick":
            now = max(now, queue.next_time() or now)
        elif action == "release":
            queue.release(now)
        elif active:
            name, row, again, started = active.pop(0)
            over = True
            if action in ("answered", "failed"):
                getattr(queue, action)(*((name, started, now) if action == "answered" else (name, now)))
            elif action == "hung":
                over = queue.hung(name, started, now, again)
                if not over:
                    queue.defer(name, row)
            elif action.startswith("refused"):
                over = queue.refused(name, started, now, 1.0 if action == "refused" else 500.0, again)
                if not over:
                    queue.put(name, row, now, first=True)
            else:
                queue.failed(name, now)
                over = False
                queue.defer(name, row) if action == "defer" else queue.put_at(name, row, now + 3.0)
            if over:
                finished.add(row)
        take()
    assert finished == set(range(len(hosts)))
