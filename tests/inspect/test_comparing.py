"""The harness that times contestants: what hangs, fails or ends early, and what each one of them took."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ffprep.inspect.timing.paired import (
    Contestant,
    Limits,
    _ContestantProcess,
    _rest,
    _serve,
    compare,
    what_failed,
)
from ffprep.inspect.timing.process_tree import descendants

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SLEEPER = "import sys; sys.stdin.read()"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


class Good:
    """A runner's epoch of ten samples, that wants 0.5 s of preparation not to be counted."""

    summary: ClassVar = {"samples": 10, "mean": [0.0], "std": [1.0]}

    def __init__(self, noise: int = 0) -> None:
        self.noise, self.prepared, self.facts, self.first = noise, False, {"read": 0.5}, time.time()

    def prepare(self) -> None:
        self.prepared = True

    def __call__(self) -> int:
        print("a line that is no answer", flush=True)
        sys.stderr.write("x" * self.noise)
        return 20 if self.prepared else 10


def hanging(after: int, note: str) -> Any:
    """A runner whose epochs after so many never end, nor does a process that it started in a session of its own."""
    child = subprocess.Popen([sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE, start_new_session=True)
    Path(note).write_text(str(child.pid))
    epochs = iter(range(10))

    def epoch() -> int:
        if next(epochs) >= after:
            child.wait()
        return 1

    return epoch


def listing(names: list[str]) -> Any:
    """A runner of so many files."""
    return lambda: len(names)


def failing() -> Any:
    raise ValueError("this peer wants another library")


def contestant(name: str, runner: str, **options: Any) -> Contestant:
    return Contestant(name, f"{__name__}:{runner}", options, environment={"PYTHONPATH": os.pathsep.join(sys.path)})


def ended(process: int) -> bool:
    """Wait until a process has ended; nobody may be there to reap it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        os.sched_yield()
    return False


@linux
def test_what_hangs_or_fails_is_ended_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, epoch = set(descendants(os.getpid())), _ContestantProcess.epoch

    def limited(process: _ContestantProcess, seconds: float) -> None:
        """Wait for a short time only for what never comes, so that a busy machine makes nobody else late."""
        epoch(process, 0.2 if process.contestant.name == "hangs" and process.rates else seconds)

    monkeypatch.setattr(_ContestantProcess, "epoch", limited)
    entries = [
        contestant("good", "Good"),
        contestant("noisy", "Good", noise=1 << 20),
        contestant("hangs", "hanging", after=2, note=str(tmp_path / "child")),
        contestant("fails", "failing"),
    ]
    found = {one.name: one for one in compare(entries, 2, limits=Limits(epoch=120))}
    for name in ("good", "noisy"):
        assert not found[name].failure and len(found[name].rates) == 2 and found[name].summary == Good.summary
        assert found[name].facts == [{"read": 0.5}] * 2 and found[name].memory > 0
        assert 0 < found[name].first_batch <= found[name].start_up
    assert found["hangs"].failure == "no answer within 0.2 s" and len(found["hangs"].rates) == 1
    assert found["fails"].failure == "ValueError: this peer wants another library" and not found["fails"].rates
    assert ended(int((tmp_path / "child").read_text()))
    assert set(descendants(os.getpid())) <= before


@linux
def test_a_start_without_end_is_broken_off(tmp_path: Path) -> None:
    before = set(descendants(os.getpid()))
    entry = contestant("never", "hanging", after=0, note=str(tmp_path / "child"))
    [found] = compare([entry], 1, limits=Limits(start=0.3))
    assert found.failure == "no answer within 0.3 s" and not found.rates
    assert set(descendants(os.getpid())) <= before


@linux
def test_contestants_start_side_by_side_and_are_moved() -> None:
    core = min(os.sched_getaffinity(0))
    entries = [contestant("one", "Good"), contestant("two", "Good"), contestant("three", "Good")]
    found = compare(entries, 1, limits=Limits(starts=[[core], [core]]))
    assert [one.name for one in found] == ["one", "two", "three"] and all(len(one.rates) == 1 for one in found)


def test_a_start_is_timed_by_who_starts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    job = {"runner": f"{__name__}:Good", "options": {}, "cores": None, "clock": "wall", "began": time.time() - 1000}
    _serve(job)
    ready = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 1000 <= ready["first"] <= ready["seconds"]


def test_a_start_is_as_long_as_the_contestant_says(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"seconds": 7.0, "first": 3.0, "summary": {}, "samples": 14, "cpu": 0.1, "facts": {}}
    monkeypatch.setattr(_ContestantProcess, "answer", lambda process, seconds, watched=False: said)
    [found] = compare([contestant("one", "Good")], 1)
    assert (found.start_up, found.first_batch, found.rates) == (7.0, 3.0, [2.0])


@pytest.mark.parametrize(("worked", "slept"), [([0.02, 0.02, 0.0005, 0.02], 3), ([0.02] * 400, 250)])
def test_what_works_ahead_is_waited_for(worked: list[float], slept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeps: list[float] = []
    monkeypatch.setattr(time, "sleep", sleeps.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(sleeps))
    monkeypatch.setattr(time, "process_time", lambda: sum(worked[: len(sleeps)]))
    _rest(5.0)
    assert len(sleeps) == pytest.approx(slept, abs=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Traceback\nlib.WantsError: version 3 is needed.\nUpgrade it.\n\nOr use an older one.\n",
            "lib.WantsError: version 3",
        ),
        ("  first\n  the last line \n", "the last line"),
        ("", ""),
    ],
)
def test_what_failed_is_said_in_a_line(text: str, expected: str) -> None:
    assert what_failed(text).startswith(expected) and bool(what_failed(text)) == bool(expected)


def test_nothing_starts_when_the_time_is_over() -> None:
    [timing] = compare([contestant("late", "Good")], 1, limits=Limits(until=time.monotonic() - 1))
    assert timing.failure == "no time was left for it" and not timing.rates


def test_a_round_that_the_end_cuts_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, over = time.monotonic, []

    def monotonic() -> float:
        return clock() + (1e6 if over else 0.0)

    monkeypatch.setattr(time, "monotonic", monotonic)
    entries = [contestant("one", "Good"), contestant("two", "Good")]
    found = compare(entries, 3, over.append, Limits(until=clock() + 1e5))
    assert over == [1] and [len(one.rates) for one in found] == [1, 1] and not any(one.failure for one in found)


def test_more_names_of_files_than_a_command_may_have() -> None:
    [timing] = compare([contestant("many", "listing", names=["/data/train-00000-of-10000.beton"] * 10_000)], 1)
    assert timing.failure == "" and len(timing.rates) == 1
