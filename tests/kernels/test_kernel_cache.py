"""Machine code is cached on disk and found again by other processes, unless a source that it came from has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ffprep.kernels import jit as _jit
from ffprep.kernels import sources

PROGRAM = """
import numpy as np
from ffprep.kernels import random
random.uniforms(1, 2, np.arange(3), 0, 0)
print(sum(random._draw.stats.cache_hits.values()), sum(random._draw.stats.cache_misses.values()))
"""


def run(folder: Path, **environment: str) -> str:
    root = Path(_jit.__file__).resolve().parents[2]
    variables = {**os.environ, "NUMBA_BOUNDSCHECK": "0", "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(root)}
    variables.update({"FFPREP_KERNELS": "jit", **environment})
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_second_process_finds_the_code_unless_bounds_are_checked(tmp_path: Path) -> None:
    assert run(tmp_path) == "0 1"
    assert run(tmp_path) == "1 0"
    assert run(tmp_path, NUMBA_BOUNDSCHECK="1") == "0 1"


def test_stamp_follows_the_functions_own_file(tmp_path: Path) -> None:
    other = tmp_path / "user.py"
    other.write_text("a = 1\n")
    first = _jit.source_stamp(str(other))
    assert first == _jit.source_stamp(str(other))
    other.write_text("a = 2\n")
    second = _jit.source_stamp(str(other))
    assert second != first


@pytest.mark.slow
def test_array_kernels_stay_in_bounds_under_numbas_own_check(tmp_path: Path) -> None:
    """Kernels that use arrays run with every index checked; those that use addresses have guard pages instead."""
    here = Path(__file__).resolve().parent
    variables = {**os.environ, "NUMBA_BOUNDSCHECK": "1"}
    files = [str(here / f"test_kernel_{name}.py") for name in ("weights", "crop", "random", "render")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, env=variables, cwd=here.parents[1], capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    "changed", ["kernels/random.py", "kernels/image/crop.py", "kernels/memory.py", "kernels/jit.py"]
)
def test_stamp_follows_what_is_inlined_from_other_files(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Path(_jit.__file__).resolve().parents[1]
    user = package / "loader" / "engine" / "worker.py"
    before, read = _jit.source_stamp(str(user)), sources._text_and_imports
    other = {package / changed: b"# changed"}
    monkeypatch.setattr(
        sources, "_text_and_imports", lambda file: (other.get(file, b"") + read(file)[0], read(file)[1])
    )
    sources._digest.cache_clear()
    assert _jit.source_stamp(str(user)) != before
    monkeypatch.undo()
    sources._digest.cache_clear()
    assert _jit.source_stamp(str(user)) == before


def test_stamp_does_not_follow_what_is_not_imported(tmp_path: Path) -> None:
    named = sources._imported(
        b"from ffprep.kernels import random\nfrom ffprep.kernels.image.crop import (\n    a,\n    b,\n)\n"
    )
    assert {file.name for file in named} == {"random.py", "crop.py"}
    assert sources._imported(b"import numpy\nfrom ffprepared import x\n") == set()


def test_sources_of_users_may_have_any_encoding(tmp_path: Path) -> None:
    source = tmp_path / "latin.py"
    source.write_bytes(b"# -*- coding: latin-1 -*-\n# caf\xe9\nfrom ffprep.kernels import random\n")
    assert _jit.source_stamp(str(source)) == _jit.source_stamp(str(source))
    assert {file.name for file in sources._imported(source.read_bytes())} == {"random.py"}
