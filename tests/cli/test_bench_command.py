"""``ffprep bench``: the figures it gives and how it gives them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ffprep.beton import Writer
from ffprep.cli import main
from ffprep.convert.conversion import convert
from ffprep.fields import IntField, NDArrayField, RGBImageField
from ffprep.inspect.timing.bench import BenchOptions, bench, bench_text


class Images:
    name = "images"

    def __init__(self, photographs: list[bytes]) -> None:
        self.photographs = photographs
        self.fields = {"image": RGBImageField(jpeg="keep"), "label": IntField()}

    def __len__(self) -> int:
        return len(self.photographs)

    def sample(self, index: int) -> tuple[bytes, int]:
        return self.photographs[index], index

    def sample_name(self, index: int) -> str:
        return str(index)

    def manifest(self) -> dict[str, str]:
        return {}


class Tokens(Images):
    def __init__(self) -> None:
        self.fields = {"tokens": NDArrayField(np.dtype("<u2"), (16,))}

    def __len__(self) -> int:
        return 200

    def sample(self, index: int) -> tuple[np.ndarray]:
        return (np.full(16, index, "<u2"),)


@pytest.mark.slow
def test_images_are_timed_and_the_time_is_split(tmp_path: Path, demo_data: Path) -> None:
    photographs = [path.read_bytes() for path in sorted((demo_data / "imagenet").rglob("*.JPEG"))]
    convert(Images(photographs * 4), tmp_path / "x.beton")
    arguments = ["bench", str(tmp_path / "x.beton"), "--alone", "--rounds", "2", "--samples", "20", "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    (own,) = facts["results"]
    assert own["name"] == "ffprep"
    low, median, high = own["samples_per_second"]
    assert 0 < low <= median <= high
    assert facts["samples"] == 20
    assert facts["split"]["ms"]["entropy"] > 0 and abs(sum(facts["split"]["shares"].values()) - 1) < 0.01
    assert "ffprep" in bench_text(facts)


@pytest.mark.slow
def test_files_without_images_are_timed_too(tmp_path: Path) -> None:
    convert(Tokens(), tmp_path / "x.beton")  # type: ignore[arg-type]
    facts = bench(tmp_path / "x.beton", BenchOptions(rounds=1, samples=150))
    assert facts["results"][0]["samples_per_second"][0] > 0
    assert facts["bytes_per_sample"] == 32 + 8
    assert facts["split"] == {}
    assert "150 samples" in bench_text(facts) and "crops" not in bench_text(facts)


def test_failed_loader_is_reported_and_the_status_is_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert(Tokens(), tmp_path / "x.beton")  # type: ignore[arg-type]
    monkeypatch.setattr("ffprep.inspect.timing.bench._RUNNERS", "ffprep.inspect.absent:")
    done = CliRunner().invoke(main, ["bench", str(tmp_path / "x.beton"), "--rounds", "1"])
    assert done.exit_code == 1
    assert "failed: " in done.stdout


def test_a_batch_is_at_most_what_is_timed(tmp_path: Path) -> None:
    with Writer(tmp_path / "x.beton", {"label": IntField()}, 30) as writer:
        for label in range(30):
            writer.write([IntField().encode(label)])
    facts = bench(tmp_path / "x.beton", BenchOptions(batch_size=999_999_999, rounds=1, samples=20))
    assert facts["batch_size"] == 20 and "failure" not in facts["results"][0]
