"""A Ray cluster: the connection, tasks whose results may come in any order, and what all nodes have to see."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from ffprep._version import __version__
from ffprep.common.workers import node_task
from ffprep.common.workers.head import (
    REFUSAL,
    Head,
    ask_in,
    await_answer,
    is_refusal,
    leave_lost,
    own_handler,
)
from ffprep.common.workers.node_work import Large
from ffprep.errors import ConversionError, FfprepError, OptionError, first_line

WAIT_SECONDS = 60.0
"""How long a cluster without a processor is given until it has one."""
_SAY_SECONDS = 5.0

_RETRIES = 5  # of a task whose node or process died
_AHEAD = 2  # tasks under way for each processor
_CHECK_SECONDS = 60.0


_STEP_SECONDS = 0.25

_LEASE_SECONDS = 5.0
"""How long a process does tasks of one command before Ray may give its processor to another one.

It is 0.5 s by default. Then a process on another node than the command's has nothing to do for up to 0.1 s each time.
"""

getting_ready: list[Any] = []
"""References of tasks by which nodes start the processes that others will use (`ffprep.common.workers.early`)."""


def and_within(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Paths, each folder followed by something in it: where a file system is not mounted, there is an empty folder."""
    found: list[Path] = []
    for path in paths:
        found.append(path)
        with contextlib.suppress(OSError, StopIteration), os.scandir(path) as entries:
            found.append(path / next(entry.name for entry in entries if not entry.name.startswith(".")))
    return tuple(found)


@dataclass(frozen=True)
class Places:
    """What every node has to see at the same path.

    Attributes
    ----------
    here : str
        The working folder of the command, from which relative paths lead.
    token : Path
        A file that the command wrote.
    content : str
        What is in it.
    read : tuple of Path
        Files and folders that the tasks read, and something in each folder (`and_within`).
    """

    here: str
    token: Path
    content: str
    read: tuple[Path, ...] = ()

    def check(self) -> None:
        """Raise a `ConversionError` that names this machine and the path, if it does not see one of them."""
        with contextlib.suppress(OSError):  # where there is no such folder, relative paths are missed below
            os.chdir(self.here)
        try:
            found = self.token.read_text("utf-8")
        except (OSError, ValueError):
            found = ""
        # Also one that may not be looked at, of which `Path.exists` would raise an error.
        missing = [path for path in self.read if not os.path.exists(path)]  # noqa: PTH110
        if found != self.content:
            raise ConversionError(
                f"node {socket.gethostname()} does not see {self.token.parent} as the command does; all nodes have to "
                "write to the folder of --out, on a file system that they share, at the same path"
            )
        if missing:
            raise ConversionError(
                f"node {socket.gethostname()} does not see {missing[0]}; all nodes have to read the source at the same "
                "path"
            )


