"""Work of the user's own Python code, spread over processes or threads; results come in order, failures as errors.

Whatever goes wrong in a worker ends the work with one error: an exception, a worker that was killed, results that
cannot be sent between processes.

The pool of processes is our own because ``concurrent.futures`` was found to hang: a forked worker inherits executors
that are garbage in its parent, and when it collects them, it waits for a lock that a thread of the parent held. Here
the parent has no threads and no locks, only a pipe to each worker, and a worker leaves alone what it inherited.
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
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from ffprep.common.workers.ordered import Submit, ordered_map, threads
from ffprep.errors import ConversionError, OptionError

Task = TypeVar("Task")
Job = Callable[[Any], Any]

_open_pipes: set[Connection] = set()
"""This process's ends of the pipes to workers, which every forked worker inherits and closes."""


@dataclass(frozen=True)
class Failure:
    """An exception in a worker, as text: exceptions of users' code may not survive pickling.

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


def map_in_workers(
    job: Callable[[Task], Any],
    tasks: Iterable[Task],
    workers: int,
    processes: bool | str,
    describe: Callable[[Task], str],
) -> Iterator[Any]:
    """Do tasks in several workers and yield what they return, in the order of the tasks.

    At most ``2 * workers + 1`` tasks are under way or waiting to be taken.

    Parameters
    ----------
    job : callable
        Gets a task. A `Failure` it returns is raised.
    tasks : iterable
        Taken one by one as results are taken.
    workers : int
        With 1 everything happens in this thread.
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
    results: Iterator[Any] = map(job, tasks)
    if workers > 1:
        if processes:
            pool: AbstractContextManager[Submit[Task, Any]] = _ProcessPool(
                job, workers, _context(job, processes), describe
            )
        else:
            # Not waiting at the end: after a failure another task may take long, or for ever.
            pool = threads(job, workers, name="ffprep-write", wait=False)
        results = ordered_map(pool, tasks, ahead=2 * workers)
    try:
        for result in results:
            if isinstance(result, Failure):
                raise ConversionError(result.message) from RemoteError(result.trace)
            yield result
    finally:
        if isinstance(results, Generator):
            results.close()


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


class _ProcessPool:
    """Worker processes, each with a pipe and at most one task; tasks wait here until a worker is idle."""

    def __init__(self, job: Job, size: int, context: BaseContext, describe: Callable[[Any], str]) -> None:
        self._job = job
        self._size = size
        self._context = context
        self._describe = describe
        self._processes: dict[Connection, Any] = {}
        self._idle: list[Connection] = []
        self._busy: dict[Connection, tuple[int, Any]] = {}
        self._waiting: deque[tuple[int, Any]] = deque()
        self._results: dict[int, Any] = {}
        self._submitted = 0

    def __enter__(self) -> Submit[Any, Any]:
        """Start the processes and return the function that takes tasks."""
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
                for _ in range(self._size):
                    self._start()
        except BaseException:
            self.__exit__()
            raise
        return self.submit

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        _open_pipes.add(ours)
        inherited = list(_open_pipes) if self._context.get_start_method() == "fork" else []
        process = self._context.Process(  # type: ignore[attr-defined]
            target=_work, args=(self._job, theirs, inherited), name="ffprep-worker", daemon=True
        )
        process.start()
        theirs.close()
        self._processes[ours] = process
        self._idle.append(ours)

    def submit(self, task: Any) -> Callable[[], Any]:
        """Hand a task to a worker, now or when one is idle; returns the function that waits for its result."""
        number = self._submitted
        self._submitted += 1
        self._waiting.append((number, task))
        self._hand_out()

        def result() -> Any:
            while number not in self._results:
                self._collect()
                self._hand_out()
            return self._results.pop(number)

        return result

    def _hand_out(self) -> None:
        """Give waiting tasks to idle workers."""
        while self._idle and self._waiting:
            pipe = self._idle.pop()
            self._busy[pipe] = self._waiting.popleft()
            try:
                pipe.send(self._busy[pipe][1])
            except OSError as error:
                raise self._died(pipe) from error
            except Exception as error:
                raise self._unsendable(pipe, error) from error

    def _collect(self) -> None:
        """Wait until some workers are done and keep their results."""
        sentinels = {self._processes[pipe].sentinel: pipe for pipe in self._busy}
        for ready in wait([*self._busy, *sentinels]):
            pipe = sentinels[ready] if isinstance(ready, int) else ready
            if not isinstance(pipe, Connection) or pipe not in self._busy:
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
            number, _ = self._busy.pop(pipe)
            self._idle.append(pipe)
            self._results[number] = result

    def _died(self, pipe: Connection) -> ConversionError:
        what = self._describe(self._busy[pipe][1])
        return ConversionError(
            f"{what}: a worker process died (killed, or out of memory?); try fewer workers, or num_workers=1 to see why"
        )

    def _unsendable(self, pipe: Connection, error: Exception) -> ConversionError:
        what = self._describe(self._busy[pipe][1])
        return ConversionError(f"{what}: cannot be sent between processes: {error}")

    def __exit__(self, *unused: object) -> None:
        """End all workers, whatever they are doing."""
        for pipe, process in self._processes.items():
            if pipe in self._busy:
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
    gc.freeze()  # leave the parent's garbage alone: collecting it here could wait for the parent's locks
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
