"""Machine code is cached on disk, found again by other processes, and not when any source it came from
changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ffprep.kernels import _jit

PROGRAM = """
import numpy as np
from ffprep.kernels import gather, random
random.uniforms(1, 2, np.arange(3), 0, 0)
print(sum(random.uniforms.stats.cache_hits.values()), sum(random.uniforms.stats.cache_misses.values()))
"""


def run(folder: Path, **environment: str) -> str:
    root = Path(_jit.__file__).resolve().parents[2]
    variables = {**os.environ, "NUMBA_BOUNDSCHECK": "0", "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(root)}
    variables.update(environment)
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_second_process_finds_the_code_unless_bounds_are_checked(tmp_path: Path) -> None:
    assert run(tmp_path) == "0 1"
    assert run(tmp_path) == "1 0"
    assert run(tmp_path, NUMBA_BOUNDSCHECK="1") == "0 1"


def test_stamp_follows_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "user.py"
    other.write_text("a = 1\n")
    first = _jit.source_stamp(str(other))
    assert first == _jit.source_stamp(str(other))
    other.write_text("a = 2\n")
    second = _jit.source_stamp(str(other))
    assert second != first
    monkeypatch.setattr(_jit, "_digest", lambda folder: b"other kernels")
    assert _jit.source_stamp(str(other)) != second


@pytest.mark.slow
def test_array_kernels_stay_in_bounds_under_numbas_own_check(tmp_path: Path) -> None:
    """The kernels written on arrays, run with every index checked; those on addresses have guard pages
    instead."""
    here = Path(__file__).resolve().parent
    variables = {**os.environ, "NUMBA_BOUNDSCHECK": "1"}
    files = [str(here / f"test_kernel_{name}.py") for name in ("weights", "gather", "crop", "random", "render")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, env=variables, cwd=here.parents[1], capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("changed", ["kernels", "loader", "compat"])
def test_stamp_follows_what_is_inlined_from_other_files(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = Path(_jit.__file__).resolve().parents[1] / "compat" / "decode.py"
    before, digest = _jit.source_stamp(str(decode)), _jit._digest
    monkeypatch.setattr(_jit, "_digest", lambda folder: digest(folder) + bytes(folder.name == changed))
    assert _jit.source_stamp(str(decode)) != before
