"""Work of the user's own Python code, spread over processes; results come in order, failures as errors.

Whatever goes wrong in a worker ends the work with one error: an exception, a worker that was killed, results that
cannot be sent between processes.
"""

from __future__ import annotations

import multiprocessing
import pickle
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from ffprep.errors import ConversionError, OptionError

Task = TypeVar("Task")

_job: Callable[[Any], Any] | None = None
"""In a worker process: what to do with a task."""


@dataclass(frozen=True)
class Failure:
    """An exception of a worker, as text: exceptions of users' code may not survive pickling.

    Attributes
    ----------
    message : str
        One line.
    trace : str
        The traceback where it happened.
    """

    message: str
    trace: str

    @classmethod
    def of(cls, where: str, error: BaseException) -> Failure:
        """Describe an error that was just caught."""
        text = " ".join(str(error).split())
        if not isinstance(error, ConversionError):
            text = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return cls(f"{where}: {text}", traceback.format_exc())


class RemoteError(Exception):
    """Carries a worker's traceback as the cause of the error that is raised."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def results_in_order(
    job: Callable[[Task], Any],
    tasks: Iterable[Task],
    workers: int,
    processes: bool | str,
    describe: Callable[[Task], str],
) -> Iterator[Any]:
    """Do tasks in several workers and yield what they return, in the tasks' order.

    At most ``2 * workers + 1`` tasks are under way or waiting to be taken.

    Parameters
    ----------
    job : callable
        Gets a task. A `Failure` it returns is raised.
    tasks : iterable
        Taken one by one as workers become free.
    workers : int
        With 1 everything happens here.
    processes : bool or {'fork', 'spawn', 'forkserver'}
        Processes (True: forked where the system can) or threads.
    describe : callable
        Says what a task is, for the error when its worker dies.

    Raises
    ------
    ConversionError
        A task failed, a worker died, or a result cannot be sent.
    OptionError
        The job cannot be sent to processes that are not forked.
    """
    if workers == 1:
        for task in tasks:
            yield _checked(job(task))
        return
    pool = _pool(job, workers, processes)
    pending: deque[tuple[Task, Future[Any]]] = deque()
    try:
        for task in tasks:
            pending.append((task, _submit(pool, job, task, describe)))
            if len(pending) > 2 * workers:
                yield _take(*pending.popleft(), describe)
        while pending:
            yield _take(*pending.popleft(), describe)
    except BaseException:
        # Not waiting: another task may take long, or for ever.
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _pool(job: Callable[[Any], Any], workers: int, processes: bool | str) -> Executor:
    if not processes:
        return ThreadPoolExecutor(workers, thread_name_prefix="ffprep-write")
    known = multiprocessing.get_all_start_methods()
    method = processes if isinstance(processes, str) else ("fork" if "fork" in known else "spawn")
    if method not in known:
        raise OptionError(f"processes is True, False or one of {', '.join(known)}, not {processes!r}")
    if method != "fork":
        try:
            pickle.dumps(job)
        except Exception as error:
            raise OptionError(
                f"the data set cannot be sent to worker processes ({error}); "
                "pass num_workers=1, processes='fork', or processes=False for threads"
            ) from error
    return ProcessPoolExecutor(workers, multiprocessing.get_context(method), _start_worker, (job,))


def _start_worker(job: Callable[[Any], Any]) -> None:
    global _job
    _job = job


def _work(task: Any) -> Any:
    assert _job is not None
    return _job(task)


def _submit(pool: Executor, job: Callable[[Any], Any], task: Any, describe: Callable[[Any], str]) -> Future[Any]:
    if isinstance(pool, ThreadPoolExecutor):
        return pool.submit(job, task)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        try:
            return pool.submit(_work, task)
        except BrokenProcessPool as error:
            raise _died(describe(task)) from error


def _take(task: Any, future: Future[Any], describe: Callable[[Any], str]) -> Any:
    try:
        return _checked(future.result())
    except BrokenProcessPool as error:
        raise _died(describe(task)) from error
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ConversionError(f"{describe(task)}: cannot be sent between processes: {error}") from error


def _died(what: str) -> ConversionError:
    return ConversionError(
        f"{what}: a worker process died (killed, or out of memory?); try fewer workers, or num_workers=1 to see why"
    )


def _checked(result: Any) -> Any:
    if isinstance(result, Failure):
        raise ConversionError(result.message) from RemoteError(result.trace)
    return result
