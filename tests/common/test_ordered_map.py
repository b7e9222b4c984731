"""The ordered map: results in order, a bounded look-ahead, and nothing left running whatever ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from ffprep.common.workers.ordered import ordered_map, threads


def counted(taken: list[int], count: int) -> Iterator[int]:
    for number in range(count):
        taken.append(number)
        yield number


def square(number: int) -> int:
    time.sleep(0.004 if number % 3 == 0 else 0)
    return number * number


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("ahead", [0, 1, 7, 100])
def test_results_come_in_order_and_tasks_are_taken_as_needed(workers: int, ahead: int) -> None:
    taken: list[int] = []
    results = ordered_map(threads(square, workers, name="test"), counted(taken, 30), ahead)
    assert taken == []
    for number, result in enumerate(results):
        assert result == number * number
        assert len(taken) == min(30, number + ahead + 1)
    assert number == 29


def test_no_tasks_no_results() -> None:
    assert list(ordered_map(threads(square, 2, name="test"), [], 3)) == []


def test_an_error_is_raised_at_its_turn_and_ends_the_threads() -> None:
    before = threading.active_count()
    stop = threading.Event()

    def fail(number: int) -> int:
        if number == 4:
            raise ValueError("four")
        return number

    seen = []
    with pytest.raises(ValueError, match="four"):
        for result in ordered_map(threads(fail, 3, name="test", stop=stop), range(100), 8):
            seen.append(result)
    assert seen == [0, 1, 2, 3]
    assert stop.is_set() and threading.active_count() == before


def test_an_error_of_the_tasks_ends_the_threads() -> None:
    before = threading.active_count()

    def tasks() -> Iterator[int]:
        yield from range(5)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(ordered_map(threads(square, 2, name="test"), tasks(), 2))
    assert threading.active_count() == before


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_closing_early_tells_the_jobs_and_cancels_what_waits(taken: int) -> None:
    before = threading.active_count()
    stop, begun = threading.Event(), []

    def until_stopped(number: int) -> int:
        begun.append(number)
        if number >= taken:
            stop.wait(30)
        return number

    results = ordered_map(threads(until_stopped, 2, name="test", stop=stop), range(100), 20)
    for number in range(taken):
        assert next(results) == number
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 10
    assert len(begun) <= taken + 2 and threading.active_count() == before


def test_without_waiting_a_job_may_outlive_the_map() -> None:
    release = threading.Event()

    def job(number: int) -> int:
        if number == 0:
            raise ValueError
        release.wait(30)
        return number

    started = time.monotonic()
    with pytest.raises(ValueError):
        list(ordered_map(threads(job, 2, name="test", wait=False), range(10), 4))
    assert time.monotonic() - started < 10
    release.set()