@contextlib.contextmanager
def connected(address: str | None, workers: int) -> Iterator[Any]:
    """A connection to a cluster, as the module ``ray``. It ends here if it began here.

    Parameters
    ----------
    address : str, optional
        ``HOST:PORT`` of the cluster's head, or ``auto``: the one that ``RAY_ADDRESS`` names or that runs on this
        machine. By default as ``auto``, and if there is none, one is started on this machine.
    workers : int
        Processors of a cluster that is started.

    Raises
    ------
    OptionError
        Ray is not installed.
    ConversionError
        No cluster answers.
    """
    os.environ.setdefault("RAY_worker_lease_timeout_milliseconds", f"{_LEASE_SECONDS * 1000:.0f}")
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise OptionError("--engine ray needs Ray: pip install 'ffprep[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    named = os.environ.get("RAY_ADDRESS") or None
    asked = named if address in (None, "auto") else address
    try:
        os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of tasks whose results nobody wants any more
        if asked not in (None, "auto"):
            await_answer(str(asked))
            ask_in(ray, str(asked))
        quiet = {"log_to_driver": False, "logging_level": logging.WARNING}
        with own_handler(signal.SIGTERM):
            try:
                ray.init(address=asked or "auto", **quiet)
            except ConnectionError:
                if asked or address:
                    raise
                ray.init(num_cpus=workers, include_dashboard=False, **quiet)
    except Exception as error:  # Ray raises plain ones
        who = f"that RAY_ADDRESS names ({asked})" if asked == named else f"at {asked}"
        if asked and is_refusal(ray, error):
            raise ConversionError(f"--engine ray: the cluster {who} {REFUSAL}") from error
        what = f"the cluster {who} does not answer" if asked else "no cluster can be started"
        if address == "auto" and not asked:
            what = "no cluster runs on this machine"
        raise ConversionError(
            f"--engine ray: {what}: {first_line(error).rstrip('.')}; --engine local needs none"
        ) from error
    try:
        yield ray
    finally:
        if not leave_lost(ray):
            ray.shutdown()


def await_processors(ray: Any) -> None:
    """Wait until the cluster has a processor, and say so every few seconds.

    Raises
    ------
    ConversionError
        It has none for `WAIT_SECONDS`: Ray would wait for ever.
    """
    begun = said = time.monotonic()
    while ray.cluster_resources().get("CPU", 0.0) < 1:
        now = time.monotonic()
        nodes = sum(bool(node.get("Alive")) for node in ray.nodes())
        what = f"none of the cluster's nodes ({nodes}) has a processor for tasks"
        if now - begun >= WAIT_SECONDS:
            raise ConversionError(
                f"--engine ray: {what}, and none with one came in {WAIT_SECONDS:.0f} s; start one (ray start "
                "--address=HOST:PORT --num-cpus=N), or take --engine local"
            )
        if now - said >= _SAY_SECONDS:
            said = now
            left = begun + WAIT_SECONDS - now
            warnings.warn(f"{what}; waiting {left:.0f} s more for one that has", RuntimeWarning, stacklevel=2)
        time.sleep(_STEP_SECONDS)


def by_value(ray: Any, function: Callable[..., Any]) -> Any:
    """A function of `node_task` as a task that runs also on a node that lacks ffprep."""
    cloudpickle = getattr(ray, "cloudpickle", None)
    if cloudpickle is not None:
        cloudpickle.register_pickle_by_value(node_task)
    return ray.remote(function)


def on_nodes(ray: Any, task: Any, *arguments: Any) -> list[Any]:
    """Start a task on each node, beside what runs there; return references to the results."""
    nodes = [node["NodeID"] for node in ray.nodes() if node.get("Alive")]
    if not nodes:
        return []
    pinned = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    return [
        task.options(num_cpus=0, max_retries=0, scheduling_strategy=pinned(node, soft=False)).remote(*arguments)
        for node in nodes
    ]


class Tasks:
    """Tasks of one job: the same function, with the same first argument, for many second ones.

    The first argument travels to each node once, and each process of a worker unpickles it once: inside a list it stays
    a reference. So a task is small, whatever the job needs.

    Parameters
    ----------
    ray : module
    job : callable
        A function of a module, called with `shared` and a task.
    shared : object
    places : Places, optional
        Checked before each task, and once by each node at the beginning.
    processors : float
        How much of a processor a task takes.
    large : bool
        Whether the tasks themselves are large: each is then an object of its own, to which the task refers.

    Attributes
    ----------
    processors : int
        The most that the cluster had at a time while `results` was under way.
    """

    def __init__(
        self,
        ray: Any,
        job: Callable[[Any, Any], Any],
        shared: Any,
        places: Places | None,
        *,
        processors: float = 1.0,
        large: bool = False,
    ) -> None:
        self._ray = ray
        self._shared = [ray.put((job, shared, places)), __version__]
        self._task = by_value(ray, node_task.run_on_node)
        self._options = {"num_cpus": processors, "max_retries": _RETRIES}
        self._processors = processors
        self._large = large
        self._head = Head(ray)
        self.processors = 0

    def arguments(self, task: Any) -> tuple[Any, ...]:
        """What is sent with a task."""
        return self._shared, Large([self._ray.put(task)]) if self._large else task

    def check_nodes(self) -> None:
        """Let each node look whether it has ffprep and sees the places.

        Raises
        ------
        ConversionError
            One does not. Nodes that die or give no answer meanwhile are passed over; what they do later is checked.
        """
        if getting_ready:  # else Ray would start further processes for these questions
            self._ray.wait(getting_ready, num_returns=len(getting_ready), timeout=_CHECK_SECONDS)
            getting_ready.clear()
        asked = on_nodes(self._ray, self._task, self._shared, None)
        if not asked:
            return
        answers, silent = self._ray.wait(asked, num_returns=len(asked), timeout=_CHECK_SECONDS)
        for reference in answers:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._get(reference)
        for reference in silent:
            self._ray.cancel(reference)

    def start(self, task: Any) -> Any:
        """Start a task, and return a reference to its result."""
        return self._task.options(**self._options).remote(*self.arguments(task))

    def cancel(self, references: Iterable[Any]) -> None:
        """Cancel tasks whose results nobody wants any more."""
        for reference in references:
            self._ray.cancel(reference)

    def take(self, reference: Any, name: Callable[[], str]) -> Any:
        """Wait for a result.

        Parameters
        ----------
        reference : object
            From `start`.
        name : callable
            Names the task in an error.

        Raises
        ------
        FfprepError, OSError
            What the task raised. A `ConversionError` is raised as well if Ray gave the task up, if its node lacks
            ffprep, or if there are no processors for it.
        """
        while not self._ray.wait([reference], num_returns=1, timeout=1.0)[0]:
            if self._head.is_there():
                await_processors(self._ray)
        try:
            return self._get(reference)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause or error
            what = f"{type(cause).__name__} on a node: {first_line(cause).rstrip('.')}"
            raise ConversionError(f"{name()}: {what}; the same command goes on from there") from error
        except self._ray.exceptions.RayError as error:
            raise ConversionError(
                f"{name()}: Ray gave up their task ({type(error).__name__}: {first_line(error).rstrip('.')}); the same "
                "command goes on from there"
            ) from error

    def _get(self, reference: Any) -> Any:
        try:
            problem, result = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, (FfprepError, OSError)) else error) from None
        if problem:
            raise ConversionError(f"--engine ray: {problem}")
        return result

    def results(
        self, tasks: Iterable[Any], describe: Callable[[Any], str], most: int | None
    ) -> Generator[Any, None, None]:
        """Do tasks, and yield their results as they come.

        The error that is raised is that of the first task, in their order, that failed: when a task fails, those after
        it are cancelled and those before it are awaited.

        Parameters
        ----------
        tasks : iterable
            Taken one by one, not before there is room for them.
        describe : callable
            Names a task in an error.
        most : int, optional
            Tasks under way at a time; by default enough for all processors, also of nodes that join.
        """
        coming = enumerate(tasks)
        running: dict[Any, tuple[int, Callable[[], str]]] = {}
        failed: tuple[int, BaseException] | None = None
        room, asked, more = 0, -1e9, True
        try:
            while more or running:
                if time.monotonic() - asked > 1 and self._head.is_there():
                    await_processors(self._ray)
                    found = self._ray.cluster_resources().get("CPU", 1.0)
                    self.processors = max(self.processors, int(found))
                    room = most or _AHEAD * max(1, int(found / self._processors))
                    asked = time.monotonic()
                while more and len(running) < room:
                    number, task = next(coming, (-1, None))
                    if number < 0:
                        more = False
                    else:
                        running[self.start(task)] = number, partial(describe, task)
                if not running:
                    if more:  # the head did not say what there is
                        time.sleep(_STEP_SECONDS)
                    continue
                done, _ = self._ray.wait(list(running), num_returns=1, timeout=1.0)
                for reference in done:
                    number, name = running.pop(reference)
                    try:
                        result = self.take(reference, name)
                    except (self._ray.exceptions.RayTaskError, FfprepError, OSError) as error:
                        if failed is None or number < failed[0]:
                            failed = number, error
                            more = False
                            self._drop(running, number)
                        continue
                    yield result
            if failed is not None:
                raise failed[1]
        finally:
            self._drop(running, -1)

    def _drop(self, running: dict[Any, tuple[int, Callable[[], str]]], after: int) -> None:
        """Cancel the tasks after one."""
        for reference in [reference for reference, (number, _) in running.items() if number > after]:
            del running[reference]
            self._ray.cancel(reference)
