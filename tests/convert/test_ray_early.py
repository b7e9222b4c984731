"""A cluster gets ready while a command opens its source; with a stand-in for Ray."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from ffprep.cli import main
from ffprep.common.workers import cluster, node_task
from ffprep.errors import SourceError

ADDRESS = "head:6379"
LEASE = "RAY_worker_lease_timeout_milliseconds"


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens to a cluster of two nodes that live and one that does not, in order."""
    found: list[str] = []
    connections: list[str] = []

    def init(address: str, **options: Any) -> None:
        found.append(f"connect to {address}")
        connections.append(address)

    def shutdown() -> None:
        found.append("end")
        connections.clear()

    def options(**chosen: Any) -> SimpleNamespace:
        assert chosen["num_cpus"] == 0, "it may not wait for other tasks"
        return SimpleNamespace(remote=lambda: found.append(f"ask {chosen['scheduling_strategy']}"))

    def remote(task: Any) -> SimpleNamespace:
        assert task is node_task.get_ready
        return SimpleNamespace(options=options)

    def strategy(node: str, soft: bool) -> str:
        assert not soft
        return node

    nodes = [{"NodeID": "a", "Alive": True}, {"NodeID": "b", "Alive": False}, {"NodeID": "c", "Alive": True}]
    ray = ModuleType("ray")
    ray.__dict__.update(
        is_initialized=lambda: bool(connections), init=init, shutdown=shutdown, remote=remote, nodes=lambda: nodes
    )
    strategies = ModuleType("ray.util.scheduling_strategies")
    strategies.__dict__.update(NodeAffinitySchedulingStrategy=strategy)
    for module in (ray, strategies):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in [name for name in vars(cluster) if name.lstrip("_") in ("await_answer", "ask_in")]:
        monkeypatch.setattr(cluster, name, lambda *_: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def opened(*_: Any, **__: Any) -> None:
        found.append("open the source")
        raise SourceError("gone")

    monkeypatch.setattr("ffprep.sources.imagenet.open_imagenet", opened)
    return found


def convert(out: Path, *options: str) -> None:
    result = CliRunner().invoke(main, ["convert", "imagenet", "--source", "x", "--out", str(out), *options])
    assert result.exit_code == 1


RAY = ["--engine", "ray"]


@pytest.mark.parametrize("named", [True, False])
def test_nodes_are_asked_before_the_source_is_opened(
    tmp_path: Path, events: list[str], monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    if named:
        monkeypatch.setenv("RAY_ADDRESS", ADDRESS)
    convert(tmp_path / "x.beton", *RAY, *([] if named else ["--address", ADDRESS]))
    assert events == [f"connect to {ADDRESS}", "ask a", "ask c", "open the source", "end"]
    assert not cluster.getting_ready


@pytest.mark.parametrize("options", [[], RAY, [*RAY, "--address", "auto"]])
def test_no_cluster_is_asked_that_is_not_named(tmp_path: Path, events: list[str], options: list[str]) -> None:
    convert(tmp_path / "x.beton", *options)
    assert events == ["open the source"]
    assert not cluster.getting_ready


def test_none_is_asked_for_a_file_that_is_there(tmp_path: Path, events: list[str]) -> None:
    (tmp_path / "x.beton").touch()
    convert(tmp_path / "x.beton", *RAY, "--address", ADDRESS)
    assert events == ["open the source"]


def test_the_connection_ends_by_the_error_of_the_command(
    tmp_path: Path, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = cluster.connected

    @contextlib.contextmanager
    def watched(*arguments: Any) -> Iterator[Any]:
        with connected(*arguments) as ray:
            try:
                yield ray
            except SourceError as error:
                events.append(str(error))
                raise

    monkeypatch.setattr(cluster, "connected", watched)
    convert(tmp_path / "x.beton", *RAY, "--address", ADDRESS)
    assert events[-2:] == ["gone", "end"]


def test_an_error_of_the_cluster_comes_first(
    tmp_path: Path, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("nobody there")

    monkeypatch.setattr(sys.modules["ray"], "init", refuse)
    convert(tmp_path / "x.beton", *RAY, "--address", ADDRESS)
    assert events == []


@pytest.mark.parametrize(("given", "wanted"), [(None, "5000"), ("7", "7")])
def test_processes_stay_with_a_command_for_a_while(
    tmp_path: Path, events: list[str], monkeypatch: pytest.MonkeyPatch, given: str | None, wanted: str
) -> None:
    monkeypatch.setenv(LEASE, given or "")  # so that it is restored
    if given is None:
        monkeypatch.delenv(LEASE)
    convert(tmp_path / "x.beton", *RAY, "--address", ADDRESS)
    assert os.environ[LEASE] == wanted and events
