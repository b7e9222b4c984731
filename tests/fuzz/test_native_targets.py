"""A short run of the fuzz targets of the JPEG library, under AddressSanitizer and UndefinedBehaviorSanitizer.

``driver.c`` runs them here, with the same damage every time; ``make fuzz`` lets libFuzzer do it.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parent
STREAMS = sorted((HERE / "corpus" / "jpeg").iterdir())
RUNS = {"decode": (60, 1), "rewrite": (50, 1), "index": (200, 26), "speculate": (40, 1)}
"""Damaged streams for each file, and the seed. That of indexes meets predictors at the end of their range."""

MET = {"decode": {0, 1, 2, 3, 7, 9, 10, 11, 12}, "rewrite": {0, 3, 7, 9, 11, 19}, "index": {0, 10, 11, 16, 17, 19}}
"""Statuses that must have been met, by their numbers in jpeg.h, so that the damage is known to reach them."""


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_script", HERE.parents[1] / "scripts" / "fuzz.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def library(fuzz: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, built with sanitizers; skips where there are none."""
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("fuzz")
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    built = subprocess.run(["gcc", *fuzz.FLAGS, probe, "-o", folder / "probe"], capture_output=True)
    if built.returncode or subprocess.run([folder / "probe"], capture_output=True).returncode:
        pytest.skip("no sanitizers")
    archive: Path = fuzz.build_library("gcc", folder, [])
    return archive


@pytest.mark.parametrize("target", list(RUNS))
def test_damaged_streams_are_survived(fuzz: ModuleType, library: Path, target: str) -> None:
    """No report of a sanitizer and no broken rule; what the damage is meant to reach is reached."""
    program = fuzz.build_target(target, "gcc", library.parent, library, guided=False)
    run = subprocess.run([program, *map(str, RUNS[target]), *STREAMS], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-4000:]
    seen = {int(line.split()[0]): int(line.split()[1]) for line in run.stdout.splitlines()}
    assert seen[0] > 100 and set(seen) >= MET.get(target, {0}), seen


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in STREAMS) < 300_000
