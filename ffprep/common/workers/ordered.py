"""Tasks done by several workers at a time, with their results in the order of the tasks."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

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


@contextlib.contextmanager
def threads_and_caller(
    job: Callable[[Task], Result], count: int, *, name: str, stop: threading.Event
) -> Iterator[Submit[Task, Result]]:
    """Workers of `ordered_map` as `threads` gives them, one of which is the thread that asks for the results.

    While the result that it asks for is not there, that thread does tasks as the others do. So `count` workers keep
    `count` processors busy, and with one of them there are no other threads.

    Parameters
    ----------
    job : callable
        Does a task.
    count : int
        Number of workers, the caller's thread among them.
    name : str
        Prefix of the threads' names.
    stop : Event
        Set when the work ends, for whatever reason, so that jobs that look at it can return early.
    """
    pool = ThreadPoolExecutor(count - 1, thread_name_prefix=name) if count > 1 else None
    open_tasks: deque[_OpenTask[Task, Result]] = deque()

    def submit(task: Task) -> Callable[[], Result]:
        opened = _OpenTask(job, task, None if pool is None else pool.submit(job, task))
        open_tasks.append(opened)

        def result() -> Result:
            while not opened.done():
                if not any(other.take() for other in open_tasks):  # the first ones are needed first
                    break
            while open_tasks and open_tasks[0].done():
                open_tasks.popleft()
            return opened.result()

        return result

    try:
        yield submit
    finally:
        stop.set()
        if pool is not None:
            pool.shutdown(cancel_futures=True)


class _OpenTask(Generic[Task, Result]):
    """A task that a thread of the pool or the caller's thread does, whichever comes first."""

    def __init__(self, job: Callable[[Task], Result], task: Task, future: Future[Result] | None) -> None:
        self._job = job
        self._task = task
        self._future = future
        self._taken: Future[Result] | None = None

    def done(self) -> bool:
        future = self._taken or self._future
        return future is not None and future.done()

    def take(self) -> bool:
        """Do the task here, if nobody began with it; returns whether it did."""
        if self._taken is not None or (self._future is not None and not self._future.cancel()):
            return False
        self._taken = Future()
        try:
            self._taken.set_result(self._job(self._task))
        except Exception as error:
            self._taken.set_exception(error)
        return True

    def result(self) -> Result:
        future = self._taken or self._future
        assert future is not None
        return future.result()
