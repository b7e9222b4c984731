"""The scripts that measure training loops run, in small."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{Path(name).name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_training_through_both_pipelines(
    demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training = load("training/training", monkeypatch)
    monkeypatch.setattr(training, "BATCH", 4)
    tiles = training.cut(demo_data / "imagenet", 3, 6)
    assert tiles.classes == 3 and len(tiles.train) == 12 and len(tiles.test) == 6
    assert training.cut(demo_data / "imagenet", 3, 6) == tiles
    for kind in (training.FfprepPipeline, training.PillowPipeline):
        pipeline = kind(tiles, tmp_path)
        [*batches] = pipeline.train(0)()
        assert [images.shape for images, _ in batches] == [(4, 3, 32, 32)] * 3
        assert sum(len(labels) for _, labels in pipeline.test()) == 6
        assert 0 <= training.train(pipeline, 0, 1, 3, 3) <= 100
    assert "+1.00 ± " in training.table({"ffprep": [50.0, 52.0], "other": [51.0, 53.0]})


def test_steps_on_batches_of_every_loader(demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = load("training/gpu", monkeypatch)
    monkeypatch.setattr(gpu.torch, "set_num_threads", lambda count: None)
    assert sum(p.numel() for p in gpu.network("resnet50").parameters()) == 25_557_032
    folder, path, count = gpu.prepare(demo_data / "imagenet", tmp_path, 8)
    where: dict[str, Any] = {"path": str(path), "folder": str(folder), "workers": 0, "steps": 2}
    for kind in ("synthetic", "ffprep", "ffprep, host", "torch"):
        for model in ("tiny", "none"):
            assert gpu.contestant(kind, "cpu", model, 4, 32, **where)() == count == 8


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
def test_memory_of_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = load("loading/memory", monkeypatch)
    count = memory.make_file(tmp_path / "x.beton", 12)
    peak = memory.epoch(tmp_path / "x.beton", "QUASI_RANDOM", False, 1, 0, 2)
    assert peak.samples == count // 2 == 48
