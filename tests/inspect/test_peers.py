"""The benchmark of peers: how their values are compared, what it does about peers that fail, and its tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep.inspect.timing.paired import (
    Timing,
)
from ffprep.inspect.timing.results import Result

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SLEEPER = "import sys; sys.stdin.read()"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


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
        "w          the mean of its values differs by 9.000, of which 0.030 is allowed",
        "d          it hung",
    ]
    assert result.series["images: o, group 2"].values == [300.0, 330.0]


@pytest.mark.parametrize(
    ("spread", "crops", "other", "expected"),
    [
        (0.0, 256, 0.02, ""),
        (0.0, 256, 0.07, "the mean"),
        (0.3, 256, 0.1, ""),  # few images: chance
        (0.3, 256, 0.2, "the mean"),
        (0.3, 25_600, 0.1, "the mean"),  # many: the same difference is no chance
        (0.3, 25_600, 0.035, ""),
    ],
)
def test_values_are_compared_as_closely_as_chance_allows(
    harness: Any, spread: float, crops: int, other: float, expected: str
) -> None:
    ours = timing("o", [1.0], crops=crops, looks=5, spread={"mean": spread, "std": spread})
    found = harness.unlike(ours, timing("p", [1.0], mean=other, crops=crops, looks=1))
    assert found.startswith(expected) and bool(found) == bool(expected)


def test_images_that_are_missing_are_said(harness: Any) -> None:
    found = harness.unlike(timing("o", [1.0]), timing("p", [1.0], samples=99))
    assert found == "it delivered 99 of 100 images"


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ([[0.0, 1.0], [2.0, 0.0]], ""),
        ([[2.05, 0.05], [0.0, 1.0]], ""),  # in another order, by another filter
        ([[2.0, 0.0], [2.0, 0.0]], "blocks of an image"),  # one of ours is not there
        ([[1.0, 0.0], [0.0, 2.0]], "blocks of an image"),  # mirrored, with the same mean
    ],
)
def test_images_of_validation_are_compared_one_by_one(harness: Any, theirs: list[list[float]], expected: str) -> None:
    ours = timing("o", [1.0], blocks=[[0.0, 1.0], [2.0, 0.0]])
    found = harness.unlike(ours, timing("p", [1.0], blocks=theirs))
    assert found.startswith(expected) and bool(found) == bool(expected)


def batches_of(sizes: list[int], value: float) -> Any:
    return [np.full((size, 3, 224, 224), value, np.float32) for size in sizes]


def test_values_are_written_down_and_a_pass_that_skips_is_refused(harness: Any) -> None:
    from peers.common import Epoch, Job

    passes = iter([([3, 2], 1.0), ([3, 2], 3.0), ([5], 0.0), ([3, 1], 0.0)])
    epoch = Epoch(lambda: batches_of(*next(passes)), Job(looks=2))
    assert epoch() == 5 and epoch.first is not None
    assert epoch.summary == {
        "samples": 5, "crops": 5, "looks": 2, "mean": [2.0] * 3, "std": [0.0] * 3,
        "spread": {"mean": pytest.approx(2**0.5 * 5**0.5, abs=1e-4), "std": 0.0},
    }  # fmt: skip
    assert epoch() == 5
    with pytest.raises(ValueError, match="a pass delivered 4 images, the first one 5"):
        epoch()


def test_blocks_of_validation_are_written_down(harness: Any) -> None:
    from peers.common import Epoch, Job

    image = np.zeros((1, 3, 224, 224), np.float32)
    image[0, 1, 56:112, 168:] = 4.0
    epoch = Epoch(lambda: [image], Job(kind="validation"))
    epoch()
    [blocks] = epoch.summary["blocks"]
    assert np.flatnonzero(blocks).tolist() == [16 + 4 + 3] and blocks[23] == 4.0


@linux
def test_what_a_pass_reads_from_the_disk_is_measured(harness: Any, tmp_path: Path) -> None:
    from peers.confined import Confined, bytes_read, forget

    path = tmp_path / "set"
    path.write_bytes(os.urandom(1 << 20))
    forget(str(path))
    (tmp_path / "memory.max").write_text("")

    class Reading:
        prepare, first, summary = None, 1.0, {"samples": 1}

        def __call__(self) -> int:
            return len(path.read_bytes()) and 1

    confined = Confined(Reading(), tmp_path, 1, [path])
    confined.summary = {"samples": 1}
    confined.prepare()
    before = bytes_read(os.getpid())
    assert confined() == 1
    assert confined.facts["resident"] == 1.0
    assert confined.facts["read"] == round((bytes_read(os.getpid()) - before) / (1 << 20), 4)
    confined.prepare()
    assert confined() == 1 and confined.facts["read"] == 0.0


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
    never = environments.Environment("never", ("never==1",), ("json",), before=(3, 0))
    assert environments.set_up(never)[1] == "never==1 cannot be imported by Python 3.0 and later"
    assert not (tmp_path / "never").exists()
