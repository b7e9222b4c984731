"""Where a limit ends a download: in index order, whoever answers first."""

from __future__ import annotations

import itertools

import pytest

from ffprep.download.limit_tracker import LimitTracker
from ffprep.download.shards import Outcome
from ffprep.errors import FfprepError, OptionError


def stored(row: int, size: int = 10) -> Outcome:
    return Outcome(row, "", "", "ok", bytes=size)


def failed(row: int) -> Outcome:
    return Outcome(row, "", "", "gone")


def last_row(outcomes: list[Outcome], limit: int | None = None, max_bytes: int | None = None) -> int | None:
    """The last row that is kept; the same in whatever order the outcomes arrive."""
    found = set()
    for arriving in itertools.islice(itertools.permutations(outcomes), 24):
        tracker = LimitTracker(limit, max_bytes)
        tracker.expect(0, [outcome.id for outcome in outcomes], {})
        for outcome in arriving:
            if not tracker.reached:
                tracker.add(0, outcome)
        assert tracker.reached == (tracker.last is not None)
        found.add(tracker.last)
    assert len(found) == 1
    return found.pop()


def test_a_limit_of_images() -> None:
    rows = [stored(3), failed(4), stored(5), stored(7)]
    assert [last_row(rows, limit) for limit in (1, 2, 3, 4)] == [3, 5, 7, None]
    assert last_row([failed(0), failed(1)], 1) is None
    with pytest.raises(OptionError, match="at least 1"):
        LimitTracker(0, None)


def test_a_limit_of_bytes() -> None:
    rows = [stored(3), failed(4), stored(5), stored(7, 30)]
    assert [last_row(rows, max_bytes=size) for size in (10, 19)] == [4, 4]  # the failure costs nothing
    assert [last_row(rows, max_bytes=size) for size in (20, 49)] == [5, 5]
    assert [last_row(rows, max_bytes=size) for size in (50, 51)] == [None, None]
    tracker = LimitTracker(None, 9)
    tracker.expect(0, [3], {})
    with pytest.raises(FfprepError, match="row 3: .*larger than the byte limit"):
        tracker.add(0, stored(3))
    # After a row that failed, a first image that is too large ends the download there.
    assert last_row([failed(1), stored(2)], max_bytes=9) == 1


def test_both_limits() -> None:
    rows = [stored(0), stored(1), stored(2)]
    assert last_row(rows, 3, 20) == 1
    assert last_row(rows, 2, 30) == 1
    assert last_row(rows, 3, 30) == 2
    assert last_row(rows, 2, 20) == 1
    assert last_row([stored(0), stored(1, 15)], 2, 20) == 0


def test_shards_are_counted_in_order() -> None:
    tracker = LimitTracker(4, None)
    tracker.expect(0, [0, 1, 2], {1: stored(1)})
    tracker.expect(1, [3, 4], {})
    tracker.expect(2, [5], {5: stored(5)})
    tracker.add(1, stored(3))
    tracker.add(1, failed(4))
    assert not tracker.reached
    tracker.add(0, failed(0))
    assert not tracker.reached
    tracker.add(0, stored(2))
    assert (tracker.reached, tracker.last) == (True, 5)


def test_a_shard_that_is_known_already_may_reach_the_limit() -> None:
    tracker = LimitTracker(2, None)
    tracker.expect(0, [], {})
    tracker.expect(1, [0, 1, 2], {n: stored(n) for n in range(3)})
    assert (tracker.reached, tracker.last) == (True, 1)
