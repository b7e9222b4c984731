"""A small HTTP server that sends ranges of bytes, and that fails as it is told to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = Callable[["Request"], str | None]


class Request:
    """What a client asked for: `start` and `end` of a range, and how many ranges were asked for before."""

    def __init__(self, path: str, start: int, end: int, number: int) -> None:
        self.path, self.start, self.end, self.number = path, start, end, number


class Served:
    """Objects by path, and what happened.

    Attributes
    ----------
    objects : dict of str to bytes
    etags : dict of str to str
        Sent, and compared with If-Match, unless `ignores_match` is set.
    fault : callable, optional
        Says what goes wrong with a request of more than one byte: a status such as ``503``, ``to URL`` (a
        redirection), ``short``, ``wrong``, ``hang`` (until the server ends), ``slow`` (a byte, and no more until the
        server ends), ``drop``, ``whole``, ``circle`` (a redirection to itself), ``moved`` (one to where it is),
        ``later`` and a number (429, with so many seconds to wait), ``cut`` (fewer bytes than Content-Length says),
        ``long`` (more than were asked for), ``shifted`` and ``silent`` (Content-Range names other bytes, or is
        missing); None lets it through.
    ranges : list of (str, int, int)
        Those of more than one byte that were asked for.
    asked : list of str
        All requests.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.fault: Fault | None = None
        self.ignores_match = False
        self.ranges: list[tuple[str, int, int]] = []
        self.asked: list[str] = []
        self.url = ""
        self.ending = threading.Event()
        self.kill: Callable[[], None] = self.ending.set
        self.lock = threading.Lock()

    def put(self, path: str, data: bytes, etag: str) -> str:
        """Add an object and return its URL."""
        self.objects[path], self.etags[path] = data, f'"{etag}"'
        return f"{self.url}{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Served

    def do_GET(self) -> None:
        served = self.served
        if served.ending.is_set():
            self.close_connection = True
            return
        path = self.path.partition("?")[0].removeprefix("/moved")
        with served.lock:
            served.asked.append(path)
        data = served.objects.get(path)
        if data is None:
            self._answer(404, b"")
            return
        if not served.ignores_match and self.headers.get("If-Match") not in (None, served.etags[path]):
            self._answer(412, b"")
            return
        text = self.headers.get("Range")
        start, end = 0, len(data)
        if text:
            first, _, last = text.removeprefix("bytes=").partition("-")
            start, end = int(first), min(len(data), int(last) + 1)
        what = None
        if end - start > 1:
            with served.lock:
                request = Request(path, start, end, len(served.ranges))
                served.ranges.append((path, start, end))
                what = served.fault(request) if served.fault else None
        part = data[start:end]
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}", "ETag": served.etags[path]}
        if text and start >= len(data):
            self._answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        elif what and what.isdigit():
            self._answer(int(what), b"")
        elif what and what.startswith("to "):
            self._answer(302, b"", {"Location": what.removeprefix("to ")})
        elif what == "moved" and not self.path.startswith("/moved"):
            self._answer(302, b"", {"Location": f"/moved{self.path}"})
        elif what == "slow":
            self._answer(206, part[:1], headers, length=len(part))
            served.ending.wait()
        elif what == "cut":
            self._answer(206, part[: len(part) // 2], headers, close=True, length=len(part))
        elif what == "long":
            self._answer(206, part + part, headers)
        elif what == "shifted":
            self._answer(206, part, {**headers, "Content-Range": f"bytes {start + 1}-{end}/{len(data)}"})
        elif what == "silent":
            self._answer(206, part, {"ETag": served.etags[path]})
        elif what == "hang":
            served.ending.wait()
            self.close_connection = True
        elif what == "circle":
            self._answer(302, b"", {"Location": self.path})
        elif what and what.startswith("later"):
            self._answer(429, b"", {"Retry-After": what.removeprefix("later")})
        elif what == "drop":
            self.close_connection = True
        elif what == "whole":
            self._answer(200, data, {"ETag": served.etags[path]})
        elif what == "short":
            self._answer(206, part[: len(part) // 2], headers, close=True)
        elif what == "wrong":
            self._answer(206, bytes(reversed(part)), headers)
        else:
            self._answer(206 if text else 200, part, headers)

    def _answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        close: bool = False,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients end connections when they have waited long enough."""


@contextlib.contextmanager
def serving() -> Iterator[Served]:
    """Serve on a free port of the loopback device, until the end of the block."""
    served = Served()
    handler = type("Handler", (_Handler,), {"served": served})
    server = _Server(("127.0.0.1", 0), handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    def kill() -> None:
        served.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()

    served.kill = kill
    try:
        yield served
    finally:
        kill()
