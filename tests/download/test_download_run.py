"""Downloads from a local server: what is stored, what is refused and why, limits, kills and resumption."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import struct
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from ffprep.beton.reader import Reader
from ffprep.convert.run import convert
from ffprep.download.fetch import Limits
from ffprep.download.index import Row, read_index
from ffprep.download.run import Options, download
from ffprep.download.shards import mark_path, read_lines
from ffprep.errors import FfprepError, OptionError
from ffprep.fields import RGBImageField
from ffprep.sources.caption_shards import open_caption_shards
from ffprep.text.vocabulary import Vocabulary

LOCAL = Limits(deadline=5, retries=1, backoff=0.01, allow_private=True, max_bytes=200_000)


def jpeg(number: int, size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (number * 37 % 256, number * 59 % 256, number * 83 % 256)).save(buffer, "JPEG")
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """``/ok/N`` an image, ``/N/status`` an error, and the ways a server misbehaves by name."""

    protocol_version = "HTTP/1.1"
    hits: ClassVar[Counter[str]] = Counter()
    flaky_after: ClassVar[int] = 1

    def do_GET(self) -> None:
        Handler.hits[self.path] += 1
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "ok":
            self.reply(jpeg(int(rest)))
        elif kind == "status":
            self.reply(b"no", int(rest.split("/")[0]))
        elif kind == "flaky":
            good = Handler.hits[self.path] > Handler.flaky_after
            self.reply(jpeg(1) if good else b"later", 200 if good else 503)
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
            good = jpeg(8, (300, 300))
            self.reply(good[:-400] + bytes(390) + b"\xff\xd9")
        elif kind in ("png", "gif", "webp", "bmp", "tiff"):
            buffer = io.BytesIO()
            Image.new("RGB", (40, 30)).save(buffer, kind)
            self.reply(buffer.getvalue())
        elif kind == "cmyk":
            buffer = io.BytesIO()
            Image.new("CMYK", (40, 30)).save(buffer, "JPEG")
            self.reply(buffer.getvalue())
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

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests are about."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.hits.clear()
    httpd = Server(("127.0.0.1", 0), Handler)
    httpd.release = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.release.set()  # type: ignore[attr-defined]
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def rows(base: str, paths: list[str]) -> list[Row]:
    return [Row(i, base + path, f"caption {i}") for i, path in enumerate(paths)]


def contents(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/status/404", "http_404"),
        ("/status/403", "http_403"),
        ("/status/500", "http_500"),
        ("/html", "not_an_image"),
        ("/cut", "undecodable"),
        ("/bomb", "too_many_pixels"),
        ("/noai", "robots"),
        ("/redirect/4", "ok"),
        ("/redirect/9", "too_many_redirects"),
        ("/loop", "too_many_redirects"),
        ("/scheme", "bad_url"),
        ("/large", "too_large"),
        ("/endless", "too_large"),
        ("/flaky", "ok"),
        ("/type", "ok"),
        ("/png", "ok"),
        ("/gif", "ok"),
        ("/webp", "ok"),
        ("/bmp", "ok"),
        ("/tiff", "ok"),
        ("/cmyk", "ok"),
        ("/corrupt", "undecodable"),
        ("/short", "broken_response"),
        ("/reset", "connection"),
    ],
)
def test_each_cause(server: str, tmp_path: Path, path: str, cause: str) -> None:
    options = Options(max_pixels=1_000_000, connections=2, fetch=LOCAL)
    download(rows(server, [path]), tmp_path / "out", options)
    (outcome,) = read_lines(tmp_path / "out" / "manifest.jsonl")
    assert outcome.status == cause
    expected_tries = 2 if path in ("/status/500", "/flaky", "/reset") else 1
    assert Handler.hits[path] == expected_tries or path in ("/loop", "/reset")


@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_a_server_that_never_ends_costs_the_deadline_only(server: str, tmp_path: Path, path: str) -> None:
    options = Options(connections=2, fetch=replace(LOCAL, deadline=0.2, retries=0))
    report = download(rows(server, [path, "/ok/1"]), tmp_path / "out", options)
    assert report["causes"] == {"timeout": 1}
    assert report["ok"] == 1


@pytest.mark.parametrize("url", ["ftp://x/y", "http://", "not a url", "http://[::1", "", "https://exa mple/\ud800"])
def test_bad_urls(tmp_path: Path, url: str) -> None:
    report = download([Row(0, url, "c")], tmp_path / "out", Options(connections=1, fetch=LOCAL))
    assert set(report["causes"]) <= {"bad_url", "dns", "connection"}
    assert report["ok"] == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254", "localhost"]
)
def test_private_addresses_are_refused(server: str, tmp_path: Path, host: str) -> None:
    port = server.rsplit(":", 1)[1]
    options = Options(connections=1, fetch=replace(LOCAL, allow_private=False))
    report = download([Row(0, f"http://{host}:{port}/ok/1", "c")], tmp_path / "out", options)
    assert report["causes"] == {"refused_address": 1}
    assert not Handler.hits


def test_shards_hold_image_caption_and_facts(server: str, tmp_path: Path) -> None:
    paths = [f"/ok/{i}" if i % 3 else "/status/404" for i in range(10)]
    report = download(rows(server, paths), tmp_path / "out", Options(shard_size=4, connections=3, fetch=LOCAL))
    assert report["tried"] == 10
    assert report["ok"] == 6
    names = []
    for shard in sorted((tmp_path / "out").glob("*.tar")):
        with tarfile.open(shard) as tar:
            names += tar.getnames()
            for name in tar.getnames():
                data = tar.extractfile(name).read()  # type: ignore[union-attr]
                number = int(name.split(".")[0])
                if name.endswith(".jpg"):
                    assert data == jpeg(number)
                elif name.endswith(".txt"):
                    assert data.decode() == f"caption {number}"
                else:
                    assert json.loads(data)["sha256"] == hashlib.sha256(jpeg(number)).hexdigest()
    assert names == [f"{i:09d}.{e}" for i in range(10) if i % 3 for e in ("jpg", "txt", "json")]


@pytest.mark.parametrize("connections", [1, 3, 16])
@pytest.mark.parametrize("limit", [1, 5, 6, 7, 100])
def test_limit_takes_the_first_by_index(server: str, tmp_path: Path, limit: int, connections: int) -> None:
    paths = [f"/ok/{i}" if i % 2 else "/status/404" for i in range(24)]
    options = Options(limit=limit, shard_size=5, connections=connections, fetch=LOCAL)
    download(rows(server, paths), tmp_path / "out", options)
    good = [o.id for o in read_lines(tmp_path / "out" / "manifest.jsonl") if o.ok]
    assert good == [i for i in range(24) if i % 2][:limit]


def test_max_bytes_stops_before_the_row_that_exceeds_it(server: str, tmp_path: Path) -> None:
    sizes = [len(jpeg(i)) for i in range(8)]
    options = Options(max_bytes=sum(sizes[:5]) + 1, shard_size=3, connections=4, fetch=LOCAL)
    report = download(rows(server, [f"/ok/{i}" for i in range(8)]), tmp_path / "out", options)
    assert report["bytes"] == sum(sizes[:5])
    with pytest.raises(FfprepError, match="byte limit"):
        download(rows(server, ["/ok/0"]), tmp_path / "small", replace(options, max_bytes=10))


def test_a_killed_download_goes_on_and_gives_the_same(server: str, tmp_path: Path) -> None:
    paths = [f"/ok/{i}" if i % 4 else "/status/410" for i in range(30)]
    options = Options(limit=15, shard_size=4, connections=3, fetch=LOCAL)
    download(rows(server, paths), tmp_path / "whole", options)
    index = tmp_path / "index.tsv"
    index.write_text("".join(f"caption {i}\t{server}{p}\n" for i, p in enumerate(paths)))
    program = (
        "import os, sys; from pathlib import Path; from ffprep.download import run, shards\n"
        "from ffprep.download.index import read_index; from ffprep.download.fetch import Limits\n"
        "write = shards.write_shard\n"
        "def killed(folder, number, spool):\n"
        "    if number == 2: os._exit(9)\n"
        "    return write(folder, number, spool)\n"
        "shards.write_shard = killed\n"
        f"options = run.Options(limit=15, shard_size=4, connections=3, fetch=Limits(**{vars(LOCAL)!r}))\n"
        f"run.download(read_index(Path({str(index)!r})), Path({str(tmp_path / 'killed')!r}), options)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 9
    assert not (tmp_path / "killed" / "manifest.jsonl").exists()
    download(read_index(index), tmp_path / "killed", options)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


KILLED = """
import os, sys
from pathlib import Path
from ffprep.download import run, shards
from ffprep.download.fetch import Limits
from ffprep.download.index import read_index

