"""Servers that mean harm: bodies and headers without end, bombs, drips, redirects to where nothing may be fetched."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from local_server import LOCAL

from ffprep.download.fetch import Fetched, Fetcher
from ffprep.download.settings import FetchLimits
from ffprep.download.web.urls import parse_url

OK = b"HTTP/1.1 200 OK\r\n"
LIMITS = replace(LOCAL, max_bytes=100_000, deadline=20)


@contextlib.contextmanager
def server(answer: Callable[[], Iterator[bytes]]) -> Iterator[str]:
    """Give every connection the bytes of an iterator, until the other side has enough."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                for piece in answer():
                    if stop.is_set():
                        return
                    connection.sendall(piece)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/x"
        finally:
            stop.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def fetched(url: str, limits: FetchLimits = LIMITS) -> Fetched:
    async def ask() -> Fetched:
        async with Fetcher(limits) as fetcher:
            return await fetcher.fetch(parse_url(url))

    return asyncio.run(ask())


def endless(head: bytes, piece: bytes) -> Callable[[], Iterator[bytes]]:
    def answer() -> Iterator[bytes]:
        yield head
        while True:
            yield piece

    return answer


def once(*pieces: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(pieces)


BIG = bytes(1 << 16)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (endless(OK + b"\r\n", BIG), "too_large"),
        (endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + BIG + b"\r\n"), "too_large"),
        (once(OK + b"Content-Length: 999999999999\r\n\r\n"), "too_large"),
        (once(OK + b"Content-Length: -5\r\n\r\n"), "broken_response"),
        (once(OK + b"Content-Length: 5, 6\r\n\r\nabcde"), "broken_response"),
        (endless(OK + b"X: ", b"y" * 65536), "broken_response"),
        (endless(OK, b"X: y\r\n" * 5000), "broken_response"),
        (endless(b"", b"z" * 65536), "broken_response"),
        (once(b"HTTP/1.1 200 OK\r\n\x00: \x00\r\n\r\n"), "broken_response"),
        (once(b""), "connection"),
    ],
)
def test_what_has_no_end_or_no_sense(answer: Callable[[], Iterator[bytes]], status: str) -> None:
    with server(answer) as url:
        assert fetched(url).status == status


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 2",
        OK + b"Content-Le",
        OK + b"Content-Length: 10\r\n\r\n",
        OK + b"Content-Length: 10\r\n\r\nabcde",
    ],
    ids=["nothing", "half a status", "half a header", "no body", "half a body"],
)
def test_silence_ends_with_the_deadline(sent: bytes) -> None:
    """Wherever in its answer a server stops without closing the connection."""
    gone = threading.Event()

    def stop() -> Iterator[bytes]:
        if sent:
            yield sent
        gone.wait(60)

    with server(stop) as url:
        try:
            assert fetched(url, replace(LIMITS, deadline=0.3)).status == "timeout"
        finally:
            gone.set()


def test_a_connection_that_is_never_made_ends_with_the_deadline() -> None:
    with socket.socket() as listening, contextlib.ExitStack() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):  # fill the queue of connections that nobody accepts
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/x"
        assert fetched(url, replace(LIMITS, deadline=0.3)).status == "timeout"


def test_a_reset_connection() -> None:
    """The system says that the connection was reset in the middle of a body."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reset() -> None:
            connection, _ = listening.accept()
            connection.recv(4096)
            connection.sendall(OK + b"Content-Length: 10\r\n\r\nabcde")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        thread = threading.Thread(target=reset)
        thread.start()
        found = fetched(f"http://127.0.0.1:{listening.getsockname()[1]}/x")
        thread.join(10)
    assert found.status in ("broken_response", "connection") and not found.data


def test_a_drip_ends_with_the_deadline() -> None:
    """A server that sends a byte now and then is left at the deadline, whatever it has sent."""
    gone = threading.Event()

    def drip() -> Iterator[bytes]:
        yield OK + b"Content-Length: 1000\r\n\r\n"
        while not gone.wait(0.02):
            yield b"x"

    with server(drip) as url:
        try:
            assert fetched(url, replace(LIMITS, deadline=0.5)).status == "timeout"
        finally:
            gone.set()


def body(coding: str, content: bytes) -> Callable[[], Iterator[bytes]]:
    return once(OK + f"Content-Encoding: {coding}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)


def bare_deflate(data: bytes) -> bytes:
    """Compress without zlib's header, as many servers do."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "content", "status"),
    [
        ("gzip", gzip.compress(bytes(50_000_000), mtime=0), "too_large"),
        ("deflate", zlib.compress(bytes(50_000_000)), "too_large"),
        ("gzip", gzip.compress(b"image" * 100, mtime=0), "ok"),
        ("Deflate", zlib.compress(b"image" * 100), "ok"),
        ("deflate", bare_deflate(b"image" * 100), "ok"),
        ("deflate", bare_deflate(b"image" * 100)[:-3], "broken_response"),
        ("identity", b"image" * 100, "ok"),
        ("gzip", gzip.compress(b"image" * 100, mtime=0)[:-12], "broken_response"),
        ("gzip", b"image", "broken_response"),
        ("zstd", b"image", "broken_response"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"image", mtime=0), mtime=0), "broken_response"),
    ],
)
def test_compressed_bodies(coding: str, content: bytes, status: str) -> None:
    """50 MB in 50 kB are not unpacked beyond what a body may have; what is whole is unpacked."""
    limits = replace(LIMITS, max_bytes=60_000)
    with server(body(coding, content)) as url:
        found = fetched(url, limits)
    assert found.status == status
    assert found.data == (b"image" * 100 if status == "ok" else b"")


@pytest.mark.parametrize(
    ("location", "status"),
    [
        ("file:///etc/passwd", "bad_url"),
        ("ftp://example.org/x", "bad_url"),
        ("data:image/png;base64,AAAA", "bad_url"),
        ("gopher://127.0.0.1:6379/_x", "bad_url"),
        ("http://[::1", "bad_url"),
        ("/x", "too_many_redirects"),
        ("?again", "too_many_redirects"),
    ],
)
def test_redirects(location: str, status: str) -> None:
    answer = once(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
    with server(answer) as url:
        assert fetched(url).status == status


PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "0.0.0.0",
    "[::1]",
    "[fe80::1]",
    "[::ffff:10.0.0.1]",
]
PRIVATE += ["224.0.0.1", "100.64.0.1", "[fc00::1]", "2130706433", "0x7f.1", "localhost", "127.1"]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_not_asked(host: str) -> None:
    """In every spelling that the system understands, without a connection."""
    assert fetched(f"http://{host}/x", replace(LIMITS, allow_private=False)).status in (
        "refused_address",
        "dns",
        "bad_url",
    )
