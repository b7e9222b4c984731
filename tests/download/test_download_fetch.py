"""Looking names up: dead ones once, many at a time, private addresses never."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from ffprep.download.messages import FetchRequest, FetchResult
from ffprep.download.row_loop import RowLoop
from ffprep.download.settings import FetchLimits
from ffprep.download.web.resolver import Resolver

QUICK = FetchLimits(deadline=60, retries=2, backoff=0.001)


def fetch_all(urls: list[str], limits: FetchLimits = QUICK, at_once: bool = True) -> list[str]:
    """Statuses of some URLs, asked for by the loop that workers run."""

    async def work() -> list[str]:
        statuses: dict[int, str] = {}
        answered = asyncio.Event()

        def report(results: list[FetchResult], held: int) -> None:
            statuses.update((result.number, result.status) for result in results)
            answered.set()

        async def check(request: FetchRequest, data: bytes) -> FetchResult:
            return FetchResult(request.number, "ok", bytes=len(data))

        rows = RowLoop(limits, 256, 256, check, report)
        serving = asyncio.ensure_future(rows.run())
        await asyncio.sleep(0)
        requests = [FetchRequest(number, url, "") for number, url in enumerate(urls)]
        for part in [requests] if at_once else [[request] for request in requests]:
            wanted = len(statuses) + len(part)
            rows.add(part)
            rows.no_more()
            while len(statuses) < wanted:
                answered.clear()
                await answered.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        return [statuses[number] for number in range(len(urls))]

    found: list[str] = run(work())
    return found


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 60))


@pytest.mark.parametrize(
    ("error", "cause", "asked"), [(socket.EAI_NONAME, "dns", 1), (socket.EAI_AGAIN, "dns_temporary", 6)]
)
def test_a_dead_name_is_asked_for_once_and_a_doubtful_one_again(
    monkeypatch: pytest.MonkeyPatch, error: int, cause: str, asked: int
) -> None:
    calls: Counter[str] = Counter()

    def getaddrinfo(host: str, *_: object) -> list[Any]:
        calls[host] += 1
        raise socket.gaierror(error, "no")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    assert fetch_all([f"http://gone.example/{i}" for i in range(2)], at_once=False) == [cause, cause]
    assert calls == {"gone.example": asked}


def test_a_dead_name_is_asked_for_again_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()

    def getaddrinfo(host: str, *_: object) -> list[Any]:
        calls[host] += 1
        raise socket.gaierror(socket.EAI_NONAME, "no")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(Resolver, "REMEMBERED", 0.0)

    async def work() -> None:
        resolver = Resolver(allow_private=False)
        for _ in range(3):
            with pytest.raises(socket.gaierror):
                await resolver.resolve("gone.example")
        await resolver.close()

    run(work())
    assert calls == {"gone.example": 3}


def test_many_names_are_looked_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 48 lookups waits until all are under way."""
    together = threading.Barrier(48)

    def getaddrinfo(host: str, *_: object) -> list[Any]:
        together.wait(30)
        raise socket.gaierror(socket.EAI_NONAME, "no")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert fetch_all([f"http://host{i}.example/" for i in range(48)]) == ["dns"] * 48
    assert not together.broken


@pytest.mark.parametrize(
    ("addresses", "kept"),
    [
        (["10.0.0.1"], []),
        (["127.0.0.1", "93.184.215.14"], ["93.184.215.14"]),
        (["::ffff:192.168.0.1", "fe80::1%eth0", "224.0.0.1"], []),
        (["2606:2800:21f:cb07:6820:80da:af6b:8b2c"], ["2606:2800:21f:cb07:6820:80da:af6b:8b2c"]),
    ],
)
def test_private_addresses_are_dropped(monkeypatch: pytest.MonkeyPatch, addresses: list[str], kept: list[str]) -> None:
    def getaddrinfo(host: str, port: int, *_: object) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def work(allow_private: bool) -> list[str]:
        resolver = Resolver(allow_private)
        try:
            return [entry["host"] for entry in await resolver.resolve("some.example", 80)]
        finally:
            await resolver.close()

    assert run(work(True)) == addresses
    if kept:
        assert run(work(False)) == kept
    else:
        with pytest.raises(OSError, match="private addresses only"):
            run(work(False))
        assert fetch_all(["http://some.example/"]) == ["refused_address"]