left = int(sys.argv[1])
name = sys.argv[2]
original = getattr(shards, name) if name != "keep" else shards.ShardSpool.keep

def killed(*arguments):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return original(*arguments)

if name == "keep":
    shards.ShardSpool.keep = killed
else:
    setattr(shards, name, killed)
options = run.Options(shard_size=4, connections=3, fetch=Limits(**LOCAL))
run.download(read_index(Path(sys.argv[3])), Path(sys.argv[4]), options)
"""


def test_killed_anywhere_and_resumed_it_makes_the_same_file(
    server: str, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    treated = ["ok", "status/404", "html", "cut", "ok", "type", "gif", "ok", "reset", "ok"]
    paths = [f"/{treated[i % 10]}{f'/{i}' if treated[i % 10] == 'ok' else ''}" for i in range(30)]
    index = tmp_path / "index.tsv"
    index.write_text("".join(f"caption {i}\t{server}{p}\n" for i, p in enumerate(paths)))
    options = Options(shard_size=4, connections=3, fetch=LOCAL)
    report = download(read_index(index), tmp_path / "whole", options)
    assert report["ok"] == 18
    program = KILLED.replace("**LOCAL", f"**{vars(LOCAL)!r}")
    codes = []
    for name, after in (("keep", 0), ("keep", 9), ("_add", 3), ("write_lines", 1), ("write_shard", 2), ("_add", 7)):
        command = [sys.executable, "-c", program, str(after), name, str(index), str(tmp_path / "killed")]
        codes.append(subprocess.run(command, timeout=60, check=False).returncode)
    # how much is left for the later runs, which may therefore reach the end, depends on what was under way at a kill
    assert codes[:2] == [9, 9] and codes.count(9) >= 3 and set(codes) <= {0, 9}
    download(read_index(index), tmp_path / "killed", options)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    for folder in ("killed", "whole"):
        source = open_caption_shards(
            "cc3m", [tmp_path / folder], image=RGBImageField(jpeg="keep"), vocabulary=vocabulary, text=True
        )
        convert(source, tmp_path / f"{folder}.beton")
    with Reader(tmp_path / "whole.beton") as reader:
        assert reader.num_samples == 18
    assert (tmp_path / "killed.beton").read_bytes() == (tmp_path / "whole.beton").read_bytes()


def test_a_larger_limit_extends_a_cut_shard(server: str, tmp_path: Path) -> None:
    paths = [f"/ok/{i}" for i in range(12)]
    options = Options(limit=5, shard_size=4, connections=3, fetch=LOCAL)
    download(rows(server, paths), tmp_path / "a", options)
    download(rows(server, paths), tmp_path / "a", replace(options, limit=11))
    download(rows(server, paths), tmp_path / "b", replace(options, limit=11))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_complete_shards_are_not_fetched_again_but_failures_are_on_request(server: str, tmp_path: Path) -> None:
    Handler.flaky_after = 2
    try:
        all_rows = rows(server, ["/ok/0", "/flaky", "/status/404", "/ok/3"])
        options = Options(shard_size=4, connections=2, fetch=LOCAL)
        assert download(all_rows, tmp_path / "out", options)["causes"] == {"http_503": 1, "http_404": 1}
        Handler.hits.clear()
        download(all_rows, tmp_path / "out", options)
        assert not Handler.hits
        Handler.flaky_after = 0
        assert download(all_rows, tmp_path / "out", options, retry_failed=True)["causes"] == {"http_404": 1}
        assert set(Handler.hits) == {"/flaky"}
    finally:
        Handler.flaky_after = 1


def test_a_manifest_fetches_the_very_same_subset(server: str, tmp_path: Path) -> None:
    paths = [f"/ok/{i}" if i % 3 else "/status/404" for i in range(12)]
    options = Options(limit=5, shard_size=4, connections=3, fetch=LOCAL)
    download(rows(server, paths), tmp_path / "first", options)
    again = list(read_index(tmp_path / "first" / "manifest.jsonl"))
    download(again, tmp_path / "second", replace(options, limit=None))
    first = [o for o in read_lines(tmp_path / "first" / "manifest.jsonl") if o.ok]
    assert list(read_lines(tmp_path / "second" / "manifest.jsonl")) == first
    forged = [replace(row, sha256="0" * 64) for row in again[:1]]
    assert download(forged, tmp_path / "third", options)["causes"] == {"changed": 1}


def test_resize_on_arrival(server: str, tmp_path: Path) -> None:
    download(rows(server, ["/ok/1"]), tmp_path / "out", Options(resize_to=16, connections=1, fetch=LOCAL))
    (outcome,) = read_lines(mark_path(tmp_path / "out", 0))
    assert (outcome.width, outcome.height) == (21, 16)
    assert outcome.sha256 == hashlib.sha256(jpeg(1)).hexdigest()


def test_other_settings_are_refused(server: str, tmp_path: Path) -> None:
    download(rows(server, ["/ok/1"]), tmp_path / "out", Options(connections=1, fetch=LOCAL))
    with pytest.raises(OptionError, match="shard_size"):
        download(rows(server, ["/ok/1"]), tmp_path / "out", Options(shard_size=7, connections=1, fetch=LOCAL))
