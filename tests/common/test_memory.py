"""How much memory there is: the system's, or the limit of a control group of either version."""

from __future__ import annotations

from pathlib import Path

import pytest

from ffprep.common.workers import cpus


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "4096"}, 4096),
        ("0::/outside/name\n", {"memory.max": "2048"}, 2048),
        ("0::/a\n", {"a/memory.max": "99999999"}, 8192),
        ("7:memory:/c\n3:cpu:/\n", {"memory/c/memory.limit_in_bytes": "1024", "memory.max": "1"}, 1024),
        ("7:cpu,memory:/c\n0::/\n", {"memory/memory.limit_in_bytes": "3072"}, 3072),
        ("", {}, 8192),
    ],
)
def test_the_smallest_limit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, files: dict[str, str], expected: int
) -> None:
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 16 kB\nMemAvailable:   8 kB\n")
    (proc / "self" / "cgroup").write_text(groups)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    monkeypatch.setattr(cpus, "_PROC", proc)
    monkeypatch.setattr(cpus, "_CGROUPS", root)
    assert cpus.available_memory() == expected


def test_a_system_that_says_nothing_else_has_its_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cpus, "_PROC", tmp_path)
    found = cpus.available_memory()
    assert found is not None and found > 1 << 26
