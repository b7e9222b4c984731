"""Benchmarks that look into the kernels still fit them."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffprep.beton.reader import Reader
from ffprep.convert.conversion import convert
from ffprep.demo.photographs import make_photographs
from ffprep.fields import RGBImageField
from ffprep.sources.imagenet import open_imagenet

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COUNT = 64  # a batch


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    path = folder / "small.beton"
    source = make_photographs(folder / "images", COUNT)
    convert(open_imagenet(str(source), "train", image=RGBImageField(jpeg="seekable")), path)
    return path


def test_the_limit_takes_crops_as_workers_do(photographs: Path) -> None:
    limit = runpy.run_path(str(BENCHMARKS / "decoding" / "limit.py"))
    with Reader(photographs) as reader:
        jpegs = [np.array(reader.payload("image", i)) for i in range(COUNT)]
        sizes = [(int(row["width"]), int(row["height"])) for row in reader.column("image")]
    nanoseconds, used = limit["loop"](jpegs, sizes, 32, (0.08, 0.5), 1)
    assert nanoseconds > 0 and len(used) == COUNT
    for box, (width, height) in zip(used, sizes, strict=True):
        assert 0 <= box["x"] <= width - box["w"] and 0 <= box["y"] <= height - box["h"]
        assert 0.05 < box["w"] * box["h"] / (width * height) < 0.55


@pytest.mark.parametrize("name", ["decoding/limit.c", "loading/many_threads.c"])
def test_programs_fit_the_library(name: str) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc")) or "cc"
    native = BENCHMARKS.parent / "ffprep" / "jpeg" / "native"
    command = [compiler, "-std=gnu11", "-fsyntax-only", f"-I{native}", str(BENCHMARKS / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("preset", ["augmented", "imagenet_train"])
def test_first_batches_come(photographs: Path, preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    startup: dict[str, Any] = runpy.run_path(str(BENCHMARKS / "startup.py"))
    monkeypatch.setenv(startup["STARTED"], "0")
    assert startup["first_ever"](preset, str(photographs))["seconds"] > 0
