"""The program that kills commands and lets their calls fail, on a quick command and a few calls."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "reliability" / "faults.py"


def test_a_few_faults() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "2", "--errors", "1", "--reads", "1", "--only", "merge"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["merge"]
    for _, calls, kills, errors, reads, harmless, problems in rows:
        assert int(calls) > 3 and kills == "2" and problems == "0"
        assert int(errors) + int(reads) + int(harmless) == 3 and reads == "1"
