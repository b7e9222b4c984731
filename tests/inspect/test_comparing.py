"""The harness that times peers: what hangs, fails or does other work, and the tables made of the rest."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ffprep.inspect.timing.paired import Contestant, Limits, Timing, _ContestantProcess, _rest, compare
from ffprep.inspect.timing.process_tree import descendants
from ffprep.inspect.timing.results import Result

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SLEEPER = "import sys; sys.stdin.read()"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


class Good:
    """A runner's epoch of ten samples, that wants 0.5 s of preparation not to be counted."""

    summary: ClassVar = {"samples": 10, "mean": [0.0], "std": [1.0]}

    def __init__(self, noise: int = 0) -> None:
        self.noise, self.prepared = noise, False

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


@pytest.mark.parametrize(("worked", "slept"), [([0.02, 0.02, 0.0005, 0.02], 3), ([0.02] * 400, 250)])
def test_what_works_ahead_is_waited_for(worked: list[float], slept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeps: list[float] = []
    monkeypatch.setattr(time, "sleep", sleeps.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(sleeps))
    monkeypatch.setattr(time, "process_time", lambda: sum(worked[: len(sleeps)]))
    assert _rest(5.0) == sum(sleeps)
    assert len(sleeps) == pytest.approx(slept, abs=1)


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


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import peers.measuring

    return peers.measuring


def timing(name: str, rates: list[float], mean: float = 0.0, samples: int = 100, **more: Any) -> Timing:
    summary = {"samples": samples, "mean": [mean], "std": [1.0], **more}
    return Timing(name, rates, 1.0, "", [0.001 * 100 / rate for rate in rates], 5_000_000, summary)


def test_tables_of_groups(harness: Any) -> None:
    ours, slow, wrong, dead = (harness.Entry(name, "a:b", stored="files", size=1234) for name in "oswd")
    ours_again = timing("o", [300.0, 330.0])
    groups = [
        [(ours, timing("o", [100.0, 110.0])), (slow, timing("s", [50.0, 11.0]))],
        [(ours, ours_again), (wrong, timing("w", [1.0, 1.0], mean=9.0)), (dead, Timing("d", [], 0.0, "it hung"))],
    ]
    result = Result("side_by_side", "")
    harness.add(result, "images", groups, harness.Look(columns=("stored", "size", "memory", "start")), checked=True)
    table = result.text("images").splitlines()
    assert table[0].split("  ")[-1].strip() == "start-up, s" and len(table) == 3
    assert table[1].split() == ["o", "files", "1,234", "105", "(100", "-", "110)", "0.955", "5", "1.0"]
    assert table[2].split() == [
        "s", "files", "1,234", "30", "(11", "-", "50)", "6.00", "(2.00", "-", "10.00)", "5.55", "6.00", "(2.00", "-",
        "10.00)", "5", "1.0",
    ]  # fmt: skip
    assert result.text("images-without").splitlines()[1:] == [
        "w          the mean of its values differs by 9.00, of which 0.03 is allowed",
        "d          it hung",
    ]
    assert result.series["images: o, group 2"].values == [300.0, 330.0]


@pytest.mark.parametrize(
    ("error", "other", "samples", "expected"),
    [
        (0.0, 0.02, 100, ""),
        (0.0, 0.07, 100, "the mean"),
        (0.02, 0.07, 100, ""),  # few images: chance
        (0.02, 0.25, 100, "the mean"),
        (0.0, 0.0, 99, "it delivered 99 of 100 images"),
    ],
)
def test_values_are_compared_as_closely_as_chance_allows(
    harness: Any, error: float, other: float, samples: int, expected: str
) -> None:
    found = harness.unlike(timing("o", [1.0], error=error), timing("p", [1.0], mean=other, samples=samples))
    assert found.startswith(expected) and bool(found) == bool(expected)


@linux
def test_a_part_is_broken_off_and_the_next_one_runs(
    harness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import side_by_side

    def stuck(bench: Any) -> None:
        with subprocess.Popen([sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE) as process:
            try:
                process.wait()
            finally:
                process.kill()

    def fine(bench: Any) -> None:
        bench.result.measured("x", [1.0])

    monkeypatch.setattr(side_by_side, "GRACE", 0.1)
    monkeypatch.setattr(side_by_side, "PARTS", {"stuck": (stuck, 0.1, 0.1), "fine": (fine, 60, 60)})
    monkeypatch.setattr(side_by_side, "make_data", lambda scratch, data, images: side_by_side.Data(
        tmp_path, tmp_path, tmp_path, tmp_path, None, 1))  # fmt: skip
    monkeypatch.setattr(side_by_side, "ENVIRONMENTS", {})
    arguments = ["side_by_side.py", "--out", str(tmp_path / "out"), "--minutes", "1", "--scratch", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="1"):
        side_by_side.main()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "side-by-side-here-fine.json", "side-by-side-here-stuck.partial.json",
    ]  # fmt: skip
    assert Result.load(tmp_path / "out" / "side-by-side-here-fine.json").series["x"].values == [1.0]


def test_parts_share_the_time_of_a_run(harness: Any) -> None:
    import side_by_side

    seconds, weights = side_by_side.shares(list(side_by_side.PARTS), 38, False)
    assert seconds == pytest.approx(60 * 38) and list(weights) == list(side_by_side.PARTS)
    few, chosen = side_by_side.shares(["images", "tokens"], 38, False)
    assert chosen == {name: weights[name] for name in ("images", "tokens")}
    assert few / seconds == pytest.approx(
        (side_by_side.PREPARING[0] + sum(chosen.values())) / (side_by_side.PREPARING[0] + sum(weights.values()))
    )


def test_what_a_writer_did_not_finish_is_not_taken_for_its_form(
    harness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import side_by_side

    def written(entries: Any, setting: Any) -> Any:
        for entry in entries:
            Path(entry.options["out"]).mkdir()
        yield [(entry, Timing(entry.name, [], 0.0, "it hung" if entry.name == "grain" else "")) for entry in entries]

    monkeypatch.setattr(side_by_side, "timed", written)
    data = side_by_side.Data(tmp_path, tmp_path, tmp_path, tmp_path, None, 1)
    side_by_side.write_shards(data, harness.Setting())
    found = {path.name for path in tmp_path.iterdir()}
    assert {"webdataset", "litdata", "grain.part"} <= found and not found & {"grain", "webdataset.part"}


def test_an_environment_says_why_it_cannot_run(harness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peers import environments

    monkeypatch.setenv("FFPREP_PEERS", str(tmp_path))
    tried: list[Any] = []

    def installed(folder: Path, python: Path, packages: Any) -> str:
        (folder / "bin").mkdir(parents=True)
        python.symlink_to(sys.executable)
        return ""

    monkeypatch.setattr(environments, "_install", installed)
    monkeypatch.setattr(environments, "_system", lambda package: bool(tried.append(package)))
    late = environments.Environment("late", ("late==1",), ("json",), "json.no_such_library", "liblate")
    assert "no_such_library" in environments.set_up(late)[1] and tried == ["liblate"]
    assert "no_such_library" in environments.set_up(late)[1] and len(tried) == 1  # remembered
    assert "no_such_library" in environments.set_up(late, again=True)[1] and len(tried) == 2
    good = environments.Environment("good", ("good==1",), ("json",), "json.loads", "liblate")
    assert environments.set_up(good) == (tmp_path / "good" / "bin" / "python", "") and len(tried) == 2


def test_more_names_of_files_than_a_command_may_have() -> None:
    [timing] = compare([contestant("many", "listing", names=["/data/train-00000-of-10000.beton"] * 10_000)], 1)
    assert timing.failure == "" and len(timing.rates) == 1
