"""The ordered map: results in order, a bounded look-ahead, and nothing left running whatever ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from ffprep.common.workers.ordered import ordered_map, threads, threads_and_caller


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


def fail_at_four(number: int) -> int:
    if number == 4:
        raise ValueError("four")
    return number


def test_an_error_is_raised_at_its_turn_and_ends_the_threads() -> None:
    before = threading.active_count()
    stop = threading.Event()

    seen = []
    with pytest.raises(ValueError, match="four"):
        for result in ordered_map(threads(fail_at_four, 3, name="test", stop=stop), range(100), 8):
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


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("ahead", [0, 1, 7, 100])
def test_a_caller_that_helps_gets_the_same(workers: int, ahead: int) -> None:
    taken: list[int] = []
    done_by: set[str] = set()

    def job(number: int) -> int:
        done_by.add(threading.current_thread().name)
        return square(number)

    before, stop = threading.active_count(), threading.Event()
    results = ordered_map(threads_and_caller(job, workers, name="test", stop=stop), counted(taken, 30), ahead)
    for number, result in enumerate(results):
        assert result == number * number
        assert len(taken) == min(30, number + ahead + 1)
        assert threading.active_count() <= before + workers - 1
    assert number == 29 and stop.is_set() and threading.active_count() == before
    assert len(done_by) <= workers
    if workers == 1:
        assert done_by == {threading.current_thread().name}


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_is_raised_at_its_turn_where_the_caller_helps(workers: int) -> None:
    before, stop = threading.active_count(), threading.Event()

    seen = []
    with pytest.raises(ValueError, match="four"):
        for result in ordered_map(threads_and_caller(fail_at_four, workers, name="test", stop=stop), range(100), 8):
            seen.append(result)
    assert seen == [0, 1, 2, 3]
    assert stop.is_set() and threading.active_count() == before


def test_the_caller_does_what_no_thread_has_begun() -> None:
    """The only thread waits until the caller has done the second task, which else nobody would."""
    second = threading.Event()

    def job(number: int) -> bool:
        if number == 1:
            second.set()
        return second.wait(30)

    assert all(ordered_map(threads_and_caller(job, 2, name="test", stop=threading.Event()), range(2), 5))
