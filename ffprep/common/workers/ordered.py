"""Tasks done by several workers at a time, with their results in the order of the tasks."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

Submit = Callable[[Task], Callable[[], Result]]
"""Starts a task and returns the function that waits for its result, or raises what the task raised."""


def ordered_map(
    workers: AbstractContextManager[Submit[Task, Result]], tasks: Iterable[Task], ahead: int
) -> Generator[Result, None, None]:
    """Do tasks in several workers and yield their results in the order of the tasks.

    The workers start with the first result that is asked for. They end with the last one, when a task or the iterable
    raises, and when the generator is closed. An error is raised when its task's turn comes.

    Parameters
    ----------
    workers : context manager
        Gives the function that starts a task, and ends all workers on exit, whatever they are doing. `threads` makes
        one for threads of this process.
    tasks : iterable
        Taken one by one, never more than ``ahead + 1`` beyond the results that were yielded.
    ahead : int
        How many tasks are under way, or done and waiting for their turn, while a result is waited for.

    Yields
    ------
    object
        One result for each task.
    """
    waiting: deque[Callable[[], Result]] = deque()
    with workers as submit:
        for task in tasks:
            waiting.append(submit(task))
            if len(waiting) > ahead:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()


@contextlib.contextmanager
def threads(
    job: Callable[[Task], Result],
    count: int,
    *,
    name: str,
    stop: threading.Event | None = None,
    wait: bool = True,
) -> Iterator[Submit[Task, Result]]:
    """Threads as the workers of `ordered_map`, for jobs that release the interpreter's lock.

    Parameters
    ----------
    job : callable
        Does a task.
    count : int
        Number of threads.
    name : str
        Prefix of the threads' names.
    stop : Event, optional
        Set when the work ends, for whatever reason, so that jobs that look at it can return early.
    wait : bool
        Whether to wait at the end for the jobs under way. Without it they finish in the background.
    """
    pool = ThreadPoolExecutor(count, thread_name_prefix=name)
    try:
        yield lambda task: pool.submit(job, task).result
    finally:
        if stop is not None:
            stop.set()
        pool.shutdown(wait=wait, cancel_futures=True)
