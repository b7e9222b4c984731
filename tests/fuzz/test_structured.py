"""A short run of the fuzz targets in Python: damaged ``.beton`` files through reader and loader, damaged sources.

The same files every time; ``make fuzz`` tries others for as long as it is told.
"""

from __future__ import annotations

from pathlib import Path

import fuzz_beton
import fuzz_sources
import pytest


def test_reader(tmp_path: Path) -> None:
    seen = fuzz_beton.run("reader", 400, 1, tmp_path)
    assert seen.total() == 400
    assert min(seen["good"], seen["CorruptError"], seen["TruncatedError"], seen["NotABetonError"]) > 5


def test_loader(tmp_path: Path) -> None:
    seen = fuzz_beton.run("loader", 250, 1, tmp_path)
    assert seen.total() == 250
    assert min(seen["good"], seen["CorruptError"], seen["DecodeError"]) > 2


@pytest.mark.parametrize("kind", sorted(fuzz_sources.SEEDS))
def test_sources(tmp_path: Path, kind: str) -> None:
    seen = fuzz_sources.run(kind, 100, 1, tmp_path / "x")
    assert seen.total() == 100
    assert len(seen) >= 2 and min(seen.values()) > 2
