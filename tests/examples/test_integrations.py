"""The short examples for other libraries, as far as these are among what tests need.

scripts/test_integrations.sh runs the others, each in an environment of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ffprep.cli import main
from ffprep.demo.photographs import make_photographs

INTEGRATIONS = Path(__file__).resolve().parents[2] / "examples" / "integrations"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    make_photographs(folder / "photographs", 64, 0)
    words = ["convert", "imagenet", "--source", folder / "photographs", "--out", folder / "train.beton", "--quiet"]
    done = CliRunner().invoke(main, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return folder / "train.beton"


def run(name: str, *arguments: object) -> str:
    environment = {**os.environ, "PYTHONPATH": str(INTEGRATIONS.parents[1])}
    command = [sys.executable, str(INTEGRATIONS / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_accelerate(images: Path) -> None:
    pytest.importorskip("accelerate")
    assert "after the checkpoint the same batches: True" in run("accelerate_loop", images)


def test_prometheus(images: Path) -> None:
    pytest.importorskip("prometheus_client")
    printed = run("monitoring", images, "prometheus")
    assert 'ffprep_samples_total{loader="train"} 64.0' in printed and "ffprep_waiting_seconds_total" in printed
