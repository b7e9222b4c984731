"""The program that times the stages of decoding builds and runs."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ffprep.abi import BOX
from ffprep.jpeg.rewrite import rewrite

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "decoding" / "limit.py"


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_stages_of_a_crop(demo_data: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("limit", SCRIPT)
    assert spec is not None and spec.loader is not None
    limit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(limit)
    original = sorted((demo_data / "imagenet").rglob("*.JPEG"))[0].read_bytes()
    jpeg = np.frombuffer(rewrite(original), np.uint8)
    boxes = np.zeros(2, BOX)
    for name, value in zip("xywh", (8, 16, 40, 24), strict=True):
        boxes[name] = value
    crops = tmp_path / "crops"
    limit.write_crops(crops, [jpeg, np.frombuffer(original, np.uint8)], boxes)
    program = limit.build(tmp_path, "-O0")
    printed = subprocess.run([program, "1", crops], check=True, capture_output=True, text=True).stdout.split()
    assert printed[0] == "1"  # the original has no restart markers
    assert len(printed) == 6 and all(float(ns) > 0 for ns in printed[1:])
