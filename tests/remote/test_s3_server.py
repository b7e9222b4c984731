"""A store that dies, stops or comes back in the middle of an epoch: S3, as moto plays it in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ffprep import Loader, OrderOption
from ffprep.remote import RemoteError
from ffprep.remote import store as stores

s3fs = pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

PROGRAM = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
URL = "s3://bucket/train.beton"
NAMED = rf"^{URL}: page \d+ \(bytes \d+ to \d+\) cannot be read \(\d+ attempts in [\d.]+ s\): "


class Server:
    """moto, which forgets its objects when it ends."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had before."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def fill(self) -> None:
        """Put the object there."""
        fs = s3fs.S3FileSystem(skip_instance_cache=True, endpoint_url=f"http://127.0.0.1:{self.port}")
        fs.mkdir("bucket")
        fs.pipe("bucket/train.beton", self._content)

    def send(self, number: int) -> None:
        """Send a signal; one that ends it is waited for."""
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            with self.process:  # waits, and closes its pipes
                pass
        elif number == signal.SIGSTOP:
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def close(self) -> None:
        self.process.kill()
        with self.process:
            pass


@pytest.fixture
def s3(local: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("ffprep.loader.engine.fetching.AHEAD", 0)  # else all pages were here before the first batch
    server = Server(local.read_bytes())
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    s3fs.S3FileSystem.clear_instance_cache()
    server.fill()
    try:
        yield server
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.close()


def give_up_after(monkeypatch: pytest.MonkeyPatch, deadline: float, attempt: float) -> None:
    patience = stores.Patience(deadline, attempt, 1000, 0.01, 0.02, 60.0)
    monkeypatch.setattr(stores.Patience, "of_environment", classmethod(lambda cls: patience))


def opened(place: Any) -> Loader[Any]:
    return Loader(place, 8, 2, batches_ahead=1, seed=3, order=OrderOption.SEQUENTIAL)


def numbers(batches: Any) -> list[list[int]]:
    return [some.flatten().tolist() for _, some in batches]


@pytest.mark.parametrize(("fatal", "says"), [(signal.SIGKILL, "."), (signal.SIGSTOP, "no answer in")])
def test_a_server_that_is_gone_is_one_error_in_time(
    fatal: int, says: str, s3: Server, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(local) as loader:
        wanted = numbers(loader)
    give_up_after(monkeypatch, 60.0, 60.0)
    with opened(URL) as loader:
        batches = iter(loader)
        found = numbers(next(batches) for _ in range(3))
        give_up_after(monkeypatch, 1.0, 0.4)
        monkeypatch.setattr(loader.reader.source, "_opened", None)  # with the patience of now
        s3.send(fatal)
        with pytest.raises(RemoteError, match=NAMED + says):
            for batch in batches:
                found += numbers([batch])
        assert 3 <= len(found) < 30 and found == wanted[: len(found)]
        if fatal == signal.SIGSTOP:
            s3.send(signal.SIGCONT)
        else:
            s3.start()
            s3.fill()
        give_up_after(monkeypatch, 60.0, 60.0)
        monkeypatch.setattr(loader.reader.source, "_opened", None)
        assert numbers(loader) == wanted


def test_a_server_that_comes_back_is_waited_for(s3: Server, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the same port, after a request that it did not answer."""
    give_up_after(monkeypatch, 120.0, 120.0)
    failed, back = threading.Event(), threading.Event()
    once = stores.Store._range_once

    async def after_failing(self: stores.Store, *arguments: Any) -> bytes:
        """Ask a server that is not there, or one that has its object again."""
        if failed.is_set():
            await self.in_thread(back.wait, 100)
        try:
            return await once(self, *arguments)
        except BaseException:
            failed.set()
            await self.in_thread(back.wait, 100)
            raise

    def revive() -> None:
        if failed.wait(100):
            s3.start()
            s3.fill()
            back.set()

    with opened(local) as loader:
        wanted = numbers(loader)
    with opened(URL) as loader:
        batches = iter(loader)
        found = numbers(next(batches) for _ in range(3))
        monkeypatch.setattr(stores.Store, "_range_once", after_failing)
        s3.send(signal.SIGKILL)
        reviving = threading.Thread(target=revive)
        reviving.start()
        try:
            found += numbers(batches)
        finally:
            failed.set()
            reviving.join()
    assert found == wanted
