"""A server on this machine that serves small images and misbehaves in every way that a path names."""

from __future__ import annotations

import hashlib
import io
import socket
import struct
from collections import Counter
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from PIL import Image

from ffprep.download.settings import FetchLimits
from ffprep.download.url_index import IndexRow

LOCAL = FetchLimits(deadline=5, retries=1, backoff=0.01, allow_private=True, max_bytes=200_000)


def jpeg(number: int, size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (number * 37 % 256, number * 59 % 256, number * 83 % 256)).save(buffer, "JPEG")
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """``/ok/N`` an image, ``/N/status`` an error, and the ways a server misbehaves by name."""

    protocol_version = "HTTP/1.1"
    hits: ClassVar[Counter[str]] = Counter()
    flaky_after: ClassVar[int] = 1
    requests: ClassVar[list[tuple[str, Message]]] = []

    def do_GET(self) -> None:
        """Reply as the path says; behind ``http://host/``, which is how a proxy is asked, as the rest says."""
        Handler.hits[self.path] += 1
        Handler.requests.append((self.path, self.headers))
        path = self.path.split("/", 3)[3] if self.path.startswith("http://") else self.path
        kind, _, rest = path.strip("/").partition("/")
        first = Handler.hits[self.path] == 1
        if kind == "ok":
            self.reply(jpeg(int(rest)))
        elif kind == "status":
            self.reply(b"no", int(rest.split("/")[0]))
        elif kind == "flaky":
            good = Handler.hits[self.path] > Handler.flaky_after
            self.reply(jpeg(1) if good else b"later", 200 if good else 503)
        elif kind == "once":
            self.reply(b"no", int(rest.split("/")[0])) if first else self.reply(jpeg(1))
        elif kind == "busy":
            times, wait = map(int, rest.split("/")[:2])
            busy = Handler.hits[self.path] <= times
            self.reply(b"no", 429, {"Retry-After": str(wait)}) if busy else self.reply(jpeg(2))
        elif kind == "unmeasured":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(jpeg(5, (200, 200))[: -300 if first else 1 << 20])
        elif kind == "cutonce":
            data = jpeg(6, (200, 200))
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: -300 if first else len(data)])
            self.close_connection = first
        elif kind == "to":
            self.reply(b"", 302, {"Location": bytes.fromhex(rest).decode("latin-1")})
        elif kind == "header":
            name, _, value = bytes.fromhex(rest).decode().partition(":")
            self.reply(jpeg(7), headers={name: value})
        elif kind == "policy":
            self.reply(jpeg(7), headers={"Content-Security-Policy": "x" * int(rest)})
        elif kind == "published":
            self.reply(jpeg(8))
        elif kind == "html":
            self.reply(b"<html>gone</html>")
        elif kind == "cut":
            self.reply(jpeg(2, (200, 200))[:-300])
        elif kind == "bomb":
            self.reply(jpeg(3, (3000, 3000)))
        elif kind == "noai":
            self.reply(jpeg(4), headers={"X-Robots-Tag": "noindex, noai"})
        elif kind == "redirect":
            self.reply(b"", 302, {"Location": f"/redirect/{int(rest) - 1}" if int(rest) else "/ok/5"})
        elif kind == "loop":
            self.reply(b"", 301, {"Location": "/loop"})
        elif kind == "scheme":
            self.reply(b"", 302, {"Location": "file:///etc/hostname"})
        elif kind == "large":
            self.reply(b"\0" * 300_000)
        elif kind == "endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"10000\r\n" + b"\0" * 65536 + b"\r\n")
        elif kind == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            while not self.server.release.wait(0.02):  # type: ignore[attr-defined]
                self.wfile.write(b"\xff")
        elif kind == "type":
            self.reply(jpeg(6), headers={"Content-Type": "text/plain"})
        elif kind == "short":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(jpeg(7))
            self.close_connection = True
        elif kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RD)
            self.close_connection = True
        elif kind == "corrupt":
            image = jpeg(8, (300, 300))
            self.reply(image[:-400] + bytes(390) + b"\xff\xd9")
        elif kind in ("png", "gif", "webp", "bmp", "tiff"):
            buffer = io.BytesIO()
            Image.new("RGB", (40, 30)).save(buffer, kind)
            self.reply(buffer.getvalue())
        elif kind == "cmyk":
            buffer = io.BytesIO()
            Image.new("CMYK", (40, 30)).save(buffer, "JPEG")
            self.reply(buffer.getvalue())
        elif kind == "together":
            self.server.together.wait(30)  # type: ignore[attr-defined]
            self.reply(jpeg(9))
        elif kind == "hang":
            self.server.release.wait()  # type: ignore[attr-defined]
        else:
            self.reply(b"no", 404)

    def reply(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests are about."""


def rows(base: str, paths: list[str]) -> list[IndexRow]:
    return [IndexRow(i, base + path, f"caption {i}") for i, path in enumerate(paths)]


def contents(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}
