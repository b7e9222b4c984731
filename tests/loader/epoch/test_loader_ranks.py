"""Ranks that are processes: one global order for any number of them, evaluation in step, and one that is killed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ffprep import OrderOption

HELPER = Path(__file__).with_name("rank_processes.py")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def helper() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rank_processes", HELPER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(mode: str, path: Path, folder: Path) -> Any:
    """Run the helper in a session of its own, and end all of it should it hang."""
    command = [sys.executable, str(HELPER), mode, str(path), str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=400)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"hung: {process.communicate()}")
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1]), err


@pytest.fixture(scope="module")
def found(image_beton: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Any]]:
    """What each rank of each world saw."""
    folder = tmp_path_factory.mktemp("ranks")
    statuses, errors = run("orders", image_beton, folder)
    worlds = (1, 2, 3, 8)
    assert statuses == [[0] * world for world in worlds], errors
    return {
        world: [json.loads((folder / f"{world}-{rank}.json").read_text()) for rank in range(world)] for world in worlds
    }


def merged(ranks: list[list[Any]]) -> list[Any]:
    """Rows of an epoch in the global order: of each step, the ranks' rows in turn."""
    out = []
    for step in range(max(map(len, ranks))):
        parts = [mine[step] if step < len(mine) else [] for mine in ranks]
        out += [parts[i % len(parts)][i // len(parts)] for i in range(sum(map(len, parts)))]
    return out


@pytest.mark.parametrize("world", [2, 3, 8])
@pytest.mark.parametrize("order", [option.name for option in OrderOption])
def test_the_union_over_processes_is_the_same_order_and_the_same_pixels(
    found: dict[int, list[Any]], order: str, world: int
) -> None:
    for epoch in range(2):
        wanted = merged([mine[order][epoch] for mine in found[1]])
        assert sorted(label for label, _ in wanted) == list(range(37))
        assert merged([mine[order][epoch] for mine in found[world]]) == wanted


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_an_evaluation_counts_every_sample_once_in_equal_steps(found: dict[int, list[Any]], world: int) -> None:
    for mine in found[world]:
        assert mine["evaluation"] == {"counted": [1] * 37 + [0] * 27, "steps": -(-37 // (4 * world))}


def test_a_killed_rank_leaves_the_others_alone_and_comes_back(
    image_beton: Path, tmp_path: Path, helper: ModuleType
) -> None:
    statuses, errors = run("killed", image_beton, tmp_path)
    assert statuses == [0, -signal.SIGKILL], errors
    whole, broken = (json.loads((tmp_path / f"saved-{rank}.json").read_text()) for rank in range(2))
    assert len(whole["rows"]) == 10 and len(broken["rows"]) == 2
    options = {"order": OrderOption.RANDOM, "seed": 0, "rank": 1, "world_size": 2}
    with helper.open_loader(image_beton, 2, **options) as loader:
        loader.load_state_dict(broken["state"])
        rest = [helper.rows(batch) for batch in loader]
    with helper.open_loader(image_beton, 4, order=OrderOption.RANDOM) as loader:
        wanted = [row for batch in loader for row in helper.rows(batch)]
    mine = [[tuple(row) for row in batch] for batch in broken["rows"]] + rest
    other = [[tuple(row) for row in batch] for batch in whole["rows"]]
    assert merged([other, mine]) == wanted
