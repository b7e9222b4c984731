"""Fair timing of loaders against each other: each in a process of its own, taking turns epoch by epoch.

A machine's speed drifts by more than many differences that are worth knowing, and two loaders in one process disturb
each other's threads, caches and memory. So every contestant runs in a process of its own (``python -m
ffprep.inspect.timing.paired``), warms up, and then waits. `compare` lets them run one epoch each, in turns, and the
rates of each round are compared.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ffprep.errors import FfprepError
from ffprep.inspect.timing.process_tree import children_seconds, memory_bytes

LINUX = sys.platform.startswith("linux")


@dataclass(frozen=True)
class Contestant:
    """One loader to time.

    Attributes
    ----------
    name : str
        Its name in the table.
    runner : str
        ``"module:function"``; the function takes the options as keyword arguments and returns a callable that runs one
        epoch and returns the number of samples it delivered.
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
    failure : str
        Empty, or why there are no figures.
    cpu : list[float]
        Processor seconds for a sample, one figure for each round: of the process, its threads and, on Linux, all
        processes that it started.
    memory : int
        Most bytes that it and all that it started held after a round, pages of files left out; 0 if not on Linux.
    summary : dict
        What the runner says of its first epoch, in its attribute ``summary``.
    """

    name: str
    rates: list[float]
    start_up: float
    failure: str = ""
    cpu: list[float] = field(default_factory=list)
    memory: int = 0
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Median of the samples per second."""
        return statistics.median(self.rates)


def ratio(a: Timing, b: Timing) -> tuple[float, float, float]:
    """Minimum, median and maximum over the rounds of ``a``'s rate divided by ``b``'s."""
    ratios = [x / y for x, y in zip(a.rates, b.rates, strict=True)]
    return min(ratios), statistics.median(ratios), max(ratios)


class _ContestantProcess:
    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self.started = time.perf_counter()
        job = {
            "runner": contestant.runner,
            "options": dict(contestant.options),
            "cores": contestant.cores,
            "clock": contestant.clock,
        }
        self.process = subprocess.Popen(
            [contestant.python, "-m", "ffprep.inspect.timing.paired", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **contestant.environment},
        )
        self.rates: list[float] = []
        self.cpu: list[float] = []
        self.memory = 0
        self.summary: dict[str, Any] = {}
        self.start_up = float("nan")
        self.failure = ""

    def answer(self) -> dict[str, Any] | None:
        """The next reply of the process. When it has died, sets `failure` and returns None."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                reply: dict[str, Any] = json.loads(line)
                return reply
        _, errors = self.process.communicate()
        self.failure = (errors.strip().splitlines() or [f"exit status {self.process.returncode}"])[-1]
        return None

    def epoch(self) -> None:
        if self.failure:
            return
        assert self.process.stdin is not None
        before = self._children_seconds()
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        reply = self.answer()
        if reply is not None:
            self.rates.append(reply["samples"] / reply["seconds"])
            self.cpu.append((reply["cpu"] + self._children_seconds() - before) / max(1, reply["samples"]))
            self.memory = max(self.memory, memory_bytes(self.process.pid) if LINUX else 0)

    def _children_seconds(self) -> float:
        return children_seconds(self.process.pid) if LINUX else 0.0

    def finish(self) -> Timing:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        name, memory = self.contestant.name, self.memory
        return Timing(name, self.rates, self.start_up, self.failure, self.cpu, memory, self.summary)


def compare(
    contestants: Sequence[Contestant], rounds: int = 7, on_round: Callable[[int], None] | None = None
) -> list[Timing]:
    """Time contestants in turns.

    Parameters
    ----------
    contestants : Sequence[Contestant]
    rounds : int
        Epochs counted for each contestant, after a first one that is not.
    on_round : Callable[[int], None] | None
        Called with the number of rounds done.

    Returns
    -------
    list[Timing]
        In the order of `contestants`. If one died, its ``failure`` is set; the others continue.
    """
    if rounds < 1:
        raise FfprepError("rounds must be at least 1")
    processes: list[_ContestantProcess] = []
    try:
        for contestant in contestants:
            process = _ContestantProcess(contestant)
            processes.append(process)
            if (ready := process.answer()) is not None:
                process.summary = ready["summary"]
                process.start_up = time.perf_counter() - process.started
        for number in range(rounds):
            for process in processes:
                process.epoch()
            if on_round is not None:
                on_round(number + 1)
    finally:
        timings = [process.finish() for process in processes]
    return timings


def _serve(job: Mapping[str, Any]) -> None:
    if job["cores"] is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])
    module, function = job["runner"].split(":")
    epoch = getattr(import_module(module), function)(**job["options"])
    clock = time.process_time if job["clock"] == "cpu" else time.perf_counter
    epoch()
    print(json.dumps({"summary": getattr(epoch, "summary", {})}), flush=True)
    for _ in sys.stdin:
        start, busy = clock(), time.process_time()
        samples = epoch()
        reply = {"samples": samples, "seconds": clock() - start, "cpu": time.process_time() - busy}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
