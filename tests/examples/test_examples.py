"""Every example runs, with few steps, on the demo data."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, *arguments: Any, strict: bool = True) -> str:
    """Run an example with warnings as errors; return what it printed."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]),
    }
    options = ["-W", "error"] if strict else []
    command = [sys.executable, *options, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imagenet_classification() -> None:
    printed = run("imagenet_classification", "--epochs", 2, "--size", 32, 64, "--balanced")
    assert "epoch 0: 32x32 px" in printed and "epoch 1: 64x64 px" in printed and "of 30 right" in printed


def test_image_text_contrastive(vocabulary: Any) -> None:
    printed = run("image_text_contrastive", "--epochs", 2, "--size", 32)
    assert "epoch 1: loss" in printed


def test_masked_language_blocks(vocabulary: Any) -> None:
    printed = run("masked_language_blocks", "--steps", 10)
    assert "step 10: loss" in printed and "at sample 24 of epoch 1" in printed and "going on with: " in printed


def test_study(vocabulary: Any, tmp_path: Path) -> None:
    printed = run("study", "--size", 32, "--work", tmp_path)
    for file in ("cc3m", "sbu", "coco", "text", "glue/cola-train"):
        assert (tmp_path / f"{file}.beton").exists()
    epochs = [re.findall(r"(\d+) of \w+", line) for line in printed.splitlines() if line.startswith("epoch ")]
    assert [sum(map(int, counts)) for counts in epochs] == [12, 12]  # of 15 images, whole batches of four
    assert "| total | - | 15 | 39 |" in printed and "text: (4, 192)" in printed and "cola-train: loss " in printed


def test_distillation(vocabulary: Any) -> None:
    assert "step 4: images" in run("distillation", "--steps", 4, "--size", 32)


def test_video_clips() -> None:
    printed = run("video_clips", "--steps", 2, "--videos", 8, "--size", 16)
    assert "step 2: (16, 8, 1, 16, 16), loss" in printed


def test_dense_targets(tmp_path: Path) -> None:
    from PIL import Image

    printed = run("dense_targets", "--steps", 3, "--size", 48, "--picture", tmp_path / "crops.png")
    assert "step 3: loss" in printed and "boxes of the classes [1, 2, 3]" in printed
    with Image.open(tmp_path / "crops.png") as sheet:
        assert sheet.size == (192, 192)
        colours = {colour for _, colour in sheet.getcolors(1 << 16)}
    assert {(255, 255, 0), (255, 255, 255), (128, 128, 128)} <= colours


def test_after_is_before_with_the_name_replaced() -> None:
    before, after = ((EXAMPLES / f"ffcv_{name}.py").read_text().splitlines()[1:] for name in ("before", "after"))
    renamed = [line.replace("from ffcv.", "from ffprep.") for line in before]
    assert sorted(filter(None, after)) == sorted(filter(None, renamed))  # imports are sorted by name


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Training and validation images."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        spec = importlib.util.spec_from_file_location("demo_data", EXAMPLES / "demo_data.py")
        assert spec is not None and spec.loader is not None
        demo_data = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(demo_data)
    finally:
        sys.path.remove(str(EXAMPLES))
    folder = tmp_path_factory.mktemp("images")
    return [demo_data.images(folder, 48), demo_data.images(folder, 20, seed=1)]


def test_ffcv_after(files: list[Path]) -> None:
    assert "of 20 right" in run("ffcv_after", *files, "--epochs", 1, "--size", 32)


@pytest.mark.ffcv
def test_ffcv_before(files: list[Path]) -> None:
    pytest.importorskip("ffcv")
    assert "of 20 right" in run("ffcv_before", *files, "--epochs", 1, "--size", 32, strict=False)


@pytest.mark.parametrize("stop", [3, 4])  # an epoch has 3 batches
def test_lightning_datamodule(files: list[Path], stop: int) -> None:
    pytest.importorskip("lightning")
    printed = run("lightning_datamodule", "--train", files[0], "--val", files[1], "--stop", stop, strict=False)
    assert f"{6 - stop} batches, the same as in the first run" in printed


def test_huggingface_trainer(files: list[Path]) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    printed = run("huggingface_trainer", "--train", files[0], "--val", files[1], strict=False)
    assert "went on from checkpoint-4 to step 6" in printed
