"""Fair timing of loaders against each other: each in a process of its own, taking turns epoch by epoch.

A machine's speed drifts by more than many differences that are worth knowing, and two loaders in one process disturb
each other's threads, caches and memory. So every contestant runs in a process of its own (``python -m
ffprep.inspect.timing.paired``), warms up, and then waits. `compare` lets them run one epoch each, in turns, and the
rates of each round are compared. One that fails, or does not answer in time, ends with everything it started; the
others go on.
"""

from __future__ import annotations

import json
import os
import re
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ffprep.errors import FfprepError
from ffprep.inspect.timing.process_tree import children_seconds, end, memory_bytes, pin

LINUX = sys.platform.startswith("linux")
LATE = "no time was left for it"
EXCEPTION = re.compile(r"[\w.]*(Error|Exception|Exit|Interrupt): ")
WATCH = 0.25
"""Seconds between two looks at the memory of a contestant that starts."""
LITTLE = 10.0
"""Seconds that what is under way when the time is over may still take."""


@dataclass(frozen=True)
class Contestant:
    """One loader to time.

    Attributes
    ----------
    name : str
        Its name in the table.
    runner : str
        ``"module:function"``; the function takes the options as keyword arguments and returns a callable that runs one
        epoch and returns the number of samples it delivered. If that has an attribute ``prepare``, it is called before
        every counted epoch, and its time is not: a loader that works ahead between epochs can throw that away there.
        An attribute ``first`` is the moment of ``time.time`` at which it had its first batch.
    options : Mapping[str, Any]
        JSON-serialisable keyword arguments of the runner.
    cores : Sequence[int] | None
        Processors to pin the process to; None leaves the choice to the system.
    environment : Mapping[str, str]
        Environment variables to set.
    clock : {"wall", "cpu"}
        How seconds are measured: by the clock, or as processor time of the process and its threads (without its
        children), which other work on the machine disturbs less.
    python : str
        The interpreter to run it with; by default this one.
    """

    name: str
    runner: str
    options: Mapping[str, Any] = field(default_factory=dict)
    cores: Sequence[int] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    clock: str = "wall"
    python: str = sys.executable


@dataclass(frozen=True)
class Timing:
    """The figures of one contestant.

    Attributes
    ----------
    name : str
    rates : list[float]
        Samples per second, one figure for each round.
    start_up : float
        Seconds from starting the process to the end of its first epoch.
    first_batch : float
        Seconds from starting the process to its first batch; not a number if its runner does not say.
    failure : str
        Empty, or why there are no figures.
    cpu : list[float]
        Processor seconds for a sample, one figure for each round: of the process, its threads and, on Linux, all
        processes that it started.
    memory : int
        Most bytes that it and all that it started held in its first epoch or after another one, pages of files left
        out; 0 if not on Linux.
    summary : dict
        What the runner says of its first epoch, in its attribute ``summary``.
    facts : list of dict
        What the runner says of each round, in its attribute ``facts``.
    """

    name: str
    rates: list[float]
    start_up: float
    failure: str = ""
    cpu: list[float] = field(default_factory=list)
    memory: int = 0
    summary: dict[str, Any] = field(default_factory=dict)
    first_batch: float = float("nan")
    facts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median of the samples per second."""
        return statistics.median(self.rates)


def what_failed(text: str) -> str:
    """Return the line of a program's errors that names an exception, the last of these; or else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if EXCEPTION.match(line)]
    return (named or lines or [""])[-1]


def ratio(a: Timing, b: Timing) -> tuple[float, float, float]:
    """Minimum, median and maximum over the rounds of ``a``'s rate divided by ``b``'s."""
    ratios = [x / y for x, y in zip(a.rates, b.rates, strict=True)]
    return min(ratios), statistics.median(ratios), max(ratios)


