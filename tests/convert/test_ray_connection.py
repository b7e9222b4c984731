"""The connection to a Ray cluster: whoever does not answer, or stops to, is one error that says what to do."""

from __future__ import annotations

import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ray_stand_in import Numbers, RayError, stand_in

from ffprep.common.workers.head import Head, end_at_once
from ffprep.convert.conversion import convert
from ffprep.errors import ConversionError, OptionError


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffprep.convert.clusters.plans.FEWEST_SAMPLES", 16)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    return stand_in(monkeypatch)


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        (
            "127.0.0.1:1",
            r"the cluster that RAY_ADDRESS names \(127\.0\.0\.1:1\) does not answer: .*Connection refused; --engine",
        ),
        (None, "no cluster can be started: The current node timed out; --engine local needs none"),
    ],
)
def test_no_cluster(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str | None, wanted: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)

    def init(**options: Any) -> None:
        if "address" in options:
            raise ConnectionError("no answer.")
        raise Exception("The current node timed out.\nMore.")

    ray.is_initialized, ray.init = (lambda: False), init
    with pytest.raises(ConversionError, match=f"--engine ray: {wanted}"):
        convert(Numbers(), tmp_path / "x.beton", engine="ray", workers=1)


class AuthenticationError(RayError):
    """As Ray's."""


@pytest.mark.parametrize("when", ["asked", "connecting"])
def test_a_cluster_that_asks_for_a_token(ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    tried = []

    def refuse(**options: Any) -> None:
        tried.append(options["address"])
        raise AuthenticationError("InvalidAuthToken: Authentication token is missing or incorrect. More of this.")

    ray.exceptions.AuthenticationError = AuthenticationError
    ray.is_initialized, ray.init = (lambda: False), refuse
    inner = ModuleType("ray._raylet")
    inner.GcsClient = refuse if when == "asked" else lambda **_: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray._raylet", inner)
    monkeypatch.setattr("ffprep.common.workers.cluster.await_answer", lambda address: None)
    wanted = "^--engine ray: the cluster at head:1 asks for a token, .*; set RAY_AUTH_MODE=token, and .*$"
    with pytest.raises(ConversionError, match=wanted):
        convert(Numbers(), tmp_path / "x.beton", engine="ray", address="head:1")
    assert tried == ["head:1"]


def test_a_signal_ends_the_command_as_without_ray(ray: Any, tmp_path: Path) -> None:
    def init(**_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as Ray does, whose own handler aborts

    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    ray.is_initialized, ray.init = (lambda: False), init
    ray.fails = lambda part: os.kill(os.getpid(), signal.SIGTERM)
    before = signal.signal(signal.SIGTERM, ended)
    try:
        with pytest.raises(KeyboardInterrupt, match="interrupted after 0 of"):
            convert(Numbers(), tmp_path / "x.beton", engine="ray")
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_server_at_the_address(ray: Any, tmp_path: Path) -> None:
    ray.is_initialized = lambda: False
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(answer)
            with pytest.raises(
                ConversionError, match=rf"at 127.0.0.1:{port} does not answer: what listens there is no"
            ):
                convert(Numbers(), tmp_path / "x.beton", engine="ray", address=f"127.0.0.1:{port}")
    assert not list(tmp_path.iterdir())


def test_an_address_without_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="add --engine ray"):
        convert(Numbers(), tmp_path / "x.beton", address="auto")


def test_a_cluster_without_processors_is_waited_for_and_then_given_up(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray would for ever."""
    clock = iter(range(1000))
    monkeypatch.setattr("ffprep.common.workers.cluster.time", SimpleNamespace(monotonic=lambda: next(clock), sleep=int))
    ray.cluster_resources = dict
    ray.nodes = lambda: [{"Alive": True, "NodeID": "a"}, {"Alive": False, "NodeID": "b"}]
    monkeypatch.setattr("ffprep.common.workers.cluster.Tasks.check_nodes", lambda self: None)
    wanted = r"none of the cluster's nodes \(1\) has a processor for tasks, and none with one came in 60 s; start one"
    with (
        pytest.warns(RuntimeWarning, match=r"waiting \d+ s more for one that has") as said,
        pytest.raises(ConversionError, match=wanted),
    ):
        convert(Numbers(), tmp_path / "x.beton", engine="ray")
    assert len(said) >= 8
    ray.cluster_resources = lambda: {"CPU": 1.0} if next(clock) % 30 == 0 else {}
    with pytest.warns(RuntimeWarning, match="waiting"):
        convert(Numbers(), tmp_path / "x.beton", engine="ray")


def test_a_head_that_has_ended(ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would ask it is left out from then on: it waits for a minute, and then Ray ends the process."""
    told: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

    def asked() -> dict[str, float]:
        raise AssertionError("the head was asked")

    ray.get_runtime_context = lambda: SimpleNamespace(gcs_address=address)
    ray.cluster_resources, ray.wait = asked, lambda references, **_: ([], references)
    ray.is_initialized, ray.init, ray.shutdown = (lambda: False), lambda **_: None, asked
    monkeypatch.setattr("ffprep.common.workers.head.HEAD_SECONDS", 0.0)
    monkeypatch.setattr("ffprep.common.workers.head.forget", lambda: told.append("forgets"))
    monkeypatch.setattr("atexit.register", lambda *given: told.extend(given))
    with pytest.raises(ConversionError, match=f"the head of the cluster, {address}, has ended .*; start it again, and"):
        convert(Numbers(), tmp_path / "x.beton", engine="ray", workers=1)
    assert told == ["forgets", end_at_once, 1]


def head_at(server: socket.socket) -> Head:
    address = f"127.0.0.1:{server.getsockname()[1]}"
    return Head(SimpleNamespace(get_runtime_context=lambda: SimpleNamespace(gcs_address=address)))


def answer_once(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(100)
        connection.sendall(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))


def test_a_head_that_is_away_for_a_while() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        head = head_at(server)
        pool.submit(answer_once, server)
        assert head.is_there()
    assert not head.is_there()
    assert Head(SimpleNamespace()).is_there()  # a Ray that does not say where it is


def test_a_head_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system takes connections for a process that was stopped."""
    monkeypatch.setattr("ffprep.common.workers.head.ANSWER_SECONDS", 0.01)
    monkeypatch.setattr("ffprep.common.workers.head.HEAD_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        head = head_at(server)
        assert not head.is_there()
        monkeypatch.setattr("ffprep.common.workers.head.STILL_SECONDS", 0.0)
        with pytest.raises(ConversionError, match="has ended or cannot be reached any more .timed out"):
            head.is_there()


def test_an_interruption_while_the_head_stands_still(ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would wait for it at the end for ever."""
    left: list[Any] = []

    def interrupted(*_: object, **__: object) -> None:
        monkeypatch.setattr("ffprep.common.workers.head.ANSWER_SECONDS", 0.01)
        raise KeyboardInterrupt

    def ended() -> None:
        raise AssertionError("Ray was ended")

    monkeypatch.setattr("atexit.register", lambda *given: left.extend(given))
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(answer_once, server)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        ray.get_runtime_context = lambda: SimpleNamespace(gcs_address=address)
        ray.is_initialized, ray.init, ray.shutdown, ray.wait = (lambda: False), lambda **_: None, ended, interrupted
        with pytest.raises(KeyboardInterrupt):
            convert(Numbers(), tmp_path / "x.beton", engine="ray", workers=1)
    assert left == [end_at_once, 130]
