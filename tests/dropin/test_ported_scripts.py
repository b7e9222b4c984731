"""Scripts written for ffcv run with its name replaced, and see what they see with stock ffcv."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_arrays import saved_arrays

SCRIPTS = Path(__file__).with_name("scripts")


def run(name: str, folder: Path, *, stock: bool = False) -> Any:
    """Run a script as it is, or with ``ffcv`` replaced; return what it saved."""
    text = (SCRIPTS / f"{name}.py").read_text()
    script = folder / f"{name}.py"
    script.write_text(text if stock else text.replace("ffcv", "ffprep"))
    options = [] if stock else ["-W", "error"]
    done = subprocess.run([sys.executable, *options, str(script), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return saved_arrays(folder / "found.npz")


@pytest.mark.slow
@pytest.mark.ffcv
@pytest.mark.parametrize("name", ["cifar", "regression"])
def test_the_results_are_stocks(tmp_path: Path, name: str) -> None:
    pytest.importorskip("ffcv")
    folders = tmp_path / "ours", tmp_path / "stock"
    for folder in folders:
        folder.mkdir()
    ours, stock = run(name, folders[0]), run(name, folders[1], stock=True)
    assert sorted(ours) == sorted(stock)
    for part in ours:
        if part == "chosen":
            assert ours[part].ravel().tolist() == list(range(10, 20))
        assert ours[part].dtype == stock[part].dtype and np.array_equal(ours[part], stock[part]), part


def test_the_imagenet_recipe(tmp_path: Path, photographs: Path) -> None:
    shutil.copy(photographs, tmp_path)
    run("imagenet", tmp_path)
