"""Where the time goes and what limits a file: what is said of given facts, and that real ones can be measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ffprep.beton.reader import Reader
from ffprep.beton.writing.writer import Writer
from ffprep.cli import main
from ffprep.fields import IntField, RGBImageField
from ffprep.inspect.charts import svg_of, write_charts
from ffprep.inspect.timing import limits
from ffprep.inspect.timing.bench import bench_charts, bench_text
from ffprep.inspect.timing.page_cache import resident_share
from ffprep.inspect.timing.where import STAGES, Crops, shares, stages_of


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight noisy pictures."""
    path = tmp_path_factory.mktemp("limits") / "x.beton"
    fields = {"image": RGBImageField("jpg", jpeg="seekable"), "label": IntField()}
    noise = np.random.default_rng(0).integers(0, 255, (8, 240, 320, 3), np.uint8)
    with Writer(path, fields, 8) as writer:
        for number, pixels in enumerate(noise):
            writer.write([fields["image"].encode(pixels), fields["label"].encode(number)])
    return path


def facts(**changes: Any) -> dict[str, Any]:
    rates = {"one thread": 1000, "all threads": 4000, "disk": 9000}
    found: dict[str, Any] = {
        "path": "x.beton", "bytes": 10**9, "bytes_per_sample": 10**5, "available_memory": 10**10, "in_memory": 1.0,
        "cpus": 4, "disk_bytes_per_second": 9 * 10**8, "samples_per_second": rates,
    }  # fmt: skip
    for name, value in changes.items():
        (rates if name in ("one thread", "all threads", "disk") else found)[name] = value
    return found


@pytest.mark.parametrize(
    ("changes", "limit", "words"),
    [
        ({}, "cpu", ["processors are the limit, at 4,000"]),
        ({"disk": 500, "in_memory": 0.1}, "cpu", ["first epoch comes from the disk, at 500", "processors"]),
        ({"disk": 500, "available_memory": 10**8}, "memory", ["larger than the 100.0 MB of memory"]),
        ({"disk": 9000, "available_memory": 10**8}, "cpu", ["processors"]),
        ({"all threads": 1100}, "cpu", ["4 threads are 1.1 times as fast as one", "processors"]),
        ({"disk": None, "available_memory": None, "in_memory": None}, "cpu", ["processors"]),
    ],
)
def test_the_slowest_part_is_named(changes: dict[str, Any], limit: str, words: list[str]) -> None:
    given = facts(**changes)
    given["limit"], given["advice"] = limits.judge(given)
    assert given["limit"] == limit and len(given["advice"]) == len(words)
    assert all(word in advice for word, advice in zip(words, given["advice"], strict=True))
    assert f"limit        {limit}" in limits.limits_text(given)


def counts(seconds: float, waiting: float, samples: int) -> Any:
    return SimpleNamespace(seconds=seconds, waiting=waiting, samples=samples, bytes=1000 * samples, ready=0)


def test_a_running_loop_is_judged_by_how_long_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "usable_cpus", lambda: 8)
    nothing = counts(0, 0, 0)
    assert limits.live(nothing, nothing, 8).limit == "unknown"
    assert limits.live(counts(5, 5, 10), counts(15, 5.1, 1010), 8).limit == "training"
    assert limits.live(nothing, counts(10, 6, 1000), 8, in_memory=0.2).limit == "disk"
    slow = limits.live(nothing, counts(10, 6, 1000), 2, in_memory=1.0)
    assert slow.limit == "loading" and "waits 60%" in slow.text and "leaves 6 processors idle" in slow.text


def test_stages_add_up(file: Path) -> None:
    with Reader(file) as reader:
        stages = stages_of(reader, "image", 8, Crops((0.08, 1.0)), cpu=0.5, wall=0.75)
        tiny = stages_of(reader, "image", 8, Crops((0.08, 1.0), whole=True), cpu=1e-5, wall=1e-5)
    assert list(stages) == list(STAGES) and stages["waiting"] == 250 and sum(stages.values()) == pytest.approx(750)
    assert stages["entropy"] > 0 and stages["idct"] > 0 and sum(shares(stages).values()) == pytest.approx(1)
    assert sum(tiny.values()) == pytest.approx(0.01, abs=1e-3) and tiny["resampling"] == 0


def test_a_file_is_examined(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_loading_rate", lambda *unused: 100.0)
    share = resident_share(file)
    assert share is None or 0 <= share <= 1
    done = CliRunner().invoke(main, ["doctor", str(file)])
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.output.splitlines()[1:5]] == ["memory", "disk", "processors", "limit"]


def test_figures_of_a_benchmark_as_text_and_picture(tmp_path: Path) -> None:
    good = {"name": "ffprep", "samples_per_second": [1.0, 2.0, 3.0], "bytes_per_second": 5, "start_up_seconds": 0.1}
    stages = dict.fromkeys(STAGES, 0.5)
    found = {
        "path": "<x>.beton", "samples": 8, "bytes_per_sample": 100, "workers": 1, "batch_size": 4, "rounds": 1,
        "crop": [0.08, 1.0], "block": None, "results": [good, {"name": "other", "failure": "no"}],
        "split": {"ms": stages, "shares": shares(stages)},
    }  # fmt: skip
    assert "3.000 ms at best: read 17%, entropy 17%, idct 17%" in bench_text(found)
    drawn = svg_of(bench_charts(found))
    assert "&lt;x&gt;.beton" in drawn and "idct 17%" in drawn and drawn.count("<rect") == 1 + 1 + 2 * len(STAGES)
    write_charts(tmp_path / "x.png", bench_charts(found))
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    done = CliRunner().invoke(main, ["bench", "x.beton", "--plot", "x.gif"])
    assert done.exit_code == 2


def test_info_and_stats_show_distributions(file: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["info", str(file), "--histograms"])
    assert "image: longer side in pixels: 320 to 320, half of them up to 320" in done.output
    picture = tmp_path / "x.svg"
    assert CliRunner().invoke(main, ["stats", str(file), "--plot", str(picture)]).exit_code == 0
    assert picture.read_text().count("classes (label)") == 1
    picture.write_text("a drawing of another kind")
    done = CliRunner().invoke(main, ["stats", str(file), "--plot", str(picture)])
    assert done.exit_code == 2 and "exists already" in done.output
