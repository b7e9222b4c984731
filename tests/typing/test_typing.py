"""Scripts of users as pyright sees them: right ones pass, and every mistake is reported in its line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def reported() -> dict[str, dict[int, str]]:
    """For each file, the lines with errors and what is said of them."""
    pytest.importorskip("basedpyright")  # pyright, and a node of its own
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--level", "error", "--pythonpath", sys.executable]
    files = [str(HERE / name) for name in ("right.py", "wrong.py")]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run([*command, *files], cwd=HERE.parents[1], env=environment, capture_output=True, text=True)
    found: dict[str, dict[int, str]] = {"right.py": {}, "wrong.py": {}}
    assert done.returncode in (0, 1), done.stderr
    for one in json.loads(done.stdout)["generalDiagnostics"]:
        line = one["range"]["start"]["line"] + 1
        told = found[Path(one["file"]).name]
        told[line] = told.get(line, "") + one["message"]
    return found


def test_right_calls_pass(reported: dict[str, dict[int, str]]) -> None:
    assert reported["right.py"] == {}


def test_every_mistake_is_reported(reported: dict[str, dict[int, str]]) -> None:
    lines = (HERE / "wrong.py").read_text().splitlines()
    wanted = [number for number, line in enumerate(lines, 1) if "# type: ignore[" in line]
    assert sorted(reported["wrong.py"]) == wanted and len(wanted) > 20


def test_misspelled_options_are_named(reported: dict[str, dict[int, str]]) -> None:
    lines = (HERE / "wrong.py").read_text().splitlines()
    named = [m[1] for told in reported["wrong.py"].values() if (m := re.match(r'No parameter named "(\w+)"', told))]
    assert {"flipp", "os_cach", "blockz", "shuffle", "prob"} <= set(named)
    assert all(any(name in line for line in lines) for name in named)
