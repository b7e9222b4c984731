"""How many processors there are: never none, never more than a control group pays for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ffprep.common.workers import cpus as _cpus
from ffprep.common.workers.cpus import usable_cpus


@pytest.mark.parametrize(
    ("content", "most"),
    [("max 100000", None), ("150000 100000", 1), ("10000 100000", 1), ("nonsense", None), ("1 0", None), (None, None)],
)
def test_a_quota_bounds_the_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, most: int | None
) -> None:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if content is not None:
        (tmp_path / "cpu.max").write_text(content)
    monkeypatch.setattr(_cpus, "_QUOTA", tmp_path / "cpu.max")
    assert usable_cpus() == (allowed if most is None else min(most, allowed))
