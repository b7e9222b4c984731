"""Work of the user's own Python code, spread over processes; results come in order, failures as errors.

Whatever goes wrong in a worker ends the work with one error: an exception, a worker that was killed, results that
cannot be sent between processes.

The pool is our own because ``concurrent.futures`` was found to hang: a forked worker inherits the executors of its
parent that are garbage, and when it collects them, waits for a lock that a thread of the parent held. Here the parent
has no threads and no locks, only a pipe to each worker, and a worker leaves what it inherited alone.
"""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import signal
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from ffprep.errors import ConversionError, OptionError

Task = TypeVar("Task")
Job = Callable[[Any], Any]

_open_pipes: set[Connection] = set()
"""This process's ends of the pipes to workers, which every forked worker inherits and closes."""


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
        results: Iterator[Any] = map(job, tasks)
    elif not processes:
        results = _by_threads(job, tasks, workers)
    else:
        results = _by_processes(job, tasks, workers, _context(job, processes), describe)
    try:
        for result in results:
            if isinstance(result, Failure):
                raise ConversionError(result.message) from RemoteError(result.trace)
            yield result
    finally:
        if isinstance(results, Generator):
            results.close()


def _by_threads(job: Callable[[Task], Any], tasks: Iterable[Task], workers: int) -> Iterator[Any]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ffprep-write")
    pending: deque[Future[Any]] = deque()
    try:
        for task in tasks:
            pending.append(pool.submit(job, task))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # Not waiting: after a failure another task may take long, or for ever.
        pool.shutdown(wait=False, cancel_futures=True)


def _context(job: Job, processes: bool | str) -> BaseContext:
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
    return multiprocessing.get_context(method)


def _by_processes(
    job: Callable[[Task], Any],
    tasks: Iterable[Task],
    workers: int,
    context: BaseContext,
    describe: Callable[[Task], str],
) -> Iterator[Any]:
    with _Team(job, workers, context, describe) as team:
        numbered = enumerate(tasks)
        results: dict[int, Any] = {}
        following, started, exhausted = 0, 0, False
        while True:
            while team.idle and not exhausted and started <= following + 2 * workers:
                number, task = next(numbered, (-1, None))
                exhausted = number < 0
                if not exhausted:
                    started += 1
                    team.give(number, task)
            if following in results:
                yield results.pop(following)
                following += 1
            elif team.busy:
                results.update(team.collect())
            else:
                return


class _Team:
    """Worker processes, each with a pipe and at most one task."""

    def __init__(self, job: Job, size: int, context: BaseContext, describe: Callable[[Any], str]) -> None:
        self._describe = describe
        self._processes: dict[Connection, Any] = {}
        self.idle: list[Connection] = []
        self.busy: dict[Connection, tuple[int, Any]] = {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            for _ in range(size):
                self._start(job, context)

    def _start(self, job: Job, context: BaseContext) -> None:
        ours, theirs = context.Pipe()
        _open_pipes.add(ours)
        inherited = list(_open_pipes) if context.get_start_method() == "fork" else []
        process = context.Process(  # type: ignore[attr-defined]
            target=_work, args=(job, theirs, inherited), name="ffprep-worker", daemon=True
        )
        process.start()
        theirs.close()
        self._processes[ours] = process
        self.idle.append(ours)

    def give(self, number: int, task: Any) -> None:
        """Hand a task to an idle worker."""
        pipe = self.idle.pop()
        self.busy[pipe] = number, task
        try:
            pipe.send(task)
        except OSError as error:
            raise self._died(pipe) from error
        except Exception as error:
            raise self._unsendable(pipe, error) from error

    def collect(self) -> list[tuple[int, Any]]:
        """Wait until some workers are done and return (number of the task, result) of each."""
        sentinels = {self._processes[pipe].sentinel: pipe for pipe in self.busy}
        done = []
        for ready in wait([*self.busy, *sentinels]):
            pipe = sentinels[ready] if isinstance(ready, int) else ready
            if not isinstance(pipe, Connection) or pipe not in self.busy:
                continue
            try:
                if isinstance(ready, int) and not pipe.poll():
                    raise self._died(pipe)
                result = pipe.recv()
            except (EOFError, OSError) as error:
                raise self._died(pipe) from error
            except ConversionError:
                raise
            except Exception as error:
                raise self._unsendable(pipe, error) from error
            number, _ = self.busy.pop(pipe)
            self.idle.append(pipe)
            done.append((number, result))
        return done

    def _died(self, pipe: Connection) -> ConversionError:
        what = self._describe(self.busy[pipe][1])
        return ConversionError(
            f"{what}: a worker process died (killed, or out of memory?); try fewer workers, or num_workers=1 to see why"
        )

    def _unsendable(self, pipe: Connection, error: Exception) -> ConversionError:
        what = self._describe(self.busy[pipe][1])
        return ConversionError(f"{what}: cannot be sent between processes: {error}")

    def __enter__(self) -> _Team:
        return self

    def __exit__(self, *unused: object) -> None:
        """End all workers, whatever they are doing."""
        for pipe, process in self._processes.items():
            if pipe in self.busy:
                process.kill()
            _open_pipes.discard(pipe)
            pipe.close()
        for process in self._processes.values():
            process.join(5)
            if process.exitcode is None:
                process.kill()
                process.join()
            process.close()


def _work(job: Job, pipe: Connection, inherited: list[Connection]) -> None:
    """Do tasks until the pipe is closed; in a worker process."""
    gc.freeze()  # garbage of the parent stays where it is: collecting it here could wait for the parent's locks
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for other in inherited:
        other.close()
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        result = job(task)
        try:
            message = pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            message = pickle.dumps(Failure.of("a result cannot be sent between processes", error))
        try:
            pipe.send_bytes(message)
        except OSError:
            return