@dataclass(frozen=True)
class Limits:
    """How long `compare` waits, and where contestants start.

    Attributes
    ----------
    start : float
        Seconds for a contestant's start and first epoch.
    epoch : float
        Seconds for every further epoch.
    until : float
        A moment of ``time.monotonic`` after which no round begins, and no contestant starts.
    starts : sequence of sequences of int
        Processors on each of which a contestant starts at the same time as the others, until its first epoch has
        ended; it is then moved to its own, with all its processes and threads. On Linux only; by default contestants
        start one by one on their own processors.
    """

    start: float = float("inf")
    epoch: float = float("inf")
    until: float = float("inf")
    starts: Sequence[Sequence[int]] = ()

    def left(self, seconds: float) -> float:
        """Return so many seconds, or those that are left until the end and a little."""
        return min(seconds, max(0.0, self.until - time.monotonic()) + LITTLE)


class _ContestantProcess:
    def __init__(self, contestant: Contestant, starts_on: Sequence[int] | None = None) -> None:
        self.contestant = contestant
        job = {
            "runner": contestant.runner,
            "options": dict(contestant.options),
            "cores": starts_on or contestant.cores,
            "clock": contestant.clock,
            "began": time.time(),
        }
        self.moves = bool(starts_on) and contestant.cores is not None
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads would stop whoever fills it
        with tempfile.TemporaryFile() as given:  # the names of many files are longer than a command may be
            given.write(json.dumps(job).encode())
            given.seek(0)
            self.process = subprocess.Popen(
                [contestant.python, "-m", "ffprep.inspect.timing.paired", str(given.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                pass_fds=(given.fileno(),),
                env={**os.environ, **contestant.environment},
                start_new_session=True,
            )
        self.read = b""
        self.rates: list[float] = []
        self.cpu: list[float] = []
        self.memory = 0
        self.summary: dict[str, Any] = {}
        self.facts: list[dict[str, Any]] = []
        self.start_up = self.first_batch = float("nan")
        self.failure = ""

    def answer(self, seconds: float = float("inf"), watched: bool = False) -> dict[str, Any] | None:
        """The next reply of the process. When it has died or is too late, ends it, sets `failure` and returns None.

        If `watched`, its memory is looked at in the meantime.
        """
        until = time.monotonic() + seconds
        while True:
            line, newline, rest = self.read.partition(b"\n")
            if newline:
                self.read = rest
                if line.startswith(b"{"):
                    reply: dict[str, Any] = json.loads(line)
                    return reply
                continue
            if not self._ready(until, watched):
                self.failure = f"no answer within {seconds:g} s"
                end(self.process)
                return None
            assert self.process.stdout is not None
            some = os.read(self.process.stdout.fileno(), 1 << 16)
            if not some:
                self.process.wait()
                self.failure = self._last_error()
                return None
            self.read += some

    def _ready(self, until: float, watched: bool) -> bool:
        """Wait until there is something to read, or the time is over."""
        if until == float("inf") and not watched:
            return True
        assert self.process.stdout is not None
        while (left := until - time.monotonic()) > 0:
            if select.select([self.process.stdout], [], [], min(left, WATCH) if watched else left)[0]:
                return True
            if watched:
                self._look_at_memory()
        return bool(select.select([self.process.stdout], [], [], 0.0)[0])

    def _look_at_memory(self) -> None:
        self.memory = max(self.memory, memory_bytes(self.process.pid) if LINUX else 0)

    def _last_error(self) -> str:
        self.errors.seek(0)
        return what_failed(self.errors.read().decode(errors="replace")) or f"exit status {self.process.returncode}"

    def start(self, seconds: float) -> None:
        """Wait for the end of the first epoch."""
        if (ready := self.answer(seconds, watched=True)) is not None:
            self.summary, self.start_up = ready["summary"], ready["seconds"]
            self.first_batch = ready["first"] if ready["first"] is not None else float("nan")
        if self.moves and not self.failure:
            pin(self.process.pid, self.contestant.cores or ())

    def epoch(self, seconds: float) -> None:
        if self.failure:
            return
        assert self.process.stdin is not None
        before = self._children_seconds()
        try:
            self.process.stdin.write(b"go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        reply = self.answer(seconds)
        if reply is not None:
            self.rates.append(reply["samples"] / reply["seconds"])
            self.cpu.append((reply["cpu"] + self._children_seconds() - before) / max(1, reply["samples"]))
            self.facts.append(reply["facts"])
            self._look_at_memory()

    def _children_seconds(self) -> float:
        return children_seconds(self.process.pid) if LINUX else 0.0

    def finish(self, rounds: int) -> Timing:
        """End it; of its rounds those count that all others had, too."""
        end(self.process)
        self.errors.close()
        return Timing(
            self.contestant.name,
            self.rates[:rounds],
            self.start_up,
            self.failure,
            self.cpu[:rounds],
            self.memory,
            self.summary,
            self.first_batch,
            self.facts[:rounds],
        )


def compare(
    contestants: Sequence[Contestant],
    rounds: int = 7,
    on_round: Callable[[int], None] | None = None,
    limits: Limits = Limits(),
) -> list[Timing]:
    """Time contestants in turns.

    Parameters
    ----------
    contestants : Sequence[Contestant]
    rounds : int
        Epochs counted for each contestant, after a first one that is not.
    on_round : Callable[[int], None] | None
        Called with the number of rounds done.
    limits : Limits
        How long to wait for a contestant, and for all.

    Returns
    -------
    list[Timing]
        In the order of `contestants`. If one died or was too late, its ``failure`` is set; the others continue. When
        the time for all is over, the round that is under way is not counted, and those that have not started have a
        ``failure``.
    """
    if rounds < 1:
        raise FfprepError("rounds must be at least 1")
    processes: list[_ContestantProcess] = []
    late: list[Timing] = []
    whole = 0
    try:
        places = list(limits.starts) if LINUX and limits.starts else [None]
        for first in range(0, len(contestants), len(places)):
            together = list(zip(contestants[first:], places, strict=False))
            if time.monotonic() >= limits.until:
                late += [Timing(one.name, [], float("nan"), LATE) for one, _ in together]
                continue
            started = [_ContestantProcess(one, place) for one, place in together]
            processes += started
            for process in started:
                process.start(limits.left(limits.start))
                if process.failure and time.monotonic() >= limits.until:
                    process.failure = LATE
        for number in range(rounds):
            for process in processes:
                if number and time.monotonic() >= limits.until:
                    break
                if time.monotonic() >= limits.until + 2 * LITTLE:
                    process.failure = process.failure or LATE
                failed = process.failure
                process.epoch(limits.left(limits.epoch))
                if not failed and process.failure and time.monotonic() >= limits.until:
                    process.failure = LATE
            else:
                whole = number + 1
                if on_round is not None:
                    on_round(whole)
                continue
            break
    finally:
        timings = [process.finish(whole) for process in processes]
    return timings + late


def _rest(seconds: float = 5.0) -> None:
    """Wait until no thread of this process works ahead any more, at most so many seconds.

    A loader that fills a queue after its pass would otherwise take the processor from the one whose turn is next.
    """
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        before = time.process_time()
        time.sleep(0.02)
        if time.process_time() - before < 0.002:
            break


def _serve(job: Mapping[str, Any]) -> None:
    if job["cores"] is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])
    module, function = job["runner"].split(":")
    epoch = getattr(import_module(module), function)(**job["options"])
    clock = time.process_time if job["clock"] == "cpu" else time.perf_counter
    epoch()
    first = getattr(epoch, "first", None)
    ready = {
        "seconds": time.time() - job["began"],
        "first": None if first is None else first - job["began"],
        "summary": getattr(epoch, "summary", {}),
    }
    _rest()
    print(json.dumps(ready), flush=True)
    prepare = getattr(epoch, "prepare", None)
    for _ in sys.stdin:
        if prepare is not None:
            prepare()
        start, busy = clock(), time.process_time()
        samples = epoch()
        reply = {"samples": samples, "seconds": clock() - start, "cpu": time.process_time() - busy}
        reply["facts"] = getattr(epoch, "facts", {})
        _rest()
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    with os.fdopen(int(sys.argv[1])) as given:
        found = json.load(given)
    _serve(found)
