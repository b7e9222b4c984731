"""Downloads from a server on this machine; a round returns the number of images, start-up of the programs included."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Round = Callable[[], int]
CONNECTIONS = 64


def ffprep(index: str, out: str) -> Round:
    """``ffprep download cc3m``."""

    def run() -> int:
        shutil.rmtree(out, ignore_errors=True)
        limits = ("--connections", str(CONNECTIONS), "--per-host", str(CONNECTIONS), "--allow-private", "--quiet")
        command = [sys.executable, "-m", "ffprep", "download", "cc3m", "--index", index, "--out", out, *limits]
        subprocess.run(command, check=True, capture_output=True)
        return int(json.loads((Path(out) / "report.json").read_text())["ok"])

    return run


def img2dataset(index: str, out: str) -> Round:
    """img2dataset to webdataset shards, images kept as they are: its settings of ``converting/download.py``."""
    from converting.download import IMG2DATASET

    Path(f"{index}.theirs").write_text("caption\turl\n" + Path(index).read_text("utf-8"), "utf-8")

    def run() -> int:
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.executable, "-c", IMG2DATASET, f"{index}.theirs", out]
        subprocess.run(command, check=True, capture_output=True)
        return sum(json.loads(path.read_text())["successes"] for path in Path(out).glob("*_stats.json"))

    return run
